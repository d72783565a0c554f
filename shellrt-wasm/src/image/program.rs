//! Programs: the bytes that images bring, kept once under their digest, and their compiled forms.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use shellrt_plugin::file;
use shellrt_plugin::lock::{self, Lock};

use super::record;
use crate::engine::{compile_in_child, inspect, CompileRequest, Inspection, Limits, Tuning};
use crate::error::Error;
use crate::module::Module;
use crate::store::Store;

/// Where the program compiled for this engine and `tuning` lies. It compiles it where it is not there,
/// once, however many ask at the same time.
///
/// What is there may have been compiled for another processor, before the state directory was moved:
/// whoever loads it hears that, removes it and asks once more.
///
/// # Errors
/// What [`compile_in_child`] says, and code 20 at the deadline.
pub fn compiled(
    store: &Store,
    program: &str,
    tuning: Tuning,
    deadline: Option<Instant>,
) -> Result<PathBuf, Error> {
    // To know the processor a code generator is set up, which takes longer than all else that a
    // program's start takes.
    if let Some(path) = only_compiled(store, program, tuning) {
        return Ok(path);
    }
    let path = compiled_file(store, program, tuning)?;
    if !path.is_file() {
        Held::existing(store, program, deadline)?.compile(tuning, deadline)?;
    }
    Ok(path)
}

/// The directory of a program, by the hexadecimal sha256 of its bytes.
fn program_dir(store: &Store, program: &str) -> PathBuf {
    store.programs().join(program)
}

/// The bytes of a program.
pub(super) fn file(store: &Store, program: &str) -> PathBuf {
    program_dir(store, program).join(PROGRAM)
}

const PROGRAM: &str = "program.wasm";
const LOCK: &str = "lock";
const COMPILED: &str = "cwasm";

fn compiled_file(store: &Store, program: &str, tuning: Tuning) -> Result<PathBuf, Error> {
    Ok(program_dir(store, program).join(format!("{}.{COMPILED}", tuning.key()?)))
}

/// The compiled form for this engine and `tuning`, by its name; `None` where there is not exactly one.
fn only_compiled(store: &Store, program: &str, tuning: Tuning) -> Option<PathBuf> {
    let entries = fs::read_dir(program_dir(store, program)).ok()?.flatten();
    let mut fitting = entries.map(|entry| entry.path()).filter(|path| {
        let key = path.file_stem().and_then(OsStr::to_str).unwrap_or_default();
        path.extension() == Some(OsStr::new(COMPILED)) && tuning.may_have(key)
    });
    fitting.next().filter(|_| fitting.next().is_none())
}

/// A program whose lock is held: nobody else compiles or collects it.
#[derive(Debug)]
pub(super) struct Held {
    store: Store,
    program: String,
    _lock: Lock,
}

impl Held {
    /// Takes the lock of a program that may not be there yet.
    pub(super) fn take(
        store: &Store,
        program: &str,
        deadline: Option<Instant>,
    ) -> Result<Held, Error> {
        let dir = program_dir(store, program);
        loop {
            file::make_dir(&dir)?;
            match Lock::exclusive(&dir.join(LOCK), deadline) {
                // Somebody collected the directory while we waited.
                Err(lock::Error::Os { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                }
                taken => return Ok(Held::new(store, program, taken?)),
            }
        }
    }

    fn existing(store: &Store, program: &str, deadline: Option<Instant>) -> Result<Held, Error> {
        let lock = Lock::exclusive(&program_dir(store, program).join(LOCK), deadline)?;
        Ok(Held::new(store, program, lock))
    }

    fn new(store: &Store, program: &str, lock: Lock) -> Held {
        Held {
            store: store.clone(),
            program: program.to_owned(),
            _lock: lock,
        }
    }

    /// Whether its bytes are there.
    pub(super) fn is_there(&self) -> bool {
        file(&self.store, &self.program).is_file()
    }

    /// Puts the verified bytes in `from` into the store; `from` stays, and shares its disk space
    /// with the copy where the file system can do that.
    pub(super) fn install(&self, from: &Path) -> Result<(), Error> {
        let path = file(&self.store, &self.program);
        let draft = path.with_extension("tmp");
        file::remove(&draft)?;
        let install = || -> io::Result<()> {
            if fs::hard_link(from, &draft).is_err() {
                fs::copy(from, &draft)?;
            }
            fs::File::open(&draft)?.sync_all()?;
            fs::rename(&draft, &path)?;
            file::sync_dir(&program_dir(&self.store, &self.program))?;
            file::sync_dir(&self.store.programs())
        };
        install().map_err(|source| Error::file("write", &path, source))
    }

    /// Compiles the program unless it is compiled, and says what it is; the flag is whether it was
    /// compiled now.
    pub(super) fn compile(
        &self,
        tuning: Tuning,
        deadline: Option<Instant>,
    ) -> Result<(Inspection, bool), Error> {
        let path = compiled_file(&self.store, &self.program, tuning)?;
        let wasm = file(&self.store, &self.program);
        if path.is_file() {
            let bytes = fs::read(&wasm).map_err(|source| Error::file("read", &wasm, source))?;
            return Ok((inspect(&bytes)?, false));
        }
        let request = CompileRequest {
            wasm: &wasm,
            output: &path,
            tuning,
            limits: Limits::from_environment()?,
            deadline,
        };
        let inspection = compile_in_child(&request)?;
        // What another version or processor had is of no use any more.
        if let Err(error) = remove_leftovers(&self.store, &self.program, Duration::ZERO) {
            log::warn!("what is left of older compilations can't be removed: {error}");
        }
        Ok((inspection, true))
    }

    /// As [`compile`](Held::compile), without saying what the program is.
    pub(super) fn ensure_compiled(&self, deadline: Option<Instant>) -> Result<bool, Error> {
        let tuning = Tuning::default();
        if compiled_file(&self.store, &self.program, tuning)?.is_file() {
            return Ok(false);
        }
        self.compile(tuning, deadline).map(|(_, compiled)| compiled)
    }

    /// Removes the program where nothing refers to it: what a failed pull does last.
    pub(super) fn discard(self) -> Result<(), Error> {
        let _images = Lock::exclusive(&self.store.images_lock(), None)?;
        if references(&self.store)?.contains(&self.program) {
            return Ok(());
        }
        Ok(file::remove(&program_dir(&self.store, &self.program))?)
    }
}

/// Removes the programs that neither an image nor a module refers to; returns the bytes they took.
/// A program that is being pulled or compiled stays.
///
/// # Errors
/// [`file::Error::Damaged`]: while it is not known who needs what, nothing is removed.
pub fn collect(store: &Store) -> Result<u64, Error> {
    let _images = Lock::exclusive(&store.images_lock(), None)?;
    collect_older(store, Duration::ZERO)
}

/// As [`collect`], but only what has not changed for `age`. The caller holds the lock of the images.
pub(super) fn collect_older(store: &Store, age: Duration) -> Result<u64, Error> {
    let needed = references(store)?;
    let mut bytes = 0;
    for program in list(store)? {
        let dir = program_dir(store, &program);
        if needed.contains(&program) || file::age(&dir) < age {
            continue;
        }
        if let Some(_lock) = Lock::try_exclusive(&dir.join(LOCK))? {
            bytes += file::size(&dir);
            file::remove(&dir)?;
        }
    }
    Ok(bytes)
}

/// The programs that images or modules refer to.
fn references(store: &Store) -> Result<BTreeSet<String>, Error> {
    let images = record::all(store)?.into_iter().map(|record| record.program);
    let modules = Module::all(store)?
        .into_iter()
        .map(|module| module.definition.image.program);
    Ok(images.chain(modules).collect())
}

fn list(store: &Store) -> Result<Vec<String>, Error> {
    let dir = store.programs();
    let names = || -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&dir)? {
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    };
    names().map_err(|source| Error::file("list", &dir, source))
}

/// Removes from all programs what is of no use: compiled forms for another engine or processor, and
/// what killed processes left; returns the bytes that took. Programs that are being pulled or
/// compiled are left alone.
pub(super) fn remove_all_leftovers(store: &Store, age: Duration) -> Result<u64, Error> {
    let mut bytes = 0;
    for program in list(store)? {
        let lock = program_dir(store, &program).join(LOCK);
        if let Some(_lock) = Lock::try_exclusive(&lock)? {
            bytes += remove_leftovers(store, &program, age)?;
        }
    }
    Ok(bytes)
}

/// The caller holds the program's lock.
fn remove_leftovers(store: &Store, program: &str, age: Duration) -> Result<u64, Error> {
    let dir = program_dir(store, program);
    let mut useful = vec![dir.join(PROGRAM), dir.join(LOCK)];
    for fuel in [false, true] {
        useful.push(compiled_file(store, program, Tuning { fuel })?);
    }
    let entries = fs::read_dir(&dir).map_err(|source| Error::file("list", &dir, source))?;
    let mut bytes = 0;
    for entry in entries {
        let path = entry
            .map_err(|source| Error::file("list", &dir, source))?
            .path();
        if !useful.contains(&path) && file::age(&path) >= age {
            bytes += file::size(&path);
            file::remove(&path)?;
        }
    }
    Ok(bytes)
}
