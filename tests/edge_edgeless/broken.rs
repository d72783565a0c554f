//! Functions with EDGELESS's own ABI that go wrong in every handler, and never end.

use serde_json::{json, Value};
use tests::edgeless::{answer, input, ok, text, Node};

use crate::abi::{served, Guest, ECHO};

/// The functions that go wrong when they are asked, with what is said about it.
fn broken() -> Vec<(&'static str, Guest, &'static str)> {
    let call = |call| Guest { call, ..ECHO };
    let imported = |imports, call| Guest {
        imports,
        call,
        ..ECHO
    };
    vec![
        ("a_trap", call("unreachable"), "unreachable"),
        (
            "b_reply_outside",
            call(
                "(i32.store (local.get 4) (i32.const -8)) (i32.store (local.get 5) (i32.const 64))
                (i32.const 1)",
            ),
            "out of bounds",
        ),
        (
            "c_alias_outside",
            imported(
                r#"(import "env" "cast_asm" (func $cast (param i32 i32 i32 i32)))"#,
                "(call $cast (i32.const 65535) (i32.const 2) (i32.const 0) (i32.const 0))
                (i32.const 0)",
            ),
            "out of bounds",
        ),
        (
            "d_alias_no_text",
            imported(
                r#"(import "env" "cast_asm" (func $cast (param i32 i32 i32 i32)))"#,
                "(call $cast (i32.const 16) (i32.const 4) (i32.const 0) (i32.const 0))
                (i32.const 0)",
            ),
            "not UTF-8",
        ),
        (
            "e_id_outside",
            imported(
                r#"(import "env" "slf_asm" (func $slf (param i32 i32)))"#,
                "(call $slf (i32.const 65530) (i32.const 0)) (i32.const 0)",
            ),
            "out of bounds",
        ),
        (
            "f_out_outside",
            imported(
                r#"(import "env" "call_asm" (func $call (param i32 i32 i32 i32 i32 i32) (result i32)))"#,
                "(call $call (i32.const 16) (i32.const 3) (i32.const 16) (i32.const 3)
                (i32.const -1) (i32.const 0))",
            ),
            "out of bounds",
        ),
        (
            "g_memory",
            call("(drop (memory.grow (i32.const 100))) (unreachable)"),
            "memory limit",
        ),
    ]
}

#[test]
fn what_goes_wrong_ends_the_instance_and_answers() {
    let folder = tempfile::tempdir().unwrap();
    let broken = broken();
    let files: Vec<(&str, String)> = broken
        .iter()
        .map(|(name, guest, _)| (*name, guest.wat()))
        .collect();
    let Some((edged, mut node)) = served(folder.path(), &files) else {
        return;
    };
    for ((name, _, why), port) in broken.iter().zip(&edged.ports) {
        node.turn_to(*port);
        node.run();
        assert_eq!(node.ask("x"), answer("CALL_RET_ERR"), "{name}");
        let line = edged.log.take(name, |line| {
            let line = text(&line["message"]);
            line.contains(name) && line.contains("has ended by itself")
        });
        assert!(text(&line["message"]).contains(why), "{name}: {line}");
    }
}

#[test]
fn handlers_that_trap_or_never_end() {
    let folder = tempfile::tempdir().unwrap();
    let forever = "(loop (br 0))";
    let guests = [
        (
            "a",
            Guest {
                init: "unreachable",
                ..ECHO
            },
        ),
        (
            "b",
            Guest {
                cast: "unreachable",
                ..ECHO
            },
        ),
        (
            "c",
            Guest {
                stop: "unreachable",
                ..ECHO
            },
        ),
        (
            "d",
            Guest {
                cast: forever,
                ..ECHO
            },
        ),
        (
            "e",
            Guest {
                init: forever,
                ..ECHO
            },
        ),
    ];
    let files: Vec<(&str, String)> = guests
        .iter()
        .map(|(name, guest)| (*name, guest.wat()))
        .collect();
    let Some((edged, mut node)) = served(folder.path(), &files) else {
        return;
    };
    let [init, cast, stop, forever, hanging] = edged.ports[..] else {
        panic!("{:?}", edged.ports);
    };
    assert_eq!(node.boot("f"), ok());
    node.turn_to(init);
    let end = node.call("Init", json!({}));
    assert!(text(&end["details"]).contains("unreachable"), "{end}");
    node.turn_to(cast);
    node.run();
    node.cast("x");
    edged.logs("\"b\" has ended by itself");
    node.turn_to(stop);
    node.run();
    assert_eq!(node.call("Stop", json!({})), ok());
    node.turn_to(forever);
    node.run();
    node.cast("x");
    let open = node.begin("Call", input(b"x"));
    assert_eq!(node.call("Stop", json!({})), ok());
    assert_eq!(node.end(open), json!({"ok": answer("CALL_RET_ERR")}));
    edged.logs("is killed");
    node.run();
    // One that hangs while it begins is stopped too.
    node.turn_to(hanging);
    assert_eq!(node.boot("f"), ok());
    let init = node.begin("Init", json!({}));
    let stopped = |node: &mut Node| node.call("Stop", json!({}));
    let mut answer: Value = stopped(&mut node);
    while answer != ok() {
        // The init may come later than the stop.
        std::thread::yield_now();
        answer = stopped(&mut node);
    }
    assert_eq!(node.end(init)["code"], "ABORTED");
}
