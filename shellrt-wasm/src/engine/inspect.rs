//! What some bytes are, without compiling them.

use serde::{Deserialize, Serialize};
use wasmparser::{ComponentTypeRef, Encoding, Parser, Payload, TypeBounds};

use super::config::{engine, Purpose};
use super::{core, edgeless, ProgramError, Tuning};

/// The kinds of programs that run here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A core module that is a WASI preview1 command.
    Core,
    /// A core module that is an EDGELESS function.
    Edgeless,
    /// A component that exports `wasi:cli/run` 0.2.
    Command,
    /// A component that exports `wasi:http/incoming-handler` 0.2.
    Http,
}

/// What [`inspect`] found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inspection {
    /// The kind of program.
    pub kind: Kind,
    /// Its size in bytes.
    pub size: u64,
    /// What it imports: `module.name` of a core module, the interfaces of a component; sorted.
    pub imports: Vec<String>,
    /// What it exports; sorted.
    pub exports: Vec<String>,
}

/// Says what kind of program `wasm` is.
///
/// # Errors
/// Why it can't be run here. What only the compiler finds (an invalid function body, an import of the
/// wrong type) is found by [`super::compile`].
pub fn inspect(wasm: &[u8]) -> Result<Inspection, ProgramError> {
    let encoding = header(wasm)?;
    let mut surface = Surface::read(wasm)?;
    let kind = match encoding {
        Encoding::Module => surface.core_kind()?,
        Encoding::Component => surface.component_kind()?,
    };
    surface.imports.sort_unstable();
    surface.imports.dedup();
    surface.exports.sort_unstable();
    let size = wasm.len() as u64;
    Ok(Inspection {
        kind,
        size,
        imports: surface.imports,
        exports: surface.exports,
    })
}

/// The first eight bytes: the magic number, a version and a layer.
fn header(wasm: &[u8]) -> Result<Encoding, ProgramError> {
    let what = match wasm {
        [b'\0', b'a', b's', b'm', 0x01, 0, 0, 0, ..] => return Ok(Encoding::Module),
        [b'\0', b'a', b's', b'm', 0x0d, 0, 0x01, 0, ..] => return Ok(Encoding::Component),
        [0x7f, b'E', b'L', b'F', ..] => {
            let what = if is_cwasm(wasm) {
                "a compiled program (.cwasm)"
            } else {
                "an ELF file"
            };
            return Err(ProgramError::Native { what });
        }
        [b'M', b'Z', ..] => {
            return Err(ProgramError::Native {
                what: "a Windows program",
            })
        }
        [0xfe | 0xcf | 0xce, 0xed | 0xfa, 0xfa | 0xed, 0xcf | 0xce | 0xfe, ..] => {
            return Err(ProgramError::Native {
                what: "a Mach-O file",
            })
        }
        [b'\0', b'a', b's', b'm', ..] => "webassembly of a version that is not known",
        [] => "an empty file",
        [b'#', b'!', ..] => "a script",
        [0x1f, 0x8b, ..] | [b'P', b'K', ..] | [0x28, 0xb5, 0x2f, 0xfd, ..] => "an archive",
        _ => "something else",
    };
    Err(ProgramError::NotWasm { what })
}

/// Whether an ELF file is the engine's own: it leaves its mark in the byte for the operating system.
fn is_cwasm(elf: &[u8]) -> bool {
    wasmtime::Engine::detect_precompiled(elf).is_some()
}

/// What a program imports and exports.
struct Surface {
    imports: Vec<String>,
    exports: Vec<String>,
    /// The imports of a core module as they stand there.
    pairs: Vec<(String, String)>,
}

impl Surface {
    fn read(wasm: &[u8]) -> Result<Surface, ProgramError> {
        let damaged = ProgramError::Malformed;
        let mut surface = Surface {
            imports: Vec::new(),
            exports: Vec::new(),
            pairs: Vec::new(),
        };
        // A component contains modules and components, whose imports and exports are its own affair.
        let mut depth = 0_u32;
        for payload in Parser::new(0).parse_all(wasm) {
            match payload.map_err(damaged)? {
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ImportSection(section) if depth == 0 => {
                    for import in section.into_imports() {
                        let import = import.map_err(damaged)?;
                        surface
                            .imports
                            .push(format!("{}.{}", import.module, import.name));
                        surface
                            .pairs
                            .push((import.module.to_owned(), import.name.to_owned()));
                    }
                }
                Payload::ExportSection(section) if depth == 0 => {
                    for export in section {
                        surface
                            .exports
                            .push(export.map_err(damaged)?.name.to_owned());
                    }
                }
                Payload::ComponentImportSection(section) if depth == 0 => {
                    for import in section {
                        let import = import.map_err(damaged)?;
                        // A type that equals another needs nobody to provide it.
                        if !matches!(import.ty, ComponentTypeRef::Type(TypeBounds::Eq(_))) {
                            surface.imports.push(import.name.name.to_owned());
                        }
                    }
                }
                Payload::ComponentExportSection(section) if depth == 0 => {
                    for export in section {
                        surface
                            .exports
                            .push(export.map_err(damaged)?.name.name.to_owned());
                    }
                }
                _ => {}
            }
        }
        Ok(surface)
    }

    fn exports(&self, name: &str) -> bool {
        self.exports.iter().any(|export| export == name)
    }

    fn core_kind(&self) -> Result<Kind, ProgramError> {
        if !self.exports("_start") && edgeless::is_meant(&self.exports, &self.pairs) {
            return self.edgeless_kind();
        }
        if !self.exports("_start") {
            let reactor = self.exports("_initialize");
            return Err(if reactor {
                ProgramError::Reactor
            } else {
                ProgramError::NoStart
            });
        }
        let engine = engine(Tuning::default(), Purpose::Run).map_err(ProgramError::Engine)?;
        let provided =
            core::provided(&engine).map_err(|error| ProgramError::Engine(error.into()))?;
        let missing = self
            .pairs
            .iter()
            .filter(|(module, name)| !provided(module, name));
        missing_or(
            Kind::Core,
            missing.map(|(module, name)| format!("{module}.{name}")),
        )
    }

    fn edgeless_kind(&self) -> Result<Kind, ProgramError> {
        let names = edgeless::missing(&self.exports);
        if !names.is_empty() {
            return Err(ProgramError::MissingExports { names });
        }
        let missing = self
            .pairs
            .iter()
            .filter(|(module, name)| !edgeless::provided(module, name));
        missing_or(
            Kind::Edgeless,
            missing.map(|(module, name)| format!("{module}.{name}")),
        )
    }

    fn component_kind(&self) -> Result<Kind, ProgramError> {
        for name in self.exports.iter().chain(&self.imports) {
            if let Some(version) = later_wasi(name) {
                return Err(ProgramError::UnsupportedWasi {
                    name: name.clone(),
                    version,
                });
            }
        }
        let kind = if self
            .exports
            .iter()
            .any(|name| is_0_2(name, "wasi:http/incoming-handler"))
        {
            Kind::Http
        } else if self.exports.iter().any(|name| is_0_2(name, "wasi:cli/run")) {
            Kind::Command
        } else {
            let exports = match self.exports.as_slice() {
                [] => "nothing".to_owned(),
                names => names.join(", "),
            };
            return Err(ProgramError::NoEntry { exports });
        };
        let provided = |name: &str| PROVIDED.iter().any(|interface| is_0_2(name, interface));
        missing_or(
            kind,
            self.imports.iter().filter(|name| !provided(name)).cloned(),
        )
    }
}

/// `kind`, or the error that lists what is missing.
fn missing_or(kind: Kind, missing: impl Iterator<Item = String>) -> Result<Kind, ProgramError> {
    let mut names: Vec<String> = missing.collect();
    if names.is_empty() {
        return Ok(kind);
    }
    names.sort_unstable();
    names.dedup();
    Err(ProgramError::MissingImports { names })
}

/// Whether `name` is `interface` in a released version 0.2.
fn is_0_2(name: &str, interface: &str) -> bool {
    let version = name
        .strip_prefix(interface)
        .and_then(|rest| rest.strip_prefix("@0.2."));
    version.is_some_and(|patch| !patch.is_empty() && patch.bytes().all(|b| b.is_ascii_digit()))
}

/// The version, as in "0.3", of a WASI interface that came after 0.2.
fn later_wasi(name: &str) -> Option<String> {
    let (_, version) = name.strip_prefix("wasi:")?.split_once('@')?;
    let mut parts = version.split('.');
    let major: u32 = parts.next()?.parse().ok()?;
    let minor: u32 = parts.next()?.parse().ok()?;
    ((major, minor) > (0, 2)).then(|| format!("{major}.{minor}"))
}

/// The interfaces of WASI 0.2 that a component may import.
pub(super) const PROVIDED: [&str; 29] = [
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:http/outgoing-handler",
    "wasi:http/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
    "wasi:sockets/instance-network",
    "wasi:sockets/ip-name-lookup",
    "wasi:sockets/network",
    "wasi:sockets/tcp",
    "wasi:sockets/tcp-create-socket",
    "wasi:sockets/udp",
    "wasi:sockets/udp-create-socket",
];
