//! The filter of system calls: docker's default policy, or a profile in docker's format, evaluated
//! for the final capabilities, the processor and the kernel.

mod profile;
mod table;

use shellrt_api::v0::config::containerd::SecurityOpt;
use shellrt_api::v0::{config, Error};

use super::capabilities::Set;
use super::document::{Seccomp, Syscall, SyscallArg};
use super::host::Host;
use super::Facts;
use profile::Profile;
use table::{ARCHITECTURES, RULES};

/// The filter of a container with these capabilities; `None` allows every call.
///
/// As with docker, a privileged container has only a filter that is asked for.
///
/// # Errors
/// Error 4 at the security option: a profile can't be read, or the kernel has no filters.
pub(super) fn filter(facts: Facts, capabilities: Set) -> Result<Option<Seccomp>, Error> {
    let circumstances = Circumstances {
        capabilities,
        host: facts.host,
    };
    for (index, option) in facts.config.security_opt.iter().enumerate() {
        let wrong = |reason: String| config::invalid(&format!("/security_opt/{index}"), &reason);
        match option {
            SecurityOpt::SeccompUnconfined => return Ok(None),
            SecurityOpt::Seccomp(_) if !facts.host.seccomp => {
                return Err(wrong("this kernel can't filter system calls".to_owned()));
            }
            SecurityOpt::Seccomp(path) => {
                let profile = Profile::read(path).map_err(wrong)?;
                return profile.evaluate(circumstances).map(Some).map_err(wrong);
            }
            SecurityOpt::NoNewPrivileges(_) | SecurityOpt::AppArmor(_) | SecurityOpt::Label(_) => {}
        }
    }
    let wanted = facts.host.seccomp && !facts.config.privileged;
    Ok(wanted.then(|| default(circumstances)))
}

/// What a rule's conditions are held against.
#[derive(Debug, Clone, Copy)]
struct Circumstances<'a> {
    capabilities: Set,
    host: &'a Host,
}

/// A rule of the table.
struct Rule {
    /// The calls, with white space between them.
    names: &'static str,
    /// What happens.
    action: Action,
    /// With which arguments.
    arguments: Arguments,
    /// When; all must hold.
    conditions: &'static [Condition],
}

/// What happens to a call.
enum Action {
    /// It is made.
    Allow,
    /// It fails with this number.
    Fail(u32),
}

/// The arguments that a rule is for.
enum Arguments {
    /// All.
    Any,
    /// Those whose argument at this place is below the number.
    Below(u32, u64),
    /// Those whose argument at this place is one of the numbers.
    Equal(u32, &'static [u64]),
    /// Those whose argument at this place has none of these bits.
    Masked(u32, u64),
}

/// When a rule applies.
enum Condition {
    /// The container has the capability.
    Has(&'static str),
    /// The container has not the capability.
    HasNot(&'static str),
    /// The processor is one of these.
    Architecture(&'static [&'static str]),
    /// The processor is none of these.
    NotArchitecture(&'static [&'static str]),
    /// The kernel is this one or newer.
    Kernel((u32, u32)),
}

impl Condition {
    fn holds(&self, now: Circumstances) -> bool {
        match self {
            Condition::Has(name) => now.capabilities.has(name),
            Condition::HasNot(name) => !now.capabilities.has(name),
            Condition::Architecture(names) => names.contains(&now.host.architecture.as_str()),
            Condition::NotArchitecture(names) => !names.contains(&now.host.architecture.as_str()),
            Condition::Kernel(version) => now.host.has_kernel(*version),
        }
    }
}

fn default(now: Circumstances) -> Seccomp {
    let rules = RULES.iter();
    let rules = rules.filter(|rule| rule.conditions.iter().all(|condition| condition.holds(now)));
    Seccomp {
        default_action: "SCMP_ACT_ERRNO".to_owned(),
        default_errno_ret: Some(1),
        architectures: architectures(now.host),
        flags: Vec::new(),
        syscalls: rules.flat_map(written).collect(),
    }
}

/// A rule as the runtime wants it. Several conditions on one argument are several rules there: the
/// runtime takes them as alternatives, also where they stand in one.
fn written(rule: &Rule) -> Vec<Syscall> {
    let argument = |index, op: &str, value, value_two| SyscallArg {
        index,
        value,
        value_two,
        op: op.to_owned(),
    };
    let args = match rule.arguments {
        Arguments::Any => vec![vec![]],
        Arguments::Below(index, value) => vec![vec![argument(index, "SCMP_CMP_LT", value, 0)]],
        Arguments::Equal(index, values) => values
            .iter()
            .map(|&value| vec![argument(index, "SCMP_CMP_EQ", value, 0)])
            .collect(),
        Arguments::Masked(index, mask) => {
            vec![vec![argument(index, "SCMP_CMP_MASKED_EQ", mask, 0)]]
        }
    };
    let (action, errno_ret) = match rule.action {
        Action::Allow => ("SCMP_ACT_ALLOW", None),
        Action::Fail(number) => ("SCMP_ACT_ERRNO", Some(number)),
    };
    args.into_iter()
        .map(|args| Syscall {
            names: rule.names.split_whitespace().map(str::to_owned).collect(),
            action: action.to_owned(),
            errno_ret,
            args,
        })
        .collect()
}

/// What the processor understands. Where the table does not know it, the runtime takes its own
/// language alone.
fn architectures(host: &Host) -> Vec<String> {
    let mut known = ARCHITECTURES.iter();
    let known = known.find(|(name, _)| *name == host.architecture);
    let names = known.map_or(&[][..], |(_, names)| names);
    names.iter().map(|&name| name.to_owned()).collect()
}
