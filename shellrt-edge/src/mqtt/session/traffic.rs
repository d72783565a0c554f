//! What goes over a connection and what comes: nothing here waits.

use std::sync::atomic::Ordering;

use rumqttc::mqttbytes::v5::Publish;
use rumqttc::mqttbytes::QoS;
use rumqttc::AsyncClient;
use tokio::sync::mpsc;

use super::line::{Answer, Line};
use super::{Session, ANSWERING};
use crate::mqtt::failure::Failure;
use crate::mqtt::outbox::Entry;
use crate::mqtt::{count, Event, Message, Waiting};

impl Session {
    /// The broker has accepted a connection.
    pub(super) fn accepted(&mut self, client: AsyncClient, max_packet: Option<u32>) {
        self.lines += 1;
        let mut line = Line::new(client, self.lines, max_packet, ANSWERING);
        self.answers.extend(line.begin(&self.filters));
        self.line = Some(line);
        self.begun(0);
    }

    /// The broker has answered `answered` of the first subscriptions.
    pub(super) fn begun(&mut self, answered: usize) {
        let line = self.line.as_mut();
        if line.is_some_and(|line| line.has_begun(answered)) {
            log::info!("{}: connected", self.place);
            count(&self.shared.connects);
            self.shared.connected.store(true, Ordering::Relaxed);
            self.inbox.push(Event::Connected, None);
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        self.line.as_ref().is_some_and(Line::is_ready)
    }

    /// Hands over to the connection what may go out.
    pub(super) fn send(&mut self) {
        let Some(line) = self.line.as_ref().filter(|line| line.is_ready()) else {
            return;
        };
        let mut refused = Vec::new();
        while let Some((id, message)) = self.outbox.next() {
            match line.publish(id, message) {
                Ok(pending) => self.answers.push(pending),
                Err(why) => refused.extend(self.outbox.answered(id).map(|entry| (entry, why))),
            }
        }
        for (entry, why) in refused {
            self.refused(entry, &why);
        }
    }

    pub(super) fn answered(&mut self, answer: Answer) {
        match answer {
            Answer::Published(id, Ok(())) => {
                if let Some(entry) = self.outbox.answered(id) {
                    count(&self.shared.acknowledged);
                    entry.waiting.over();
                }
            }
            Answer::Published(id, Err(why)) => {
                if let Some(entry) = self.outbox.answered(id) {
                    self.refused(entry, &why);
                }
            }
            Answer::Subscribed {
                filter,
                refusal,
                is_first,
                done,
            } => {
                if let Some(why) = refusal {
                    self.complain(&format!(
                        "the broker refuses to subscribe us to {filter:?}: {why}"
                    ));
                }
                if is_first {
                    self.begun(1);
                }
                let _ = done.map(|done| done.send(()));
            }
            Answer::Unsubscribed {
                filter,
                refusal,
                done,
            } => {
                if let Some(why) = refusal {
                    self.complain(&format!(
                        "the broker refuses to unsubscribe us from {filter:?}: {why}"
                    ));
                }
                let _ = done.send(());
            }
            Answer::None => {}
        }
    }

    pub(super) fn refused(&mut self, entry: Entry<Waiting>, why: &str) {
        count(&self.shared.refused);
        let topic = &entry.message.topic;
        self.complain(&format!(
            "the broker refuses what is published on {topic:?}: {why}"
        ));
        entry.waiting.over();
    }

    pub(super) fn received(&mut self, publish: Publish) {
        count(&self.shared.received);
        let is_acknowledged = publish.qos != QoS::AtMostOnce;
        if !is_acknowledged && self.inbox.is_full() {
            count(&self.shared.dropped_in);
            self.complain("more comes from the broker than is taken: messages are dropped");
            return;
        }
        let message = Message {
            topic: String::from_utf8_lossy(&publish.topic).into_owned(),
            payload: publish.payload.clone(),
        };
        let acknowledgement = is_acknowledged.then_some((self.lines, publish));
        self.inbox.push(Event::Message(message), acknowledgement);
    }

    /// Gives the link the next event; without a permit it takes no more.
    pub(super) fn deliver(&mut self, permit: Option<mpsc::Permit<'_, Event>>) {
        let Some((event, acknowledgement)) = self.inbox.pop() else {
            return;
        };
        if let Some(permit) = permit {
            permit.send(event);
        }
        if let (Some((number, publish)), Some(line)) = (acknowledgement, &self.line) {
            if number == line.number {
                line.acknowledge(&publish);
            }
        }
    }

    /// The connection is lost, or there was none.
    pub(super) fn lost(&mut self, failure: &Failure) {
        if self.is_ready() {
            self.shared.connected.store(false, Ordering::Relaxed);
            self.inbox.push(Event::Disconnected, None);
        }
        self.complain(&format!("no connection to the broker: {}", failure.text));
        self.line = None;
        self.answers.clear();
        while self.sockets.try_recv().is_ok() {}
        let lost = self.outbox.disconnected(failure.is_of_message);
        for _ in lost.fleeting {
            count(&self.shared.dropped_out);
        }
        if let Some(culprit) = lost.culprit {
            self.refused(culprit, &failure.text);
        }
    }

    /// Says what is wrong, when it was not said just now.
    pub(super) fn complain(&mut self, text: &str) {
        let place = &self.place;
        match self.complaints.is_due(text, self.began.elapsed()) {
            true => log::warn!("{place}: {text}"),
            false => log::debug!("{place}: {text}"),
        }
    }
}
