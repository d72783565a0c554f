//! Ports of the machine that lead to modules: reached, refused, given back.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{json, Value};
use tests::network::left_of;
use tests::plugin::until;
use tests::shellrt::Shellrt;

use super::names::{address, networked};
use super::{assert_nothing_left, remove, FOREVER};

/// Answers every request with its own name.
pub(super) const SERVE: &str =
    "mkdir /www; hostname > /www/index.html; exec busybox httpd -f -p 80 -h /www";

/// A port that nobody has in this moment.
pub(super) fn free_port() -> u16 {
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// What a web server answers; nothing where there is none.
pub(super) fn get(address: IpAddr, port: u16) -> Option<String> {
    let address = SocketAddr::new(address, port);
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    text.split("\r\n\r\n").nth(1).map(str::to_owned)
}

/// An address of this machine that others know.
fn own_address() -> IpAddr {
    // Nothing is sent: the kernel only chooses the address that it would use.
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect("192.0.2.99:9").unwrap();
    socket.local_addr().unwrap().ip()
}

pub(super) fn local() -> IpAddr {
    IpAddr::from([127, 0, 0, 1])
}

/// A start that fails, with its words.
pub(super) fn refused(shellrt: &Shellrt, name: &str) -> String {
    let answer = shellrt.ask(&json!({"_type": "start", "name": name})).object;
    assert_eq!(answer["code"], 17, "{answer:?}");
    Value::Object(answer).to_string()
}

/// Everything of the machine's network that modules change.
fn machine(marks: &[&str]) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for command in [
        "iptables-save",
        "ip6tables-save",
        "ip netns list",
        "ip -o link",
        "find /var/lib/cni/networks -type f",
    ] {
        let output = Command::new("sh").args(["-c", command]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        lines.extend(text.lines().map(str::to_owned));
    }
    lines.retain(|line| marks.iter().any(|mark| line.contains(mark)));
    lines
}

#[test]
fn a_published_port_is_reached_and_given_back() {
    let Some((shellrt, _registry, image)) = networked() else {
        return;
    };
    let (both, one) = (free_port(), free_port());
    let ports = json!([
        format!("{both}:80"),
        format!("127.0.0.1:{one}:80/tcp"),
        "80",
        "80/udp"
    ]);
    shellrt.run("web", &image, SERVE, json!({ "ports": ports }));
    until("the port leads to the module", || {
        get(local(), both).as_deref() == Some("web\n")
    });
    assert_eq!(get(own_address(), both).as_deref(), Some("web\n"));
    assert_eq!(get(local(), one).as_deref(), Some("web\n"));
    assert_eq!(get(own_address(), one), None);
    let status = shellrt.module("status", "web");
    let ports = status["ports"].as_array().unwrap();
    assert_eq!(ports.len(), 4, "{status}");
    let port = |ip: &str, port: u16, protocol: &str| json!({"host_ip": ip, "host_port": port, "module_port": 80, "protocol": protocol});
    assert_eq!(ports[0], port("0.0.0.0", both, "tcp"));
    assert_eq!(ports[1], port("127.0.0.1", one, "tcp"));
    let chosen = u16::try_from(ports[2]["host_port"].as_u64().unwrap()).unwrap();
    assert_eq!(ports[2], port("0.0.0.0", chosen, "tcp"));
    assert_eq!(get(local(), chosen).as_deref(), Some("web\n"));
    assert_eq!(ports[3]["protocol"], "udp");

    // Other programs see that they are taken.
    for port in [both, chosen] {
        until("nobody else gets the port", || {
            TcpListener::bind(("0.0.0.0", port)).is_err()
        });
    }
    let udp = u16::try_from(ports[3]["host_port"].as_u64().unwrap()).unwrap();
    assert!(UdpSocket::bind(("0.0.0.0", udp)).is_err());

    let id = format!("-{}--web", shellrt.containerd.namespace());
    let ip = address(&shellrt, "web");
    let marks = [id.as_str(), &format!("{ip}/"), &format!("/{ip}")];
    assert!(!machine(&marks).is_empty());
    shellrt.module("restart", "web");
    until("a restarted module is reached", || {
        get(local(), both).as_deref() == Some("web\n")
    });
    let again = address(&shellrt, "web");
    remove(&shellrt, "web");
    for ip in [&ip, &again] {
        let marks = [id.as_str(), &format!("{ip}/"), &format!("/{ip}")];
        assert_eq!(machine(&marks), BTreeSet::new());
    }
    assert_nothing_left(&shellrt);
    for port in [both, one, chosen] {
        until("the port is free", || {
            TcpListener::bind(("0.0.0.0", port)).is_ok()
        });
        assert_eq!(get(local(), port), None);
    }
}

/// A socket in the network of a running module: busybox has no server for datagrams.
fn socket_of(shellrt: &Shellrt, module: &str, port: u16) -> UdpSocket {
    let mark = format!("-{}--{module}", shellrt.containerd.namespace());
    let mut namespaces = fs::read_dir("/run/netns").unwrap().flatten();
    let namespace = namespaces.find(|it| it.file_name().to_string_lossy().ends_with(&mark));
    let namespace = File::open(namespace.unwrap().path()).unwrap();
    let inside = std::thread::spawn(move || {
        let kind = Some(rustix::thread::LinkNameSpaceType::Network);
        rustix::thread::move_into_link_name_space(namespace.as_fd(), kind).unwrap();
        UdpSocket::bind(("0.0.0.0", port)).unwrap()
    });
    inside.join().unwrap()
}

#[test]
fn a_range_and_datagrams() {
    let Some((shellrt, _registry, image)) = networked() else {
        return;
    };
    // Three ports that follow each other and are free.
    let first = std::iter::repeat_with(free_port)
        .find(|first| {
            (1..3).all(|next| {
                let port = first.checked_add(next);
                port.is_some_and(|port| TcpListener::bind(("0.0.0.0", port)).is_ok())
            })
        })
        .unwrap();
    let udp = free_port();
    let serve = "for n in 1 2; do mkdir -p /www/$n; echo $n > /www/$n/index.html; \
                 busybox httpd -p 8$n -h /www/$n; done; while :; do sleep 1000; done";
    let ports = json!([
        format!("{first}-{}:80-82", first + 2),
        format!("127.0.0.1:{udp}:53/udp")
    ]);
    shellrt.run("many", &image, serve, json!({ "ports": ports }));
    for number in 1..3_u16 {
        let said = format!("{number}\n");
        until("the port leads to the module", || {
            get(local(), first + number).as_deref() == Some(&said)
        });
    }
    let (inside, outside) = (
        socket_of(&shellrt, "many", 53),
        UdpSocket::bind("127.0.0.1:0"),
    );
    let outside = outside.unwrap();
    for socket in [&inside, &outside] {
        let patience = Some(Duration::from_secs(20));
        socket.set_read_timeout(patience).unwrap();
    }
    outside.connect(("127.0.0.1", udp)).unwrap();
    outside.send(b"question").unwrap();
    let mut text = [0; 16];
    let (length, asker) = inside.recv_from(&mut text).unwrap();
    assert_eq!(text[..length], *b"question");
    inside.send_to(b"answer", asker).unwrap();
    let length = outside.recv(&mut text).unwrap();
    assert_eq!(text[..length], *b"answer");
    remove(&shellrt, "many");
    assert_nothing_left(&shellrt);
}

#[test]
fn a_port_that_somebody_has_is_refused() {
    let Some((shellrt, _registry, image)) = networked() else {
        return;
    };
    let port = free_port();
    let config = |text: String| json!({"ports": [text], "command": ["sh", "-c", FOREVER]});
    shellrt.create("late", &image, config(format!("{port}:80")));
    let before = shellrt.module("status", "late");

    // A program.
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let words = refused(&shellrt, "late");
    assert!(words.contains(&format!("0.0.0.0:{port}/tcp")), "{words}");
    assert!(words.contains("another program listens there"), "{words}");
    assert_eq!(shellrt.module("status", "late"), before);
    assert_eq!(left_of(shellrt.containerd.namespace()), [""; 0]);
    drop(listener);

    // Another module, at all addresses and at one.
    shellrt.create_only("early", &image, config(format!("127.0.0.1:{port}:80")));
    shellrt.module("start", "early");
    let words = refused(&shellrt, "late");
    assert!(
        words.contains("module \\\"early\\\" has the port"),
        "{words}"
    );
    shellrt.ok(&json!({"_type": "stop", "name": "early", "timeout": 0}));
    until("the port is free", || {
        TcpListener::bind(("0.0.0.0", port)).is_ok()
    });

    // A rule of another user of CNI, who has no socket.
    let chain = format!("SHELLRT-{}", std::process::id());
    let rule = format!("-p tcp -m tcp --dport {port} -j DNAT --to-destination 192.0.2.9:80");
    let iptables = |words: &str| {
        let line = format!("iptables -w -t nat {words}");
        assert!(Command::new("sh")
            .args(["-c", &line])
            .status()
            .unwrap()
            .success());
    };
    iptables(&format!("-N {chain}"));
    iptables(&format!("-A {chain} {rule}"));
    let words = refused(&shellrt, "late");
    iptables(&format!("-F {chain}"));
    iptables(&format!("-X {chain}"));
    assert!(words.contains("192.0.2.9:80"), "{words}");
    shellrt.module("start", "late");

    // An address that is another machine's.
    shellrt.create_only(
        "far",
        &image,
        config(format!("192.0.2.77:{}:80", free_port())),
    );
    let words = refused(&shellrt, "far");
    assert!(words.contains("the machine has no such address"), "{words}");
    for name in ["late", "early", "far"] {
        remove(&shellrt, name);
    }
    assert_nothing_left(&shellrt);
}

#[test]
fn twenty_modules_at_once_have_twenty_addresses() {
    let Some((shellrt, _registry, image)) = networked() else {
        return;
    };
    let names: Vec<String> = (0..20)
        .map(|number| format!("module-{number:02}"))
        .collect();
    shellrt.pull(&image);
    let command = json!({"command": ["sh", "-c", FOREVER], "ports": ["80"]});
    let (shellrt, command) = (&shellrt, &command);
    std::thread::scope(|scope| {
        for name in &names {
            let image = &image;
            scope.spawn(move || {
                shellrt.create_only(name, image, command.clone());
                shellrt.module("start", name);
            });
        }
    });
    let addresses: BTreeSet<String> = names.iter().map(|name| address(shellrt, name)).collect();
    assert_eq!(addresses.len(), 20, "{addresses:?}");
    let list = shellrt.ok(&json!({"_type": "list", "details": true}));
    let ports: BTreeSet<u64> = names
        .iter()
        .map(|name| &list["details"][name]["ports"][0]["host_port"])
        .map(|port| port.as_u64().unwrap())
        .collect();
    assert_eq!(ports.len(), 20, "{list}");
    std::thread::scope(|scope| {
        for name in &names {
            scope.spawn(move || remove(shellrt, name));
        }
    });
    assert_nothing_left(shellrt);
}

#[test]
fn a_network_with_both_versions_of_ip() {
    let Some((shellrt, _registry, image)) = networked() else {
        return;
    };
    if !Path::new("/proc/net/if_inet6").exists() {
        return;
    }
    let network = json!({"cniVersion": "1.0.0", "name": "dual", "plugins": [
        {"type": "bridge", "bridge": format!("srt7-{}", std::process::id() % 10_000),
         "isGateway": true, "ipMasq": true, "ipam": {
            "type": "host-local", "dataDir": shellrt.files().join("addresses"),
            "ranges": [[{"subnet": "10.62.7.0/29"}], [{"subnet": "fd62:7::/64"}]],
            "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}],
        }},
        {"type": "portmap", "capabilities": {"portMappings": true}},
    ]});
    fs::create_dir_all(shellrt.networks()).unwrap();
    fs::write(
        shellrt.networks().join("dual.conflist"),
        network.to_string(),
    )
    .unwrap();
    let (both, six) = (free_port(), free_port());
    let ports = json!([format!("{both}:80"), format!("[::]:{six}:80")]);
    let serve = SERVE.replace("-p 80", "-p [::]:80");
    let config = json!({"network": "dual", "ports": ports});
    shellrt.run("web", &image, &serve, config);
    let status = shellrt.module("status", "web");
    let ips: Vec<&str> = status["networks"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|network| network["ip"].as_str())
        .collect();
    assert_eq!(ips, ["10.62.7.2", "fd62:7::2"], "{status}");
    let hosts: Vec<&Value> = status["ports"]
        .as_array()
        .unwrap()
        .iter()
        .map(|port| &port["host_ip"])
        .collect();
    assert_eq!(hosts, ["0.0.0.0", "::", "::"], "{status}");
    // The machine's own addresses in the network.
    let (four_way, six_way) = ("10.62.7.1".parse().unwrap(), "fd62:7::1".parse().unwrap());
    for (address, port) in [(four_way, both), (six_way, both), (six_way, six)] {
        until("the port leads to the module", || {
            get(address, port).as_deref() == Some("web\n")
        });
    }
    assert_eq!(get(four_way, six), None);
    remove(&shellrt, "web");
    assert_nothing_left(&shellrt);
}
