//! A real name server (`dnsmasq`) that knows one name, for one test: own address, ended by its process id.

use std::net::{Ipv4Addr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running name server.
pub struct NameServer {
    child: Child,
    address: Ipv4Addr,
}

impl NameServer {
    /// One that says that `name` is 127.0.0.1; `None`, after saying why, where it can't be run.
    ///
    /// # Panics
    /// With `CI=true` where it can't be run, and where it does not listen within ten seconds.
    #[allow(
        clippy::print_stderr,
        reason = "that is where a test says why it did not run"
    )]
    pub fn start(name: &str) -> Option<NameServer> {
        // Name servers are asked at port 53 alone, so each test has an address of its own.
        let [_, high, middle, low] = std::process::id().to_be_bytes();
        let address = Ipv4Addr::new(127, 100 + (high & 15), middle, low.max(1));
        let started = Command::new("dnsmasq")
            .args([
                "--keep-in-foreground",
                "--conf-file=/dev/null",
                "--no-hosts",
            ])
            .args([
                "--no-resolv",
                "--bind-interfaces",
                "--user=root",
                "--pid-file",
            ])
            .arg(format!("--listen-address={address}"))
            .arg(format!("--address=/{name}/127.0.0.1"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let child = match started {
            Ok(child) => child,
            Err(error) => {
                let is_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
                assert!(!is_ci, "dnsmasq: {error}; apt-get install dnsmasq-base");
                eprintln!("ignored: dnsmasq: {error}; apt-get install dnsmasq-base");
                return None;
            }
        };
        let mut server = NameServer { child, address };
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect((address, 53)).is_err() {
            let ended = server.child.try_wait().expect("its state");
            assert!(ended.is_none(), "dnsmasq ended: {ended:?}");
            assert!(Instant::now() < deadline, "dnsmasq does not listen");
            std::thread::sleep(Duration::from_millis(5));
        }
        Some(server)
    }

    /// Where it is.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
