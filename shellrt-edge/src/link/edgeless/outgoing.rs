//! What an instance wants from its host, on its way there.

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::host::Host;
use crate::component::{Answer, Incoming, Level, Problem, Target};

/// Passes on what an instance says, in its order; its calls run beside that.
pub async fn pass_on(name: String, host: Host, mut incoming: mpsc::Receiver<Incoming>) {
    let mut beside = JoinSet::new();
    while let Some(message) = incoming.recv().await {
        while beside.try_join_next().is_some() {}
        match message {
            Incoming::Cast {
                target: target @ Target::Instance { .. },
                data,
                delay: Some(delay),
            } => {
                // The host has no such call.
                let host = host.clone();
                beside.spawn(async move {
                    tokio::time::sleep(delay).await;
                    host.cast(target, data, None).await;
                });
            }
            Incoming::Cast {
                target,
                data,
                delay,
            } => host.cast(target, data, delay).await,
            Incoming::Call(call, mut responder) => {
                let host = host.clone();
                beside.spawn(async move {
                    let answered = tokio::select! {
                        answer = host.call(call.target, call.content.data.0) => answer,
                        () = responder.cancelled() => return,
                    };
                    match answered {
                        Answer::Reply(content) => responder.reply(content).await,
                        Answer::NoReply => responder.no_reply().await,
                        Answer::Error(problem) => responder.error(problem).await,
                    }
                });
            }
            Incoming::Sync(state) => host.sync(state).await,
            Incoming::Log(log) => host.log(log.level, log.target, log.message).await,
            Incoming::Output(line) => {
                let line = String::from_utf8_lossy(&line).into_owned();
                host.log(Level::Info, name.clone(), line).await;
            }
            Incoming::Register(_, _, responder)
            | Incoming::Unregister(_, responder)
            | Incoming::Subscribe(_, _, responder)
            | Incoming::Unsubscribe(_, responder)
            | Incoming::Publish(_, _, Some(responder)) => {
                let problem = Problem::new("EDGELESS has neither procedures nor topics");
                responder.error(problem).await;
            }
            Incoming::Publish(event, _, None) => {
                log::warn!(
                    "{name:?} publishes to {:?}: EDGELESS has no topics",
                    event.topic
                );
            }
        }
    }
    // What it has asked for before its end is still done.
    while beside.join_next().await.is_some() {}
}
