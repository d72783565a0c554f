//! A real MQTT broker (Debian's `mosquitto`) for one test: own configuration, own ports, ended by its
//! process id; and who publishes to it and records what it hands on (`mosquitto_pub`, `mosquitto_sub`).
//! It needs no other file of this folder, so that crates with tests of their own can use it too.

use std::cell::RefCell;
use std::fs::File;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use rustix::process::{kill_process, Pid, Signal};
use tempfile::TempDir;

mod door;
mod recorder;

use door::Door;
use recorder::Heard;
pub use recorder::{Message, Recorder};

/// How long anything here may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The only user of a broker with a password.
pub const USER: &str = "user";
/// That user's password.
pub const PASSWORD: &str = "correct horse";

/// How a broker is set up. The default is plain MQTT for everybody.
#[derive(Default, Clone)]
pub struct Options {
    /// Whether it wants [`USER`] and [`PASSWORD`].
    pub password: bool,
    /// A second listener, with TLS.
    pub tls: Option<Tls>,
    /// More lines for its configuration file.
    pub lines: String,
}

/// What the listener with TLS shows and wants, as PEM files.
#[derive(Clone)]
pub struct Tls {
    /// Its certificate.
    pub certificate: PathBuf,
    /// The key of that.
    pub key: PathBuf,
    /// The authority whose client certificates it wants.
    pub client_ca: Option<PathBuf>,
}

/// A broker. It runs, until it is killed.
pub struct Broker {
    child: Option<Child>,
    root: TempDir,
    port: Port,
    tls_port: Port,
    has_password: bool,
    /// The ports of the broker itself, which is reached by [`Door`]s.
    inner: Port,
    inner_tls: Port,
    doors: Vec<Door>,
    has_tls: bool,
    /// What recorders have heard, as long as they are there.
    recorders: RefCell<Vec<Weak<Heard>>>,
}

impl Broker {
    /// Starts a broker; `None`, after saying why, where the program is not installed.
    ///
    /// # Panics
    /// With `CI=true` where the program is not installed, and where it does not start.
    pub fn start(options: &Options) -> Option<Broker> {
        let mut broker = Broker::prepare(options)?;
        broker.restart();
        Some(broker)
    }

    /// The same without running it: [`Broker::restart`] does that.
    ///
    /// # Panics
    /// As [`Broker::start`].
    pub fn prepare(options: &Options) -> Option<Broker> {
        if !is_installed() {
            return None;
        }
        let root = tempfile::tempdir().expect("a temporary folder");
        let (inner, inner_tls) = (Port::free(), Port::free());
        let mut text = format!(
            "per_listener_settings false\nallow_anonymous {}\nlistener {} 127.0.0.1\n\
             user root\nlog_dest file {}\nlog_type all\nmax_queued_messages 0\n",
            !options.password,
            inner.number,
            root.path().join("log").display(),
        );
        if options.password {
            let file = root.path().join("passwords");
            let made = Command::new("mosquitto_passwd")
                .args(["-b", "-c"])
                .arg(&file)
                .args([USER, PASSWORD])
                .output()
                .expect("mosquitto_passwd");
            assert!(made.status.success(), "mosquitto_passwd: {made:?}");
            text += &format!("password_file {}\n", file.display());
        }
        text += &options.lines;
        text.push('\n');
        if let Some(tls) = &options.tls {
            text += &format!(
                "listener {} 127.0.0.1\ncertfile {}\nkeyfile {}\n",
                inner_tls.number,
                tls.certificate.display(),
                tls.key.display()
            );
            if let Some(ca) = &tls.client_ca {
                text += &format!("cafile {}\nrequire_certificate true\n", ca.display());
            }
        }
        std::fs::write(root.path().join("conf"), text).expect("its configuration");
        Some(Broker {
            child: None,
            root,
            port: Port::free(),
            tls_port: Port::free(),
            inner,
            inner_tls,
            doors: Vec::new(),
            has_tls: options.tls.is_some(),
            has_password: options.password,
            recorders: RefCell::default(),
        })
    }

    /// Runs it, also after [`Broker::kill`], at the same ports, and waits until it listens. Recorders are
    /// back before anybody else, so that they miss nothing.
    ///
    /// # Panics
    /// Where it runs already, or does not listen.
    pub fn restart(&mut self) {
        assert!(self.child.is_none(), "the broker runs");
        let from = self.log().len();
        let mut child = Command::new("mosquitto")
            .arg("-c")
            .arg(self.root.path().join("conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("mosquitto");
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.inner.number)).is_err() {
            let ended = child.try_wait().expect("its state");
            assert!(ended.is_none(), "mosquitto ended: {}", self.log());
            assert!(Instant::now() < deadline, "mosquitto does not listen");
            std::thread::sleep(Duration::from_millis(5));
        }
        self.child = Some(child);
        for heard in self.recorders.borrow().iter().filter_map(Weak::upgrade) {
            self.wait_for_log(from, &format!("Sending SUBACK to {}", heard.name));
        }
        self.doors = vec![Door::open(self.port.number, self.inner.number)];
        if self.has_tls {
            let door = Door::open(self.tls_port.number, self.inner_tls.number);
            self.doors.push(door);
        }
    }

    /// Kills it (SIGKILL), so that nobody hears of its end but by a closed connection.
    ///
    /// # Panics
    /// Where it does not run.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("the broker runs");
        child.kill().expect("its process is ours");
        child.wait().expect("its process is ours");
        self.doors.clear();
    }

    /// Stops it in its tracks: connections stay open, and nothing is answered until
    /// [`Broker::thaw`].
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Where it listens, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port.number
    }

    /// Where it listens with TLS, on 127.0.0.1, if it was told to.
    pub fn tls_port(&self) -> u16 {
        self.tls_port.number
    }

    /// What it has logged, of all its runs.
    pub fn log(&self) -> String {
        let bytes = std::fs::read(self.root.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits until its log holds this text, counted from the byte `from`.
    ///
    /// # Panics
    /// Where it never does.
    pub fn wait_for_log(&self, from: usize, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.log().get(from..).is_some_and(|log| log.contains(text)) {
            assert!(
                Instant::now() < deadline,
                "the broker never logged {text:?}: {}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Publishes a message at QoS 1 and returns when the broker has it.
    ///
    /// # Panics
    /// Where the broker refuses.
    pub fn publish(&self, topic: &str, payload: impl AsRef<[u8]>) {
        let payload = payload.as_ref();
        let how = if payload.is_empty() { "-n" } else { "-s" };
        self.pipe(topic, &["-q", "1", how], payload);
    }

    /// The same at QoS 0: the broker will have it, some time.
    ///
    /// # Panics
    /// Where there is no broker.
    pub fn publish_unacknowledged(&self, topic: &str, payload: impl AsRef<[u8]>) {
        let payload = payload.as_ref();
        let how = if payload.is_empty() { "-n" } else { "-s" };
        self.pipe(topic, &["-q", "0", how], payload);
    }

    /// Publishes many messages of one line each, as fast as can be, in their order, at QoS 1.
    ///
    /// # Panics
    /// Where one has more than one line, or the broker refuses.
    pub fn publish_lines<T: AsRef<str>>(&self, topic: &str, payloads: &[T]) {
        let mut lines = String::new();
        for payload in payloads {
            let payload = payload.as_ref();
            assert!(!payload.is_empty() && !payload.contains('\n'), "{payload}");
            lines += payload;
            lines.push('\n');
        }
        self.pipe(topic, &["-q", "1", "-l"], lines.as_bytes());
    }

    /// Records from now on everything that is published on topics that the filter matches, also over
    /// restarts of the broker, and also what the test itself publishes.
    ///
    /// # Panics
    /// Where the broker does not take the subscription.
    pub fn record(&self, filter: &str) -> Recorder {
        let name = format!("recorder-{}", self.recorders.borrow().len());
        let heard = Arc::new(Heard::new(name.clone()));
        let mut command = self.client("mosquitto_sub");
        // At QoS 0, because who has to answer closes a broken connection when it can't, and leaves what it
        // has not read.
        command.args(["-V", "311", "-i", &name, "-q", "0", "-t", filter]);
        let log = self.log().len();
        let errors = self.root.path().join(&name);
        let recorder = Recorder::start(command, Arc::clone(&heard), errors);
        self.wait_for_log(log, &format!("Sending SUBACK to {name}"));
        self.recorders.borrow_mut().push(Arc::downgrade(&heard));
        recorder
    }

    fn pipe(&self, topic: &str, arguments: &[&str], input: &[u8]) {
        let mut child = self
            .client("mosquitto_pub")
            .args(["-V", "5", "-t", topic])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("mosquitto_pub");
        let mut stdin = child.stdin.take().expect("its stdin is piped");
        // Where it ended early, its status says so.
        let _ = stdin.write_all(input);
        drop(stdin);
        let output = child.wait_with_output().expect("its process is ours");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "mosquitto_pub {topic:?}: {error}");
    }

    /// One of mosquitto's clients, with all that it needs to be let in.
    fn client(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.args(["-h", "127.0.0.1", "-p", &self.inner.number.to_string()]);
        if self.has_password {
            command.args(["-u", USER, "-P", PASSWORD]);
        }
        command
    }

    fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("the broker runs");
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a process"), signal).expect("its process is ours");
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A port that stays this test's own while nobody listens at it. It lies below those that the kernel
/// gives to whoever asks for any, because a client that is sent to one of these can even reach itself.
struct Port {
    number: u16,
    _lock: File,
}

impl Port {
    fn free() -> Port {
        // Those of brokers that are gone are not used again soon: logs can be told apart by their ports.
        static NEXT: AtomicU32 = AtomicU32::new(0);
        for _ in 0..10_000 {
            let step = std::process::id() + NEXT.fetch_add(1, Ordering::Relaxed);
            let number = 20_000 + u16::try_from(step % 10_000).expect("below 10000");
            let path = std::env::temp_dir().join(format!("shellrt-test-port-{number}"));
            let Some(lock) = lock(&path) else { continue };
            if TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok() {
                return Port {
                    number,
                    _lock: lock,
                };
            }
        }
        panic!("no port is free")
    }
}

fn lock(path: &Path) -> Option<File> {
    // It may be another user's.
    let file = File::options().append(true).create(true).open(path).ok()?;
    file.try_lock().ok()?;
    Some(file)
}

/// Whether `mosquitto` and its clients can be started; otherwise it says why not.
///
/// # Panics
/// With `CI=true`: there they must not be missing.
#[allow(
    clippy::print_stderr,
    reason = "that is where a test says why it did not run"
)]
pub fn is_installed() -> bool {
    let can_run = |program: &str| {
        let mut command = Command::new(program);
        command.arg("--help").stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok()
    };
    if ["mosquitto", "mosquitto_pub", "mosquitto_sub"].map(can_run) == [true; 3] {
        return true;
    }
    let how = "mosquitto is missing; apt-get install mosquitto mosquitto-clients";
    let is_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(!is_ci, "{how}");
    eprintln!("ignored: {how}");
    false
}
