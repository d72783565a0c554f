//! What waits to be published, in its order, over connections: no clock, no network.

use std::collections::VecDeque;

use super::Message;

/// How many publications the broker may have without having acknowledged them.
const WINDOW: usize = 64;

/// Publications until they are acknowledged. `W` is who waits for that.
#[derive(Debug)]
pub(super) struct Outbox<W> {
    entries: VecDeque<Entry<W>>,
    /// How many of the first ones were sent over this connection.
    sent: usize,
    next_id: u64,
    /// Whether a connection broke because of one of them, and nobody knows which. Then one is sent at a
    /// time until one was acknowledged.
    is_careful: bool,
}

/// A publication.
#[derive(Debug)]
pub(super) struct Entry<W> {
    id: u64,
    /// What is published.
    pub(super) message: Message,
    /// Whether it is only of use over this connection.
    pub(super) is_fleeting: bool,
    /// Who waits for it.
    pub(super) waiting: W,
}

/// What does not go on when a connection was lost.
#[derive(Debug)]
pub(super) struct Lost<W> {
    /// These were of use over that connection only.
    pub(super) fleeting: Vec<Entry<W>>,
    /// The connection was lost because of this one.
    pub(super) culprit: Option<Entry<W>>,
}

impl<W> Outbox<W> {
    pub(super) fn new() -> Self {
        Outbox {
            entries: VecDeque::new(),
            sent: 0,
            next_id: 0,
            is_careful: false,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn push(&mut self, message: Message, is_fleeting: bool, waiting: W) {
        let id = self.next_id;
        self.next_id += 1;
        self.entries.push_back(Entry {
            id,
            message,
            is_fleeting,
            waiting,
        });
    }

    /// The next one to be sent over this connection, which counts as sent then.
    pub(super) fn next(&mut self) -> Option<(u64, &Message)> {
        let window = if self.is_careful { 1 } else { WINDOW };
        if self.sent >= window {
            return None;
        }
        let entry = self.entries.get(self.sent)?;
        self.sent += 1;
        Some((entry.id, &entry.message))
    }

    /// Takes out one that was sent, because the broker has answered it.
    pub(super) fn answered(&mut self, id: u64) -> Option<Entry<W>> {
        let mut sent = self.entries.iter().take(self.sent);
        let index = sent.position(|entry| entry.id == id)?;
        self.is_careful = false;
        self.sent -= 1;
        self.entries.remove(index)
    }

    /// The connection was lost: what was sent will be sent again, in its order. With `is_blamed` it was
    /// lost because the broker does not stand one of those that were sent.
    pub(super) fn disconnected(&mut self, is_blamed: bool) -> Lost<W> {
        // The first time it may be another's fault.
        let culprit = match is_blamed && self.is_careful && self.sent == 1 {
            true => self.entries.pop_front(),
            false => None,
        };
        self.is_careful = is_blamed && culprit.is_none() && self.sent > 0;
        self.sent = 0;
        let entries = std::mem::take(&mut self.entries).into_iter();
        let (fleeting, lasting): (Vec<_>, Vec<_>) = entries.partition(|entry| entry.is_fleeting);
        self.entries = lasting.into();
        Lost { fleeting, culprit }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn message(number: usize) -> Message {
        Message {
            topic: format!("t/{number}"),
            payload: Bytes::new(),
        }
    }

    fn filled(count: usize) -> Outbox<usize> {
        let mut outbox = Outbox::new();
        for number in 0..count {
            outbox.push(message(number), false, number);
        }
        outbox
    }

    /// Topics and ids of what can be sent now.
    fn send(outbox: &mut Outbox<usize>) -> Vec<(u64, String)> {
        let next = || {
            outbox
                .next()
                .map(|(id, message)| (id, message.topic.clone()))
        };
        std::iter::from_fn(next).collect()
    }

    fn topics(sent: &[(u64, String)]) -> Vec<&str> {
        sent.iter().map(|(_, topic)| topic.as_str()).collect()
    }

    #[test]
    fn at_most_a_window_is_on_its_way() {
        let mut outbox = filled(WINDOW + 2);
        let sent = send(&mut outbox);
        assert_eq!(sent.len(), WINDOW);
        assert!(outbox.answered(sent[3].0).is_some());
        assert_eq!(topics(&send(&mut outbox)), [format!("t/{WINDOW}")]);
        assert!(send(&mut outbox).is_empty());
    }

    #[test]
    fn what_was_not_acknowledged_is_sent_again_in_its_order() {
        let mut outbox = filled(4);
        let sent = send(&mut outbox);
        assert_eq!(
            outbox.answered(sent[1].0).map(|entry| entry.waiting),
            Some(1)
        );
        // Only once.
        assert!(outbox.answered(sent[1].0).is_none());
        let lost = outbox.disconnected(false);
        assert!(lost.fleeting.is_empty() && lost.culprit.is_none());
        // What was sent over another connection is not acknowledged by this one.
        assert!(outbox.answered(sent[0].0).is_none());
        assert_eq!(topics(&send(&mut outbox)), ["t/0", "t/2", "t/3"]);
    }

    #[test]
    fn fleeting_ones_end_with_the_connection() {
        let mut outbox = filled(1);
        outbox.push(message(1), true, 1);
        outbox.push(message(2), false, 2);
        let lost = outbox.disconnected(false);
        assert_eq!(lost.fleeting.len(), 1);
        assert_eq!(lost.fleeting[0].waiting, 1);
        assert_eq!(topics(&send(&mut outbox)), ["t/0", "t/2"]);
    }

    #[test]
    fn the_one_that_breaks_connections_is_found() {
        let mut outbox = filled(3);
        assert_eq!(send(&mut outbox).len(), 3);
        assert!(outbox.disconnected(true).culprit.is_none());
        // One at a time from here on, until one is acknowledged.
        let first = send(&mut outbox);
        assert_eq!(topics(&first), ["t/0"]);
        let lost = outbox.disconnected(true);
        assert_eq!(lost.culprit.map(|entry| entry.waiting), Some(0));
        assert_eq!(topics(&send(&mut outbox)), ["t/1", "t/2"]);
    }

    #[test]
    fn an_innocent_one_is_kept() {
        let mut outbox = filled(2);
        send(&mut outbox);
        outbox.disconnected(true);
        let first = send(&mut outbox);
        assert_eq!(topics(&first), ["t/0"]);
        assert!(outbox.answered(first[0].0).is_some());
        assert_eq!(topics(&send(&mut outbox)), ["t/1"]);
        // The network's fault.
        assert!(outbox.disconnected(false).culprit.is_none());
        assert_eq!(topics(&send(&mut outbox)), ["t/1"]);
        assert_eq!(outbox.len(), 1);
    }
}
