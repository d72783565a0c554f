//! What the daemon is told by signals: SIGTERM and SIGINT end it, SIGHUP has it read its settings again.
//!
//! The first signal to end begins the graceful end; the second one ends the process at once, with the
//! status that shells give to a process that a signal has killed (128 and the signal's number).

use std::io;

use tokio::signal::unix::{signal, SignalKind};
use tokio::sync::watch;

/// What the daemon was told, for whoever has to do something about it. Each clone hears everything once.
#[derive(Debug, Clone)]
pub struct Shutdown {
    told: watch::Receiver<Told>,
    /// How many times it was told to reload, as far as this clone has heard of it.
    reloads: u64,
}

/// What there is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Read again what can be read again.
    Reload,
    /// End.
    End,
}

/// What was told so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Told {
    end: bool,
    reloads: u64,
}

impl Told {
    /// Takes a signal, and answers whether the process has to end at once.
    fn hear(&mut self, next: Next) -> bool {
        match next {
            Next::Reload => self.reloads += 1,
            Next::End if self.end => return true,
            Next::End => self.end = true,
        }
        false
    }
}

impl Shutdown {
    /// Listens to the signals from now on; they don't kill the process any more.
    ///
    /// # Errors
    /// Where the system lets nobody listen to signals.
    pub fn listen() -> io::Result<Shutdown> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hang_up = signal(SignalKind::hangup())?;
        let (sender, told) = watch::channel(Told::default());
        tokio::spawn(async move {
            loop {
                let (next, kind) = tokio::select! {
                    Some(()) = terminate.recv() => (Next::End, SignalKind::terminate()),
                    Some(()) = interrupt.recv() => (Next::End, SignalKind::interrupt()),
                    Some(()) = hang_up.recv() => (Next::Reload, SignalKind::hangup()),
                    else => return,
                };
                let mut at_once = false;
                sender.send_modify(|told| at_once = told.hear(next));
                match (next, at_once) {
                    (Next::Reload, _) => log::info!("told to read the settings again"),
                    (Next::End, false) => log::info!("told to end"),
                    (Next::End, true) => {
                        log::warn!("told to end once more: ending at once");
                        std::process::exit(128 + kind.as_raw_value());
                    }
                }
            }
        });
        Ok(Shutdown { told, reloads: 0 })
    }

    /// Waits until there is something to do. From the first [`Next::End`] on that is always the answer.
    pub async fn next(&mut self) -> Next {
        let heard = self.reloads;
        let told = self
            .told
            .wait_for(|told| told.end || told.reloads > heard)
            .await;
        match told.map(|told| *told) {
            Ok(Told {
                end: false,
                reloads,
            }) => {
                self.reloads = reloads;
                Next::Reload
            }
            // Where nobody listens any more, the daemon is ending.
            Ok(_) | Err(_) => Next::End,
        }
    }

    /// Waits until the daemon is told to end.
    pub async fn ending(&self) {
        let mut told = self.told.clone();
        // Where nobody listens any more, the daemon is ending.
        let _ = told.wait_for(|told| told.end).await;
    }

    /// Whether the daemon was told to end.
    pub fn is_ending(&self) -> bool {
        self.told.borrow().end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_second_signal_to_end_ends_at_once() {
        let mut told = Told::default();
        assert!(!told.hear(Next::Reload));
        assert!(!told.hear(Next::End));
        assert!(!told.hear(Next::Reload));
        assert!(told.hear(Next::End));
    }

    #[tokio::test]
    async fn reloads_between_two_looks_are_one_and_the_end_stays() {
        let (sender, told) = watch::channel(Told::default());
        let mut shutdown = Shutdown { told, reloads: 0 };
        sender.send_modify(|told| told.reloads = 2);
        assert_eq!(shutdown.next().await, Next::Reload);
        assert!(!shutdown.is_ending());
        sender.send_modify(|told| {
            told.reloads = 3;
            told.end = true;
        });
        assert_eq!(shutdown.next().await, Next::End);
        assert_eq!(shutdown.next().await, Next::End);
        assert!(shutdown.is_ending());
    }
}
