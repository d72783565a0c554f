//! The document as a whole, run by a real runc: what a program in the container sees.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{json, Value};

use super::{Case, Host, User};

const BUSYBOX: &str = "/bin/busybox";

/// A directory with a root file system of busybox, and what else the containers of a test need.
struct Bundle {
    dir: tempfile::TempDir,
    name: String,
}

impl Bundle {
    /// `None` where this can't be tried, which is printed; with `CI=true` it is a failure.
    fn new() -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        if let Some(missing) = missing() {
            let is_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
            assert!(!is_ci, "{missing}");
            println!("ignored: {missing}");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("rootfs");
        for place in ["bin", "etc", "tmp", "srv"] {
            fs::create_dir_all(root.join(place)).unwrap();
        }
        fs::copy(BUSYBOX, root.join("bin/busybox")).unwrap();
        symlink("busybox", root.join("bin/sh")).unwrap();
        for name in ["resolv.conf", "hosts", "hostname"] {
            fs::write(dir.path().join(name), format!("{name} of the container\n")).unwrap();
        }
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("shellrt-spec-{}-{number}", std::process::id());
        Some(Bundle { dir, name })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A container of this config on this machine, which runs `script`.
    fn case(&self, config: Value, script: &str) -> Case {
        let mut case = Case::new(config);
        case.host = Host::read(None);
        // A root-owned group that this machine's systemd does not know of.
        case.host.systemd_cgroup = false;
        case.image = json!({"Entrypoint": ["/bin/sh", "-c"], "Cmd": [script]});
        case.files = ["resolv.conf", "hosts", "hostname"].map(|name| self.path(name));
        case
    }

    /// What the container of `case` writes to stdout.
    fn run(&self, case: &Case) -> String {
        let mut document = case.json();
        document["linux"]["cgroupsPath"] = format!("/{}", self.name).into();
        fs::write(self.path("config.json"), document.to_string()).unwrap();
        let output = self
            .runc(&[
                "run",
                "--bundle",
                self.dir.path().to_str().unwrap(),
                &self.name,
            ])
            .output()
            .unwrap();
        let (out, err) = (output.stdout, output.stderr);
        let (out, err) = (String::from_utf8_lossy(&out), String::from_utf8_lossy(&err));
        assert!(
            output.status.success(),
            "{}: {out}{err}\n{document:#}",
            output.status
        );
        out.into_owned()
    }

    fn runc(&self, args: &[&str]) -> Command {
        let mut command = Command::new("runc");
        command.arg("--root").arg(self.path("runc")).args(args);
        command
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        // After a success there is nothing to delete, and that is no error.
        let _ = self.runc(&["delete", "--force", &self.name]).output();
    }
}

fn missing() -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        return Some("containers need root");
    }
    if Command::new("runc").arg("--version").output().is_err() {
        return Some("runc is not installed");
    }
    (!Path::new(BUSYBOX).exists()).then_some("busybox-static is not installed")
}

/// Lines `name: value` or `name=value` as a map.
fn fields(text: &str) -> BTreeMap<&str, &str> {
    let pairs = text.lines().filter_map(|line| line.split_once([':', '=']));
    pairs.map(|(name, value)| (name, value.trim())).collect()
}

/// The capabilities of a process that has docker's default, as it shows them.
const DOCKER: &str = "00000000a80425fb";

#[test]
fn what_root_has_in_a_container() {
    let Some(bundle) = Bundle::new() else { return };
    let script = "cat /proc/self/status
        echo files=$(ulimit -n)
        echo cwd=$(pwd)
        echo name=$(hostname)
        echo id=$(id -u):$(id -g):$(id -G)
        echo resolver=$(cat /etc/resolv.conf)
        echo table=$(cat /etc/hosts)
        for path in MASKED; do
            [ -d $path ] && echo masked:$path:$(ls $path | wc -l)
            [ -c $path ] && echo masked:$path:$(cat $path | wc -c)
        done
        echo settings=$(echo 1 2>&1 > /proc/sys/kernel/msgmax)
        echo sys=$(mkdir /sys/x 2>&1)
        echo users=$(busybox unshare -U true 2>&1)
        echo mount=$(mount -t tmpfs x /srv 2>&1)
        echo process=$$
        echo run=$(grep -c ' /run ' /proc/mounts)
        echo shm=$(grep ' /dev/shm ' /proc/mounts)
        echo dev=$(ls /dev | grep -v '^core$' | tr '\\n' ' ')
        for link in /proc/self/ns/*; do echo ns-$(basename $link)=$(readlink $link); done
        env | sed s/^/env-/";
    let masked = "/proc/acpi /proc/interrupts /proc/keys /proc/timer_list /sys/firmware";
    let script = script.replace("MASKED", masked);
    let mut case = bundle.case(json!({"working_dir": "/srv/made"}), &script);
    case.user.home = "/root".to_owned();
    case.env.insert("GIVEN".to_owned(), "a b".to_owned());
    case.image["Env"] = json!(["PATH=/bin", "IMAGE=yes"]);
    fs::create_dir(bundle.path("rootfs/root")).unwrap();
    let text = bundle.run(&case);
    let seen = fields(&text);

    for set in ["CapPrm", "CapEff", "CapBnd"] {
        assert_eq!(seen[set], DOCKER, "{set}");
    }
    for set in ["CapInh", "CapAmb"] {
        assert_eq!(seen[set], "0000000000000000", "{set}");
    }
    // 2 is a filter.
    assert_eq!(seen["Seccomp"], "2");
    assert_eq!(seen["NoNewPrivs"], "0");
    // No limit of our own, not the 1024 that other tools write.
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let files = files
        .current
        .map_or("unlimited".to_owned(), |files| files.to_string());
    assert_eq!(seen["files"], files);
    assert_eq!(seen["cwd"], "/srv/made");
    assert_eq!(seen["name"], case.host.name);
    assert_eq!(seen["id"], "0:0:0");
    assert_eq!(seen["resolver"], "resolv.conf of the container");
    assert_eq!(seen["table"], "hosts of the container");
    let machine = masked.split(' ').filter(|path| Path::new(path).exists());
    let expected: Vec<String> = machine.map(|path| format!("masked:{path}:0")).collect();
    let shown: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("masked:"))
        .collect();
    assert_eq!(shown, expected);
    assert!(seen["settings"].contains("Read-only"), "{text}");
    assert!(seen["sys"].contains("Read-only"), "{text}");
    // The filter refuses what the kernel would allow to everybody.
    assert!(seen["users"].contains("Operation not permitted"), "{text}");
    assert!(seen["mount"].contains("ermi"), "{text}");
    assert_eq!(seen["process"], "1");
    assert_eq!(seen["run"], "0");
    let shm = "shm /dev/shm tmpfs rw,nosuid,nodev,noexec,relatime,size=65536k";
    assert!(text.contains(&format!("shm={shm}")), "{text}");
    // A kernel with /proc/kcore has a link to it, too.
    assert_eq!(
        seen["dev"],
        "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero"
    );
    for (name, is_own) in [
        ("mnt", true),
        ("pid", true),
        ("ipc", true),
        ("uts", true),
        ("net", false),
        ("user", false),
        ("cgroup", case.host.cgroups.unified),
    ] {
        let ours = fs::read_link(format!("/proc/self/ns/{name}")).unwrap();
        let theirs = format!("ns-{name}={}", ours.display());
        assert_eq!(!text.contains(&theirs), is_own, "{name}: {text}");
    }
    for variable in ["PATH=/bin", "IMAGE=yes", "GIVEN=a b", "HOME=/root"] {
        assert!(
            text.contains(&format!("env-{variable}\n")),
            "{variable}: {text}"
        );
    }
    assert!(!text.contains("env-TERM"), "{text}");
}

#[test]
fn a_user_without_rights() {
    let Some(bundle) = Bundle::new() else { return };
    let script = "cat /proc/self/status; echo id=$(id -u):$(id -g):$(id -G)";
    let config = json!({"security_opt": ["no-new-privileges"], "cap_add": ["NET_ADMIN"]});
    let mut case = bundle.case(config, script);
    case.user = User {
        uid: 1000,
        gid: 1001,
        additional_gids: vec![29],
        home: "/".to_owned(),
    };
    let text = bundle.run(&case);
    let seen = fields(&text);
    assert_eq!(seen["CapEff"], "0000000000000000");
    assert_eq!(seen["CapPrm"], "0000000000000000");
    // docker's and bit 12.
    assert_eq!(seen["CapBnd"], "00000000a80435fb");
    assert_eq!(seen["NoNewPrivs"], "1");
    assert_eq!(seen["id"], "1000:1001:1001 29");
}

#[test]
fn a_privileged_container() {
    let Some(bundle) = Bundle::new() else { return };
    let script = "cat /proc/self/status
        echo users=$(busybox unshare -U true 2>&1)
        echo sys=$(grep -c ' /sys sysfs rw' /proc/mounts)
        echo masked=$(grep -c ' /proc/kcore ' /proc/mounts)
        echo kmsg=$(head -c 1 /dev/kmsg | wc -c)";
    let case = bundle.case(json!({"privileged": true}), script);
    let text = bundle.run(&case);
    let seen = fields(&text);
    let own = fs::read_to_string("/proc/self/status").unwrap();
    assert_eq!(seen["CapEff"], fields(&own)["CapBnd"]);
    assert_eq!(seen["Seccomp"], "0");
    assert_eq!(seen["users"], "");
    assert_eq!(seen["sys"], "1");
    assert_eq!(seen["masked"], "0");
    assert_eq!(seen["kmsg"], "1");
}

#[test]
fn limits_hold() {
    let Some(bundle) = Bundle::new() else { return };
    let script = "cd /sys/fs/cgroup
        echo soft=$(ulimit -Sn); echo hard=$(ulimit -Hn)
        echo memory=$(cat memory/memory.limit_in_bytes memory.max 2>/dev/null)
        echo both=$(cat memory/memory.memsw.limit_in_bytes 2>/dev/null)
        echo swap=$(cat memory.swap.max 2>/dev/null)
        echo quota=$(cat cpu/cpu.cfs_quota_us cpu.max 2>/dev/null)
        echo cpus=$(cat cpuset/cpuset.cpus cpuset.cpus 2>/dev/null)
        echo pids=$(cat pids/pids.max pids.max 2>/dev/null)";
    let config = json!({
        "mem_limit": "64m", "cpus": 0.5, "cpuset": "0", "pids_limit": 32,
        "ulimits": {"nofile": {"soft": 256, "hard": 512}},
    });
    let case = bundle.case(config, script);
    let text = bundle.run(&case);
    let seen = fields(&text);
    assert_eq!((seen["soft"], seen["hard"]), ("256", "512"));
    assert_eq!(seen["memory"], "67108864");
    let (both, swap, quota) = match (case.host.cgroups.unified, case.host.cgroups.swap) {
        (true, true) => ("", "67108864", "50000 100000"),
        (true, false) => ("", "", "50000 100000"),
        (false, true) => ("134217728", "", "50000"),
        (false, false) => ("", "", "50000"),
    };
    assert_eq!(
        (seen["both"], seen["swap"], seen["quota"]),
        (both, swap, quota)
    );
    assert_eq!(seen["cpus"], "0");
    assert_eq!(seen["pids"], "32");
}

#[test]
fn mounts_and_devices() {
    let Some(bundle) = Bundle::new() else { return };
    for (place, content) in [("given", "of the machine"), ("volume", "of the volume")] {
        fs::create_dir(bundle.path(place)).unwrap();
        fs::write(bundle.path(place).join("file"), content).unwrap();
    }
    // Devices that everybody could open here, but that no container has of itself.
    let devices = ["/dev/loop-control", "/dev/fuse", "/dev/net/tun"];
    let device = devices
        .into_iter()
        .find(|device| Path::new(device).exists())
        .unwrap();
    let script = "echo bind=$(cat /data/given/file)
        echo write=$(echo x 2>&1 > /data/given/file)
        echo volume=$(cat /data/volume/file; echo new > /data/volume/file)
        echo memory=$(grep ' /data tmpfs ' /proc/mounts)
        echo root=$(mkdir /x 2>&1)
        echo tmp=$(echo ok > /tmp/x; cat /tmp/x)
        echo node=$(ls -l /dev/own | tr -s ' ' | cut -d ' ' -f 5,6)
        echo read=$(head -c 1 /dev/own | wc -c)
        echo given-read=$( (: < /dev/given) 2>&1)
        echo given-write=$( (: > /dev/given) 2>&1)
        mkdir -p /tmp/d && mknod /tmp/d/mem c 1 1
        echo made=$(head -c 1 /tmp/d/mem 2>&1)";
    let config = json!({
        "read_only": true,
        "mounts": [
            {"type": "bind", "source": bundle.path("given"), "target": "/data/given",
             "read_only": true},
            {"type": "volume", "source": "v", "target": "/data/volume"},
            {"type": "tmpfs", "target": "/data", "tmpfs": {"size": "1m", "mode": "0700"}},
        ],
        "tmpfs": ["/tmp:dev"],
        "devices": ["/dev/zero:/dev/own", format!("{device}:/dev/given:r")],
    });
    fs::create_dir(bundle.path("rootfs/data")).unwrap();
    let mut case = bundle.case(config, script);
    case.volumes
        .insert("/data/volume".to_owned(), bundle.path("volume"));
    let text = bundle.run(&case);
    let seen = fields(&text);
    assert_eq!(seen["bind"], "of the machine");
    assert!(seen["write"].contains("Read-only"), "{text}");
    assert_eq!(seen["volume"], "of the volume");
    assert_eq!(
        fs::read_to_string(bundle.path("volume/file")).unwrap(),
        "new\n"
    );
    let memory = "tmpfs /data tmpfs rw,nosuid,nodev,noexec,relatime,size=1024k,mode=700";
    assert!(text.contains(&format!("memory={memory}")), "{text}");
    assert!(seen["root"].contains("Read-only"), "{text}");
    assert_eq!(seen["tmp"], "ok");
    assert_eq!(seen["node"], "1, 5");
    assert_eq!(seen["read"], "1");
    assert_eq!(seen["given-read"], "");
    assert!(seen["given-write"].contains("not permitted"), "{text}");
    // A node can be made, as with docker, but the memory of the machine can't be read.
    assert!(seen["made"].contains("not permitted"), "{text}");
}

#[test]
fn a_network_of_its_own() {
    let Some(bundle) = Bundle::new() else { return };
    let script = "echo name=$(hostname)
        echo port=$(cat /proc/sys/net/ipv4/ip_unprivileged_port_start)
        echo ping=$(cat /proc/sys/net/ipv4/ping_group_range | tr '\\t' ' ')
        echo messages=$(cat /proc/sys/kernel/msgmax)
        echo domain=$(cat /proc/sys/kernel/domainname)
        echo forward=$(cat /proc/sys/net/ipv4/ip_forward)
        echo devices=$(ls /sys/class/net | grep -vc '^lo$')
        echo write=$(echo 1 2>&1 > /proc/sys/kernel/msgmax)";
    let config = json!({"network": "none", "sysctls": {
        "kernel.msgmax": 4242, "kernel.domainname": "example.com", "net/ipv4/ip_forward": 1,
    }});
    let case = bundle.case(config, script);
    let text = bundle.run(&case);
    let seen = fields(&text);
    assert_eq!(seen["name"], "web-1");
    assert_eq!(seen["port"], "0");
    assert_eq!(seen["ping"], "0 2147483647");
    assert_eq!(seen["messages"], "4242");
    assert_eq!(seen["domain"], "example.com");
    assert_eq!(seen["forward"], "1");
    assert!(seen["write"].contains("Read-only"), "{text}");
}

/// What a user asks a filter for: one call is refused, the others are not.
#[test]
fn a_filter_of_ones_own() {
    let Some(bundle) = Bundle::new() else { return };
    let profile = bundle.path("profile.json");
    let rule = json!({"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28});
    let text = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]});
    fs::write(&profile, text.to_string()).unwrap();
    let options = json!([format!("seccomp={}", profile.display())]);
    let script = "echo made=$(mkdir /tmp/x 2>&1); echo users=$(busybox unshare -U true 2>&1)";
    let text = bundle.run(&bundle.case(json!({"security_opt": options}), script));
    // 28 is ENOSPC.
    assert!(text.contains("No space left"), "{text}");
    assert!(text.contains("users=\n"), "{text}");
}

/// Every capability and the machine's own namespaces: another document that runc must take.
#[test]
fn nothing_of_its_own() {
    let Some(bundle) = Bundle::new() else { return };
    let script = "for link in /proc/self/ns/*; do echo ns-$(basename $link)=$(readlink $link); done
        cat /proc/self/status";
    let config = json!({"pid": "host", "ipc": "host", "uts": "host", "cap_add": ["ALL"]});
    let case = bundle.case(config, script);
    let text = bundle.run(&case);
    for name in ["pid", "ipc", "uts", "net"] {
        let ours = fs::read_link(format!("/proc/self/ns/{name}")).unwrap();
        assert!(
            text.contains(&format!("ns-{name}={}\n", ours.display())),
            "{name}: {text}"
        );
    }
    assert_eq!(fields(&text)["Seccomp"], "2");
}
