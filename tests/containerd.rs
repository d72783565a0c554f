//! What only `shellrt-containerd` can show: that it shares a real containerd with everybody else and
//! that its modules survive everything.
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]
