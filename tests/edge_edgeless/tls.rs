//! TLS with certificates on both sides, set up by EDGELESS's own file.

use tests::edgeless::{base64, reply, Edged, Node};
use tests::registry::certificates::Authority;

#[test]
fn both_sides_show_certificates() {
    let authority = Authority::new();
    let (server, client) = (authority.issue("server"), authority.issue("client"));
    let folder = authority.certificate().parent().unwrap();
    let settings = folder.join("tls_config.toml");
    let text = format!(
        "[server]\nserver_cert_path = {:?}\nserver_key_path = {:?}\nserver_ca_path = {:?}\n\
         [client]\nclient_ca_path = {:?}\nclient_cert_path = {:?}\nclient_key_path = {:?}\n\
         domain_name = \"localhost\"\n",
        server.certificate,
        server.key,
        authority.certificate(),
        authority.certificate(),
        client.certificate,
        client.key
    );
    std::fs::write(&settings, text).unwrap();
    let edged = Edged::start(&["--tls-config", settings.to_str().unwrap()]);
    let Some(mut node) = Node::with(edged.ports[0], Some(folder)) else {
        return;
    };
    node.run();
    assert_eq!(node.ask("recall a b"), reply("re: b"));
    node.cast("recast a c");
    assert_eq!(node.heard("Cast")["msg"], base64(b"c"));
    // Who has none is not let in.
    let mut stranger = Node::start(edged.ports[0]).unwrap();
    assert_eq!(stranger.boot("f")["code"], "UNAVAILABLE");
    edged.logs("a client's TLS is refused");
    assert_eq!(node.ask("x"), reply("x"));
}
