//! How the engine is configured, for compiling and for running alike.

use std::hash::{Hash, Hasher};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use wasmtime::{Config, Engine, InstanceAllocationStrategy, OptLevel, WasmBacktraceDetails};

use super::{EngineError, ProgramError};

/// The engine's version. A compiled program is only valid for exactly this one.
pub const VERSION: &str = "48.0.8";

/// How much stack a program's calls may take, in bytes. The engine's default is half of it;
/// interpreters that recurse deeply are worth the address space, and what is not used costs nothing.
const WASM_STACK: usize = 1 << 20;

/// The stack that a program and the host functions it calls share, in bytes.
const STACK: usize = WASM_STACK + (1 << 20);

/// How a key ends where instructions are counted.
const FUEL: &str = "-fuel";

/// What changes the compiled code.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Tuning {
    /// Count the instructions, so that a run can be limited. Default false.
    pub fuel: bool,
}

impl Tuning {
    /// A part of a file's name that differs wherever compiled code can't be shared: by the engine's
    /// version and settings, the processor's features, and the tuning. At most 64 characters of
    /// `[a-z0-9._-]`.
    ///
    /// It sets up a code generator, which takes about a third of a millisecond: ask once and keep it.
    ///
    /// # Errors
    /// [`ProgramError::Engine`] where there is no code generator for this machine.
    pub fn key(&self) -> Result<String, ProgramError> {
        let engine = engine(*self, Purpose::Compile).map_err(ProgramError::Engine)?;
        let mut hasher = StableHasher(Sha256::new());
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let digest = hasher.0.finalize();
        let mut key = prefix();
        for byte in digest.iter().take(8) {
            key.push_str(&format!("{byte:02x}"));
        }
        if self.fuel {
            key.push_str(FUEL);
        }
        Ok(key)
    }

    /// Whether `key` may be what [`key`](Tuning::key) answers, here or on a machine with another
    /// processor; this takes no time.
    pub fn may_have(&self, key: &str) -> bool {
        key.starts_with(&prefix()) && key.ends_with(FUEL) == self.fuel
    }
}

/// How all keys of this engine begin.
fn prefix() -> String {
    format!("{VERSION}-{}-", std::env::consts::ARCH)
}

/// What an engine is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Making native code.
    Compile,
    /// Running it; such an engine can't compile, and starts faster for that.
    Run,
}

/// The one place where an engine is made: what compiles and what runs must agree on everything but
/// the code generator, or the compiled program is refused as stale.
pub(super) fn engine(tuning: Tuning, purpose: Purpose) -> Result<Engine, EngineError> {
    let mut config = Config::new();

    // What a program may consist of: all that is standard, said one by one so that another version's
    // defaults change nothing here.
    config
        .wasm_bulk_memory(true)
        .wasm_multi_value(true)
        .wasm_reference_types(true)
        .wasm_simd(true)
        .wasm_relaxed_simd(true)
        .wasm_tail_call(true)
        .wasm_multi_memory(true)
        .wasm_memory64(true)
        .wasm_extended_const(true)
        .wasm_function_references(true)
        .wasm_gc(true)
        .wasm_exceptions(true)
        .wasm_component_model(true)
        // A module has one thread, and no memory that it could share.
        .shared_memory(false)
        .concurrency_support(false);

    // How its code is made.
    config
        .consume_fuel(tuning.fuel)
        // A module is a process and a signal ends it; interruption from inside would cost up to a
        // fifth of the speed.
        .epoch_interruption(false)
        .native_unwind_info(false)
        .debug_info(false)
        .generate_address_map(false)
        .memory_init_cow(true)
        .signals_based_traps(true);

    // How it runs.
    config
        .allocation_strategy(InstanceAllocationStrategy::OnDemand)
        .max_wasm_stack(WASM_STACK)
        .async_stack_size(STACK)
        // Set here so that no environment variable of the host decides.
        .wasm_backtrace_details(WasmBacktraceDetails::Disable);

    match purpose {
        Purpose::Compile => {
            config
                .cranelift_opt_level(OptLevel::Speed)
                .parallel_compilation(true);
        }
        Purpose::Run => {
            config.enable_compiler(false);
        }
    }
    Engine::new(&config).map_err(EngineError::from)
}

/// Hashes the same on every run and with every toolchain, which the standard library's does not
/// promise.
struct StableHasher(Sha256);

impl Hasher for StableHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        // Only the whole digest is used, but the trait wants a number.
        let digest = self.0.clone().finalize();
        digest
            .iter()
            .take(8)
            .fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
    }
}

#[cfg(test)]
mod tests {
    use super::{Tuning, VERSION};

    #[test]
    fn version_is_the_pinned_one() {
        let manifest = include_str!("../../../Cargo.toml");
        assert!(manifest.contains(&format!("wasmtime = {{ version = \"={VERSION}\"")));
    }

    #[test]
    fn key_names_what_separates_compiled_code() {
        let plain = Tuning::default().key().unwrap();
        assert_eq!(plain, Tuning::default().key().unwrap());
        let fuel = Tuning { fuel: true };
        let counted = fuel.key().unwrap();
        assert_ne!(plain, counted);
        assert!(Tuning::default().may_have(&plain) && !Tuning::default().may_have(&counted));
        assert!(fuel.may_have(&counted) && !fuel.may_have(&plain));
        assert!(!Tuning::default().may_have(&plain.replace(VERSION, "48.0.7")));
        assert!(plain.len() <= 64, "{plain}");
        assert!(plain.starts_with("48.0.8-"), "{plain}");
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
        assert!(plain.chars().all(allowed), "{plain}");
    }
}
