//! What a component says and hears, over both routers.

use serde_json::{json, Value};
use tests::plugin::until;
use tests::router::{Options, Peer, Router};

use crate::daemon::{Daemon, Place};

fn start(place: &Place, router: &Router, more: &[&str]) -> Daemon {
    let url = router.url();
    let mut arguments = vec!["-c", "python", "-u", &url, "-r", "realm1"];
    arguments.extend(more);
    let mut daemon = place.daemon(&arguments);
    daemon.wait("is ready", 1);
    daemon
}

#[test]
fn a_component_talks_over_crossbar() {
    let Some((place, router)) = Place::new().zip(Router::crossbar(&Options::default())) else {
        return;
    };
    let extra = place.extra(&json!({"prefix": "org.edge", "period": 5}));
    let mut daemon = start(&place, &router, &["-e", &extra, "--serializers", "json"]);
    let mut peer = Peer::join(&router.url());
    calls(&mut peer, "org.edge");
    let extra = json!({"prefix": "org.edge", "period": 5});
    assert_eq!(peer.call("org.edge.extra", json!([]))["result"], extra);
    own_calls(&mut peer, "org.edge");
    events(&mut peer, "org.edge");
    cancelling(&mut peer, "org.edge");
    what_goes_wrong(&mut daemon, &mut peer, "org.edge");
    // What it publishes while it ends still goes out.
    assert_eq!(daemon.end().code(), Some(0), "{}", daemon.log());
    let stopped = json!(["org.edge.out", ["stopped"], {}]);
    until("the last event", || peer.events().contains(&stopped));
    let gone = peer.call("org.edge.data", json!([]));
    assert_eq!(gone["error"], "wamp.error.no_such_procedure");
}

#[test]
fn a_component_talks_over_xconn() {
    let Some((place, router)) = Place::new().zip(Router::xconn()) else {
        return;
    };
    let mut daemon = start(&place, &router, &[]);
    let mut peer = Peer::join(&router.url());
    calls(&mut peer, "test");
    // Nothing was given.
    assert_eq!(peer.call("test.extra", json!([]))["result"], json!({}));
    let ended = daemon.end();
    assert_eq!(ended.code(), Some(0), "{}", daemon.log());
    // This router keeps what a session has registered and not unregistered.
    let mut daemon = start(&place, &router, &[]);
    assert_eq!(peer.call("test.echo", json!([1]))["result"], 1);
    assert_eq!(daemon.end().code(), Some(0), "{}", daemon.log());
}

/// What a component's options say reaches the router: here that several may offer the same.
#[test]
fn one_procedure_of_two_components() {
    let Some((place, router)) = Place::new().zip(Router::crossbar(&Options::default())) else {
        return;
    };
    let shared = json!({"prefix": "both", "invoke": "roundrobin"});
    let extras = place.extra(&json!({"python": shared, "second": shared}));
    let mut daemon = start(&place, &router, &["-c", "second", "-e", &extras]);
    daemon.wait("is ready", 2);
    let mut peer = Peer::join(&router.url());
    let mut instance = || peer.call("both.instance", json!([]))["result"].clone();
    let instances = [instance(), instance(), instance(), instance()];
    assert_eq!(instances[0], instances[2], "{instances:?}");
    assert_eq!(instances[1], instances[3], "{instances:?}");
    assert_ne!(instances[0], instances[1]);
    assert_eq!(daemon.end().code(), Some(0), "{}", daemon.log());
}

/// Who is refused a procedure can't begin, which is told at once.
#[test]
fn a_procedure_that_is_taken() {
    let Some((place, router)) = Place::new().zip(Router::xconn()) else {
        return;
    };
    let Some(echo) = place.echo() else {
        return;
    };
    let component = format!("wasm:{}", echo.display());
    let url = router.url();
    let arguments = ["-c", &component, "-u", &url, "-r", "realm1", "--name"];
    let mut first = place.daemon(&[&arguments[..], &["first"]].concat());
    first.wait("is ready", 1);
    let mut second = place.daemon(&[&arguments[..], &["second"]].concat());
    assert_eq!(second.status().code(), Some(1), "{}", second.log());
    second.wait("wamp.error.procedure_already_exists", 1);
    second.wait(
        "the component can't begin: the procedure can't be registered",
        1,
    );
    assert_eq!(first.end().code(), Some(0), "{}", first.log());
}

fn calls(peer: &mut Peer, prefix: &str) {
    let name = |name: &str| format!("{prefix}.{name}");
    let values = json!([1, -2.5, "äöü", null, true, [1, {"a": []}], 9_007_199_254_740_992_u64]);
    let echoed = peer.ask(&json!({
        "do": "call", "procedure": name("echo"), "args": [values], "kwargs": {},
    }));
    assert_eq!(echoed, json!({"result": values}));
    assert_eq!(peer.call(&name("data"), json!([]))["result"], "text");
    let failed = peer.call(&name("fail"), json!([]));
    assert_eq!(failed["error"], "wamp.error.runtime_error");
    assert_eq!(failed["args"], json!(["it failed"]));
    let failed = peer.call(&name("fail"), json!(["org.edge.error.not_found"]));
    assert_eq!(failed["error"], "org.edge.error.not_found");
    let unknown = peer.call(&name("unknown"), json!([]));
    assert_eq!(unknown["error"], "wamp.error.no_such_procedure");
}

fn own_calls(peer: &mut Peer, prefix: &str) {
    let name = |name: &str| format!("{prefix}.{name}");
    peer.ask(&json!({"do": "register", "procedure": "org.peer.answer"}));
    let asked = peer.call(&name("ask"), json!(["org.peer.answer", 1, "x"]));
    let answer = json!({"op": "reply", "args": [["org.peer.answer", [1, "x"], {}]]});
    assert_eq!(asked["result"], answer);
    let asked = peer.call(&name("ask"), json!(["org.peer.nobody"]));
    assert_eq!(asked["result"]["uri"], "wamp.error.no_such_procedure");
    let asked = peer.call(&name("ask"), json!(["no uri"]));
    assert_eq!(asked["result"]["uri"], "wamp.error.invalid_uri");
    // A result in parts, to others and to itself.
    let counted = peer.ask(&json!({
        "do": "call", "procedure": name("count"), "args": [3], "progress": true,
    }));
    assert_eq!(counted, json!({"result": "end", "parts": [0, 1, 2]}));
    // Who did not ask for parts gets the end alone.
    assert_eq!(peer.call(&name("count"), json!([3]))["result"], "end");
    let parts = peer.call(&name("parts"), json!([name("count"), 2]));
    assert_eq!(parts["result"], json!([[0], [1], ["end"]]));
}

fn events(peer: &mut Peer, prefix: &str) {
    let name = |name: &str| format!("{prefix}.{name}");
    peer.ask(&json!({"do": "subscribe", "topic": name("out")}));
    peer.call(&name("publish"), json!([5]));
    let expected: Vec<Value> = (0..5)
        .map(|number| json!([name("out"), [number], {}]))
        .collect();
    until("five events", || peer.events().len() >= 5);
    assert_eq!(peer.events(), expected);
    // The component has subscribed to a prefix.
    for topic in [name("in.a"), name("in.b"), name("other")] {
        let args = json!({"do": "publish", "topic": topic, "args": [1], "kwargs": {"k": "v"}});
        assert_eq!(peer.ask(&args), json!({"published": topic}));
    }
    let expected = json!([
        [name("in.a"), [1], {"k": "v"}],
        [name("in.b"), [1], {"k": "v"}],
    ]);
    peer.call_until(&name("heard"), &json!([]), &expected);
}

fn cancelling(peer: &mut Peer, prefix: &str) {
    let name = |name: &str| format!("{prefix}.{name}");
    peer.tell(&json!({
        "do": "call", "procedure": name("hang"), "args": ["forgotten"], "name": "hanging",
    }));
    // It is there when the next call is answered.
    let echoed = peer.call(&name("echo"), json!(["after"]));
    assert_eq!(echoed["result"], "after");
    peer.tell(&json!({"do": "cancel", "name": "hanging"}));
    let answers = [peer.answer(), peer.answer()];
    assert!(
        answers.contains(&json!({"cancelled": "hanging"})),
        "{answers:?}"
    );
    let begin = std::time::Instant::now();
    loop {
        let heard = peer.call(&name("heard"), json!([]));
        let heard = heard["result"].as_array().unwrap().clone();
        if heard.contains(&json!(["cancel", ["forgotten"], {}])) {
            return;
        }
        assert!(begin.elapsed().as_secs() < 30, "{heard:?}");
    }
}

fn what_goes_wrong(daemon: &mut Daemon, peer: &mut Peer, prefix: &str) {
    let name = |name: &str| format!("{prefix}.{name}");
    // It is told, logged, and goes on.
    peer.call(&name("nonsense"), json!([]));
    daemon.wait("no call with the id 999999 is open", 1);
    daemon.wait("not a message", 1);
    daemon.wait("a line for the log", 1);
    assert_eq!(peer.call(&name("echo"), json!([1]))["result"], 1);
    let registered = json!({"do": "register", "procedure": name("echo")});
    let twice = peer.ask(&registered);
    assert_eq!(twice["error"], "wamp.error.procedure_already_exists");
    let unregistered = peer.call(&name("unregister"), json!([name("echo")]));
    assert_eq!(unregistered["result"], "reply");
    assert_eq!(peer.ask(&registered), json!({"registered": name("echo")}));
    let unregistered = peer.call(&name("unregister"), json!([name("echo")]));
    assert_eq!(unregistered["result"], "error");
}
