//! A preview1 program's writes to stdout and stderr, each passed on as a whole.
//!
//! WASI's own function takes the first of several buffers and cuts it every 4096 bytes. C programs
//! write a line in two buffers, so a log would hold two records for it. What goes anywhere else still
//! goes through WASI's own.

use std::borrow::Cow;
use std::io;

use wasmtime::{AsContextMut, Caller, Extern, Linker};
use wasmtime_wasi::p1::wasi_snapshot_preview1::{self as preview1, WasiSnapshotPreview1 as _};
use wiggle::GuestMemory;

use super::core::State;
use super::output::Sink;

/// The module that programs import WASI from.
const MODULE: &str = "wasi_snapshot_preview1";

/// How many bytes one write may gather from several buffers; the program writes the rest again.
const MOST: usize = 1 << 20;

/// Where file descriptors 1 and 2 go while the program has not closed or replaced them.
pub(super) struct Stdio([Option<Sink>; 2]);

impl Stdio {
    /// The two streams of `output`.
    pub fn new(stdout: Sink, stderr: Sink) -> Stdio {
        Stdio([Some(stdout), Some(stderr)])
    }

    /// None: every write is WASI's.
    pub fn none() -> Stdio {
        Stdio([None, None])
    }

    fn get(&self, fd: i32) -> Option<&Sink> {
        match fd {
            1 => self.0[0].as_ref(),
            2 => self.0[1].as_ref(),
            _ => None,
        }
    }

    /// The descriptor means something else from now on.
    fn forget(&mut self, fd: i32) {
        match fd {
            1 => self.0[0] = None,
            2 => self.0[1] = None,
            _ => {}
        }
    }
}

/// Replaces the functions that write, close and replace descriptors.
pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap_async(
        MODULE,
        "fd_write",
        |mut caller: Caller<State>, (fd, buffers, count, written): (i32, i32, i32, i32)| {
            Box::new(async move {
                let (memory, state) = parts(&mut caller)?;
                if let Some(sink) = state.stdio.get(fd) {
                    if let Some(errno) = write(sink, memory, buffers, count, written) {
                        return Ok(errno);
                    }
                }
                let (memory, wasi) = (&mut GuestMemory::Unshared(memory), &mut state.wasi);
                preview1::fd_write(wasi, memory, fd, buffers, count, written).await
            })
        },
    )?;
    linker.func_wrap_async(
        MODULE,
        "fd_close",
        |mut caller: Caller<State>, (fd,): (i32,)| {
            Box::new(async move {
                let (memory, state) = parts(&mut caller)?;
                state.stdio.forget(fd);
                preview1::fd_close(&mut state.wasi, &mut GuestMemory::Unshared(memory), fd).await
            })
        },
    )?;
    linker.func_wrap_async(
        MODULE,
        "fd_renumber",
        |mut caller: Caller<State>, (from, to): (i32, i32)| {
            Box::new(async move {
                let (memory, state) = parts(&mut caller)?;
                state.stdio.forget(from);
                state.stdio.forget(to);
                let (memory, wasi) = (&mut GuestMemory::Unshared(memory), &mut state.wasi);
                preview1::fd_renumber(wasi, memory, from, to).await
            })
        },
    )?;
    Ok(())
}

/// The program's memory and its state, ready for a call of WASI's.
fn parts<'a>(caller: &'a mut Caller<'_, State>) -> wasmtime::Result<(&'a mut [u8], &'a mut State)> {
    let Some(Extern::Memory(memory)) = caller.get_export("memory") else {
        return Err(wasmtime::Error::msg("the program exports no memory"));
    };
    let fuel = caller.as_context_mut().hostcall_fuel();
    let (memory, state) = memory.data_and_store_mut(caller);
    state.wasi.set_hostcall_fuel(fuel);
    Ok((memory, state))
}

/// Passes on what the buffers hold, and returns preview1's error number. `None`, and nothing passed
/// on, where there is nothing to write or an address is wrong: WASI's own function knows what to say.
fn write(sink: &Sink, memory: &mut [u8], buffers: i32, count: i32, written: i32) -> Option<i32> {
    let (buffers, count, written) = (address(buffers), address(count), address(written));
    let told = written..written.checked_add(4)?;
    memory
        .get(told.clone())
        .filter(|_| written.is_multiple_of(4) && buffers.is_multiple_of(4))?;
    let bytes = gather(memory, buffers, count)?;
    let length = u32::try_from(bytes.len()).ok()?;
    if let Err(error) = sink.pass(&bytes) {
        return Some(errno(&error));
    }
    memory.get_mut(told)?.copy_from_slice(&length.to_le_bytes());
    Some(0)
}

/// The bytes of several buffers: the whole of the first that holds any, and of the others what fits.
fn gather(memory: &[u8], buffers: usize, count: usize) -> Option<Cow<'_, [u8]>> {
    let list = memory.get(buffers..buffers.checked_add(count.checked_mul(8)?)?)?;
    let mut bytes = Cow::Borrowed(&[][..]);
    for buffer in list.chunks_exact(8) {
        let (start, length) = (word(buffer)?, word(&buffer[4..])?);
        let part = memory.get(start..start.checked_add(length)?)?;
        if bytes.is_empty() {
            bytes = Cow::Borrowed(part);
        } else {
            let room = MOST.saturating_sub(bytes.len());
            let taken = part.get(..room).unwrap_or(part);
            bytes.to_mut().extend_from_slice(taken);
            if taken.len() < part.len() {
                break;
            }
        }
    }
    (!bytes.is_empty()).then_some(bytes)
}

/// A program's addresses have no sign.
fn address(value: i32) -> usize {
    value as u32 as usize
}

/// The number in the first four bytes.
fn word(bytes: &[u8]) -> Option<usize> {
    bytes
        .first_chunk()
        .map(|bytes| u32::from_le_bytes(*bytes) as usize)
}

/// Preview1's number for an error of the output.
fn errno(error: &io::Error) -> i32 {
    match error.kind() {
        io::ErrorKind::StorageFull => 51,
        io::ErrorKind::QuotaExceeded => 19,
        io::ErrorKind::FileTooLarge => 22,
        io::ErrorKind::BrokenPipe => 64,
        _ => 29,
    }
}
