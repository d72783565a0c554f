//! `events`: what happened, from the state directory. What nobody has written there is found out by
//! looking, at the beginning and whenever the connection to containerd was lost.

use std::thread;
use std::time::Duration;

use containerd_client::services::v1::SubscribeRequest;
use shellrt_api::v0::events::{Request, Response};
use shellrt_api::v0::plugin::Reply;
use shellrt_plugin::event::Events;

use crate::containerd::Place;
use crate::cri;
use crate::error::Error;
use crate::module;
use crate::store::Store;
use crate::Context;

/// How long until containerd is asked again when the connection was lost.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// How long a module's own process may take to write its end down, before we look.
const TIME_TO_FINISH: Duration = Duration::from_millis(500);

/// Opens the stream.
pub fn handle(context: &Context, request: Request) -> Result<Reply, Error> {
    let Request { since, follow } = request;
    let events = Events::new(context.store.root());
    let stream = events.stream(since, follow, context.deadline)?;
    if let Err(error) = look(context) {
        // What is known is told all the same.
        log::warn!("{error}");
    }
    if follow {
        let (store, place) = (context.store.clone(), context.place.clone());
        thread::spawn(move || keep_looking(&store, &place));
    }
    let response = shellrt_api::v0::Response::Events(Response {});
    Ok(Reply::stream(response, stream))
}

/// Looks at all modules: an end that nobody has written down is written by that.
fn look(context: &Context) -> Result<(), Error> {
    module::look_at_all(context)?;
    for module in cri::all(context)? {
        module.now()?;
    }
    Ok(())
}

/// Looks whenever containerd says that a task has ended, and after each time that it was away.
fn keep_looking(store: &Store, place: &Place) {
    loop {
        let context = Context::new(store.clone(), place.clone(), None);
        if let Err(error) = listen(&context) {
            log::debug!("{error}");
        }
        thread::sleep(ASK_AGAIN);
    }
}

fn listen(context: &Context) -> Result<(), Error> {
    let containerd = context.containerd()?;
    let request = SubscribeRequest {
        filters: vec!["topic==\"/tasks/exit\"".to_owned()],
    };
    let mut stream = containerd.call(
        "subscribe to its events",
        containerd.events().subscribe(request),
    )?;
    look(context)?;
    loop {
        let next = containerd.run("hear its events", async {
            let next = stream.message().await;
            next.map_err(|status| Error::refused("hear its events", status))
        })?;
        if next.is_none() {
            return Ok(());
        }
        thread::sleep(TIME_TO_FINISH);
        look(context)?;
    }
}
