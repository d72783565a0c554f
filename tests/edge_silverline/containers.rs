//! Programs that run in containers, with a containerd of the test's own.

use serde_json::json;
use tests::plugin::until;

use super::fleet::{Fleet, Kind, RT};

#[test]
fn a_program_with_its_files_in_a_container() {
    let Some(mut fleet) = Fleet::of(Kind::Container, "applauncher", json!({})) else {
        return;
    };
    let script = "cat data/text; echo \"$PROGRAM_OBJECT_ID $1 $NAMESPACE\" >&2; read line; echo got $line; exit 3";
    std::fs::write(fleet.repository().join("wasm/prog.py"), script).unwrap();
    std::fs::create_dir(fleet.repository().join("wasm/data")).unwrap();
    std::fs::write(
        fleet.repository().join("wasm/data/text"),
        "text of a file\n",
    )
    .unwrap();
    fleet.run();
    fleet.register(json!({}));

    let mut request = fleet.request("o", "m-1", "");
    request["data"]["file"] = json!("prog.py");
    request["data"]["filetype"] = json!("PY");
    fleet.broker.publish(fleet.control(), request.to_string());
    let mio = "realm/s/ns1/sc1/p/m-1";
    fleet.wait("it runs", mio, |it| it["data"]["result"] == "ok");
    fleet.wait_for_text(&format!("{mio}/-/stdout"), "text of a file\n");
    fleet.wait_for_text(&format!("{mio}/-/stderr"), "m-1 x ns1\n");
    fleet.broker.publish(&format!("{mio}/-/stdin"), "a line");
    fleet.wait_for_text(&format!("{mio}/-/stdout"), "got a line\n");
    fleet.wait("its end", mio, |it| {
        it["action"] == "delete" && it["type"] == "req" && it["from"] == RT
    });
    // A daemon that ends before leaves the removal to the next one.
    until("it is removed", || fleet.modules().is_empty());
    fleet.end();
    assert_eq!(fleet.left_of_containers(), [""; 0]);
}
