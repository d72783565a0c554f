//! Numbers that nobody else has; nothing secret.

use std::hash::{BuildHasher, Hasher, RandomState};

/// Any number; the standard library seeds its maps from the kernel.
fn number() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// From 0 to 1.
pub(super) fn fraction() -> f64 {
    f64::from(u32::try_from(number() >> 32).unwrap_or_default()) / f64::from(u32::MAX)
}

/// Four characters of base64, as containerd's client has them in its keys.
pub(super) fn characters() -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let number = number();
    let character = |at: u32| char::from(ALPHABET[(number >> (6 * at)) as usize & 63]);
    (0..4).map(character).collect()
}
