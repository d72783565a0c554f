//! What an end means: an exit code, a trap, or the memory limit.

use shellrt_api::v0::status;
use wasmtime::{GcHeapOutOfMemory, ThrownException, Trap};
use wasmtime_wasi::I32Exit;

use super::limits::Refusal;

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// `Exited`, `Trap` or `Memory`.
    pub end: status::End,
    /// 0 to 255 as the program says; a trap 134, the memory limit 137.
    pub exit_code: i64,
    /// Why, in words for people.
    pub description: String,
}

impl End {
    /// The program ended by itself. `refused` is the growth that its limit forbade last.
    pub(super) fn exited(code: i32, refused: Option<Refusal>) -> End {
        // As a process has it.
        let exit_code = i64::from(code & 0xff);
        let mut description = format!("exited with code {exit_code}");
        // A program that was refused memory and says so in its own way has not been ended by the
        // limit, but whoever looks for the reason wants to know.
        if let Some(Refusal { wanted, limit }) = refused.filter(|_| exit_code != 0) {
            let (wanted, limit) = (size(wanted), size(limit));
            description +=
                &format!("; before that its memory limit of {limit} refused it {wanted}");
        }
        End {
            end: status::End::Exited,
            exit_code,
            description,
        }
    }

    /// The program was ended by `error`, or exited: an exit is an error too in WASI.
    pub(super) fn failed(error: &wasmtime::Error, refused: Option<Refusal>) -> End {
        if let Some(I32Exit(code)) = error.downcast_ref() {
            return End::exited(*code, refused);
        }
        let trap = error.downcast_ref::<Trap>().copied();
        if let Some(Refusal { wanted, limit }) =
            refused.filter(|_| looks_like_no_memory(trap, error))
        {
            let (wanted, limit) = (size(wanted), size(limit));
            return End {
                end: status::End::Memory,
                exit_code: 137,
                description: format!("reached its memory limit of {limit}: it asked for {wanted}"),
            };
        }
        let what = match trap {
            Some(trap) => words(trap),
            None if error.is::<ThrownException>() => {
                "an exception that it does not catch".to_owned()
            }
            None => error.root_cause().to_string(),
        };
        End {
            end: status::End::Trap,
            exit_code: 134,
            description: format!("trapped: {what}"),
        }
    }

    /// Whether `error` is the program's own doing, and not the engine's failure to start it.
    pub(super) fn is_the_programs(error: &wasmtime::Error) -> bool {
        error.is::<I32Exit>() || error.is::<Trap>() || error.is::<ThrownException>()
    }

    /// Whether `error` is worth a report to who wrote the program.
    pub(super) fn is_failure(error: &wasmtime::Error) -> bool {
        !error.is::<I32Exit>()
    }
}

/// How programs end that got no memory: their allocator aborts, or they use the null that it gave
/// them. Other traps have other reasons, whatever was refused before.
fn looks_like_no_memory(trap: Option<Trap>, error: &wasmtime::Error) -> bool {
    match trap {
        Some(
            Trap::UnreachableCodeReached
            | Trap::MemoryOutOfBounds
            | Trap::TableOutOfBounds
            | Trap::IndirectCallToNull
            | Trap::AllocationTooLarge,
        ) => true,
        Some(_) => false,
        None => error.is::<GcHeapOutOfMemory<()>>() || error.is::<ThrownException>(),
    }
}

/// A trap in words.
fn words(trap: Trap) -> String {
    let text = match trap {
        Trap::StackOverflow => "its calls are nested too deeply (stack overflow)",
        Trap::MemoryOutOfBounds => "memory access out of bounds",
        Trap::TableOutOfBounds => "table access out of bounds",
        Trap::IndirectCallToNull => "call of a function that is not there",
        Trap::BadSignature => "call of a function of another type",
        Trap::IntegerOverflow => "integer overflow",
        Trap::IntegerDivisionByZero => "integer division by zero",
        Trap::BadConversionToInteger => "conversion of a number that no integer can hold",
        Trap::UnreachableCodeReached => "unreachable instruction",
        Trap::OutOfFuel => "it used up its fuel",
        Trap::NullReference => "use of a null reference",
        Trap::ArrayOutOfBounds => "array access out of bounds",
        Trap::CastFailure => "cast to a type that the object does not have",
        other => {
            let text = other.to_string();
            return text.strip_prefix("wasm trap: ").unwrap_or(&text).to_owned();
        }
    };
    text.to_owned()
}

/// A size for people: exact where that is short.
fn size(bytes: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    for (unit, factor) in UNITS {
        if bytes >= factor {
            let exact = bytes.is_multiple_of(factor);
            let digits = if exact { 0 } else { 1 };
            return format!("{:.digits$} {unit}", bytes as f64 / factor as f64);
        }
    }
    format!("{bytes} bytes")
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes() {
        assert_eq!(size(64 << 20), "64 MiB");
        assert_eq!(size((1 << 20) + (64 << 10)), "1.1 MiB");
        assert_eq!(size(1000), "1000 bytes");
        assert_eq!(size(0), "0 bytes");
    }
}
