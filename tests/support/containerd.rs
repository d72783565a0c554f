//! A containerd of a test's own: its directories, its socket and a namespace that nobody else uses,
//! and at the end nothing is left of all that it started.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::process::Signal;

use super::plugin::{next_boot, signal, BOOT};

mod remains;

/// The namespace of the Kubernetes interface.
const PODS: &str = "k8s.io";

/// Which containerd.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Version {
    /// The one on `PATH`, unless [`Version::VARIABLE`] names another.
    #[default]
    Installed,
    /// The newest 1.7 that `tests/programs/fetch` has brought.
    V1_7,
    /// The newest 2 that `tests/programs/fetch` has brought.
    V2,
}

impl Version {
    /// The variable that says which containerd whole suites are run with: `1.7` or `2`.
    pub const VARIABLE: &str = "SHELLRT_CONTAINERD";

    /// The version that [`Version::VARIABLE`] names.
    ///
    /// # Panics
    /// Where it names none.
    pub fn from_env() -> Version {
        match std::env::var(Version::VARIABLE).as_deref() {
            Err(_) | Ok("") => Version::Installed,
            Ok("1.7") => Version::V1_7,
            Ok("2") => Version::V2,
            Ok(other) => panic!(
                "{} can't be {other:?}; 1.7 and 2 are there",
                Version::VARIABLE
            ),
        }
    }
}

/// How a containerd is set up.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Which one.
    pub version: Version,
    /// Whether it collects garbage after every single change, and not now and then.
    pub collects_at_once: bool,
    /// The reference of the pause image of its Kubernetes interface, which it has only with one.
    pub pause_image: Option<String>,
}

/// A running containerd. Dropping it ends everything that belongs to it, whoever started that.
pub struct Containerd {
    child: Option<Child>,
    options: Options,
    /// Where its programs are.
    programs: Option<PathBuf>,
    folder: PathBuf,
    /// The boot id that it and everything below it sees, where it is not the machine's.
    boot: Option<PathBuf>,
    namespace: String,
    /// The folder, where it is the fixture's.
    _temporary: Option<tempfile::TempDir>,
}

impl Containerd {
    /// The installed containerd; `None`, after saying why, where it can't be run.
    pub fn start() -> Option<Containerd> {
        Containerd::start_with(Options::default())
    }

    /// A containerd set up as `options` say.
    ///
    /// # Panics
    /// With `CI=true` where it can't be run, and where it does not start.
    pub fn start_with(options: Options) -> Option<Containerd> {
        // A socket's path has to be short.
        let folder = tempfile::Builder::new().prefix("shellrt-cd-").tempdir();
        let folder = folder.expect("a temporary folder");
        let mut containerd = Containerd::start_in(folder.path(), options)?;
        containerd._temporary = Some(folder);
        Some(containerd)
    }

    /// The same with a folder of somebody else's.
    ///
    /// # Panics
    /// As [`Containerd::start_with`].
    pub fn start_in(folder: &Path, options: Options) -> Option<Containerd> {
        let version = match options.version {
            Version::Installed => Version::from_env(),
            other => other,
        };
        let programs = find(version)?;
        let folder = folder.canonicalize().expect("a folder");
        let mut containerd = Containerd {
            child: None,
            options,
            programs,
            folder,
            boot: None,
            namespace: unique(),
            _temporary: None,
        };
        containerd.start_again();
        Some(containerd)
    }

    /// The path of its socket, as it stands in `CONTAINERD_ADDRESS`.
    pub fn address(&self) -> PathBuf {
        self.folder.join("containerd.sock")
    }

    /// The namespace of the test. The cgroups of all containerds of a machine are in one tree, so
    /// two tests must not share its name.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Its folder: `root`, `state`, the socket, `log`.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The daemon's process, where it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// What `ctr` prints in the test's namespace.
    ///
    /// # Panics
    /// Where it fails.
    pub fn ctr(&self, arguments: &[&str]) -> String {
        let output = self.ctr_command(arguments).output().expect("ctr runs");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "ctr {arguments:?}: {error}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The command of `ctr` in the test's namespace.
    pub fn ctr_command(&self, arguments: &[&str]) -> Command {
        self.ctr_command_in(&self.namespace, arguments)
    }

    /// What `ctr` prints in the namespace of the Kubernetes interface.
    ///
    /// # Panics
    /// Where it fails.
    pub fn ctr_of_pods(&self, arguments: &[&str]) -> String {
        let output = self.ctr_command_in(PODS, arguments).output();
        let output = output.expect("ctr runs");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "ctr {arguments:?}: {error}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn ctr_command_in(&self, namespace: &str, arguments: &[&str]) -> Command {
        let mut command = self.program("ctr");
        command
            .arg("-a")
            .arg(self.address())
            .args(["-n", namespace])
            .args(arguments)
            .stdin(Stdio::null());
        command
    }

    /// Stops the daemon in order; what it started goes on.
    pub fn stop(&mut self) {
        self.end(Signal::TERM);
    }

    /// Kills the daemon; what it started goes on.
    pub fn kill(&mut self) {
        self.end(Signal::KILL);
    }

    /// Starts the daemon, which does not run, over what is there.
    ///
    /// # Panics
    /// Where it does not listen within 30 seconds.
    pub fn start_again(&mut self) {
        assert!(self.child.is_none(), "it runs");
        let config = self.folder.join("config.toml");
        fs::write(&config, self.configuration()).expect("a file");
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.join("log"))
            .expect("a log");
        let mut command = match &self.boot {
            None => self.program("containerd"),
            Some(boot) => {
                let mut command = self.program("unshare");
                command.args(["-m", "sh", "-c"]);
                command.arg(format!("{BOOT} && exec containerd \"$@\""));
                command.arg(boot);
                command
            }
        };
        let _ = fs::remove_file(self.address());
        let mut child = command
            .arg("--config")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("containerd starts");
        let deadline = Instant::now() + Duration::from_secs(30);
        while UnixStream::connect(self.address()).is_err() {
            let ended = child.try_wait().expect("its state");
            assert!(ended.is_none(), "containerd ended: {}", self.log());
            assert!(Instant::now() < deadline, "not listening: {}", self.log());
            std::thread::sleep(Duration::from_millis(2));
        }
        self.child = Some(child);
    }

    /// The power goes and comes back: nothing of before runs, what lies in memory is gone, and the
    /// boot id, that of `boot`, is another one. The daemon does not run yet.
    pub fn lose_power(&mut self, boot: &Path) {
        self.wipe_memory();
        let _ = fs::remove_dir_all(self.folder.join("state"));
        next_boot(boot);
        self.boot = Some(boot.to_owned());
    }

    fn program(&self, name: &str) -> Command {
        let Some(programs) = &self.programs else {
            return Command::new(name);
        };
        let own = programs.join(name);
        let mut command = Command::new(if own.exists() { &own } else { Path::new(name) });
        // The daemon finds its shim there.
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = [programs.clone()].into_iter();
        let path = std::env::join_paths(folders.chain(std::env::split_paths(&path)));
        command.env("PATH", path.expect("a PATH"));
        command
    }

    fn configuration(&self) -> String {
        let folder = self.folder.display();
        let has_cri = self.options.pause_image.is_some();
        let disabled: Vec<String> = DISABLED
            .iter()
            .filter(|_| !has_cri)
            .chain(&UNUSED)
            .map(|id| format!("{id:?}"))
            .collect();
        let mut text = format!(
            "version = 2\nroot = \"{folder}/root\"\nstate = \"{folder}/state\"\n\
             disabled_plugins = [{}]\n[grpc]\naddress = \"{folder}/containerd.sock\"\n",
            disabled.join(", ")
        );
        if self.options.collects_at_once {
            text += "[plugins.\"io.containerd.gc.v1.scheduler\"]\npause_threshold = 0.5\n\
                     deletion_threshold = 1\nmutation_threshold = 1\nschedule_delay = \"0s\"\n\
                     startup_delay = \"0s\"\n";
        }
        if let Some(image) = &self.options.pause_image {
            text += &format!(
                "[plugins.\"io.containerd.grpc.v1.cri\"]\nsandbox_image = {image:?}\n\
                 restrict_oom_score_adj = true\nenable_selinux = false\n\
                 disable_tcp_service = true\n\
                 [plugins.\"io.containerd.grpc.v1.cri\".cni]\nconf_dir = \"{folder}/cni\"\n"
            );
        }
        text
    }

    fn end(&mut self, how: Signal) {
        let mut child = self.child.take().expect("it runs");
        signal(child.id(), how);
        let _ = child.wait();
    }
}

/// The Kubernetes interface, which takes time to start.
const DISABLED: [&str; 4] = [
    "io.containerd.grpc.v1.cri",
    "io.containerd.cri.v1.images",
    "io.containerd.cri.v1.runtime",
    "io.containerd.podsandbox.controller.v1.podsandbox",
];

/// What no test needs and what takes time to start: snapshotters that need devices, tracing.
const UNUSED: [&str; 8] = [
    "io.containerd.nri.v1.nri",
    "io.containerd.snapshotter.v1.aufs",
    "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.devmapper",
    "io.containerd.snapshotter.v1.zfs",
    "io.containerd.internal.v1.opt",
    "io.containerd.internal.v1.tracing",
    "io.containerd.tracing.processor.v1.otlp",
];

/// What has to be on this machine for a containerd and is not.
pub fn missing() -> Option<String> {
    let mut missing = Vec::new();
    if !rustix::process::geteuid().is_root() {
        missing.push("root");
    }
    for program in ["containerd", "ctr", "runc"] {
        let ran = Command::new(program).arg("--version").output();
        if ran.is_err_and(|error| error.kind() == ErrorKind::NotFound) {
            missing.push(program);
        }
    }
    if !Path::new("/bin/busybox").exists() {
        missing.push("busybox-static");
    }
    (!missing.is_empty()).then(|| format!("these are missing: {}", missing.join(", ")))
}

/// Where the programs of `version` are; `Some(None)` is `PATH`.
#[allow(
    clippy::print_stderr,
    reason = "that is where a test says why it did not run"
)]
fn find(version: Version) -> Option<Option<PathBuf>> {
    if let Some(missing) = missing() {
        let is_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
        assert!(!is_ci, "{missing}");
        eprintln!("ignored: {missing}");
        return None;
    }
    let line = match version {
        Version::Installed => return Some(None),
        Version::V1_7 => "1.7",
        Version::V2 => "2",
    };
    // The program that asks stands in `target/HOST/PROFILE` or below.
    let own = std::env::current_exe().expect("a program knows where it is");
    let programs = own
        .ancestors()
        .map(|folder| folder.join(format!("programs/containerd-{line}/usr/bin")))
        .find(|programs| programs.join("containerd").exists());
    if programs.is_none() {
        eprintln!("ignored: no containerd {line}; tests/programs/fetch brings it");
    }
    programs.map(Some)
}

/// A name that no other fixture has, in no process of this machine.
fn unique() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |now| now.as_nanos());
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("test-{}-{now:x}-{count}", std::process::id())
}
