//! The edge daemon, as far as no link makes a difference: shown with the function that is built into the
//! link to EDGELESS, which needs neither an orchestrator nor a plugin.
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{json, Value};
use tests::edged::{ask, connect, get, Edged};

/// A machine's part of the file system.
struct Machine {
    dir: tempfile::TempDir,
}

impl Machine {
    fn new() -> Machine {
        let dir = tempfile::tempdir().unwrap();
        Machine { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The daemon with these settings in `edge`, beside its state directory.
    fn command(&self, settings: Value) -> Command {
        let mut settings = json!({ "edge": settings });
        settings["edge"]["state_dir"] = json!(self.path("state"));
        let file = self.path("settings.yaml");
        // JSON is YAML.
        fs::write(&file, settings.to_string()).unwrap();
        let file = file.to_str().unwrap();
        Edged::command(&[
            "edgeless",
            "--config",
            file,
            "--port",
            "0",
            "--listen",
            "127.0.0.1",
        ])
    }

    /// Starts it with its status on a Unix socket.
    fn start(&self) -> (Edged, String) {
        let socket = format!("unix:{}", self.path("status.sock").display());
        let edged = Edged::start(self.command(json!({ "status": socket })));
        let url = edged.wait_for("the status is served at ");
        assert_eq!(url, socket);
        (edged, url)
    }
}

mod signals {
    use super::*;

    #[test]
    fn each_signal_does_what_it_is_for() {
        for end in [Signal::TERM, Signal::INT] {
            let machine = Machine::new();
            let (mut edged, url) = machine.start();
            edged.signal(Signal::HUP);
            edged.wait_for("told to read the settings again");
            assert_eq!(get(&url, "/healthz").status, 200);
            edged.signal(end);
            assert_eq!(edged.end(), 0, "{:?}", edged.lines());
            // Nothing is left where others would stumble over it.
            assert!(!machine.path("status.sock").exists());
        }
    }

    #[test]
    fn one_daemon_for_a_state_directory() {
        let machine = Machine::new();
        // The daemons of this link are told apart by their ports.
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port().to_string();
        drop(free);
        let start = |address: &str| {
            let state = machine.path("state");
            let state = state.to_str().unwrap();
            Edged::start(Edged::command(&[
                "edgeless",
                "--port",
                &port,
                "--listen",
                address,
                "--state-dir",
                state,
            ]))
        };
        let mut first = start("127.0.0.1");
        first.wait_for("the function ");
        let mut second = start("127.0.0.2");
        assert_eq!(second.end(), 1);
        let error = second.messages().pop().unwrap();
        assert!(error.starts_with("another daemon runs as "), "{error}");
        assert!(
            error.contains(machine.path("state").to_str().unwrap()),
            "{error}"
        );
        first.signal(Signal::KILL);
        assert_eq!(first.end(), 128 + 9);
        start("127.0.0.2").wait_for("the function ");
    }
}

mod log {
    use super::*;

    #[test]
    fn a_line_of_json_for_each_record() {
        let machine = Machine::new();
        let (mut edged, _) = machine.start();
        edged.signal(Signal::TERM);
        assert_eq!(edged.end(), 0);
        let lines = edged.lines();
        assert!(lines.len() >= 3, "{lines:?}");
        for line in lines {
            let record: serde_json::Map<String, Value> = serde_json::from_str(&line).unwrap();
            let keys: Vec<&str> = record.keys().map(String::as_str).collect();
            assert_eq!(keys, ["level", "message", "target", "time"], "{line}");
            assert!(record.values().all(Value::is_string), "{line}");
            assert_eq!(record["level"], "info", "{line}");
            let time = record["time"].as_str().unwrap();
            // As RFC 3339 has it: 2026-11-21T10:36:39.123456Z
            assert_eq!(
                (time.len(), &time[10..11], &time[26..]),
                (27, "T", "Z"),
                "{line}"
            );
        }
    }

    #[test]
    fn as_much_as_is_asked_for() {
        let machine = Machine::new();
        let status = json!({ "status": "192.0.2.1:80" });
        let messages = |arguments: &[&str], variable: Option<&str>| {
            let mut command = machine.command(status.clone());
            command.args(arguments);
            if let Some(level) = variable {
                command.env("LOG_LEVEL", level);
            }
            let mut edged = Edged::start(command);
            assert_eq!(edged.end(), 1);
            edged.messages().len()
        };
        // It says where its function is, and then that its status can't be served there.
        assert_eq!(messages(&[], None), 2);
        assert_eq!(messages(&[], Some("ERROR")), 1);
        assert_eq!(messages(&["--log-level", "Info"], Some("ERROR")), 2);
        assert_eq!(messages(&["--log-level", "critical"], Some("DEBUG")), 1);
        let mut wrong = machine.command(json!({}));
        wrong.env("LOG_LEVEL", "loud");
        let mut wrong = Edged::start(wrong);
        assert_eq!(wrong.end(), 1);
        let expected = "LOG_LEVEL: \"loud\" is no log level; take critical, error, warning, info, \
                        debug or trace";
        assert_eq!(wrong.messages(), [expected]);
        let mut wrong = Edged::start(Edged::command(&["edgeless", "--log-level", "loud"]));
        assert_eq!(wrong.end(), 2);
    }

    #[test]
    fn text_where_people_read_it() {
        let machine = Machine::new();
        let command = machine.command(json!({ "status": "192.0.2.1:80" }));
        let words: Vec<String> = std::iter::once(command.get_program())
            .chain(command.get_args())
            .map(|word| word.to_str().unwrap().to_owned())
            .collect();
        // A terminal of its own.
        let shown = Command::new("script")
            .args(["-qec", &words.join(" "), "/dev/null"])
            .env_remove("LOG_LEVEL")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = String::from_utf8(shown.stdout).unwrap();
        let last = text.lines().last().unwrap().trim_end();
        let (time, rest) = last.split_once(' ').unwrap();
        assert_eq!(time.len(), "2026-11-21T10:36:39.500Z".len(), "{text}");
        assert!(
            rest.starts_with("ERROR \"192.0.2.1:80\" is no address of"),
            "{text}"
        );
    }
}

mod service_manager {
    use super::*;

    /// The socket of a service manager.
    fn socket(machine: &Machine) -> UnixDatagram {
        let socket = UnixDatagram::bind(machine.path("notify.sock")).unwrap();
        let patience = Some(Duration::from_secs(20));
        socket.set_read_timeout(patience).unwrap();
        socket
    }

    fn next(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 1024];
        let length = socket.recv(&mut buffer).expect("a notification");
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    #[test]
    fn it_hears_everything() {
        let machine = Machine::new();
        let socket = socket(&machine);
        let mut command = machine.command(json!({ "shutdown_timeout_sec": 7 }));
        command.env("NOTIFY_SOCKET", machine.path("notify.sock"));
        command.env("WATCHDOG_USEC", "100000");
        let mut edged = Edged::start(command);
        assert_eq!(next(&socket), "READY=1\n");
        let begin = Instant::now();
        for _ in 0..4 {
            assert_eq!(next(&socket), "WATCHDOG=1\n");
        }
        // The first one comes at once, and the others at twice the pace that is needed.
        assert!(
            begin.elapsed() >= Duration::from_millis(140),
            "{:?}",
            begin.elapsed()
        );
        edged.signal(Signal::TERM);
        let stopping = std::iter::repeat_with(|| next(&socket)).find(|it| it != "WATCHDOG=1\n");
        // One second more than the daemon allows itself.
        let expected = "STOPPING=1\nEXTEND_TIMEOUT_USEC=8000000\n";
        assert_eq!(stopping.as_deref(), Some(expected));
        assert_eq!(edged.end(), 0);
    }

    #[test]
    fn the_watchdog_of_another_process_is_not_fed() {
        let machine = Machine::new();
        let socket = socket(&machine);
        let mut command = machine.command(json!({}));
        command.env("NOTIFY_SOCKET", machine.path("notify.sock"));
        command
            .env("WATCHDOG_USEC", "1000")
            .env("WATCHDOG_PID", "1");
        let mut edged = Edged::start(command);
        assert_eq!(next(&socket), "READY=1\n");
        edged.wait_for("the function ");
        edged.signal(Signal::TERM);
        assert!(next(&socket).starts_with("STOPPING=1\n"));
        assert_eq!(edged.end(), 0);
    }

    #[test]
    fn who_is_not_there_is_no_obstacle() {
        let machine = Machine::new();
        let mut command = machine.command(json!({}));
        command.env("NOTIFY_SOCKET", machine.path("notify.sock"));
        let mut edged = Edged::start(command);
        edged.wait_for("the function ");
        edged.signal(Signal::TERM);
        assert_eq!(edged.end(), 0);
    }

    #[test]
    fn the_unit_is_one() {
        let machine = Machine::new();
        let edged = tests::binaries::program("shellrt-edged");
        let file = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../shellrt-edge/systemd/shellrt-edged@.service"
        );
        let unit = fs::read_to_string(file).unwrap();
        let unit = unit.replace("/usr/local/bin/shellrt-edged", edged.to_str().unwrap());
        let path = machine.path("shellrt-edged@silverline.service");
        fs::write(&path, unit).unwrap();
        let mut verify = Command::new("systemd-analyze");
        let Ok(verified) = verify.arg("verify").arg(&path).output() else {
            assert!(
                std::env::var_os("CI").is_none(),
                "systemd-analyze is missing"
            );
            return eprintln!("ignored: there is no systemd-analyze");
        };
        let said = String::from_utf8_lossy(&verified.stderr);
        assert!(verified.status.success() && said.is_empty(), "{said}");
    }
}

mod status {
    use super::*;

    #[test]
    fn over_a_unix_socket_and_a_port() {
        let machine = Machine::new();
        let (mut edged, unix) = machine.start();
        let mode = fs::metadata(machine.path("status.sock")).unwrap();
        assert!(mode.file_type().is_socket());
        assert_eq!(mode.permissions().mode() & 0o777, 0o660);
        let other = Machine::new();
        let second = Edged::start(other.command(json!({ "status": "127.0.0.1:0" })));
        let port = second.wait_for("the status is served at ");
        for (daemon, url) in [(&edged, &unix), (&second, &port)] {
            let answer = get(url, "/");
            assert_eq!(answer.status, 200, "{answer:?}");
            assert!(
                answer.head.contains("content-type: application/json"),
                "{answer:?}"
            );
            let status: Value = serde_json::from_str(&answer.body).unwrap();
            assert_eq!(status["daemon"]["version"], "0.1.0", "{status}");
            assert_eq!(status["daemon"]["pid"], daemon.pid(), "{status}");
            assert_eq!(status["modules"], json!([]), "{status}");
            let links = status["links"].as_array().unwrap();
            assert_eq!(links.len(), 1, "{status}");
            assert!(links[0]["connected"].is_boolean(), "{status}");
            let health = get(url, "/healthz?x=1");
            assert_eq!((health.status, health.body.as_str()), (200, "ok\n"));
        }
        // One that was killed leaves its socket, and the next one takes its place.
        edged.signal(Signal::KILL);
        edged.end();
        assert!(machine.path("status.sock").exists());
        let (_edged, unix) = machine.start();
        assert_eq!(get(&unix, "/healthz").status, 200);
    }

    #[test]
    fn what_is_not_there_and_what_is_too_much() {
        let machine = Machine::new();
        let (_edged, url) = machine.start();
        assert_eq!(get(&url, "/modules").status, 404);
        let post = ask(
            &url,
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999\r\n\r\nx",
        );
        assert_eq!(post.status, 405);
        assert!(post.head.contains("allow: get, head"), "{post:?}");
        let head = ask(&url, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!((head.status, head.body.as_str()), (200, ""));
        let long = format!(
            "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
            "x".repeat(100_000)
        );
        assert_eq!(ask(&url, &long).status, 431);
        assert_eq!(ask(&url, "\u{1}\u{2}\r\n\r\n").status, 400);
    }

    #[test]
    fn clients_that_say_nothing_keep_nobody_out_for_long() {
        let machine = Machine::new();
        let (_edged, url) = machine.start();
        let begin = Instant::now();
        let mut silent: Vec<_> = (0..40).map(|_| connect(&url)).collect();
        silent[0].write_all(b"GET / HT").unwrap();
        assert_eq!(get(&url, "/healthz").status, 200);
        // They come in sixteens, each of which has five seconds for a request.
        let took = begin.elapsed();
        let expected = Duration::from_secs(9)..Duration::from_secs(19);
        assert!(expected.contains(&took), "{took:?}");
    }

    #[test]
    fn prometheus_reads_it() {
        let machine = Machine::new();
        let (_edged, url) = machine.start();
        let answer = get(&url, "/metrics");
        assert_eq!(answer.status, 200);
        let kind = "content-type: text/plain; version=0.0.4";
        assert!(answer.head.contains(kind), "{answer:?}");
        let value = |name: &str| {
            let line = answer.body.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_else(|| panic!("{name} in {}", answer.body))
                .trim()
                .to_owned()
        };
        assert_eq!(value("shellrt_edge_build_info{version=\"0.1.0\"}"), "1");
        assert_eq!(value("shellrt_edge_modules{stage=\"running\"}"), "0");
        let check = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let Ok(mut check) = check else {
            return eprintln!("not checked by promtool, which is not there");
        };
        let mut stdin = check.stdin.take().unwrap();
        stdin.write_all(answer.body.as_bytes()).unwrap();
        drop(stdin);
        let checked = check.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&checked.stderr);
        assert!(
            checked.status.success() && said.is_empty(),
            "{said}\n{}",
            answer.body
        );
    }

    #[test]
    fn only_for_this_machine() {
        let machine = Machine::new();
        for (address, why) in [
            ("0.0.0.0:0", "is no address of the loopback device"),
            ("[::]:9464", "is no address of the loopback device"),
            ("example.org:80", "is no address for the status"),
            ("unix:status.sock", "is no address for the status"),
            ("unix:/nowhere/status.sock", "can't be served"),
        ] {
            let mut edged = Edged::start(machine.command(json!({ "status": address })));
            assert_eq!(edged.end(), 1, "{address}");
            let error = edged.messages().pop().unwrap();
            assert!(error.contains(address) && error.contains(why), "{error}");
        }
    }

    #[test]
    fn the_socket_of_a_daemon_that_runs_is_its_own() {
        let machine = Machine::new();
        let (edged, url) = machine.start();
        let mut second = Edged::start(machine.command(json!({ "status": url })));
        assert_eq!(second.end(), 1);
        assert!(second.messages().pop().unwrap().contains("can't be served"));
        assert_eq!(get(&url, "/healthz").status, 200);
        drop(edged);
    }
}

mod check {
    use super::*;

    /// What it prints of a settings file, and its exit status.
    fn check(machine: &Machine, settings: &str) -> (String, i32) {
        fs::write(machine.path("settings.yaml"), settings).unwrap();
        let dir = machine.dir.path().to_str().unwrap();
        let checked = Edged::command(&["check", "--config", dir])
            .output()
            .unwrap();
        let printed = String::from_utf8(checked.stdout).unwrap();
        (printed, checked.status.code().unwrap())
    }

    #[test]
    fn it_names_what_is_wrong_and_starts_nothing() {
        let machine = Machine::new();
        let (printed, status) = check(&machine, "mqtt: [\n");
        assert_eq!(status, 1);
        assert!(printed.starts_with("error: "), "{printed}");
        let (printed, status) = check(&machine, "strange_key: 1\n");
        let strange = |line: &str| line.starts_with("warning: ") && line.contains("strange_key");
        assert!(printed.to_lowercase().lines().any(strange), "{printed}");
        let errors = printed.lines().filter(|line| line.starts_with("error: "));
        assert_eq!(status, i32::from(errors.count() > 0), "{printed}");
    }
}
