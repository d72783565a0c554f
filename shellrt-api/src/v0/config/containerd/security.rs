//! What protects the machine from a container: security options and the names of capabilities.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::text::{self, ParseError};

/// A security option, in JSON as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecurityOpt {
    /// `"no-new-privileges"`, also `"no-new-privileges:true"` and `:false`: whether set-user-id
    /// programs and the like have no effect.
    NoNewPrivileges(bool),
    /// `"seccomp=unconfined"`: every system call is allowed.
    SeccompUnconfined,
    /// `"seccomp=/path/profile.json"`: docker's format of rules, read at `create`.
    Seccomp(PathBuf),
    /// `"apparmor=NAME"`: a profile that is loaded on the machine, or `unconfined`.
    AppArmor(String),
    /// `"label=..."`: SELinux labels.
    Label(String),
}

impl FromStr for SecurityOpt {
    type Err = ParseError;

    /// Between name and value stands `=`, or `:` as older files have it.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let (name, value) = match text.split_once(['=', ':']) {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        match (name, value) {
            ("no-new-privileges", None | Some("true")) => Ok(SecurityOpt::NoNewPrivileges(true)),
            ("no-new-privileges", Some("false")) => Ok(SecurityOpt::NoNewPrivileges(false)),
            ("seccomp", Some("unconfined")) => Ok(SecurityOpt::SeccompUnconfined),
            ("seccomp", Some(path)) if path.starts_with('/') => {
                Ok(SecurityOpt::Seccomp(path.into()))
            }
            ("apparmor", Some(name)) if !name.is_empty() => {
                Ok(SecurityOpt::AppArmor(name.to_owned()))
            }
            ("label", Some(label)) if !label.is_empty() => Ok(SecurityOpt::Label(label.to_owned())),
            _ => Err(ParseError::new(format!(
                "{text:?} is no security option; use \"no-new-privileges\", \
                 \"seccomp=unconfined\", \"seccomp=/path/profile.json\" or \"apparmor=NAME\""
            ))),
        }
    }
}

impl fmt::Display for SecurityOpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecurityOpt::NoNewPrivileges(true) => f.write_str("no-new-privileges"),
            SecurityOpt::NoNewPrivileges(false) => f.write_str("no-new-privileges:false"),
            SecurityOpt::SeccompUnconfined => f.write_str("seccomp=unconfined"),
            SecurityOpt::Seccomp(path) => write!(f, "seccomp={}", path.display()),
            SecurityOpt::AppArmor(name) => write!(f, "apparmor={name}"),
            SecurityOpt::Label(label) => write!(f, "label={label}"),
        }
    }
}

impl Serialize for SecurityOpt {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        output.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SecurityOpt {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        text::parsed(input, "a security option like \"no-new-privileges\"")
    }
}

/// Linux's capabilities in the order of their numbers, as in `linux/capability.h`.
pub const CAPABILITIES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// The full name of a capability that is written with or without `CAP_`, in any case; `None` where
/// there is no such capability. `ALL` is none of them.
pub fn capability(name: &str) -> Option<&'static str> {
    let upper = name.to_ascii_uppercase();
    let short = upper.strip_prefix("CAP_").unwrap_or(&upper);
    let mut known = CAPABILITIES.iter().copied();
    known.find(|known| known.strip_prefix("CAP_") == Some(short))
}

#[cfg(test)]
mod tests {
    use super::{capability, SecurityOpt, CAPABILITIES};

    #[test]
    fn options() {
        for (text, option, again) in [
            (
                "no-new-privileges",
                SecurityOpt::NoNewPrivileges(true),
                "no-new-privileges",
            ),
            (
                "no-new-privileges:true",
                SecurityOpt::NoNewPrivileges(true),
                "no-new-privileges",
            ),
            (
                "no-new-privileges=false",
                SecurityOpt::NoNewPrivileges(false),
                "no-new-privileges:false",
            ),
            (
                "seccomp:unconfined",
                SecurityOpt::SeccompUnconfined,
                "seccomp=unconfined",
            ),
            (
                "seccomp=/a=b:c",
                SecurityOpt::Seccomp("/a=b:c".into()),
                "seccomp=/a=b:c",
            ),
            (
                "apparmor=unconfined",
                SecurityOpt::AppArmor("unconfined".into()),
                "apparmor=unconfined",
            ),
            (
                "label:role:ROLE",
                SecurityOpt::Label("role:ROLE".into()),
                "label=role:ROLE",
            ),
        ] {
            assert_eq!(text.parse(), Ok(option.clone()), "{text}");
            assert_eq!(option.to_string(), again);
        }
    }

    /// The numbers of `linux/capability.h`.
    #[test]
    fn capabilities() {
        for (number, name) in [
            (0, "CHOWN"),
            (3, "FOWNER"),
            (4, "FSETID"),
            (8, "SETPCAP"),
            (13, "NET_RAW"),
            (21, "SYS_ADMIN"),
            (27, "MKNOD"),
            (31, "SETFCAP"),
            (39, "BPF"),
            (40, "CHECKPOINT_RESTORE"),
        ] {
            assert_eq!(CAPABILITIES[number], format!("CAP_{name}"));
            assert_eq!(capability(name), Some(CAPABILITIES[number]));
        }
        assert_eq!(capability("cap_net_raw"), Some("CAP_NET_RAW"));
        assert_eq!(capability("CAP_CAP_CHOWN"), None);
        assert_eq!(capability("ALL"), None);
    }
}
