//! What a hosted runtime tells, on its way to the broker and to the other modules.

use std::sync::Arc;

use serde_json::{json, Map, Value};

use super::host::{Going, Host};
use super::node::request;
use crate::link::silverline::channels::{full_topic, Id};
use crate::link::silverline::runtime::Runtime;
use crate::link::silverline::slsocket::FromRuntime;
use crate::mqtt::Message;

impl<R: Runtime> Host<R> {
    /// What the runtime has told; answers what of that takes its time.
    pub(super) async fn told(&mut self, message: FromRuntime) -> Option<Going> {
        let node = Arc::clone(&self.node);
        let id = |module, channel| Id {
            runtime: usize::from(self.place.index),
            module,
            channel,
        };
        let publish = |message| -> Option<Going> {
            let node = Arc::clone(&node);
            Some(Box::pin(async move {
                drop(node.mqtt.publish(message).await);
            }))
        };
        match message {
            FromRuntime::Publish {
                module,
                channel,
                payload,
            } => {
                let from = id(module, channel);
                match node.publish(from) {
                    Ok((topic, readers)) => {
                        return Some(Box::pin(async move {
                            for reader in readers {
                                node.deliver(reader, payload.clone()).await;
                            }
                            drop(node.mqtt.publish(Message { topic, payload }).await);
                        }));
                    }
                    Err(error) => self.warn(&error.to_string()),
                }
            }
            FromRuntime::Open {
                module,
                channel,
                flags,
                topic,
            } => match self.modules.get(module) {
                Some(found) => {
                    let topic = full_topic(&topic, &node.realm, &found.uuid);
                    let opened =
                        node.channels(|channels| channels.open(id(module, channel), flags, &topic));
                    match opened {
                        // What the module says next is said when it can hear the answer.
                        Ok(()) => return Some(Box::pin(async move { node.in_step().await })),
                        Err(error) => self.warn(&error.to_string()),
                    }
                }
                None => self.warn(&format!("there is no module {module} to open a channel")),
            },
            FromRuntime::Close { module, channel } => {
                let closed = node.channels(|channels| channels.close(id(module, channel)));
                if let Err(error) = closed {
                    self.warn(&error.to_string());
                }
            }
            FromRuntime::Exited(module, mut report) => match self.modules.remove(module) {
                Some(found) => {
                    let runtime = usize::from(self.place.index);
                    node.channels(|channels| channels.close_module(runtime, module));
                    self.runtime.cleanup_module(module, &mut report).await;
                    log::info!("module {:?} has ended", found.uuid);
                    return publish(self.exited(&found.uuid, report));
                }
                None => self.warn(&format!("module {module} has ended, but never was")),
            },
            FromRuntime::Keepalive(more) => {
                let data = json!({
                    "type": "runtime",
                    "uuid": self.place.uuid,
                    "name": self.place.name,
                    "apis": self.runtime.apis(),
                });
                let mut data = data.as_object().cloned().unwrap_or_default();
                data.extend(more);
                let (_, payload) = request("update", data);
                let topic = node.topic("keepalive", &self.place.uuid);
                node.mqtt.publish_if_connected(Message { topic, payload });
            }
            FromRuntime::Log(line) => self.log.write(None, &line),
            FromRuntime::ModuleLog(module, line) => {
                let found = self.modules.get(module);
                self.log
                    .write(found.map(|module| module.uuid.as_str()), &line);
            }
            FromRuntime::Profile(module, payload) => match self.modules.get(module) {
                Some(found) => {
                    let kind = format!("profile/{}/{}", self.runtime.profile(), self.place.uuid);
                    let topic = node.topic(&kind, &found.uuid);
                    return publish(Message { topic, payload });
                }
                None => self.warn(&format!("there is no module {module} to profile")),
            },
        }
        None
    }

    /// The report of a module's end.
    pub(super) fn exited(&self, uuid: &str, report: Map<String, Value>) -> Message {
        let mut data = report;
        data.insert("type".to_owned(), json!("module"));
        data.insert("uuid".to_owned(), json!(uuid));
        let (_, payload) = request("exited", data);
        let topic = self.node.topic("control", &self.place.uuid);
        Message { topic, payload }
    }
}
