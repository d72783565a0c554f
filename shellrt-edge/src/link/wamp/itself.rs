//! One instance of a component that connects by itself: an unchanged class of Autobahn-Python, for example.
//!
//! Such a program often idles when its session is gone. So the daemon has a session of its own beside it, in
//! the same realm, in which it asks for nothing: when the router ends that one, or can't be reached any more,
//! the instance is over as well.

use std::future::pending;
use std::io;
use std::path::Path;

use serde_json::Value;
use tokio::sync::mpsc;

use super::blueprint::{Blueprint, EXTRAS_DIR, EXTRAS_FILE};
use super::instance::{Death, World};
use super::join::{Joined, Unjoined};
use super::session::{Over, NO_SUCH_REALM};

impl World {
    /// From the session that watches to the end of the module.
    pub(super) async fn live_by_itself(&self, blueprint: &Blueprint) -> Result<Death, Death> {
        let name = &blueprint.name;
        let mut joined = match self.unless_told(self.join(name)).await? {
            Ok(joined) => Some(joined),
            Err(why) if is_of_us_alone(&why) => {
                log::warn!("component {name:?} is not watched at the router: {why}");
                None
            }
            Err(why) => return Err(Death::Died(why.to_string())),
        };
        let death = self.live_watched(blueprint, joined.as_mut()).await;
        if let Some(joined) = joined {
            self.leave(joined).await;
        }
        death
    }

    async fn live_watched(
        &self,
        blueprint: &Blueprint,
        joined: Option<&mut Joined>,
    ) -> Result<Death, Death> {
        let files = self.store.files(&blueprint.id);
        let written = write_extra(&files, &blueprint.extra);
        written.map_err(|error| Death::Died(format!("its extra can't be written: {error}")))?;
        let mut variables = self.plan.variables.clone();
        variables.insert("WAMP_COMPONENT".to_owned(), blueprint.name.clone());
        let extras = format!("{EXTRAS_DIR}/{EXTRAS_FILE}");
        variables.insert("WAMP_EXTRAS_FILE".to_owned(), extras);
        let order = blueprint.order_of_itself(variables, &files);
        let module = self.order(blueprint, order).await?;
        let over = async {
            tokio::select! {
                biased;
                why = module.end() => why,
                why = watch(joined) => why,
            }
        };
        let death = match self.unless_told(over).await {
            Ok(why) => Death::Died(why),
            Err(death) => death,
        };
        self.end(blueprint, &module).await;
        // The next instance writes it again.
        let _ = std::fs::remove_dir_all(&files);
        Ok(death)
    }
}

/// Whether the router refuses the daemon, but perhaps not the component, which may prove who it is.
fn is_of_us_alone(why: &Unjoined) -> bool {
    match why {
        Unjoined::Over(Over::Aborted(reason)) => !reason.starts_with(NO_SUCH_REALM),
        Unjoined::Over(Over::Auth(_)) => true,
        Unjoined::Over(Over::Left | Over::Closed(_) | Over::Violated(_))
        | Unjoined::Lost(_)
        | Unjoined::Slow => false,
    }
}

/// Why the session that watches has ended, when it has.
async fn watch(joined: Option<&mut Joined>) -> String {
    let Some(Joined { connection, pump }) = joined else {
        return pending().await;
    };
    // Nobody asks for anything, and nothing comes.
    let (deliveries, _nowhere) = mpsc::channel(1);
    let (_nobody, mut requests) = mpsc::channel(1);
    pump.run(connection, &deliveries, &mut requests).await
}

fn write_extra(files: &Path, extra: &Value) -> io::Result<()> {
    std::fs::create_dir_all(files)?;
    std::fs::write(files.join(EXTRAS_FILE), extra.to_string())
}
