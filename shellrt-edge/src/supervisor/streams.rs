//! A module's output on its way to the link, and its input on the way back.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::stream::{FuturesOrdered, StreamExt};
use shellrt_api::v0::logs::Stream;
use shellrt_api::v0::{attach, logs};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::life::Life;
use super::lines::Lines;
use super::Link;
use crate::plugin::Input;
use crate::policy::Rate;

/// How many pieces of output may be on their way to the orchestrator.
const WINDOW: usize = 16;

/// How long after a piece of output was reported at the latest the position is written.
const MARK_EVERY: Duration = Duration::from_millis(100);

impl<L: Link> Life<L> {
    /// Reports the module's output until its log ends.
    pub(super) async fn follow(&self) {
        let handling = &self.order.handling;
        if handling.streams.is_empty() {
            return self.follow_nothing().await;
        }
        let mut streams = handling.streams.clone();
        streams.sort_unstable();
        streams.dedup();
        join_all(streams.into_iter().map(|stream| self.follow_stream(stream))).await;
    }

    /// A log of no stream, which ends with the module; a `wait` would be one of the few calls that may run
    /// at once.
    async fn follow_nothing(&self) {
        let request = logs::Request {
            name: self.order.name(),
            follow: true,
            tail: Some(0),
            streams: Some(Vec::new()),
            ..Default::default()
        };
        let opened = self.context.plugins.open(&self.order.spec.plugin, request);
        match opened.await {
            Ok((logs::Response {}, mut output)) => while output.next().await.is_some() {},
            Err(error) => log::debug!("module {:?}: {}", self.order.id, error.chain()),
        }
    }

    async fn follow_stream(&self, stream: Stream) {
        let name = self.order.name();
        let modules = &self.context.modules;
        let begin = modules.position(&name, stream);
        let request = logs::Request {
            name: name.clone(),
            follow: true,
            since_ns: begin.map(|begin| begin.time_ns),
            timestamps: true,
            streams: Some(vec![stream]),
            ..Default::default()
        };
        let opened = self.context.plugins.open(&self.order.spec.plugin, request);
        let mut output = match opened.await {
            Ok((logs::Response {}, output)) => output,
            Err(error) => {
                log::debug!("module {:?}: {}", self.order.id, error.chain());
                return;
            }
        };
        let handling = &self.order.handling;
        let epoch = Instant::now();
        let mut rate = Rate::new(handling.rate, Duration::ZERO);
        // A piece goes as a whole, so it must not be larger than what may go in a second.
        let second = usize::try_from(handling.rate).unwrap_or(usize::MAX);
        let longest = match (handling.piece, second) {
            (piece, 0) => piece,
            (0, second) => second,
            (piece, second) => piece.min(second),
        };
        let mut lines = Lines::new(begin, handling.text, longest);
        let mut reported = FuturesOrdered::new();
        let mut marked = epoch;
        let mut is_open = true;
        while is_open || !reported.is_empty() {
            let pieces = tokio::select! {
                Some(position) = reported.next(), if !reported.is_empty() => {
                    if reported.is_empty() || marked.elapsed() >= MARK_EVERY {
                        marked = Instant::now();
                        if let Err(error) = modules.mark(&name, stream, &position) {
                            log::warn!("{error}");
                        }
                    }
                    continue;
                }
                piece = output.next(), if is_open && reported.len() < WINDOW => match piece {
                    Some(piece) => lines.feed(&piece),
                    None => {
                        is_open = false;
                        lines.finish().into_iter().collect()
                    }
                },
            };
            for (piece, position) in pieces {
                sleep(rate.take(piece.len(), epoch.elapsed())).await;
                let done = self.context.link.output(&self.order, stream, piece).await;
                reported.push_back(async move {
                    done.await;
                    position
                });
            }
        }
    }

    /// Passes on what is meant for the module's stdin, as long as there is somebody who may send it.
    pub(super) async fn feed(&self, inputs: &mut mpsc::Receiver<Bytes>) {
        let mut open: Option<Input> = None;
        while let Some(mut bytes) = inputs.recv().await {
            // Once more where the other end has gone: the module was restarted, for example.
            for _ in 0..2 {
                if open.is_none() {
                    open = self.open_input().await;
                }
                let Some(input) = &open else { break };
                if input.write(bytes.clone()).await {
                    bytes = Bytes::new();
                    break;
                }
                open = None;
            }
            if !bytes.is_empty() {
                log::warn!(
                    "module {:?} did not take {} bytes of input",
                    self.order.id,
                    bytes.len()
                );
            }
        }
        std::future::pending().await
    }

    async fn open_input(&self) -> Option<Input> {
        let request = attach::Request {
            name: self.order.name(),
            stdin: true,
            streams: Some(Vec::new()),
            close_stdin: false,
        };
        let plugins = &self.context.plugins;
        match plugins.attach(&self.order.spec.plugin, request).await {
            Ok((input, mut output)) => {
                // Nothing comes there; its end is the plugin's.
                tokio::spawn(async move { while output.next().await.is_some() {} });
                Some(input)
            }
            Err(error) => {
                log::warn!("module {:?}: {}", self.order.id, error.chain());
                None
            }
        }
    }
}
