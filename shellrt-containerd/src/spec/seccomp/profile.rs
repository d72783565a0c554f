//! A seccomp profile in docker's format: the runtime's own, with conditions.

use std::path::Path;

use serde::{Deserialize, Deserializer};

use super::super::document::{Seccomp, Syscall, SyscallArg};
use super::super::host::Host;
use super::{architectures, Circumstances};

/// A profile in docker's format. What is not known in it is an error, because a rule that is not
/// understood must not be left out.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Profile {
    default_action: String,
    #[serde(default)]
    default_errno_ret: Option<u32>,
    #[serde(default, deserialize_with = "null_is_empty")]
    architectures: Vec<String>,
    #[serde(default, deserialize_with = "null_is_empty")]
    arch_map: Vec<ArchitectureMap>,
    #[serde(default, deserialize_with = "null_is_empty")]
    flags: Vec<String>,
    #[serde(default, deserialize_with = "null_is_empty")]
    syscalls: Vec<ProfileRule>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ArchitectureMap {
    architecture: String,
    #[serde(default, deserialize_with = "null_is_empty")]
    sub_architectures: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ProfileRule {
    #[serde(default)]
    name: String,
    #[serde(default, deserialize_with = "null_is_empty")]
    names: Vec<String>,
    action: String,
    #[serde(default)]
    errno_ret: Option<u32>,
    #[serde(default, deserialize_with = "null_is_empty")]
    args: Vec<SyscallArg>,
    #[serde(default, rename = "comment")]
    _comment: String,
    #[serde(default, deserialize_with = "null_is_empty")]
    includes: Filter,
    #[serde(default, deserialize_with = "null_is_empty")]
    excludes: Filter,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Filter {
    #[serde(deserialize_with = "null_is_empty")]
    caps: Vec<String>,
    #[serde(deserialize_with = "null_is_empty")]
    arches: Vec<String>,
    min_kernel: Option<String>,
}

/// Go writes an empty list as null.
fn null_is_empty<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    input: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(input)?.unwrap_or_default())
}

impl Profile {
    /// Reads the profile at `path`.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("can't read the profile {path:?}: {error}"))?;
        serde_json::from_str(&text).map_err(|error| format!("{path:?} is no profile: {error}"))
    }

    /// The rules that apply now.
    pub(super) fn evaluate(self, now: Circumstances) -> Result<Seccomp, String> {
        if !self.architectures.is_empty() && !self.arch_map.is_empty() {
            return Err("the profile has both architectures and archMap; keep one".to_owned());
        }
        let native = architectures(now.host).into_iter().next();
        let mut map = self.arch_map.into_iter();
        let mapped = map.find(|entry| native.as_ref() == Some(&entry.architecture));
        let architectures = match mapped {
            Some(entry) => [vec![entry.architecture], entry.sub_architectures].concat(),
            None => self.architectures,
        };
        let mut syscalls = Vec::new();
        for rule in self.syscalls {
            if !rule.includes.includes(now)? || rule.excludes.excludes(now)? {
                continue;
            }
            let names = match (rule.name.is_empty(), rule.names.is_empty()) {
                (true, false) => rule.names,
                (false, true) => vec![rule.name],
                _ => return Err("each rule of the profile needs name or names".to_owned()),
            };
            syscalls.push(Syscall {
                names,
                action: rule.action,
                errno_ret: rule.errno_ret,
                args: rule.args,
            });
        }
        Ok(Seccomp {
            default_action: self.default_action,
            default_errno_ret: self.default_errno_ret,
            architectures,
            flags: self.flags,
            syscalls,
        })
    }
}

impl Filter {
    /// Whether everything that is listed holds.
    fn includes(&self, now: Circumstances) -> Result<bool, String> {
        Ok(self.caps.iter().all(|name| now.capabilities.has(name))
            && (self.arches.is_empty() || self.names(now.host))
            && self
                .kernel()?
                .is_none_or(|version| now.host.has_kernel(version)))
    }

    /// Whether anything that is listed holds.
    fn excludes(&self, now: Circumstances) -> Result<bool, String> {
        Ok(self.caps.iter().any(|name| now.capabilities.has(name))
            || self.names(now.host)
            || self
                .kernel()?
                .is_some_and(|version| now.host.has_kernel(version)))
    }

    /// Whether the processor is among those listed, in libseccomp's names, which differ from Go's.
    fn names(&self, host: &Host) -> bool {
        let name = match host.architecture.as_str() {
            "386" => "x86",
            "loong64" => "loongarch64",
            "mips64le" => "mipsel64",
            "mipsle" => "mipsel",
            same => same,
        };
        self.arches.iter().any(|arch| arch == name)
    }

    fn kernel(&self) -> Result<Option<(u32, u32)>, String> {
        let Some(text) = &self.min_kernel else {
            return Ok(None);
        };
        let version = text
            .split_once('.')
            .and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
        match version {
            Some(version) => Ok(Some(version)),
            None => Err(format!(
                "minKernel {text:?} in the profile is no version like \"4.8\""
            )),
        }
    }
}
