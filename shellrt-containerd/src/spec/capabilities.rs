//! What root may do in a container: docker's default capabilities, what is added and dropped, and the
//! sets of the first process.

use shellrt_api::v0::config::containerd::{capability, CAPABILITIES};
use shellrt_api::v0::{config, Error};

use super::document::Capabilities;

/// What docker and containerd give to a container that asks for nothing.
const DEFAULT: [&str; 14] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// The bounding set of a container, as bits of the kernel's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Set(u64);

impl Set {
    /// What a container has that adds `add` and drops `drop` where `host` is what the machine has
    /// to give.
    ///
    /// As with docker, `ALL` in `add` is all that the machine has without `drop`, `ALL` in `drop`
    /// leaves `add` alone, and what is both added and dropped by name is added.
    ///
    /// # Errors
    /// Error 4 where a name is no capability, or where the machine can't give what is added.
    pub fn new(
        add: &[String],
        drop: &[String],
        privileged: bool,
        host: u64,
    ) -> Result<Self, Error> {
        if privileged {
            return Ok(Set(host));
        }
        let (adds_all, added) = parse(add, "/cap_add")?;
        let (drops_all, dropped) = parse(drop, "/cap_drop")?;
        for (index, name) in add.iter().enumerate() {
            let missing = number(name).is_some_and(|number| host & (1 << number) == 0);
            if missing {
                return Err(config::invalid(
                    &format!("/cap_add/{index}"),
                    &format!("this machine can't give {name:?} to a container"),
                ));
            }
        }
        Ok(Set(if adds_all {
            host & !dropped
        } else if drops_all {
            added
        } else {
            let default = DEFAULT.into_iter().filter_map(number);
            default.fold(0, |set, number| set | 1 << number) & !dropped | added
        }))
    }

    /// All that the machine has to give.
    pub(super) fn of_machine(host: u64) -> Self {
        Set(host)
    }

    /// Whether it has the capability called `name`, with or without `CAP_`.
    pub fn has(self, name: &str) -> bool {
        number(name).is_some_and(|number| self.0 & (1 << number) != 0)
    }

    /// The sets of the first process. As after an execve(2), only root has any; others could get
    /// them from a program whose file carries them.
    pub fn of_process(self, uid: u32) -> Capabilities {
        let names = CAPABILITIES.into_iter().filter(|name| self.has(name));
        let all: Vec<String> = names.map(str::to_owned).collect();
        let own = if uid == 0 { all.clone() } else { Vec::new() };
        Capabilities {
            bounding: all,
            effective: own.clone(),
            permitted: own,
        }
    }
}

/// Whether `ALL` is among `names`, and the bits of the others.
fn parse(names: &[String], path: &str) -> Result<(bool, u64), Error> {
    let (mut all, mut set) = (false, 0);
    for (index, name) in names.iter().enumerate() {
        if name.eq_ignore_ascii_case("ALL") {
            all = true;
        } else if let Some(number) = number(name) {
            set |= 1 << number;
        } else {
            return Err(config::invalid(
                &format!("{path}/{index}"),
                &format!("{name:?} is no capability; capabilities(7) lists them"),
            ));
        }
    }
    Ok((all, set))
}

/// The kernel's number of the capability called `name`, with or without `CAP_`, in any case.
fn number(name: &str) -> Option<usize> {
    let name = capability(name)?;
    CAPABILITIES.iter().position(|known| *known == name)
}

#[cfg(test)]
mod tests {
    use shellrt_api::v0::Code;

    use super::Set;

    /// All 41 capabilities of Linux 5.9 and later.
    const ALL: u64 = 0x1ff_ffff_ffff;

    fn texts(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    fn bits(add: &[&str], drop: &[&str]) -> u64 {
        Set::new(&texts(add), &texts(drop), false, ALL).unwrap().0
    }

    /// The number is what /proc/self/status shows as CapEff in a docker container.
    #[test]
    fn docker_defaults() {
        assert_eq!(bits(&[], &[]), 0xa804_25fb);
    }

    /// The numbers are those of linux/capability.h.
    #[test]
    fn added_and_dropped() {
        assert_eq!(bits(&["NET_ADMIN"], &[]), 0xa804_25fb | 1 << 12);
        assert_eq!(bits(&["cap_sys_time"], &["CAP_CHOWN"]), 0xaa04_25fa);
        assert_eq!(bits(&["SYS_TIME"], &["all"]), 1 << 25);
        assert_eq!(bits(&["ALL"], &["SYS_ADMIN"]), ALL & !(1 << 21));
        assert_eq!(bits(&["KILL"], &["KILL"]), 0xa804_25fb);
        assert_eq!(bits(&["CHECKPOINT_RESTORE"], &["ALL"]), 1 << 40);
    }

    #[test]
    fn privileged_is_what_the_machine_has() {
        let host = ALL & !(1 << 24);
        let set = Set::new(&[], &texts(&["CHOWN"]), true, host).unwrap();
        assert_eq!(set.0, host);
        assert!(set.has("SYS_ADMIN") && set.has("CAP_CHOWN"));
        assert!(!set.has("SYS_RESOURCE"));
    }

    #[test]
    fn what_cannot_be_given_is_refused() {
        let host = ALL & !(1 << 24);
        let add = texts(&["KILL", "SYS_RESOURCE"]);
        let error = Set::new(&add, &[], false, host).unwrap_err();
        assert_eq!(error.code, Code::INVALID_CONFIG);
        assert_eq!(error.detail["path"], "/config/cap_add/1");
        let error = Set::new(&[], &texts(&["FLY"]), false, host).unwrap_err();
        assert_eq!(error.detail["path"], "/config/cap_drop/0");
    }

    #[test]
    fn only_root_has_them_at_first() {
        let set = Set::new(&texts(&["CHOWN", "KILL"]), &texts(&["ALL"]), false, ALL).unwrap();
        let both = texts(&["CAP_CHOWN", "CAP_KILL"]);
        let root = set.of_process(0);
        assert_eq!(root.bounding, both);
        assert_eq!(root.effective, both);
        assert_eq!(root.permitted, both);
        let other = set.of_process(1000);
        assert_eq!(other.bounding, both);
        assert!(other.effective.is_empty() && other.permitted.is_empty());
    }
}
