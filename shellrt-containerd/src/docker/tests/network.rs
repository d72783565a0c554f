//! What it reaches, and where it is reached.

use serde_json::{json, Value};

use super::{host, ignored, refused, whole};

#[test]
fn ports() {
    host(
        json!({
            "PortBindings": {
                "80/tcp": [{"HostIp": "", "HostPort": "8080"}, {"HostIp": "127.0.0.1", "HostPort": ""}],
                "53/udp": [{"HostIp": "::", "HostPort": "0"}],
                "90": null, "91/tcp": [],
                "8000-8002/tcp": [{"HostPort": "9000-9002"}]
            },
            "Dns": ["10.0.0.1"], "DnsSearch": ["example"], "ExtraHosts": ["db:10.0.0.7"]
        }),
        json!({
            // In the order of the keys.
            "ports": ["[::]::53/udp", "8080:80", "127.0.0.1::80", "9000-9002:8000-8002"],
            "dns": ["10.0.0.1"], "dns_search": ["example"], "extra_hosts": ["db:10.0.0.7"]
        }),
    );
    ignored(
        json!({"HostConfig": {
            "NetworkMode": "host", "PortBindings": {"80/tcp": [{"HostPort": "80"}]}, "DnsOptions": ["a"]
        }}),
        &[
            "/config/HostConfig/DnsOptions",
            "/config/HostConfig/PortBindings",
        ],
    );
    let port = |binding: Value| json!({"HostConfig": {"PortBindings": {"80/tcp": [binding]}}});
    let place = "/config/HostConfig/PortBindings/80~1tcp/0";
    refused(port(json!({"HostPort": "x"})), &format!("{place}/HostPort"));
    refused(port(json!({"HostIp": "x"})), &format!("{place}/HostIp"));
    refused(port(json!({"HostPort": "80-81"})), place);
    refused(
        json!({"HostConfig": {"PortBindings": {"80/x": [{}]}}}),
        "/config/HostConfig/PortBindings/80~1x",
    );
    refused(json!({"ExposedPorts": {"x": {}}}), "/config/ExposedPorts/x");
    refused(
        json!({"HostConfig": {"Dns": ["x"]}}),
        "/config/HostConfig/Dns/0",
    );
    refused(
        json!({"HostConfig": {"ExtraHosts": ["x"]}}),
        "/config/HostConfig/ExtraHosts/0",
    );
}

#[test]
fn networks() {
    let body = |mode: &str, endpoints: Value| json!({"HostConfig": {"NetworkMode": mode}, "NetworkingConfig": {"EndpointsConfig": endpoints}});
    for (mode, endpoints, network) in [
        ("", json!({}), json!(null)),
        ("default", json!({}), json!(null)),
        ("bridge", json!({}), json!("bridge")),
        ("none", json!({}), json!("none")),
        ("iot", json!({}), json!("iot")),
        ("", json!({"iot": {}}), json!("iot")),
        ("host", json!({"host": {}}), json!("host")),
        ("iot", json!({"iot": {"Aliases": null}}), json!("iot")),
    ] {
        whole(body(mode, endpoints), json!({"network": network}));
    }
    whole(json!({"NetworkDisabled": true}), json!({"network": "none"}));
    ignored(
        body(
            "",
            json!({"iot": {"Aliases": ["a"], "IPAMConfig": {"IPv4Address": "10.0.0.7"}}}),
        ),
        &[
            "/config/NetworkingConfig/EndpointsConfig/iot/Aliases",
            "/config/NetworkingConfig/EndpointsConfig/iot/IPAMConfig",
        ],
    );
    refused(
        body("container:x", json!({})),
        "/config/HostConfig/NetworkMode",
    );
    refused(
        body("", json!({"a": {}, "b": {}})),
        "/config/NetworkingConfig/EndpointsConfig/b",
    );
    refused(
        body("host", json!({"a": {}})),
        "/config/NetworkingConfig/EndpointsConfig/a",
    );
}
