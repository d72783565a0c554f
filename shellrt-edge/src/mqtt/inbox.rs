//! What waits for the link to be taken.

use std::collections::VecDeque;

use super::Event;

/// How much may wait, in bytes with what it takes to keep it. At least one of the largest messages.
const ROOM: usize = 32 * 1024 * 1024;

/// What one more event costs beside its bytes.
const EACH: usize = 1024;

/// Events in their order. `A` is what acknowledges a message.
#[derive(Debug)]
pub(super) struct Inbox<A> {
    events: VecDeque<(Event, Option<A>)>,
    bytes: usize,
}

impl<A> Inbox<A> {
    pub(super) fn new() -> Self {
        Inbox {
            events: VecDeque::new(),
            bytes: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Whether so much waits that what can be left should be left.
    pub(super) fn is_full(&self) -> bool {
        self.bytes >= ROOM
    }

    pub(super) fn push(&mut self, event: Event, acknowledgement: Option<A>) {
        self.bytes += cost(&event);
        self.events.push_back((event, acknowledgement));
    }

    pub(super) fn pop(&mut self) -> Option<(Event, Option<A>)> {
        let next = self.events.pop_front()?;
        self.bytes -= cost(&next.0);
        Some(next)
    }
}

fn cost(event: &Event) -> usize {
    EACH + match event {
        Event::Message(message) => message.topic.len() + message.payload.len(),
        Event::Connected | Event::Disconnected => 0,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::mqtt::Message;

    #[test]
    fn it_is_full_of_bytes_or_of_events() {
        let message = |size| {
            Event::Message(Message {
                topic: String::new(),
                payload: Bytes::from(vec![0; size]),
            })
        };
        let mut inbox = Inbox::new();
        inbox.push(message(ROOM - EACH - 1), Some(1));
        assert!(!inbox.is_full());
        inbox.push(Event::Disconnected, None);
        assert!(inbox.is_full());
        assert!(matches!(inbox.pop(), Some((Event::Message(_), Some(1)))));
        assert!(!inbox.is_full());
        for _ in 1..ROOM / EACH {
            inbox.push(message(0), None);
        }
        assert!(inbox.is_full());
        while inbox.pop().is_some() {}
        assert!(inbox.is_empty() && !inbox.is_full());
    }
}
