//! Fixtures.

pub mod registry;
