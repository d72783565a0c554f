//! What the supervisor tells of modules, for the instance that waits for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use shellrt_api::v0::logs::Stream;
use tokio::sync::mpsc;

use crate::order::{End, Failure, Order};
use crate::plugin::{Input, Output};
use crate::supervisor::{Link, Reported};

/// What an instance hears of its module.
pub enum News {
    /// It is created, and these are its stdin and stdout.
    Attached(Input, Output),
    /// It could not be started.
    Failed(Failure),
    /// It has ended: how, in words.
    Ended(String),
}

/// Who waits for which module.
#[derive(Clone, Default)]
pub struct Hub {
    waiting: Arc<Mutex<HashMap<String, mpsc::UnboundedSender<News>>>>,
}

impl Hub {
    /// Waits for the module `id`. Not more than a few news come of it.
    pub fn wait_for(&self, id: &str) -> mpsc::UnboundedReceiver<News> {
        let (sender, news) = mpsc::unbounded_channel();
        self.waiting().insert(id.to_owned(), sender);
        news
    }

    /// Nobody waits for it any more.
    pub fn forget(&self, id: &str) {
        self.waiting().remove(id);
    }

    fn tell(&self, order: &Order, news: News) {
        if let Some(waiting) = self.waiting().get(&order.id) {
            // Who waits no longer does not need it.
            let _ = waiting.send(news);
        }
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<String, mpsc::UnboundedSender<News>>> {
        // Nothing is half done where it panics.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Link for Hub {
    async fn prepare(&self, _: &mut Order) -> Result<(), Failure> {
        Ok(())
    }

    async fn attached(&self, order: &Order, input: Input, output: Output) {
        self.tell(order, News::Attached(input, output));
    }

    async fn started(&self, _: &Order) {}

    async fn failed(&self, order: &Order, failure: &Failure) {
        self.tell(order, News::Failed(failure.clone()));
    }

    /// Its stderr: for people, where there is no orchestrator that wants it.
    async fn output(&self, order: &Order, _: Stream, bytes: Bytes) -> Reported {
        for line in String::from_utf8_lossy(&bytes).lines() {
            log::info!("{:?} writes: {line}", order.id);
        }
        Box::pin(async {})
    }

    async fn ended(&self, order: &Order, end: &End) {
        let how = match &end.status {
            Some(status) => status.status_description.clone(),
            None => "it is gone".to_owned(),
        };
        self.tell(order, News::Ended(how));
    }

    async fn gone(&self, order: &Order) {
        self.forget(&order.id);
    }
}
