//! The process that compiles: what its parent does, and what it does itself.
//!
//! The task goes over as one line of JSON on stdin, the answer as the last line of stdout.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{poll, PollFd, PollFlags, Timespec};
use rustix::process::{Resource, Rlimit, Signal};
use serde::{Deserialize, Serialize};
use shellrt_api::v0;

use super::compile::{check_size, compile_kind, Answer, CompileRequest, Limits};
use super::error::Cause;
use super::{inspect, Inspection, ProgramError, Tuning};

/// The first argument with which the plugin's executable runs [`child_main`].
pub const CHILD_MODE: &str = "compile-program";

/// How much of the child's stderr is kept, in bytes: its last words if it dies.
const LAST_WORDS: u64 = 4 << 10;

/// How much lower than its parent the child's priority is.
const NICENESS: i32 = 10;

/// Inspects and compiles a program in a child of this process.
///
/// # Errors
/// What [`super::inspect`] and [`super::compile`] say; code 19 where it ran out of memory or disk,
/// code 20 at the deadline.
pub fn compile_in_child(request: &CompileRequest) -> Result<Inspection, ProgramError> {
    let mut command = Command::new("/proc/self/exe");
    command.arg(CHILD_MODE);
    run(command, request)
}

/// What the child runs: `main` calls it when its first argument is [`CHILD_MODE`], before anything
/// else. It reads its task from stdin and answers on stdout.
pub fn child_main() -> ExitCode {
    let answer = match read_task().and_then(|task| bound(&task).map(|()| task)) {
        Ok(task) => Reply::from(work(&task)),
        Err(error) => Reply::from(Err(ProgramError::Child {
            doing: "set up",
            source: error,
        })),
    };
    match serde_json::to_vec(&answer)
        .map_err(io::Error::from)
        .and_then(say)
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// What the child is to do.
#[derive(Debug, Serialize, Deserialize)]
struct Task {
    parent: i32,
    wasm: PathBuf,
    output: PathBuf,
    tuning: Tuning,
    max_program: u64,
    max_memory: u64,
}

/// What the child answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Reply {
    Compiled(Inspection),
    Refused(v0::Error),
}

impl From<Answer> for Reply {
    fn from(answer: Answer) -> Reply {
        match answer {
            Ok(inspection) => Reply::Compiled(inspection),
            Err(error) => Reply::Refused(v0::Error::new(error.code(), &error)),
        }
    }
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Answer {
        match reply {
            Reply::Compiled(inspection) => Ok(inspection),
            Reply::Refused(error) => Err(ProgramError::Refused {
                code: error.code,
                cause: Cause::chain(error.caused_by().map(str::to_owned).collect()),
                message: error.message,
            }),
        }
    }
}

// The parent.

pub(super) fn run(mut command: Command, request: &CompileRequest) -> Answer {
    let size = fs::metadata(request.wasm)
        .map_err(|source| file("read", request.wasm, source))?
        .len();
    check_size(size, request.limits)?;
    let broken = |doing| move |source| ProgramError::Child { doing, source };
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = Running(command.spawn().map_err(broken("start"))?);
    let task = Task {
        // A process id fits: Linux has at most 2^22.
        parent: std::process::id() as i32,
        wasm: request.wasm.to_owned(),
        output: request.output.to_owned(),
        tuning: request.tuning,
        max_program: request.limits.program,
        max_memory: request.limits.memory,
    };
    let task = serde_json::to_vec(&task).map_err(|error| broken("talk to")(error.into()))?;
    // The pipe holds a task, so this does not wait; a child that died at once is heard of below.
    let _ = child.0.stdin.take().map(|mut stdin| stdin.write_all(&task));

    // Both pipes are piped above, and taken once.
    let stderr = child.0.stderr.take();
    let words = thread::spawn(move || stderr.map(last_words).unwrap_or_default());
    let mut answer = Vec::new();
    let finished = match child.0.stdout.take() {
        Some(stdout) => {
            read_until(stdout, &mut answer, request.deadline).map_err(broken("read from"))?
        }
        None => true,
    };
    if !finished {
        return Err(ProgramError::CompileTimeout);
    }
    let status = child.0.wait().map_err(broken("wait for"))?;
    let words = words.join().unwrap_or_default();
    let last_line = answer
        .rsplit(|byte| *byte == b'\n')
        .find(|line| !line.is_empty());
    match last_line.map(serde_json::from_slice::<Reply>) {
        Some(Ok(reply)) if status.success() => reply.into(),
        _ => Err(died(status, &words)),
    }
}

/// A child that is killed if its parent gives up on it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail where it has ended already, and that is well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Reads to the end, or gives up at the deadline with `false`.
fn read_until(
    mut pipe: impl Read + std::os::fd::AsFd,
    answer: &mut Vec<u8>,
    deadline: Option<Instant>,
) -> io::Result<bool> {
    let mut buffer = [0; 4096];
    loop {
        let patience = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if patience.is_some_and(|patience| patience.is_zero()) {
            return Ok(false);
        }
        let timeout = patience.map(timespec);
        match poll(&mut [PollFd::new(&pipe, PollFlags::IN)], timeout.as_ref()) {
            Ok(0) | Err(rustix::io::Errno::INTR) => continue,
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        match pipe.read(&mut buffer)? {
            0 => return Ok(true),
            count => answer.extend_from_slice(&buffer[..count]),
        }
    }
}

fn timespec(duration: Duration) -> Timespec {
    // A deadline beyond the end of time is as good as the end of time.
    let tv_sec = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    Timespec {
        tv_sec,
        tv_nsec: duration.subsec_nanos().into(),
    }
}

/// What the child says on stderr, cut; it is read to the end so that the child never waits.
fn last_words(mut stderr: impl Read) -> String {
    let mut kept = Vec::new();
    // What can't be read is not said.
    let _ = stderr.by_ref().take(LAST_WORDS).read_to_end(&mut kept);
    let _ = io::copy(&mut stderr, &mut io::sink());
    String::from_utf8_lossy(&kept).trim().to_owned()
}

/// Why a child that gave no answer ended.
fn died(status: ExitStatus, words: &str) -> ProgramError {
    // Rust's words before it aborts for lack of memory, and the signal of the system's killer.
    let no_memory =
        words.contains("memory allocation of") || words.contains("Cannot allocate memory");
    if no_memory || status.signal() == Some(libc::SIGKILL) {
        return ProgramError::CompileMemory(None);
    }
    let how = match words.lines().last() {
        Some(line) => format!("{status}: {line}"),
        None => status.to_string(),
    };
    ProgramError::CompilerDied { how }
}

// The child.

fn read_task() -> io::Result<Task> {
    let mut task = Vec::new();
    io::stdin().lock().read_to_end(&mut task)?;
    serde_json::from_slice(&task).map_err(io::Error::from)
}

fn say(mut answer: Vec<u8>) -> io::Result<()> {
    answer.push(b'\n');
    let mut stdout = io::stdout().lock();
    stdout.write_all(&answer)?;
    stdout.flush()
}

/// Sets the bounds of this process: its end with its parent, its priority, its memory.
fn bound(task: &Task) -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    let parent = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get());
    if parent != Some(task.parent) {
        return Err(io::Error::other("the parent is gone"));
    }
    // A low priority is a courtesy: where it is forbidden the work is done all the same.
    let _ = rustix::process::nice(NICENESS);
    // What is written to counts, not what is only reserved: each thread reserves much address space.
    let limit = Rlimit {
        current: Some(task.max_memory),
        maximum: Some(task.max_memory),
    };
    rustix::process::setrlimit(Resource::Data, limit)?;
    // A core file of a broken compiler helps nobody here.
    rustix::process::setrlimit(
        Resource::Core,
        Rlimit {
            current: Some(0),
            maximum: Some(0),
        },
    )?;
    Ok(())
}

fn work(task: &Task) -> Answer {
    let Task {
        parent: _,
        wasm: path,
        output,
        tuning,
        max_program,
        max_memory,
    } = task;
    let limits = Limits {
        program: *max_program,
        memory: *max_memory,
    };
    let mut wasm = Vec::new();
    let input = File::open(path).map_err(|source| file("read", path, source))?;
    // One byte more than allowed shows that the file has grown since its size was asked for.
    let most = max_program.saturating_add(1);
    input
        .take(most)
        .read_to_end(&mut wasm)
        .map_err(|source| file("read", path, source))?;
    check_size(wasm.len() as u64, limits)?;
    let inspection = inspect(&wasm)?;
    let compiled = compile_kind(&wasm, inspection.kind, *tuning)?;
    write(output, &compiled)?;
    Ok(inspection)
}

/// Writes a compiled program so that its name only ever stands for the whole of it.
fn write(output: &Path, compiled: &[u8]) -> Result<(), ProgramError> {
    let mut name = output.as_os_str().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = PathBuf::from(name);
    let written = (|| {
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(compiled)?;
        file.set_permissions(Permissions::from_mode(0o444))?;
        file.sync_all()?;
        fs::rename(&temporary, output)?;
        let folder = output
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    })();
    written.map_err(|source| {
        // It may not exist, and what is left over ends in `.tmp`.
        let _ = fs::remove_file(&temporary);
        file("write", output, source)
    })
}

fn file(doing: &'static str, path: &Path, source: io::Error) -> ProgramError {
    ProgramError::File {
        doing,
        path: path.to_owned(),
        source,
    }
}
