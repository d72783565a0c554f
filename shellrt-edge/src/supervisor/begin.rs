//! The beginning of a module's life: from the order to the running module.

use std::sync::Arc;

use shellrt_api::v0::logs::Stream;
use shellrt_api::v0::{attach, start, Code};

use super::life::{Break, Life};
use super::table::Request;
use super::{Link, Stage};
use crate::order::{Failure, Reason, Step};
use crate::plugin::Error;
use crate::store::Record;

impl<L: Link> Life<L> {
    /// From the order to the running module.
    pub(super) async fn begin(&mut self) -> Result<Reason, Break> {
        // From here on it is not forgotten, whatever kills the daemon.
        self.remember(|_| {}).await;
        let link = Arc::clone(&self.context.link);
        let mut order = self.order.clone();
        let prepared = self.unless_unwanted(link.prepare(&mut order)).await?;
        prepared.map_err(Break::Failed)?;
        self.order = order;
        let shown = Request::Prepared(self.number, Box::new(self.order.clone()));
        // Where the supervisor is gone, nobody looks any more.
        let _ = self.requests.send(shown).await;
        let mut record = Record::of(&self.order);
        record.plugin = Some(self.order.spec.plugin.clone());
        self.remember(|old| *old = record).await;
        self.create().await?;
        self.start().await?;
        Ok(Reason::Itself)
    }

    async fn create(&mut self) -> Result<(), Break> {
        let plugins = self.context.plugins.clone();
        let plugin = self.order.spec.plugin.clone();
        let mut created = self.create_once().await?;
        // A plugin may look for the image first or for the name.
        for _ in 0..2 {
            if has_code(&created, Code::IMAGE_NOT_FOUND) {
                let image = self.order.spec.image.clone();
                log::info!("module {:?} waits for {}", self.order.id, image.image);
                self.has_image = true;
                let pulled = self.unless_unwanted(plugins.pull(&plugin, image)).await?;
                pulled.map_err(|error| failed(Step::Pull, &error))?;
            } else if has_code(&created, Code::MODULE_EXISTS) && self.is_made {
                // Somebody was killed before this life began.
                self.remove_module().await;
            } else {
                break;
            }
            created = self.create_once().await?;
        }
        created.map_err(|error| failed(Step::Create, &error))
    }

    /// Creates it. That is never left before it is answered: who removes a module that is just being made
    /// removes nothing.
    async fn create_once(&mut self) -> Result<Result<(), Error>, Break> {
        self.unwanted()?;
        let created = self.call(self.order.create(&self.context.owner)).await;
        self.is_made = match &created {
            Ok(_) => true,
            // There may be one of the same name that is somebody else's, or a plugin has died too late.
            Err(_) => self.is_ours().await,
        };
        self.has_image |= self.is_made;
        self.unwanted()?;
        Ok(created.map(drop))
    }

    /// Whether the module of this name is one of the same owner and id.
    async fn is_ours(&self) -> bool {
        let labels = self.look().await.ok().and_then(|status| status.labels);
        labels.is_some_and(|labels| {
            labels.get(crate::order::OWNER) == Some(&self.context.owner)
                && labels.get(crate::order::ID) == Some(&self.order.id)
        })
    }

    pub(super) async fn start(&mut self) -> Result<(), Break> {
        if self.order.handling.attach {
            self.attach()
                .await
                .map_err(|error| failed(Step::Start, &error))?;
        }
        let request = start::Request {
            name: self.order.name(),
        };
        let plugins = self.context.plugins.clone();
        let plugin = self.order.spec.plugin.clone();
        let started = self.unless_unwanted(plugins.call(&plugin, request)).await?;
        started.map_err(|error| failed(Step::Start, &error))?;
        self.stage(Stage::Running).await;
        log::info!("module {:?} runs", self.order.id);
        self.confirm().await
    }

    /// Reports that it runs, once over all daemons.
    pub(super) async fn confirm(&self) -> Result<(), Break> {
        if !self.report(|link, order| link.started(order)).await {
            return Err(Break::Left);
        }
        self.remember(|record| record.confirmed = true).await;
        Ok(())
    }

    /// The link talks to the module, from its first byte on.
    async fn attach(&self) -> Result<(), Error> {
        let request = attach::Request {
            name: self.order.name(),
            stdin: true,
            streams: Some(vec![Stream::Stdout]),
            close_stdin: true,
        };
        let plugins = &self.context.plugins;
        let (input, output) = plugins.attach(&self.order.spec.plugin, request).await?;
        self.context.link.attached(&self.order, input, output).await;
        Ok(())
    }
}

fn has_code<T>(answer: &Result<T, Error>, code: Code) -> bool {
    answer
        .as_ref()
        .is_err_and(|error| error.code() == Some(code))
}

fn failed(step: Step, error: &Error) -> Break {
    Break::Failed(Failure {
        step,
        message: error.chain(),
    })
}
