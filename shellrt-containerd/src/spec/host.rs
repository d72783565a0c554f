//! What the machine can do for a container.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What the machine can do for a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Its host name.
    pub name: String,
    /// The processor, as Go and OCI spell it: `amd64`, `arm64`, `arm`, ...
    pub architecture: String,
    /// The first two numbers of the kernel's version.
    pub kernel: (u32, u32),
    /// The capabilities that a container can have, as bits of the kernel's numbers.
    pub capabilities: u64,
    /// Whether the kernel can filter system calls.
    pub seccomp: bool,
    /// The names of the loaded AppArmor profiles; `None` where AppArmor is not in force.
    pub apparmor: Option<BTreeSet<String>>,
    /// The processors that are online, by number.
    pub cpus: BTreeSet<u32>,
    /// The files that show when a processor is throttled.
    pub thermal: Vec<String>,
    /// The most files that a process may be allowed to open.
    pub max_open_files: u64,
    /// The hard limits of processes, by the names that a config has for them. Only who has the
    /// capability SYS_RESOURCE can raise them.
    pub hard_limits: BTreeMap<String, u64>,
    /// How soon the kernel kills what is not told otherwise. Only who has the capability
    /// SYS_RESOURCE can lower it.
    pub oom_score_adj: i32,
    /// The cgroups.
    pub cgroups: Cgroups,
    /// Whether systemd makes the cgroups. The runtime's option `SystemdCgroup` must say the same.
    pub systemd_cgroup: bool,
    /// What is mounted on the machine, in the order of the mounts.
    pub mounts: Vec<HostMount>,
}

/// The cgroups of a machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cgroups {
    /// Whether they are in the unified hierarchy (version 2).
    pub unified: bool,
    /// The controllers that a container's cgroup can have.
    pub controllers: BTreeSet<String>,
    /// Whether swap is counted.
    pub swap: bool,
    /// Whether the time on processors can be limited.
    pub quota: bool,
}

/// Something that is mounted on the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostMount {
    /// Where.
    pub target: PathBuf,
    /// Whether mounts below it are seen elsewhere.
    pub shared: bool,
    /// Whether mounts elsewhere are seen below it.
    pub slave: bool,
}

impl Host {
    /// Looks at the machine. `daemon` is the process that starts containers, where it is known: its
    /// capabilities and limits bound those of the containers.
    pub fn read(daemon: Option<i32>) -> Self {
        let uname = rustix::system::uname();
        let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
        let of_daemon = |file: &str| {
            let path = daemon.map(|pid| format!("/proc/{pid}/{file}"));
            let text = path.and_then(|path| fs::read_to_string(path).ok());
            text.unwrap_or_else(|| read(&format!("/proc/self/{file}")))
        };
        let status = of_daemon("status");
        let mountinfo = read("/proc/self/mountinfo");
        let cgroups = Cgroups::read(&mountinfo);
        // As docker and nerdctl have it: with version 1, systemd and the others share the
        // hierarchies well enough, and field devices with it are old.
        let systemd_cgroup = cgroups.unified && Path::new("/run/systemd/system").is_dir();
        Host {
            name: text(uname.nodename()),
            architecture: architecture(&text(uname.machine())),
            kernel: kernel(&text(uname.release())),
            capabilities: field(&status, "CapBnd:")
                .and_then(|bits| u64::from_str_radix(bits, 16).ok())
                .unwrap_or(0),
            seccomp: field(&status, "Seccomp:").is_some(),
            apparmor: apparmor(),
            cpus: cpu_list(read("/sys/devices/system/cpu/online").trim()).unwrap_or_default(),
            thermal: thermal(),
            max_open_files: read("/proc/sys/fs/nr_open")
                .trim()
                .parse()
                .unwrap_or(u64::MAX),
            hard_limits: hard_limits(&of_daemon("limits")),
            oom_score_adj: of_daemon("oom_score_adj").trim().parse().unwrap_or(0),
            cgroups,
            systemd_cgroup,
            mounts: mounts(&mountinfo),
        }
    }

    /// Whether the kernel is `version` or newer.
    pub fn has_kernel(&self, version: (u32, u32)) -> bool {
        self.kernel >= version
    }
}

impl Cgroups {
    fn read(mountinfo: &str) -> Self {
        let unified = fs::read_to_string("/sys/fs/cgroup/cgroup.controllers");
        match unified {
            Ok(controllers) => Cgroups {
                unified: true,
                controllers: controllers.split_whitespace().map(str::to_owned).collect(),
                swap: counts_swap(),
                // Every kernel whose controller `cpu` is in the unified hierarchy of a distribution
                // has it; a cgroup without would be refused by the runtime, in words.
                quota: true,
            },
            Err(_) => {
                let hierarchies: Vec<(&str, &str)> = mountinfo.lines().filter_map(v1).collect();
                let has = |controller: &str, file: &str| {
                    hierarchies.iter().any(|(target, options)| {
                        options.split(',').any(|option| option == controller)
                            && Path::new(target).join(file).exists()
                    })
                };
                let options = hierarchies
                    .iter()
                    .flat_map(|(_, options)| options.split(','));
                Cgroups {
                    unified: false,
                    swap: has("memory", "memory.memsw.limit_in_bytes"),
                    quota: has("cpu", "cpu.cfs_quota_us"),
                    controllers: options.map(str::to_owned).collect(),
                }
            }
        }
    }
}

/// Where a hierarchy of version 1 is mounted, and its options, among them the controllers.
fn v1(line: &str) -> Option<(&str, &str)> {
    let (before, after) = line.split_once(" - ")?;
    let mut after = after.split(' ');
    if after.next() != Some("cgroup") {
        return None;
    }
    Some((before.split(' ').nth(4)?, after.nth(1)?))
}

/// Whether swap is counted in the unified hierarchy. The root has no limits of its own, so a cgroup
/// with the controller is looked for: ours, or one at the top.
fn counts_swap() -> bool {
    let root = Path::new("/sys/fs/cgroup");
    let own = read("/proc/self/cgroup");
    let own = own.lines().find_map(|line| line.strip_prefix("0::/"));
    let own = own.map(|own| root.join(own));
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    let mut all = own.into_iter().chain(entries.map(|entry| entry.path()));
    match all.find(|cgroup| cgroup.join("memory.max").exists()) {
        Some(cgroup) => cgroup.join("memory.swap.max").exists(),
        None => Path::new("/proc/swaps").exists(),
    }
}

/// The processor as Go and OCI spell it. A 32-bit program on a 64-bit kernel is no exception: the
/// filter of system calls is for the kernel.
pub(super) fn architecture(machine: &str) -> String {
    let name = match machine {
        "x86_64" => "amd64",
        "i386" | "i486" | "i586" | "i686" => "386",
        "aarch64" => "arm64",
        arm if arm.starts_with("arm") => "arm",
        "loongarch64" => "loong64",
        "mips64" if cfg!(target_endian = "little") => "mips64le",
        "mips" if cfg!(target_endian = "little") => "mipsle",
        other => other,
    };
    name.to_owned()
}

/// The first two numbers of a version like `6.1.0-18-amd64` or `3.12-1`.
pub(super) fn kernel(release: &str) -> (u32, u32) {
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map_while(|number| number.parse().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// The hard limits in the text of /proc/PID/limits.
pub(super) fn hard_limits(text: &str) -> BTreeMap<String, u64> {
    let names = [
        ("core", "Max core file size"),
        ("cpu", "Max cpu time"),
        ("data", "Max data size"),
        ("fsize", "Max file size"),
        ("locks", "Max file locks"),
        ("memlock", "Max locked memory"),
        ("msgqueue", "Max msgqueue size"),
        ("nice", "Max nice priority"),
        ("nofile", "Max open files"),
        ("nproc", "Max processes"),
        ("rss", "Max resident set"),
        ("rtprio", "Max realtime priority"),
        ("rttime", "Max realtime timeout"),
        ("sigpending", "Max pending signals"),
        ("stack", "Max stack size"),
    ];
    let limits = names.into_iter().filter_map(|(name, title)| {
        let hard = field(text, title)?.split_whitespace().nth(1)?;
        let hard = match hard {
            "unlimited" => u64::MAX,
            number => number.parse().ok()?,
        };
        Some((name.to_owned(), hard))
    });
    limits.collect()
}

/// The names of the loaded profiles. Who may not read them sees none.
fn apparmor() -> Option<BTreeSet<String>> {
    let enabled = read("/sys/module/apparmor/parameters/enabled").starts_with('Y');
    let place = Path::new("/sys/kernel/security/apparmor");
    if !enabled || !place.exists() {
        return None;
    }
    let text = fs::read_to_string(place.join("profiles")).unwrap_or_default();
    Some(profiles(&text))
}

/// The names in a list of profiles, each with its mode in brackets.
pub(super) fn profiles(text: &str) -> BTreeSet<String> {
    let names = text.lines().filter_map(|line| line.rsplit_once(" ("));
    names.map(|(name, _mode)| name.to_owned()).collect()
}

/// The files of GHSA-6fw5-f8r9-fgfm: they tell a container what others compute.
fn thermal() -> Vec<String> {
    let possible = read("/sys/devices/system/cpu/possible");
    let cpus = cpu_list(possible.trim()).unwrap_or_default();
    cpus.into_iter()
        .map(|cpu| format!("/sys/devices/system/cpu/cpu{cpu}/thermal_throttle"))
        .filter(|path| Path::new(path).exists())
        .collect()
}

/// Reads a list of processors like `0-3,5`.
pub(super) fn cpu_list(text: &str) -> Option<BTreeSet<u32>> {
    let mut cpus = BTreeSet::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        // No machine has so many; a typo should not fill the memory.
        if first > last || last > 65_535 {
            return None;
        }
        cpus.extend(first..=last);
    }
    Some(cpus)
}

/// What is mounted, from the text of /proc/self/mountinfo.
pub(super) fn mounts(mountinfo: &str) -> Vec<HostMount> {
    let mounts = mountinfo.lines().filter_map(|line| {
        let (before, _) = line.split_once(" - ")?;
        let mut fields = before.split(' ');
        let target = unescape(fields.nth(4)?);
        let optional: Vec<&str> = fields.skip(1).collect();
        let has = |prefix| optional.iter().any(|field| field.starts_with(prefix));
        Some(HostMount {
            target: PathBuf::from(target),
            shared: has("shared:"),
            slave: has("master:"),
        })
    });
    mounts.collect()
}

/// The kernel writes the characters that would end a field as three octal digits.
fn unescape(field: &str) -> String {
    let field = field.replace("\\040", " ").replace("\\011", "\t");
    field.replace("\\012", "\n").replace("\\134", "\\")
}

/// The rest of the line of `text` that begins with `name`.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = text.lines();
    lines
        .find_map(|line| line.strip_prefix(name))
        .map(str::trim)
}

/// A file of the kernel; empty where this kernel has none.
fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}
