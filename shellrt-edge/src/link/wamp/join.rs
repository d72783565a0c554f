//! Into a session with the router, and out of it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::timeout;

use super::instance::World;
use super::pump::{receive, Pump};
use super::session::{Over, Session, Step, CLOSE_REALM};
use super::transport::Connection;
use super::words;

/// How long a router may take to let a session in.
const JOIN_TIME: Duration = Duration::from_secs(10);

/// A session, and what carries it.
pub struct Joined {
    /// The connection.
    pub connection: Connection,
    /// What moves over it.
    pub pump: Pump,
}

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub enum Unjoined {
    /// There is no connection, or none any more.
    #[error("{0}")]
    Lost(String),
    /// The router took too long.
    #[error("the router did not let it in within {JOIN_TIME:?}")]
    Slow,
    /// It has ended before it began.
    #[error(transparent)]
    Over(#[from] Over),
}

impl World {
    /// Connects and joins, for the component `name`.
    pub(super) async fn join(&self, name: &str) -> Result<Joined, Unjoined> {
        let opened = Connection::open(&self.plan.address, &self.plan.transport).await;
        let mut connection = opened.map_err(|error| Unjoined::Lost(words(&error)))?;
        let joined = timeout(JOIN_TIME, self.join_over(&mut connection)).await;
        match joined.unwrap_or(Err(Unjoined::Slow)) {
            Ok(session) => {
                self.counters.joins.fetch_add(1, Ordering::Relaxed);
                self.counters.joined.fetch_add(1, Ordering::Relaxed);
                let pump = Pump::new(name, session);
                Ok(Joined { connection, pump })
            }
            Err(why) => {
                // What was said last, an ABORT for example, goes out.
                connection.close().await;
                Err(why)
            }
        }
    }

    /// Says goodbye, and closes the connection.
    pub(super) async fn leave(&self, joined: Joined) {
        let Joined {
            mut connection,
            mut pump,
        } = joined;
        self.counters.joined.fetch_sub(1, Ordering::Relaxed);
        if !connection.is_lost() {
            let left = pump.leave(&mut connection, CLOSE_REALM);
            // A router that does not answer is left all the same.
            let _ = timeout(self.plan.transport.close_timeout, left).await;
        }
        connection.close().await;
    }

    async fn join_over(&self, connection: &mut Connection) -> Result<Session<u64>, Unjoined> {
        let joining = Session::join(&self.plan.realm, self.plan.credentials.clone());
        let (mut session, hello) = joining.map_err(Over::from)?;
        let mut saying = vec![hello];
        loop {
            for message in saying.drain(..) {
                let bytes = connection.serializer.encode(&message.into_value());
                if connection.outgoing.send(bytes.into()).await.is_err() {
                    return Err(Unjoined::Lost(connection.why_lost().await));
                }
            }
            let bytes = connection.next().await.map_err(Unjoined::Lost)?;
            for step in receive(&mut session, connection, &bytes) {
                match step {
                    Step::Send(message) => saying.push(message),
                    Step::Joined { session: id, .. } => {
                        log::debug!("session {id} is joined");
                        return Ok(session);
                    }
                    Step::Over(over) => {
                        for message in saying.drain(..) {
                            let bytes = connection.serializer.encode(&message.into_value());
                            let _ = connection.outgoing.send(bytes.into()).await;
                        }
                        return Err(over.into());
                    }
                    // There is nothing to hear of before.
                    Step::Answered(..)
                    | Step::Event { .. }
                    | Step::Invoked { .. }
                    | Step::Interrupted { .. } => {}
                }
            }
        }
    }
}
