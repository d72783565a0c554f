//! The log as a whole: bytes in, bytes out.

mod bytes;
mod ending;
mod following;
mod full;
mod queries;

use super::{Query, Reader, Stream, Streams};
use std::io::Read;
use std::path::Path;

pub(super) const BOTH: Streams = Streams {
    stdout: true,
    stderr: true,
};

pub(super) fn only(stream: Stream) -> Streams {
    Streams {
        stdout: stream == Stream::Stdout,
        stderr: stream == Stream::Stderr,
    }
}

/// Everything that `query` gives, as text where it is shown.
pub(super) fn read(dir: &Path, query: Query) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut reader = Reader::open(dir, query).unwrap();
    reader.read_to_end(&mut bytes).unwrap();
    bytes
}

pub(super) fn read_streams(dir: &Path, streams: Streams) -> Vec<u8> {
    let query = Query {
        streams,
        ..Query::default()
    };
    read(dir, query)
}

/// Compares without printing megabytes.
#[track_caller]
pub(super) fn assert_same(actual: &[u8], expected: &[u8], about: &str) {
    if actual == expected {
        return;
    }
    let at = actual.iter().zip(expected).position(|(a, b)| a != b);
    let at = at.unwrap_or(actual.len().min(expected.len()));
    let show = |bytes: &[u8]| {
        let around = at.saturating_sub(60)..bytes.len().min(at + 60);
        String::from_utf8_lossy(&bytes[around]).into_owned()
    };
    panic!(
        "{about}: {} bytes, expected {}, different from byte {at} on:\n{:?}\n{:?}",
        actual.len(),
        expected.len(),
        show(actual),
        show(expected)
    );
}

/// Numbers that look random and are the same in every run (xorshift64*).
pub(super) struct Numbers(u64);

impl Numbers {
    pub fn new(seed: u64) -> Numbers {
        Numbers(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub fn stream(&mut self) -> Stream {
        match self.chance(50) {
            true => Stream::Stdout,
            false => Stream::Stderr,
        }
    }

    /// Any bytes, with newlines more or less often, and mostly few of them.
    pub fn bytes(&mut self) -> Vec<u8> {
        let most = [3, 30, 300, 40_000][self.below(4) as usize];
        let newlines = [0, 1, 10, 60][self.below(4) as usize];
        let length = self.below(most);
        let mut byte = || match self.chance(newlines) {
            true => b'\n',
            false => self.next() as u8,
        };
        (0..length).map(|_| byte()).collect()
    }
}
