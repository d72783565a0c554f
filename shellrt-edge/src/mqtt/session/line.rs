//! One connection, as long as it is there.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use rumqttc::mqttbytes::v5::{Publish, SubscribeReasonCode, UnsubAckReason};
use rumqttc::mqttbytes::QoS;
use rumqttc::{
    AsyncClient, PublishNoticeError, PublishOptions, PublishResult, SubscribeFilterInput,
    SubscribeNoticeError, UnsubscribeNoticeError,
};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::mqtt::failure::words;
use crate::mqtt::Message;

/// What MQTT adds at most to a topic and a payload: kind and length, the lengths of the topic and of no
/// properties, and the packet's number.
const ENVELOPE: usize = 5 + 2 + 1 + 2;

/// A connection that the broker has accepted.
pub(super) struct Line {
    client: AsyncClient,
    /// Its number, so that nothing of another one is acknowledged over it.
    pub(super) number: u64,
    /// The largest packet that the broker takes.
    max_packet: Option<usize>,
    /// How many of the first subscriptions are not answered.
    open: usize,
    /// Until when they have to be.
    by: Instant,
    /// Since when they all are.
    ready_since: Option<Instant>,
}

/// What the broker says to something.
#[derive(Debug)]
pub(super) enum Answer {
    /// It has the publication with that number; or why it does not want it.
    Published(u64, Result<(), String>),
    /// It has answered a subscription; with why it does not want it. `is_first` for those which a
    /// connection begins with.
    Subscribed {
        filter: String,
        refusal: Option<String>,
        is_first: bool,
        done: Option<oneshot::Sender<()>>,
    },
    /// It has answered the end of one; with why it does not want that.
    Unsubscribed {
        filter: String,
        refusal: Option<String>,
        done: oneshot::Sender<()>,
    },
    /// The connection is lost.
    None,
}

/// An answer that is still to come.
pub(super) type Pending = Pin<Box<dyn Future<Output = Answer> + Send>>;

impl Line {
    pub(super) fn new(
        client: AsyncClient,
        number: u64,
        max_packet: Option<u32>,
        patience: Duration,
    ) -> Line {
        Line {
            client,
            number,
            max_packet: max_packet.and_then(|size| usize::try_from(size).ok()),
            open: 0,
            by: Instant::now() + patience,
            ready_since: None,
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        self.ready_since.is_some()
    }

    /// How long it has been ready.
    pub(super) fn lasted(&self) -> Option<Duration> {
        self.ready_since.map(|since| since.elapsed())
    }

    /// Until when it has to be ready, where it is not.
    pub(super) fn ready_by(&self) -> Option<Instant> {
        (!self.is_ready()).then_some(self.by)
    }

    /// Subscribes to what the connection begins with.
    pub(super) fn begin(&mut self, filters: &[String]) -> Vec<Pending> {
        self.open = filters.len();
        let filters = filters.iter();
        filters
            .map(|filter| self.send_filter(filter.clone(), true, None))
            .collect()
    }

    /// Whether that was the last answer to these, so that it has become ready.
    pub(super) fn has_begun(&mut self, answered: usize) -> bool {
        self.open = self.open.saturating_sub(answered);
        let is_new = self.open == 0 && self.ready_since.is_none();
        if is_new {
            self.ready_since = Some(Instant::now());
        }
        is_new
    }

    pub(super) fn subscribe(&self, filter: String, done: oneshot::Sender<()>) -> Pending {
        self.send_filter(filter, false, Some(done))
    }

    fn send_filter(
        &self,
        filter: String,
        is_first: bool,
        done: Option<oneshot::Sender<()>>,
    ) -> Pending {
        let input = SubscribeFilterInput::new(filter.clone(), QoS::AtLeastOnce).no_local(true);
        let sent = self.client.try_subscribe_many_tracked([input]);
        Box::pin(async move {
            let refusal = match sent {
                Err(_) => Some("it is no filter".to_owned()),
                Ok(notice) => match notice.wait_async().await {
                    Ok(answer) => refused_subscription(&answer.return_codes),
                    Err(SubscribeNoticeError::V5SubAckFailure(codes)) => {
                        refused_subscription(&codes)
                    }
                    Err(_) => return Answer::None,
                },
            };
            Answer::Subscribed {
                filter,
                refusal,
                is_first,
                done,
            }
        })
    }

    pub(super) fn unsubscribe(&self, filter: String, done: oneshot::Sender<()>) -> Pending {
        let sent = self.client.try_unsubscribe_tracked(filter.clone());
        Box::pin(async move {
            let refusal = match sent {
                Err(_) => Some("it is no filter".to_owned()),
                Ok(notice) => match notice.wait_async().await {
                    Ok(answer) => refused_end(&answer.reasons),
                    Err(UnsubscribeNoticeError::V5UnsubAckFailure(reasons)) => {
                        refused_end(&reasons)
                    }
                    Err(_) => return Answer::None,
                },
            };
            Answer::Unsubscribed {
                filter,
                refusal,
                done,
            }
        })
    }

    /// Publishes.
    ///
    /// # Errors
    /// Why the broker would not take it.
    pub(super) fn publish(&self, id: u64, message: &Message) -> Result<Pending, String> {
        let size = ENVELOPE + message.topic.len() + message.payload.len();
        if let Some(max) = self.max_packet.filter(|max| size > *max) {
            return Err(format!("it takes packets of at most {max} bytes"));
        }
        let options = PublishOptions::new(QoS::AtLeastOnce);
        let (topic, payload) = (message.topic.clone(), message.payload.clone());
        let sent = self.client.try_publish_tracked(topic, payload, options);
        let notice = sent.map_err(|_| "that is no topic to publish on".to_owned())?;
        Ok(Box::pin(async move {
            match notice.wait_async().await {
                Ok(PublishResult::Qos1(answer)) if (answer.reason as u8) < 0x80 => {
                    Answer::Published(id, Ok(()))
                }
                Ok(PublishResult::Qos1(answer)) => {
                    Answer::Published(id, Err(words(&answer.reason)))
                }
                Err(PublishNoticeError::V5PubAck(reason)) => {
                    Answer::Published(id, Err(words(&reason)))
                }
                Ok(_) | Err(_) => Answer::None,
            }
        }))
    }

    /// Acknowledges a message of this connection.
    pub(super) fn acknowledge(&self, publish: &Publish) {
        // An error says that the connection is lost.
        let _ = self.client.try_ack(publish);
    }
}

fn refused_subscription(codes: &[SubscribeReasonCode]) -> Option<String> {
    let is_success = |code: &&SubscribeReasonCode| matches!(code, SubscribeReasonCode::Success(_));
    codes.iter().find(|code| !is_success(code)).map(words)
}

fn refused_end(reasons: &[UnsubAckReason]) -> Option<String> {
    use UnsubAckReason::{NoSubscriptionExisted, Success};
    let is_success = |reason: &&UnsubAckReason| matches!(reason, Success | NoSubscriptionExisted);
    reasons.iter().find(|reason| !is_success(reason)).map(words)
}
