//! The channels of the modules: which module reads and writes which topic. A table without any network:
//! what changes in it is answered as what to subscribe to and whom to give a message.

use std::collections::{BTreeMap, BTreeSet};

/// A module may read from the channel.
const READ: u8 = 1;

/// A module may write to it.
const WRITE: u8 = 2;

/// The beginning of a topic that the manager completes.
const OWN: &str = "$SL/";

/// Which channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id {
    /// The index of the runtime in its manager.
    pub runtime: usize,
    /// The index of the module in its runtime.
    pub module: u8,
    /// The module's own number of the channel.
    pub channel: u8,
}

/// Why a channel can't be opened or used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is none.
    #[error("channel {} of module {} is not open", .0.channel, .0.module)]
    NotOpen(Id),
    /// Its module only reads it.
    #[error("channel {} of module {} was not opened for writing", .0.channel, .0.module)]
    ReadOnly(Id),
    /// Nobody could read or write it.
    #[error("the flags {0:#04x} of a channel say neither that it is read (1) nor that it is written (2)")]
    NoDirection(u8),
    /// Nothing can be published to a filter.
    #[error("{0:?} has a wildcard, so a channel can only read it (flags 1)")]
    WildcardToWrite(String),
    /// MQTT does not have such topics.
    #[error("{0:?} is no topic")]
    BadTopic(String),
}

/// A module's topic as MQTT has it: `$SL/proc/stdio` is `realm/proc/stdio/{uuid}`.
pub fn full_topic(topic: &str, realm: &str, uuid: &str) -> String {
    match topic.strip_prefix(OWN) {
        Some(rest) => format!("{realm}/{rest}/{uuid}"),
        None => topic.to_owned(),
    }
}

#[derive(Debug)]
struct Channel {
    topic: String,
    reads: bool,
    writes: bool,
}

/// All channels of a manager.
#[derive(Debug, Default)]
pub struct Channels {
    open: BTreeMap<Id, Channel>,
}

impl Channels {
    /// Opens a channel. One that is open under the same number is closed before, also where this fails.
    ///
    /// # Errors
    /// [`Error`].
    pub fn open(&mut self, id: Id, flags: u8, topic: &str) -> Result<(), Error> {
        self.open.remove(&id);
        let (reads, writes) = (flags & READ != 0, flags & WRITE != 0);
        if !reads && !writes {
            return Err(Error::NoDirection(flags));
        }
        if topic.is_empty() || topic.contains('\0') || !is_filter(topic) {
            return Err(Error::BadTopic(topic.to_owned()));
        }
        if writes && topic.contains(['+', '#']) {
            return Err(Error::WildcardToWrite(topic.to_owned()));
        }
        let channel = Channel {
            topic: topic.to_owned(),
            reads,
            writes,
        };
        self.open.insert(id, channel);
        Ok(())
    }

    /// Closes a channel.
    ///
    /// # Errors
    /// [`Error::NotOpen`].
    pub fn close(&mut self, id: Id) -> Result<(), Error> {
        let closed = self.open.remove(&id);
        closed.map(drop).ok_or(Error::NotOpen(id))
    }

    /// Closes all channels of a module.
    pub fn close_module(&mut self, runtime: usize, module: u8) {
        self.open
            .retain(|id, _| (id.runtime, id.module) != (runtime, module));
    }

    /// Closes all channels of a runtime.
    pub fn close_runtime(&mut self, runtime: usize) {
        self.open.retain(|id, _| id.runtime != runtime);
    }

    /// A module publishes: on which topic, and which other modules of this manager read that. The broker
    /// does not send the message back, so they get it from here.
    ///
    /// # Errors
    /// Where the channel is not open for that.
    pub fn publish(&self, id: Id) -> Result<(&str, Vec<Id>), Error> {
        let channel = self.open.get(&id).ok_or(Error::NotOpen(id))?;
        if !channel.writes {
            return Err(Error::ReadOnly(id));
        }
        let mut readers = self.readers(&channel.topic);
        readers.retain(|reader| (reader.runtime, reader.module) != (id.runtime, id.module));
        Ok((&channel.topic, readers))
    }

    /// Which channels read `topic`.
    pub fn readers(&self, topic: &str) -> Vec<Id> {
        let matching = self
            .open
            .iter()
            .filter(|(_, channel)| channel.reads && matches(&channel.topic, topic));
        matching.map(|(id, _)| *id).collect()
    }

    /// What must be subscribed to for all channels. A filter that another one covers is not there, because
    /// a broker may send a message once for each.
    pub fn filters(&self) -> BTreeSet<String> {
        let reading = self.open.values().filter(|channel| channel.reads);
        let all: BTreeSet<&str> = reading.map(|channel| channel.topic.as_str()).collect();
        let is_covered = |filter: &&&str| {
            let mut others = all.iter().filter(|other| other != filter);
            others.any(|other| covers(other, filter))
        };
        let widest = all.iter().filter(|filter| !is_covered(filter));
        widest.map(|filter| (*filter).to_owned()).collect()
    }
}

/// Whether MQTT takes it as a filter.
fn is_filter(filter: &str) -> bool {
    let levels: Vec<&str> = filter.split('/').collect();
    let last = levels.len() - 1;
    levels.iter().enumerate().all(|(at, level)| match *level {
        "+" => true,
        "#" => at == last,
        level => !level.contains(['+', '#']),
    })
}

/// Whether `filter` matches `topic`, as section 4.7 of MQTT says.
pub fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    covers(filter, topic)
}

/// Whether all that `narrow`, a filter or a topic, matches is also matched by `wide`.
fn covers(wide: &str, narrow: &str) -> bool {
    if narrow.starts_with('$') && wide.starts_with(['+', '#']) {
        return false;
    }
    let (mut wide, mut narrow) = (wide.split('/'), narrow.split('/'));
    loop {
        match (wide.next(), narrow.next()) {
            // `a/#` matches `a` too.
            (Some("#"), _) => return true,
            (Some(_), Some("#")) => return false,
            (Some("+"), Some(_)) => {}
            (Some(wide), Some(narrow)) if wide == narrow => {}
            (None, None) => return true,
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(runtime: usize, module: u8, channel: u8) -> Id {
        Id {
            runtime,
            module,
            channel,
        }
    }

    fn filters(channels: &Channels) -> Vec<String> {
        channels.filters().into_iter().collect()
    }

    #[test]
    fn only_the_prefix_is_completed() {
        let full = |topic| full_topic(topic, "realm", "77aa");
        assert_eq!(full("$SL/proc/stdio"), "realm/proc/stdio/77aa");
        // A rest that begins with a letter of the prefix keeps it.
        assert_eq!(full("$SL/Sensors/L"), "realm/Sensors/L/77aa");
        assert_eq!(full("realm/x/$SL/"), "realm/x/$SL/");
        assert_eq!(full("$SL"), "$SL");
    }

    /// The examples of section 4.7 of the specification of MQTT 5.
    #[test]
    fn filters_match_as_mqtt_says() {
        for (filter, topic, expected) in [
            ("sport/tennis/player1/#", "sport/tennis/player1", true),
            (
                "sport/tennis/player1/#",
                "sport/tennis/player1/ranking",
                true,
            ),
            ("sport/tennis/player1/#", "sport/tennis/player2", false),
            ("sport/#", "sport", true),
            ("#", "sport/tennis", true),
            ("sport/tennis/+", "sport/tennis/player1", true),
            ("sport/tennis/+", "sport/tennis/player1/ranking", false),
            ("sport/+", "sport", false),
            ("sport/+", "sport/", true),
            ("+/+", "/finance", true),
            ("/+", "/finance", true),
            ("+", "/finance", false),
            ("#", "$SYS/x", false),
            ("+/monitor/Clients", "$SYS/monitor/Clients", false),
            ("$SYS/#", "$SYS/x", true),
            ("a/b", "a/b", true),
            ("a/b", "a/b/c", false),
        ] {
            assert_eq!(matches(filter, topic), expected, "{filter} {topic}");
        }
    }

    #[test]
    fn what_a_wider_filter_covers_is_not_subscribed_to_until_that_goes() {
        let mut channels = Channels::default();
        channels.open(id(0, 0, 1), 1, "a/b").unwrap();
        channels.open(id(0, 0, 2), 1, "a/+").unwrap();
        channels.open(id(1, 0, 1), 1, "a/b").unwrap();
        channels.open(id(1, 0, 2), 1, "c/#").unwrap();
        channels.open(id(1, 0, 3), 1, "c/+/d").unwrap();
        channels.open(id(1, 0, 4), 2, "only/written").unwrap();
        assert_eq!(filters(&channels), ["a/+", "c/#"]);
        channels.close(id(0, 0, 2)).unwrap();
        assert_eq!(filters(&channels), ["a/b", "c/#"]);
        channels.close_runtime(1);
        assert_eq!(filters(&channels), ["a/b"]);
        channels.close_module(0, 0);
        assert!(filters(&channels).is_empty());
    }

    #[test]
    fn a_publication_reaches_all_other_modules_that_read() {
        let mut channels = Channels::default();
        channels.open(id(0, 0, 1), 3, "x/y").unwrap();
        channels.open(id(0, 0, 2), 1, "x/+").unwrap();
        // The same runtime, and the same index in another one: upstream leaves both out.
        channels.open(id(0, 1, 1), 1, "x/#").unwrap();
        channels.open(id(1, 0, 7), 0x41, "x/y").unwrap();
        channels.open(id(1, 1, 1), 2, "x/y").unwrap();
        let (topic, readers) = channels.publish(id(0, 0, 1)).unwrap();
        assert_eq!((topic, readers), ("x/y", vec![id(0, 1, 1), id(1, 0, 7)]));
        assert_eq!(
            channels.readers("x/y"),
            [id(0, 0, 1), id(0, 0, 2), id(0, 1, 1), id(1, 0, 7)]
        );
    }

    #[test]
    fn a_channel_is_only_used_as_it_was_opened() {
        let mut channels = Channels::default();
        let one = id(0, 0, 1);
        assert_eq!(channels.publish(one), Err(Error::NotOpen(one)));
        assert_eq!(channels.close(one), Err(Error::NotOpen(one)));
        channels.open(one, 1, "x").unwrap();
        assert_eq!(channels.publish(one), Err(Error::ReadOnly(one)));
        // Opened anew on another topic.
        channels.open(one, 2, "y").unwrap();
        assert_eq!(channels.publish(one).unwrap().0, "y");
        assert!(channels.readers("x").is_empty());
    }

    #[test]
    fn wildcards_are_for_reading() {
        let mut channels = Channels::default();
        let one = id(0, 0, 1);
        channels.open(one, 1, "a/+/b").unwrap();
        channels.open(one, 0x81, "a/#").unwrap();
        for flags in [2, 3, 0x42, 0x07] {
            let error = channels.open(one, flags, "a/#").unwrap_err();
            assert_eq!(error, Error::WildcardToWrite("a/#".to_owned()));
        }
        for flags in [0, 4, 0xc0] {
            let error = channels.open(one, flags, "a").unwrap_err();
            assert_eq!(error, Error::NoDirection(flags));
        }
        for topic in ["", "a\0b", "a/#/b", "a+/b", "a#"] {
            assert!(
                matches!(channels.open(one, 1, topic), Err(Error::BadTopic(_))),
                "{topic}"
            );
        }
    }
}
