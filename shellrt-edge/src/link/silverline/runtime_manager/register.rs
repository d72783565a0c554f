//! Being registered: once over every connection, because the orchestrator has heard the last will of the
//! connection before.

use std::time::Duration;

use serde_json::{Map, Value};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::node::{request, Connection, Node};
use crate::mqtt::Message;

/// How long an answer may take; after that, all goes on as if it had come.
const ANSWER_TIME: Duration = Duration::from_secs(5);

/// How long to wait before an orchestrator that did not answer is asked again.
const AGAIN: Duration = Duration::from_secs(30);

/// Whom to register.
pub struct Registration {
    /// For the log.
    pub what: String,
    /// The topic of requests and answers.
    pub topic: String,
    /// What is said.
    pub data: Map<String, Value>,
    /// Whether the manager must be registered before.
    pub waits_for_manager: bool,
}

impl Registration {
    /// Registers over each connection, for ever. The details of each answer go to `answers`; `tried` tells
    /// over which connection an answer has come, or did not in time.
    pub async fn keep(
        &self,
        node: &Node,
        answers: &mpsc::Sender<Map<String, Value>>,
        tried: &watch::Sender<u64>,
    ) {
        let mut connection = node.connection.subscribe();
        loop {
            let Ok(Connection { number, .. }) =
                connection.wait_for(|now| now.is_up).await.map(|now| *now)
            else {
                return;
            };
            if self.waits_for_manager {
                let mut registered = node.registered.subscribe();
                if registered.wait_for(|now| *now >= number).await.is_err() {
                    return;
                }
            }
            let asked = self.ask(node, answers, tried).await;
            // One that waited for a connection was asked over a later one.
            let over = connection.wait_for(|now| now.number > asked).await;
            if over.is_err() {
                return;
            }
        }
    }

    /// Asks until there is an answer. Returns over which connection that was.
    async fn ask(
        &self,
        node: &Node,
        answers: &mpsc::Sender<Map<String, Value>>,
        tried: &watch::Sender<u64>,
    ) -> u64 {
        let mut is_told = false;
        loop {
            let (object_id, payload) = request("create", self.data.clone());
            let mut answer = node.answer_to(&object_id);
            let message = Message {
                topic: self.topic.clone(),
                payload,
            };
            node.mqtt.publish(message).await.await;
            let number = node.connection.borrow().number;
            let mut details = timeout(ANSWER_TIME, &mut answer).await;
            if !matches!(details, Ok(Ok(_))) {
                if !is_told {
                    is_told = true;
                    log::error!(
                        "no orchestrator has registered {}; going on without, and asking again",
                        self.what
                    );
                }
                tried.send_replace(number);
                // One that has refused does not answer again.
                let is_open = details.is_err();
                let mut connection = node.connection.subscribe();
                tokio::select! {
                    late = &mut answer, if is_open => details = Ok(late),
                    () = tokio::time::sleep(AGAIN) => {}
                    _ = connection.wait_for(|now| now.number > number) => return number,
                }
            }
            if let Ok(Ok(details)) = details {
                log::info!("{} is registered", self.what);
                tried.send_replace(number);
                // Who does not need them has gone.
                let _ = answers.send(details).await;
                return number;
            }
        }
    }

    /// Says that it is gone, and waits until the broker knows.
    pub async fn end(&self, node: &Node) {
        let mut data = self.data.clone();
        data.retain(|key, _| ["type", "uuid", "name"].contains(&key.as_str()));
        let (_, payload) = request("delete", data);
        let topic = self.topic.clone();
        node.mqtt.publish(Message { topic, payload }).await.await;
    }
}
