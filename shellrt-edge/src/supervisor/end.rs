//! The end of a module's life: stopping and removing, however long its plugin does not answer.

use shellrt_api::v0::{img_remove, remove, stop, Code};
use tokio::time::sleep;

use super::life::{Break, Life};
use super::table::Wish;
use super::{Link, Stage};
use crate::order::Reason;
use crate::policy;

impl<L: Link> Life<L> {
    /// Stops the module, however long its plugin does not answer. That it was asked for is remembered.
    pub(super) async fn stop(&self, reason: &Reason) -> Result<(), Break> {
        self.stage(Stage::Stopping).await;
        if let Reason::Deleted(note) = reason {
            self.remember(Some(note), true);
        }
        let mut failures = 0;
        loop {
            let request = stop::Request {
                name: self.order.name(),
                timeout: self.order.handling.stop_timeout,
            };
            let plugin = &self.order.spec.plugin;
            match self.context.plugins.call_slowly(plugin, request).await {
                Ok(stop::Response {}) => return Ok(()),
                Err(error) if error.code() == Some(Code::MODULE_NOT_FOUND) => return Ok(()),
                Err(error) => {
                    failures += 1;
                    log::warn!(
                        "module {:?} can't be stopped: {}",
                        self.order.id,
                        error.chain()
                    );
                }
            }
            if matches!(*self.wishes.borrow(), Some(Wish::Leave)) {
                return Err(Break::Left);
            }
            sleep(policy::pause(failures)).await;
        }
    }

    /// Removes the module and what belongs to it.
    pub(super) async fn remove(&mut self) {
        self.remove_module().await;
        if self.order.spec.remove_image {
            let request = img_remove::Request {
                image: self.order.spec.image.image.clone(),
                force: false,
            };
            match self.call(request).await {
                Err(error)
                    if ![Some(Code::IMAGE_NOT_FOUND), Some(Code::IMAGE_IN_USE)]
                        .contains(&error.code()) =>
                {
                    log::warn!("module {:?}: {}", self.order.id, error.chain());
                }
                _ => {}
            }
        }
        self.context.link.gone(&self.order).await;
        self.context.modules.forget(&self.order.name());
    }

    pub(super) async fn remove_module(&self) {
        let mut failures = 0;
        loop {
            let request = remove::Request {
                name: self.order.name(),
                force: true,
            };
            match self.call(request).await {
                Ok(remove::Response {}) => return,
                Err(error) if error.code() == Some(Code::MODULE_NOT_FOUND) => return,
                Err(error) if !error.retryable() => {
                    log::warn!(
                        "module {:?} can't be removed: {}",
                        self.order.id,
                        error.chain()
                    );
                    return;
                }
                Err(error) => {
                    failures += 1;
                    log::warn!("module {:?}: {}", self.order.id, error.chain());
                }
            }
            if matches!(*self.wishes.borrow(), Some(Wish::Leave)) {
                return;
            }
            sleep(policy::pause(failures)).await;
        }
    }
}
