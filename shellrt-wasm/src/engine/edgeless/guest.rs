//! The function's exports, and its memory.

use wasmtime::{AsContext, AsContextMut, Instance, Memory, Store, Trap, TypedFunc};

use super::State;

/// The functions of an instance.
#[derive(Clone)]
pub(super) struct Guest {
    memory: Memory,
    alloc: TypedFunc<u32, u32>,
    free: TypedFunc<(u32, u32), ()>,
    clear: TypedFunc<(), ()>,
    init: TypedFunc<(u32, u32, u32, u32), ()>,
    cast: TypedFunc<(u32, u32, u32, u32), ()>,
    call: TypedFunc<(u32, u32, u32, u32, u32, u32), i32>,
    stop: TypedFunc<(), ()>,
}

/// Who has sent something: a node and a function.
pub(super) type Ids = ([u8; 16], [u8; 16]);

/// What a function answers.
pub(super) enum Answer {
    Reply(Vec<u8>),
    NoReply,
    Error,
}

/// A piece of the function's memory that it has given us.
#[derive(Clone, Copy)]
struct Piece {
    at: u32,
    length: u32,
}

impl Guest {
    /// The exports of `instance`.
    pub fn of(instance: &Instance, store: &mut Store<State>) -> wasmtime::Result<Guest> {
        let memory = instance.get_memory(&mut *store, "memory");
        Ok(Guest {
            memory: memory.ok_or_else(|| wasmtime::Error::msg("it exports no memory"))?,
            alloc: instance.get_typed_func(&mut *store, "edgeless_mem_alloc")?,
            free: instance.get_typed_func(&mut *store, "edgeless_mem_free")?,
            clear: instance.get_typed_func(&mut *store, "edgeless_mem_clear")?,
            init: instance.get_typed_func(&mut *store, "handle_init_asm")?,
            cast: instance.get_typed_func(&mut *store, "handle_cast_asm")?,
            call: instance.get_typed_func(&mut *store, "handle_call_asm")?,
            stop: instance.get_typed_func(&mut *store, "handle_stop_asm")?,
        })
    }

    /// What is absent is at 0, with the length 0.
    pub fn init(
        &self,
        store: &mut Store<State>,
        payload: &[u8],
        state: &[u8],
    ) -> wasmtime::Result<()> {
        let absent = Piece { at: 0, length: 0 };
        let payload = match payload {
            [] => absent,
            bytes => self.put(&mut *store, bytes)?,
        };
        let state = match state {
            [] => absent,
            bytes => self.put(&mut *store, bytes)?,
        };
        let arguments = (payload.at, payload.length, state.at, state.length);
        self.init.call(&mut *store, arguments)?;
        self.give_back(store, [payload, state])
    }

    pub fn cast(
        &self,
        store: &mut Store<State>,
        (node, function): Ids,
        data: &[u8],
    ) -> wasmtime::Result<()> {
        self.clear.call(&mut *store, ())?;
        let node = self.put(&mut *store, &node)?;
        let function = self.put(&mut *store, &function)?;
        let data = self.put(&mut *store, data)?;
        let arguments = (node.at, function.at, data.at, data.length);
        self.cast.call(&mut *store, arguments)?;
        self.give_back(store, [node, function, data])
    }

    pub fn call(
        &self,
        store: &mut Store<State>,
        (node, function): Ids,
        data: &[u8],
    ) -> wasmtime::Result<Answer> {
        self.clear.call(&mut *store, ())?;
        let node = self.put(&mut *store, &node)?;
        let function = self.put(&mut *store, &function)?;
        let data = self.put(&mut *store, data)?;
        // Two numbers of 32 bits: where the reply is, and how long.
        let at = self.put(&mut *store, &[0; 4])?;
        let length = self.put(&mut *store, &[0; 4])?;
        let arguments = (node.at, function.at, data.at, data.length, at.at, length.at);
        let kind = self.call.call(&mut *store, arguments)?;
        let answer = match kind {
            0 => Answer::NoReply,
            // Read before anything else runs: it may lie where the function has freed it already.
            1 => {
                let (at, length) = (
                    self.number(&*store, at.at)?,
                    self.number(&*store, length.at)?,
                );
                Answer::Reply(self.get(&*store, at, length)?)
            }
            _ => Answer::Error,
        };
        self.give_back(store, [node, function, data, at, length])?;
        Ok(answer)
    }

    pub fn stop(&self, store: &mut Store<State>) -> wasmtime::Result<()> {
        self.clear.call(&mut *store, ())?;
        self.stop.call(store, ())
    }

    /// Bytes of the function's memory.
    pub fn get(
        &self,
        store: impl AsContext<Data = State>,
        at: u32,
        length: u32,
    ) -> wasmtime::Result<Vec<u8>> {
        let memory = self.memory.data(&store);
        let (at, length) = (at as usize, length as usize);
        let bytes = memory.get(at..).and_then(|rest| rest.get(..length));
        Ok(bytes.ok_or(Trap::MemoryOutOfBounds)?.to_vec())
    }

    /// A text in the function's memory.
    pub fn text(
        &self,
        store: impl AsContext<Data = State>,
        at: u32,
        length: u32,
    ) -> wasmtime::Result<String> {
        let bytes = self.get(store, at, length)?;
        String::from_utf8(bytes)
            .map_err(|_| wasmtime::Error::msg("a text of the function is not UTF-8"))
    }

    /// An id in the function's memory.
    pub fn id(&self, store: impl AsContext<Data = State>, at: u32) -> wasmtime::Result<[u8; 16]> {
        let bytes = self.get(store, at, 16)?;
        Ok(bytes.try_into().unwrap_or_default())
    }

    /// Writes into the function's memory.
    pub fn set(
        &self,
        mut store: impl AsContextMut<Data = State>,
        at: u32,
        bytes: &[u8],
    ) -> wasmtime::Result<()> {
        let written = self.memory.write(&mut store, at as usize, bytes);
        Ok(written.map_err(|_| Trap::MemoryOutOfBounds)?)
    }

    /// Has the function make room for `bytes`, and tells it where the place and the length go.
    pub fn hand_over(
        &self,
        mut store: impl AsContextMut<Data = State>,
        bytes: &[u8],
        out_at: u32,
        out_length: u32,
    ) -> wasmtime::Result<()> {
        let piece = self.put(&mut store, bytes)?;
        self.set(&mut store, out_at, &piece.at.to_le_bytes())?;
        self.set(store, out_length, &piece.length.to_le_bytes())
    }

    fn number(&self, store: impl AsContext<Data = State>, at: u32) -> wasmtime::Result<u32> {
        let bytes = self.get(store, at, 4)?;
        Ok(u32::from_le_bytes(bytes.try_into().unwrap_or_default()))
    }

    fn put(
        &self,
        mut store: impl AsContextMut<Data = State>,
        bytes: &[u8],
    ) -> wasmtime::Result<Piece> {
        let length = u32::try_from(bytes.len()).map_err(|_| Trap::AllocationTooLarge)?;
        let at = self.alloc.call(&mut store, length)?;
        self.set(store, at, bytes)?;
        Ok(Piece { at, length })
    }

    fn give_back<const N: usize>(
        &self,
        store: &mut Store<State>,
        pieces: [Piece; N],
    ) -> wasmtime::Result<()> {
        for piece in pieces {
            // What has no length was never there.
            if piece.length > 0 {
                let arguments = (piece.at, piece.length);
                self.free.call(&mut *store, arguments)?;
            }
        }
        Ok(())
    }
}
