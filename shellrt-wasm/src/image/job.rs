//! The work of a pull: what is fetched, in which order it comes to the disk, and what is left out
//! because it is here already.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use shellrt_api::v0::events::Kind as Event;
use shellrt_api::v0::img_pull::{Phase, Progress, Response};
use shellrt_plugin::event;
use shellrt_plugin::file;
use shellrt_plugin::pull::{throttled, Patience, Report};
use shellrt_plugin::registry::{self, Descriptor, Digest, Hasher, ImageManifest, Platform};

use super::archive::Search;
use super::config::{rank, Config};
use super::downloads::{Downloads, Temporary};
use super::layout::Layout;
use super::local;
use super::origin::{unavailable, Origin, Resolved};
use super::program::{collect, Held};
use super::pull::{exists, Fetched, Pull};
use super::record::{self, Record};
use crate::engine::{Kind, ProgramError, Tuning};
use crate::error::Error;

/// A pull that has begun.
pub(super) struct Job<'a> {
    pub(super) pull: &'a Pull,
    pub(super) downloads: &'a Downloads,
    pub(super) patience: &'a Patience,
    /// The largest program, in bytes.
    pub(super) limit: u64,
}

/// The largest config of an image, in bytes.
const CONFIG_MAX: u64 = 4 << 20;

impl Job<'_> {
    /// Pulls an image with documents.
    pub(super) fn image(&self, origin: &Origin, report: &mut Report) -> Result<Response, Error> {
        let Pull {
            store,
            reference,
            wanted,
            ..
        } = self.pull;
        let known = self
            .pull
            .recorded()
            .filter(|record| record.wanted == self.wanted());
        if let Some(known) = known {
            if origin.digest()?.to_string() == known.digest {
                if let Some(response) = self.again(known, report)? {
                    return Ok(response);
                }
            }
        }
        let resolved = origin.resolve(reference, wanted.as_ref())?;
        if let Some(response) = self.twin(&resolved, report)? {
            return Ok(response);
        }
        let manifest = resolved.manifest.image()?;
        let layout = Layout::of(reference, &manifest)?;
        let _layers = self.downloads.lock(&manifest.layers, self.patience)?;
        // Whoever had the locks before may have pulled it.
        if let Some(response) = self.twin(&resolved, report)? {
            return Ok(response);
        }
        let mut fetched = Fetched::default();
        let Draft {
            config,
            platform,
            program,
        } = self.program(origin, &resolved, &manifest, &layout, &mut fetched, report)?;
        let size = manifest.layers.iter().map(|layer| layer.size);
        let record = |kind, digest: &Digest| Record {
            reference: reference.clone(),
            digest: resolved.digest.to_string(),
            manifest: resolved.manifest.descriptor.digest.to_string(),
            image_id: manifest.config.digest.to_string(),
            platform: platform
                .map(|platform| platform.to_string())
                .unwrap_or_default(),
            wanted: self.wanted(),
            size: size.fold(manifest.config.size, u64::saturating_add),
            created_at: event::now(),
            pulled_at: event::now(),
            program: digest.hex().to_owned(),
            kind,
            name: config.name().unwrap_or_else(|| self.pull.name()),
            entrypoint: config.entrypoint(),
            command: config.command(),
            env: config.env(),
            labels: config.labels(),
        };
        let (record, compiled) = self.keep(&program, record, report)?;
        // Only now: whatever failed before goes on from these.
        self.downloads
            .forget(manifest.layers.iter().map(|layer| &layer.digest));
        store
            .events()
            .record(&record.reference, Event::Pulled, None);
        Ok(fetched.response(&record, compiled))
    }

    /// Fetches what is needed of the image and finds its program.
    fn program(
        &self,
        origin: &Origin,
        resolved: &Resolved,
        manifest: &ImageManifest,
        layout: &Layout,
        fetched: &mut Fetched,
        report: &mut Report,
    ) -> Result<Draft, Error> {
        let Pull {
            reference, wanted, ..
        } = self.pull;
        if let Layout::Whole(layer) = layout {
            if layer.size > self.limit {
                let (size, limit) = (layer.size, self.limit);
                return Err(ProgramError::TooLarge { size, limit }.into());
            }
        }
        self.check_room(&manifest.layers)?;
        let config = origin.bytes(&manifest.config, CONFIG_MAX)?;
        fetched.bytes += manifest.config.size;
        let (config, path) = match layout {
            Layout::Whole(_) => (Config::of_artifact(&config), String::new()),
            Layout::Archive(_) => {
                let config = Config::of_image(reference, &config)?;
                let path = config.program(reference, manifest)?;
                (config, path)
            }
        };
        let platform = config.platform().or(resolved.platform.clone());
        if let (Some(_), Some(own)) = (wanted, &platform) {
            if rank(wanted.as_ref(), own).is_none() {
                let mut image = manifest.config.clone();
                image.platform = Some(own.clone());
                return Err(unavailable(reference, wanted.as_ref(), &[image]).into());
            }
        }
        let mut listener = throttled(report);
        let program = match layout {
            Layout::Whole(layer) => {
                let blob = origin.blob(layer, &mut listener)?;
                fetched.add(&blob);
                let is_sha256 = layer.digest.algorithm() == "sha256";
                let digest = is_sha256.then(|| layer.digest.clone());
                ProgramFile::Blob(blob.path, digest)
            }
            Layout::Archive(layers) => {
                let mut paths: Vec<Option<PathBuf>> = vec![None; layers.len()];
                let open = |number: usize| {
                    let path = match &paths[number] {
                        Some(path) => path.clone(),
                        None => {
                            let blob = origin.blob(&layers[number], &mut listener)?;
                            fetched.add(&blob);
                            paths[number] = Some(blob.path.clone());
                            blob.path
                        }
                    };
                    File::open(&path).map_err(|source| Error::file("read", &path, source))
                };
                let mut output = self.downloads.temporary()?;
                let search = Search {
                    reference,
                    limit: self.limit,
                    patience: self.patience,
                };
                search.extract(&path, layers.len(), open, &mut output.file)?;
                ProgramFile::Temporary(output)
            }
        };
        Ok(Draft {
            config,
            platform,
            program,
        })
    }

    /// Pulls a program from a file.
    pub(super) fn file(&self, path: &Path, report: &mut Report) -> Result<Response, Error> {
        let Pull {
            store, reference, ..
        } = self.pull;
        self.check_bare_program()?;
        let (copy, digest, size) =
            local::program(reference, path, self.limit, self.downloads, self.patience)?;
        let digest = digest.to_string();
        if let Some(known) = self
            .pull
            .recorded()
            .filter(|record| record.digest == digest)
        {
            if let Some(response) = self.again(known, report)? {
                return Ok(response);
            }
        }
        let program = ProgramFile::Temporary(copy);
        let record = |kind, program: &Digest| Record {
            reference: reference.clone(),
            manifest: digest.clone(),
            digest,
            image_id: program.to_string(),
            platform: String::new(),
            wanted: None,
            size,
            created_at: event::now(),
            pulled_at: event::now(),
            program: program.hex().to_owned(),
            kind,
            name: self.pull.name(),
            entrypoint: Vec::new(),
            command: Vec::new(),
            env: Default::default(),
            labels: Default::default(),
        };
        let (record, compiled) = self.keep(&program, record, report)?;
        store
            .events()
            .record(&record.reference, Event::Pulled, None);
        Ok(Fetched {
            bytes: size,
            resumed: 0,
        }
        .response(&record, compiled))
    }

    /// A program without an image says no platform; every one of WebAssembly's suits it.
    fn check_bare_program(&self) -> Result<(), Error> {
        let Some(wanted) = &self.pull.wanted else {
            return Ok(());
        };
        for own in ["wasi/wasm", "wasip1/wasm", "wasip2/wasm"] {
            if rank(Some(wanted), &own.parse()?).is_some() {
                return Ok(());
            }
        }
        Err(registry::Error::PlatformUnavailable {
            reference: self.pull.reference.clone(),
            wanted: wanted.to_string(),
            available: "wasi/wasm".to_owned(),
        }
        .into())
    }

    /// Puts the program into the store, compiles it, and writes the record, in this order.
    fn keep(
        &self,
        program: &ProgramFile,
        record: impl FnOnce(Kind, &Digest) -> Record,
        report: &mut Report,
    ) -> Result<(Record, bool), Error> {
        let digest = program.digest()?;
        let total = file::size(program.path());
        let held = Held::take(&self.pull.store, digest.hex(), self.patience.deadline)?;
        let keep = || {
            if !held.is_there() {
                held.install(program.path())?;
            }
            self.patience.check()?;
            let mut unpack = |current| {
                let (digest, phase) = (digest.to_string(), Phase::Unpack);
                report(Progress::Layer {
                    digest,
                    current,
                    total,
                    phase,
                });
            };
            unpack(0);
            let (inspection, compiled) = held.compile(Tuning::default(), self.patience.deadline)?;
            unpack(total);
            self.patience.check()?;
            let record = record(inspection.kind, &digest);
            record.write(&self.pull.store)?;
            Ok((record, compiled))
        };
        let before = self.pull.recorded();
        let kept = keep();
        let cleaned = match (&kept, before) {
            // The reference named another program before, which maybe nobody needs now.
            (Ok((record, _)), Some(before)) if before.program != record.program => {
                collect(&self.pull.store).map(drop)
            }
            (Ok(_), _) => Ok(()),
            (Err(_), _) => held.discard(),
        };
        if let Err(error) = cleaned {
            log::warn!("a program that nobody needs can't be removed: {error}");
        }
        kept
    }

    /// The image is here already, under another reference or an older index: only the record is
    /// written.
    fn twin(&self, resolved: &Resolved, report: &mut Report) -> Result<Option<Response>, Error> {
        let Pull {
            store, reference, ..
        } = self.pull;
        let manifest = resolved.manifest.descriptor.digest.to_string();
        let all = match record::all(store) {
            Ok(all) => all,
            // A record that can't be read is no reason not to pull another image.
            Err(error @ Error::File(file::Error::Damaged { .. })) => {
                log::warn!("{error}");
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let is_twin = |record: &Record| record.manifest == manifest && record.is_whole(store);
        let Some(twin) = all.into_iter().find(is_twin) else {
            return Ok(None);
        };
        let is_own = twin.reference == *reference;
        self.again(
            Record {
                reference: reference.clone(),
                digest: resolved.digest.to_string(),
                wanted: self.wanted(),
                created_at: if is_own {
                    twin.created_at
                } else {
                    event::now()
                },
                ..twin
            },
            report,
        )
    }

    /// Writes down that the image was asked for again. `None`: it was removed meanwhile.
    fn again(&self, mut record: Record, report: &mut Report) -> Result<Option<Response>, Error> {
        let store = &self.pull.store;
        let held = Held::take(store, &record.program, self.patience.deadline)?;
        if !held.is_there() {
            held.discard()?;
            return Ok(None);
        }
        let compiled = held.ensure_compiled(self.patience.deadline)?;
        record.pulled_at = event::now();
        record.write(store)?;
        report(exists(&record));
        store
            .events()
            .record(&record.reference, Event::Pulled, None);
        Ok(Some(Fetched::default().response(&record, compiled)))
    }

    fn wanted(&self) -> Option<String> {
        self.pull.wanted.as_ref().map(Platform::to_string)
    }

    /// # Errors
    /// [`Error::DiskFull`] where the layers do not fit.
    fn check_room(&self, layers: &[Descriptor]) -> Result<(), Error> {
        let path = self.pull.store.root();
        let missing = |layer: &Descriptor| {
            layer
                .size
                .saturating_sub(self.downloads.present(&layer.digest))
        };
        let needed = layers.iter().map(missing).fold(0, u64::saturating_add);
        let found = rustix::fs::statvfs(path);
        let found =
            found.map_err(|errno| Error::file("look at the disk of", path, errno.into()))?;
        let available = found.f_bavail.saturating_mul(found.f_frsize);
        match needed > available {
            true => Err(Error::DiskFull {
                path: path.to_owned(),
                needed,
                available,
            }),
            false => Ok(()),
        }
    }
}

/// An image whose program is on the disk but not yet kept.
struct Draft {
    config: Config,
    platform: Option<Platform>,
    program: ProgramFile,
}

/// A program that is not yet in the store.
enum ProgramFile {
    /// A layer, with the program's sha256 where that is known.
    Blob(PathBuf, Option<Digest>),
    /// A copy.
    Temporary(Temporary),
}

impl ProgramFile {
    fn path(&self) -> &Path {
        match self {
            ProgramFile::Blob(path, _) => path,
            ProgramFile::Temporary(file) => &file.path,
        }
    }

    /// The sha256 of the program.
    fn digest(&self) -> Result<Digest, Error> {
        if let ProgramFile::Blob(_, Some(digest)) = self {
            return Ok(digest.clone());
        }
        let path = self.path();
        let hash = || -> io::Result<Digest> {
            let mut hasher = Hasher::sha256();
            let mut file = File::open(path)?;
            let mut buffer = vec![0; 256 << 10];
            loop {
                match io::Read::read(&mut file, &mut buffer)? {
                    0 => return Ok(hasher.finish()),
                    count => hasher.update(&buffer[..count]),
                }
            }
        };
        hash().map_err(|source| Error::file("read", path, source))
    }
}
