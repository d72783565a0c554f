//! The end of a module's life: stopping and removing, however long its plugin does not answer.

use shellrt_api::v0::{img_remove, remove, stop, Code};
use tokio::time::sleep;

use super::life::Life;
use super::table::Wish;
use super::{Link, Stage};
use crate::order::Reason;
use crate::policy;

impl<L: Link> Life<L> {
    /// Stops the module, however long its plugin does not answer. That it was asked for is remembered.
    pub(super) async fn stop(&self, reason: Reason) {
        self.stage(Stage::Stopping).await;
        if let Reason::Deleted(note) = reason {
            self.remember(|record| record.deleted = Some(note)).await;
        }
        let mut failures = 0;
        loop {
            let request = stop::Request {
                name: self.order.name(),
                timeout: self.order.handling.stop_timeout,
            };
            let plugin = &self.order.spec.plugin;
            match self.context.plugins.call_slowly(plugin, request).await {
                Ok(stop::Response {}) => return,
                Err(error) if error.code() == Some(Code::MODULE_NOT_FOUND) => return,
                Err(error) => {
                    failures += 1;
                    let id = &self.order.id;
                    log::warn!("module {id:?} can't be stopped: {}", error.chain());
                }
            }
            sleep(policy::pause(failures)).await;
        }
    }

    /// Removes the module and its image, as far as they are this life's. Answers whether that was done
    /// before the daemon goes away.
    pub(super) async fn remove(&mut self) -> bool {
        if self.is_made && !self.remove_module().await {
            return false;
        }
        self.is_made = false;
        if self.has_image && self.order.spec.remove_image {
            self.remove_image().await;
        }
        true
    }

    async fn remove_image(&self) {
        let request = img_remove::Request {
            image: self.order.spec.image.image.clone(),
            force: false,
        };
        let fine = [Code::IMAGE_NOT_FOUND, Code::IMAGE_IN_USE];
        match self.call(request).await {
            Err(error) if !error.code().is_some_and(|code| fine.contains(&code)) => {
                log::warn!("module {:?}: {}", self.order.id, error.chain());
            }
            _ => {}
        }
    }

    /// Answers whether it was tried to the end before the daemon goes away.
    pub(super) async fn remove_module(&self) -> bool {
        let id = &self.order.id;
        let mut wishes = self.wishes.clone();
        let mut failures = 0;
        loop {
            let request = remove::Request {
                name: self.order.name(),
                force: true,
            };
            match self.call(request).await {
                Ok(remove::Response {}) => return true,
                Err(error) if error.code() == Some(Code::MODULE_NOT_FOUND) => return true,
                Err(error) if !error.retryable() => {
                    log::warn!("module {id:?} can't be removed: {}", error.chain());
                    return true;
                }
                Err(error) => {
                    failures += 1;
                    log::warn!("module {id:?} can't be removed: {}", error.chain());
                }
            }
            tokio::select! {
                () = sleep(policy::pause(failures)) => {}
                Ok(_) = wishes.wait_for(|wish| matches!(wish, Some(Wish::Leave))) => return false,
            }
        }
    }
}
