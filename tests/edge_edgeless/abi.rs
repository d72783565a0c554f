//! Functions with EDGELESS's own ABI: the example in C, and guests as text that do everything wrong.

use std::path::Path;
use std::process::Command;

use serde_json::json;
use tests::edgeless::{answer, base64, examples, input, ok, reply, text, Edged, Node};

use crate::sample;

/// A function as text. Memory is handed out from 1024 on; the first page has the text `abc` at 16.
pub struct Guest {
    pub imports: &'static str,
    pub memory: &'static str,
    pub init: &'static str,
    pub cast: &'static str,
    pub call: &'static str,
    pub stop: &'static str,
}

/// One that does nothing, and answers with what it was asked.
pub const ECHO: Guest = Guest {
    imports: "",
    memory: "1",
    init: "",
    cast: "",
    call: "(i32.store (local.get 4) (local.get 2)) (i32.store (local.get 5) (local.get 3))
        (i32.const 1)",
    stop: "",
};

/// What a function must have.
const EXPORTS: [&str; 8] = [
    "edgeless_mem_alloc",
    "edgeless_mem_clear",
    "edgeless_mem_free",
    "handle_call_asm",
    "handle_cast_asm",
    "handle_init_asm",
    "handle_stop_asm",
    "memory",
];

impl Guest {
    pub fn wat(&self) -> String {
        let Guest {
            imports,
            memory,
            init,
            cast,
            call,
            stop,
        } = self;
        format!(
            r#"(module {imports}
    (memory (export "memory") {memory}) (data (i32.const 16) "abc\ff")
    (global $top (mut i32) (i32.const 1024))
    (func (export "edgeless_mem_alloc") (param i32) (result i32)
        (global.get $top) (global.set $top (i32.add (global.get $top) (local.get 0))))
    (func (export "edgeless_mem_free") (param i32 i32))
    (func (export "edgeless_mem_clear") (global.set $top (i32.const 1024)))
    (func (export "handle_init_asm") (param i32 i32 i32 i32) {init})
    (func (export "handle_cast_asm") (param i32 i32 i32 i32) {cast})
    (func (export "handle_call_asm") (param i32 i32 i32 i32 i32 i32) (result i32) {call})
    (func (export "handle_stop_asm") {stop}))"#
        )
    }
}

/// A daemon with these programs, in the order of their names, and the node that turns to each.
pub fn served(folder: &Path, programs: &[(&str, String)]) -> Option<(Edged, Node)> {
    let mut functions = serde_json::Map::new();
    for (name, wat) in programs {
        let file = folder.join(format!("{name}.wat"));
        std::fs::write(&file, wat).unwrap();
        let function = json!({"port": 0, "module": file, "config": {"mem_limit": "1m"}});
        functions.insert((*name).to_owned(), function);
    }
    let settings = json!({"functions": functions, "stop_timeout_sec": 1});
    let edged = Edged::configured(&settings, programs.len());
    let node = Node::start(edged.ports[0])?;
    Some((edged, node))
}

#[test]
fn the_example_in_c_does_what_the_sample_does() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("function.wasm");
    let built = Command::new("clang")
        .args([
            "--target=wasm32",
            "-O2",
            "-nostdlib",
            "-Wl,--no-entry",
            "-o",
        ])
        .arg(&program)
        .arg(examples().join("edgeless_function.c"))
        .status();
    if !built.is_ok_and(|status| status.success()) {
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "clang is missing"
        );
        eprintln!("ignored: there is no clang that makes WebAssembly");
        return;
    }
    let edged = Edged::start(&["--module", program.to_str().unwrap()]);
    let Some(mut node) = Node::start(edged.ports[0]) else {
        return;
    };
    node.run();
    node.cast("recast next some text");
    assert_eq!(node.heard("Cast")["msg"], base64(b"some text"));
    let (id, other) = (
        "fda6ce79-46df-4f96-a0d2-456f720f606c",
        "cd7240b4-aa46-4885-bb41-f4a2bbb55745",
    );
    let dst = json!({"node_id": id, "function_id": other});
    node.cast(&format!("recast-raw {id} {other} some text"));
    let raw = node.heard("CastRaw");
    assert_eq!(
        (&raw["dst"], &raw["msg"]),
        (&dst, &json!(base64(b"some text")))
    );
    assert_eq!(
        node.ask(&format!("recall-raw {id} {other} a b")),
        reply("re: a b")
    );
    assert_eq!(node.heard("CallRaw")["dst"], dst);
    node.cast("recast-delayed 250 next x");
    assert_eq!(node.heard("DelayedCast")["delay"], "250");
    node.cast("telemetry-log me some text");
    let line = node.heard("TelemetryLog");
    assert_eq!(
        (text(&line["log_level"]), text(&line["msg"])),
        ("LOG_INFO", "some text")
    );
    node.cast("sync some text");
    assert_eq!(node.heard("Sync")["serialized_state"], base64(b"some text"));
    sample::answers(&mut node);
    let large = "x".repeat(1 << 20);
    assert_eq!(node.ask(&large), reply(&large));
    // What comes while it waits, waits too; others are not concerned, and neither is the end.
    let open = node.begin("Call", input(b"recall slow x"));
    node.lines
        .take("a call", |line| line["message"]["alias"] == "slow");
    let waiting = node.begin("Call", input(b"y"));
    assert_eq!(node.call("Stop", json!({})), ok());
    for id in [open, waiting] {
        assert_eq!(node.end(id), json!({"ok": answer("CALL_RET_ERR")}));
    }
    for _ in 0..20 {
        node.run();
        assert_eq!(node.ask("x"), reply("x"));
        assert_eq!(node.call("Stop", json!({})), ok());
    }
}

#[test]
fn what_is_no_function_is_refused_when_it_is_pulled() {
    let folder = tempfile::tempdir().unwrap();
    let without = |name: &str| ECHO.wat().replace(&format!("(export \"{name}\")"), "");
    let import = |import: &'static str| {
        Guest {
            imports: import,
            ..ECHO
        }
        .wat()
    };
    let mut programs = vec![
        (
            "b",
            import(r#"(import "env" "dance_asm" (func))"#),
            "env.dance_asm",
        ),
        (
            "c",
            import(r#"(import "env" "sync_asm" (func (param i32)))"#),
            "sync_asm",
        ),
        (
            "d",
            ECHO.wat().replace(
                r#"(export "handle_stop_asm")"#,
                r#"(export "handle_stop_asm") (param i32)"#,
            ),
            "handle_stop_asm",
        ),
    ];
    programs.extend(EXPORTS.map(|name| (name, without(name), name)));
    let files: Vec<(&str, String)> = programs
        .iter()
        .map(|(name, wat, _)| (*name, wat.clone()))
        .collect();
    let Some((edged, mut node)) = served(folder.path(), &files) else {
        return;
    };
    for ((name, _, why), port) in programs.iter().zip(&edged.ports) {
        node.turn_to(*port);
        assert_eq!(node.boot("f"), ok());
        let end = node.call("Init", json!({}));
        assert_eq!(end["code"], "INTERNAL", "{name}");
        assert!(text(&end["details"]).contains(why), "{name}: {end}");
    }
}

#[test]
fn a_hundred_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let names: Vec<String> = (0..100).map(|number| format!("f{number:02}")).collect();
    let files: Vec<(&str, String)> = names
        .iter()
        .map(|name| (name.as_str(), ECHO.wat()))
        .collect();
    let Some((edged, mut node)) = served(folder.path(), &files) else {
        return;
    };
    let host = node.host();
    let id = json!({"node_id": "n", "function_id": "f"});
    let boot = json!({"guest_api_host_endpoint": host, "instance_id": id});
    for (method, message, answer) in [
        ("Boot", boot, json!({})),
        ("Init", json!({}), json!({})),
        ("Call", input(b"x"), reply("x")),
        ("Stop", json!({}), json!({})),
    ] {
        let begin = |port: &u16| {
            node.turn_to(*port);
            node.begin(method, message.clone())
        };
        let calls: Vec<u64> = edged.ports.iter().map(begin).collect();
        for id in calls {
            assert_eq!(node.end(id), json!({ "ok": answer }), "{method}");
        }
    }
}

#[test]
fn payloads_and_ids_as_the_abi_has_them() {
    let folder = tempfile::tempdir().unwrap();
    // Answers with the numbers that init had, and with who it is itself.
    let imports = r#"(import "env" "slf_asm" (func $slf (param i32 i32)))
        (global $a (mut i32) (i32.const 9)) (global $b (mut i32) (i32.const 9))
        (global $c (mut i32) (i32.const 9)) (global $d (mut i32) (i32.const 9))"#;
    let init = "(global.set $a (local.get 0)) (global.set $b (local.get 1))
        (global.set $c (local.get 2)) (global.set $d (local.get 3))";
    let call =
        "(i32.store (i32.const 64) (global.get $a)) (i32.store (i32.const 68) (global.get $b))
        (i32.store (i32.const 72) (global.get $c)) (i32.store (i32.const 76) (global.get $d))
        (call $slf (i32.const 80) (i32.const 96))
        (i32.store (local.get 4) (i32.const 64)) (i32.store (local.get 5) (i32.const 48))
        (i32.const 1)";
    let guest = Guest {
        imports,
        init,
        call,
        ..ECHO
    };
    let Some((_edged, mut node)) = served(folder.path(), &[("a", guest.wat())]) else {
        return;
    };
    let id = json!({
        "node_id": "00010203-0405-0607-0809-0a0b0c0d0e0f",
        "function_id": "10111213-1415-1617-1819-1a1b1c1d1e1f",
    });
    let host = node.host();
    let boot = json!({"guest_api_host_endpoint": host, "instance_id": id});
    // What is absent has neither a place nor a length.
    for (init, numbers) in [
        (json!({}), [0, 0, 0, 0]),
        (
            json!({"init_payload": "abc", "serialized_state": base64(b"de")}),
            [1024, 3, 1027, 2],
        ),
    ] {
        assert_eq!(node.call("Boot", boot.clone()), ok());
        assert_eq!(node.call("Init", init), ok());
        let mut expected: Vec<u8> = numbers
            .iter()
            .flat_map(|number: &u32| number.to_le_bytes())
            .collect();
        expected.extend(0..32);
        // All of that is ASCII, so it comes as it is.
        let expected = String::from_utf8(expected).unwrap();
        assert_eq!(node.ask("x"), reply(&expected));
        assert_eq!(node.call("Stop", json!({})), ok());
    }
}
