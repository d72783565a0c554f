//! The arguments of `create` that only a `containerd` config has, named as docker names them.

use std::net::IpAddr;

use shellrt_api::v0::config::containerd::{
    Device, ExtraHost, PublishedPort, SecurityOpt, Signal, Swap, Tmpfs, Ulimit,
};
use shellrt_api::v0::config::{Bytes, Duration};

use super::super::mount::{self, Mount};
use super::super::value;

/// What only a `containerd` config has.
#[derive(Debug, Default, PartialEq, clap::Args)]
pub struct ContainerdFlags {
    /// Run this program instead of the image's, with what stands after "--" and without the image's
    /// arguments; "" for none
    #[arg(long, value_name = "PROGRAM")]
    pub entrypoint: Option<String>,

    /// Who the program runs as: "name", "uid", "name:group" or "uid:gid"
    #[arg(long, short, value_name = "USER")]
    pub user: Option<String>,

    /// Make the program a member of one more group
    #[arg(long, value_name = "GROUP")]
    pub group_add: Vec<String>,

    /// Where the program starts
    #[arg(long, short, value_name = "DIRECTORY")]
    pub workdir: Option<String>,

    /// Give the program a terminal
    #[arg(long, short)]
    pub tty: bool,

    /// Give the container a volume ("NAME:GUEST"), or a directory of this machine, which is made if
    /// it is missing ("/HOST:GUEST", "./HOST:GUEST"); -v is --verbose here
    #[arg(
        long = "volume",
        value_name = "SOURCE:GUEST[:ro]",
        value_parser = mount::volume
    )]
    pub volumes: Vec<Mount>,

    /// Give the container a memory file system, as "/path" or "/path:size=64m,mode=1777"
    #[arg(long, value_name = "GUEST[:OPTIONS]")]
    pub tmpfs: Vec<Tmpfs>,

    /// Give the container a device, as "/dev/x", "/dev/x:/dev/y" or "/dev/x:/dev/y:rwm", or one of the
    /// Container Device Interface, as "vendor.com/class=name"
    #[arg(long = "device", value_name = "DEVICE")]
    pub devices: Vec<Device>,

    /// Make the root file system read-only
    #[arg(long)]
    pub read_only: bool,

    /// Add a capability, or "ALL"
    #[arg(long, value_name = "CAPABILITY")]
    pub cap_add: Vec<String>,

    /// Take a capability away, or "ALL"
    #[arg(long, value_name = "CAPABILITY")]
    pub cap_drop: Vec<String>,

    /// Give the container everything the machine has
    #[arg(long)]
    pub privileged: bool,

    /// "no-new-privileges", "seccomp=unconfined", "seccomp=/profile.json" or "apparmor=NAME"
    #[arg(long, value_name = "OPTION")]
    pub security_opt: Vec<SecurityOpt>,

    /// Set a kernel parameter of the container's own
    #[arg(long = "sysctl", value_name = "NAME=VALUE", value_parser = value::sysctl)]
    pub sysctls: Vec<(String, String)>,

    /// Limit each process, as in "nofile=1024" or "nofile=1024:4096"; -1 for no limit
    #[arg(
        long = "ulimit",
        value_name = "NAME=SOFT[:HARD]",
        value_parser = value::ulimit
    )]
    pub ulimits: Vec<(String, Ulimit)>,

    /// Add an annotation of the OCI runtime specification
    #[arg(
        long = "annotation",
        value_name = "KEY=VALUE",
        value_parser = value::label
    )]
    pub annotations: Vec<(String, String)>,

    /// What memory and swap together may grow to, in bytes or as "128m"; -1 for no limit of the swap
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true)]
    pub memory_swap: Option<Swap>,

    /// What the kernel leaves it when memory is short, in bytes or as "32m"
    #[arg(long, value_name = "SIZE")]
    pub memory_reservation: Option<Bytes>,

    /// Its weight where processors are short, 2 to 262144
    #[arg(long, value_name = "SHARES")]
    pub cpu_shares: Option<u64>,

    /// The processors on which it may run, as in "0-3,5"
    #[arg(long, value_name = "SET")]
    pub cpuset_cpus: Option<String>,

    /// How many processes and threads it may have; -1 for no limit
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pub pids_limit: Option<i64>,

    /// How soon the kernel kills it when memory is short, -1000 to 1000
    #[arg(long, value_name = "SCORE", allow_negative_numbers = true)]
    pub oom_score_adj: Option<i32>,

    /// The size of /dev/shm, in bytes or as "64m"
    #[arg(long, value_name = "SIZE")]
    pub shm_size: Option<Bytes>,

    /// What asks it to end, as "SIGTERM" or 15
    #[arg(long, value_name = "SIGNAL")]
    pub stop_signal: Option<Signal>,

    /// How long "restart" lets it take to end, in seconds or as "1m30s"
    #[arg(long, value_name = "DURATION")]
    pub stop_timeout: Option<Duration>,

    /// What tells whether it is well: a line for the container's shell
    #[arg(long, value_name = "LINE", conflicts_with = "no_healthcheck")]
    pub health_cmd: Option<String>,

    /// How long to wait between two checks; the caller of "health" does
    #[arg(long, value_name = "DURATION", conflicts_with = "no_healthcheck")]
    pub health_interval: Option<Duration>,

    /// How long a check may take
    #[arg(long, value_name = "DURATION", conflicts_with = "no_healthcheck")]
    pub health_timeout: Option<Duration>,

    /// How many failures in a row make it unhealthy
    #[arg(long, value_name = "NUMBER", conflicts_with = "no_healthcheck")]
    pub health_retries: Option<u32>,

    /// How long after its start failures do not count
    #[arg(long, value_name = "DURATION", conflicts_with = "no_healthcheck")]
    pub health_start_period: Option<Duration>,

    /// Have no check, even where the image has one
    #[arg(long)]
    pub no_healthcheck: bool,

    /// Its network: "bridge", "host", "none" or the name of a CNI network
    #[arg(long, visible_alias = "net", value_name = "NETWORK")]
    pub network: Option<String>,

    /// Publish a port, as "80", "8080:80", "127.0.0.1:8080:80/udp" or "8000-8010:8000-8010"
    #[arg(
        long = "publish",
        short = 'p',
        value_name = "[[ADDRESS:]PORT:]PORT[/PROTOCOL]"
    )]
    pub ports: Vec<PublishedPort>,

    /// Ask this name server; --dns is for "wasm" here
    #[arg(long = "dns-server", value_name = "ADDRESS")]
    pub dns_servers: Vec<IpAddr>,

    /// Look for names in this domain; "." for none
    #[arg(long, value_name = "DOMAIN")]
    pub dns_search: Vec<String>,

    /// Let the container know a name, as "name:address"; "host-gateway" is the machine's address
    #[arg(long = "add-host", value_name = "NAME:ADDRESS")]
    pub extra_hosts: Vec<ExtraHost>,

    /// Its host name; -h is --help here
    #[arg(long, value_name = "NAME")]
    pub hostname: Option<String>,

    /// Whose processes it sees: "host" or "private"
    #[arg(long, value_name = "NAMESPACE")]
    pub pid: Option<value::Namespace>,

    /// Whose shared memory it sees: "host" or "private"
    #[arg(long, value_name = "NAMESPACE")]
    pub ipc: Option<value::Namespace>,

    /// Whose host name it has: "host" or "private"
    #[arg(long, value_name = "NAMESPACE")]
    pub uts: Option<value::Namespace>,

    /// Which of the image's platforms to run, as in "linux/arm64/v8"
    #[arg(long, value_name = "PLATFORM")]
    pub platform: Option<String>,

    /// containerd's runtime
    #[arg(long, value_name = "RUNTIME")]
    pub runtime: Option<String>,

    /// containerd's snapshotter
    #[arg(long, value_name = "SNAPSHOTTER")]
    pub snapshotter: Option<String>,
}
