//! The example of a runtime of one's own.

use std::process::Command;

use rustix::process::Signal;
use serde_json::json;
use tests::binaries::program;

use crate::process::Process;
use crate::site::{stdio, Site};

#[test]
fn the_example_echoes() {
    let Some(site) = Site::new() else { return };
    let config = site.dir.path().join("config.json");
    std::fs::write(&config, site.config.to_string()).unwrap();
    let mut command = Command::new(program("examples/echo_runtime"));
    command.arg(config);
    let mut example = Process::start(command);
    site.register("node", 0);
    let said = site.register("node.echo", 0);
    assert_eq!(said["data"]["runtime_type"], "test/echo");
    assert_eq!(said["data"]["max_nmodules"], 128);
    assert_eq!(said["data"]["parent"], "the-manager");
    site.create("the-runtime", "m-1", "f");
    // Published until it is heard, because nothing tells when the module listens.
    let topic = stdio("m-1");
    let mut published = 0;
    tests::plugin::until("an echo", || {
        site.broker.publish(&topic, "is anybody there?");
        published += 1;
        site.heard.on(&topic).len() > published
    });
    // Once by the test, once by the module.
    site.broker.publish(&topic, "yes");
    site.heard.wait("the echo", |messages| {
        let same = messages.iter().filter(|message| message.payload == b"yes");
        (same.count() == 2).then_some(())
    });
    site.delete("the-runtime", "m-1");
    let exited = site.exited("the-runtime", "m-1");
    assert_eq!(
        exited["data"],
        json!({"type": "module", "uuid": "m-1", "status": "exited"})
    );
    example.signal(Signal::INT);
    assert_eq!(example.end(), Some(0));
    site.unregistered("the-runtime");
    site.unregistered("the-manager");
}
