//! Pulling an image: from its reference to a record, with everything it names on the disk.

use std::path::Path;

use shellrt_api::v0::img_pull::{Phase, Policy, Progress, Request, Response};
use shellrt_api::v0::Code;
use shellrt_plugin::pull::{Patience, Report};
use shellrt_plugin::registry::{Platform, Settings};

use super::config::rank;
use super::downloads::Downloads;
use super::job::Job;
use super::local::Directory;
use super::origin::{Blob, Origin};
use super::record::{self, Record};
use super::remote::Remote;
use super::source::Source;
use crate::engine::Limits;
use crate::error::Error;
use crate::store::Store;

/// A pull whose request was found to be in order.
#[derive(Debug, Clone)]
pub struct Pull {
    pub(super) store: Store,
    pub(super) source: Source,
    pub(super) reference: String,
    pub(super) wanted: Option<Platform>,
    policy: Policy,
    settings: Settings,
}

impl Pull {
    /// Checks a request; nothing is looked up yet.
    ///
    /// # Errors
    /// Code 10 for the reference, 2 for the platform and the credentials.
    pub fn new(store: &Store, request: Request) -> Result<Pull, Error> {
        let Request {
            image,
            credentials,
            platform,
            policy,
            progress: _,
        } = request;
        let source: Source = image.parse()?;
        Ok(Pull {
            store: store.clone(),
            reference: source.to_string(),
            source,
            wanted: platform.map(|platform| platform.parse()).transpose()?,
            policy,
            settings: Settings::from_env(&credentials)?,
        })
    }

    /// Pulls. After an error there is no new image; what was downloaded stays for a week.
    ///
    /// # Errors
    /// See [`Error::code`].
    pub fn run(&self, patience: &Patience, report: &mut Report) -> Result<Response, Error> {
        patience.check()?;
        if self.policy == Policy::Missing {
            if let Some(record) = self.present() {
                report(exists(&record));
                return Ok(Fetched::default().response(&record, false));
            }
        }
        match self.fetch(patience, report) {
            Err(error)
                if self.policy == Policy::IfReachable
                    && error.code() == Code::REGISTRY_UNREACHABLE =>
            {
                let Some(record) = self.present() else {
                    return Err(error);
                };
                report(exists(&record));
                let mut response = Fetched::default().response(&record, false);
                response.warning = Some(format!("{error}; the image on this machine is used"));
                Ok(response)
            }
            result => result,
        }
    }

    /// The image on this machine, where it will do for what is wanted.
    fn present(&self) -> Option<Record> {
        let record = self.recorded()?;
        let suits = |wanted: &Platform| {
            record.wanted == Some(wanted.to_string())
                || record
                    .platform
                    .parse()
                    .is_ok_and(|own| rank(Some(wanted), &own).is_some())
        };
        self.wanted.as_ref().is_none_or(suits).then_some(record)
    }

    /// The image that this reference names here now, if it is whole.
    pub(super) fn recorded(&self) -> Option<Record> {
        match record::find(&self.store, &self.reference) {
            Ok(record) => record.filter(|record| record.is_whole(&self.store)),
            // The pull writes a new one.
            Err(error) => {
                log::warn!("{error}");
                None
            }
        }
    }

    fn fetch(&self, patience: &Patience, report: &mut Report) -> Result<Response, Error> {
        let downloads = Downloads::enter(&self.store, patience)?;
        let job = Job {
            pull: self,
            downloads: &downloads,
            patience,
            limit: Limits::from_environment()?.program,
        };
        let origin = match &self.source {
            Source::File(path) => return job.file(path, report),
            Source::Registry(reference) => {
                let settings = self.settings.clone();
                Origin::Remote(Remote::new(settings, reference, &downloads, patience)?)
            }
            Source::Directory { path, tag } => Origin::Directory(Directory {
                reference: &self.reference,
                path,
                tag: tag.as_deref(),
                downloads: &downloads,
                patience,
            }),
        };
        job.image(&origin, report)
    }

    /// The last part of the reference, which is the program's name where its image gives it none.
    pub(super) fn name(&self) -> String {
        let last = |path: &Path| {
            path.file_name()
                .map(|name| name.to_string_lossy().into_owned())
        };
        let name = match &self.source {
            Source::Registry(reference) => last(Path::new(reference.repository())),
            Source::Directory { path, .. } | Source::File(path) => last(path),
        };
        name.unwrap_or_else(|| "program".to_owned())
    }
}

/// What a pull transferred.
#[derive(Default)]
pub(super) struct Fetched {
    pub(super) bytes: u64,
    pub(super) resumed: u64,
}

impl Fetched {
    pub(super) fn add(&mut self, blob: &Blob) {
        self.bytes += blob.fetched;
        self.resumed += blob.resumed;
    }

    pub(super) fn response(&self, record: &Record, compiled: bool) -> Response {
        let platform = Some(record.platform.clone());
        Response {
            digest: Some(record.digest.clone()),
            image_id: Some(record.image_id.clone()),
            platform: platform.filter(|platform| !platform.is_empty()),
            bytes_total: Some(record.size),
            bytes_fetched: Some(self.bytes),
            bytes_resumed: Some(self.resumed),
            unpack: Some(if compiled { "compiled" } else { "cached" }.to_owned()),
            warning: None,
        }
    }
}

/// The one line of an image that is here already.
pub(super) fn exists(record: &Record) -> Progress {
    let digest = format!("sha256:{}", record.program);
    Progress::Layer {
        digest,
        current: record.size,
        total: record.size,
        phase: Phase::Exists,
    }
}
