//! What is there already when the daemon starts: each plugin says it when it can.

use std::time::Duration;

use futures_util::future::join_all;
use shellrt_api::v0::list;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::table::Request;
use crate::plugin::Plugins;

/// How often a plugin is asked for its modules until it answers.
const PAUSE: Duration = Duration::from_secs(5);

/// After how many failures in a row that is said again: once a minute.
const SAY_EVERY: u32 = 12;

/// Asks all plugins for their modules.
pub(super) async fn find_all(plugins: Plugins, requests: mpsc::Sender<Request>) {
    let names = plugins.names().map(str::to_owned);
    join_all(names.map(|plugin| find(&plugins, plugin, &requests))).await;
}

/// Asks a plugin until it answers.
async fn find(plugins: &Plugins, plugin: String, requests: &mpsc::Sender<Request>) {
    let mut failures = 0;
    let found = loop {
        match plugins.call(&plugin, list::Request { details: true }).await {
            Ok(found) => break found,
            Err(error) if failures % SAY_EVERY == 0 => log::warn!(
                "{plugin:?} does not say which modules it has, and is asked until it does: {}",
                error.chain()
            ),
            Err(_) => {}
        }
        failures += 1;
        sleep(PAUSE).await;
        if requests.is_closed() {
            return;
        }
    };
    for (_, status) in found.details.unwrap_or_default() {
        let found = Request::Found(plugin.clone(), Box::new(status));
        if requests.send(found).await.is_err() {
            return;
        }
    }
    // Where the supervisor is gone, nobody looks for anything any more.
    let _ = requests.send(Request::AllFound(plugin)).await;
}
