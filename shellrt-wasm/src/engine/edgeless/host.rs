//! What a function imports.

use wasmtime::{Caller, Linker};

use super::guest::{Answer, Guest};
use super::message::Line;
use super::{ended, State, MODULE};

/// Provides all of it.
pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap(
        MODULE,
        "cast_asm",
        |mut caller: Caller<State>, alias: u32, alias_length: u32, data: u32, length: u32| {
            let guest = guest(&caller)?;
            let alias = guest.text(&caller, alias, alias_length)?;
            let data = guest.get(&caller, data, length)?;
            let line = Line {
                to: Some(&alias),
                ..Line::new("cast")
            };
            caller.data_mut().talk.say(&line.with_data(&data))
        },
    )?;
    linker.func_wrap(
        MODULE,
        "cast_raw_asm",
        |mut caller: Caller<State>, node: u32, function: u32, data: u32, length: u32| {
            let guest = guest(&caller)?;
            let (node, function) = names(&guest, &caller, node, function)?;
            let data = guest.get(&caller, data, length)?;
            let line = Line {
                to_node: Some(&node),
                to_function: Some(&function),
                ..Line::new("cast")
            };
            caller.data_mut().talk.say(&line.with_data(&data))
        },
    )?;
    linker.func_wrap(
        MODULE,
        "delayed_cast_asm",
        |mut caller: Caller<State>,
         delay: u64,
         alias: u32,
         alias_length: u32,
         data: u32,
         length: u32| {
            let guest = guest(&caller)?;
            let alias = guest.text(&caller, alias, alias_length)?;
            let data = guest.get(&caller, data, length)?;
            let line = Line {
                to: Some(&alias),
                delay_ms: Some(delay),
                ..Line::new("cast")
            };
            caller.data_mut().talk.say(&line.with_data(&data))
        },
    )?;
    linker.func_wrap(
        MODULE,
        "telemetry_log_asm",
        |mut caller: Caller<State>, level: u32, target: u32, length: u32, text: u32, size: u32| {
            let guest = guest(&caller)?;
            // One more than the host has, and what is unknown is important.
            let level = match level {
                2 => "warn",
                3 => "info",
                4 => "debug",
                5 => "trace",
                _ => "error",
            };
            let target = guest.text(&caller, target, length)?;
            let message = guest.text(&caller, text, size)?;
            let line = Line {
                level: Some(level),
                target: Some(&target),
                message: Some(&message),
                ..Line::new("log")
            };
            caller.data_mut().talk.say(&line)
        },
    )?;
    linker.func_wrap(
        MODULE,
        "slf_asm",
        |mut caller: Caller<State>, node_out: u32, function_out: u32| {
            let guest = guest(&caller)?;
            let (node, function) = caller.data().talk.own_ids();
            guest.set(&mut caller, node_out, &node)?;
            guest.set(&mut caller, function_out, &function)
        },
    )?;
    linker.func_wrap(
        MODULE,
        "sync_asm",
        |mut caller: Caller<State>, state: u32, length: u32| {
            let state = guest(&caller)?.get(&caller, state, length)?;
            let line = Line::new("sync").with_state(&state);
            caller.data_mut().talk.say(&line)
        },
    )?;
    linker.func_wrap(
        MODULE,
        "call_asm",
        |mut caller: Caller<State>,
         alias: u32,
         alias_length: u32,
         data: u32,
         length: u32,
         out: u32,
         out_length: u32| {
            let guest = guest(&caller)?;
            let alias = guest.text(&caller, alias, alias_length)?;
            let data = guest.get(&caller, data, length)?;
            let line = Line {
                to: Some(&alias),
                ..Line::new("call")
            };
            let answer = ask(caller.data_mut(), line.with_data(&data))?;
            answer.told(&guest, &mut caller, out, out_length)
        },
    )?;
    linker.func_wrap(
        MODULE,
        "call_raw_asm",
        |mut caller: Caller<State>,
         node: u32,
         function: u32,
         data: u32,
         length: u32,
         out: u32,
         out_length: u32| {
            let guest = guest(&caller)?;
            let (node, function) = names(&guest, &caller, node, function)?;
            let data = guest.get(&caller, data, length)?;
            let line = Line {
                to_node: Some(&node),
                to_function: Some(&function),
                ..Line::new("call")
            };
            let answer = ask(caller.data_mut(), line.with_data(&data))?;
            answer.told(&guest, &mut caller, out, out_length)
        },
    )?;
    Ok(())
}

/// The exports; they are known before the first handler runs.
fn guest(caller: &Caller<'_, State>) -> wasmtime::Result<Guest> {
    let guest = caller.data().guest.clone();
    guest.ok_or_else(|| wasmtime::Error::msg("the function asks for something before its init"))
}

/// The names of an instance that the function means: of its node and of itself.
fn names(
    guest: &Guest,
    caller: &Caller<'_, State>,
    node: u32,
    function: u32,
) -> wasmtime::Result<(String, String)> {
    let talk = &caller.data().talk;
    let node = talk.name(guest.id(caller, node)?);
    Ok((node, talk.name(guest.id(caller, function)?)))
}

/// Waits for the answer to a call.
fn ask(state: &mut State, line: Line) -> wasmtime::Result<Answer> {
    // It is stopped while it waits, or nobody is there any more.
    state.talk.ask(line)?.ok_or_else(ended)
}

impl Answer {
    /// Tells the function of it, and gives the number for it.
    fn told(
        self,
        guest: &Guest,
        caller: &mut Caller<'_, State>,
        out: u32,
        out_length: u32,
    ) -> wasmtime::Result<i32> {
        match self {
            Answer::NoReply => Ok(0),
            Answer::Reply(data) => {
                guest.hand_over(caller, &data, out, out_length)?;
                Ok(1)
            }
            Answer::Error => Ok(2),
        }
    }
}
