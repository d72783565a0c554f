//! Images in registries.

use std::future::Future;

use shellrt_api::v0::img_pull::Phase;
use shellrt_plugin::pull::Patience;
use shellrt_plugin::registry::{self, Client, Descriptor, Manifest, Reference, Settings};
use tokio::runtime::Runtime;

use super::downloads::{touch, Downloads};
use super::origin::{Blob, Listener};
use crate::error::Error;

/// A registry's repository.
pub(super) struct Remote<'a> {
    client: Client,
    reference: &'a Reference,
    downloads: &'a Downloads,
    patience: &'a Patience,
    runtime: Runtime,
}

impl<'a> Remote<'a> {
    pub(super) fn new(
        settings: Settings,
        reference: &'a Reference,
        downloads: &'a Downloads,
        patience: &'a Patience,
    ) -> Result<Remote<'a>, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = runtime.map_err(|source| Error::system("set up the event loop", source))?;
        let client = Client::new(settings);
        Ok(Remote {
            client,
            reference,
            downloads,
            patience,
            runtime,
        })
    }

    pub(super) fn head(&self) -> Result<Descriptor, Error> {
        self.wait(self.client.head(self.reference))
    }

    pub(super) fn root(&self) -> Result<Manifest, Error> {
        self.wait(self.client.manifest(self.reference))
    }

    pub(super) fn child(&self, descriptor: &Descriptor) -> Result<Manifest, Error> {
        self.wait(self.client.child(self.reference, descriptor))
    }

    pub(super) fn bytes(&self, descriptor: &Descriptor, limit: u64) -> Result<Vec<u8>, Error> {
        let bytes = self.wait(self.client.bytes(self.reference, descriptor, limit))?;
        Ok(bytes.into())
    }

    pub(super) fn blob(
        &self,
        descriptor: &Descriptor,
        listener: &mut Listener,
    ) -> Result<Blob, Error> {
        let path = self.downloads.blob(&descriptor.digest);
        let done = self.wait(self.client.download(
            self.reference,
            descriptor,
            self.downloads.dir(),
            &path,
            |digest, current, total| listener(digest, current, total, Phase::Download),
        ))?;
        let resumed = match done.existed {
            true => {
                touch(&path);
                descriptor.size
            }
            false => done.bytes_resumed,
        };
        Ok(Blob {
            path,
            fetched: done.bytes_fetched,
            resumed,
        })
    }

    /// Waits for the registry, as long as the patience lasts.
    fn wait<T>(
        &self,
        answer: impl Future<Output = Result<T, registry::Error>>,
    ) -> Result<T, Error> {
        self.patience.check()?;
        self.runtime.block_on(async {
            tokio::select! {
                answer = answer => Ok(answer?),
                error = self.patience.end() => Err(error.into()),
            }
        })
    }
}
