//! What it sees of the machine: files and devices.

use serde_json::{json, Value};

use super::super::Machine;
use super::{host, mapped_on, refused, whole};

#[test]
fn binds() {
    let made = json!({"create_host_path": true});
    let bind =
        |target: &str| json!({"type": "bind", "source": "/s", "target": target, "bind": made});
    let with = |mut mount: Value, key: &str, value: Value| {
        mount[key] = value;
        mount
    };
    for (text, mount) in [
        ("/s:/t", bind("/t")),
        ("/s:/t:rw", bind("/t")),
        ("/s:/t:ro,z", with(bind("/t"), "read_only", json!(true))),
        (
            "/s:/t:rslave,ro",
            with(
                with(bind("/t"), "read_only", json!(true)),
                "bind",
                json!({"create_host_path": true, "propagation": "rslave"}),
            ),
        ),
        ("/s:/t:cached", bind("/t")),
        (
            "data:/t",
            json!({"type": "volume", "source": "data", "target": "/t"}),
        ),
        (
            "data:/t:nocopy",
            json!({"type": "volume", "source": "data", "target": "/t", "volume": {"nocopy": true}}),
        ),
        ("/t", json!({"type": "volume", "target": "/t"})),
    ] {
        host(json!({"Binds": [text]}), json!({"mounts": [mount]}));
    }
    for text in [
        "/s:/t:x",
        "/s:/t:ro:rw",
        "C:/s:/t",
        "./s:/t",
        "/s:t",
        "/s:/",
        "data:/t:rslave",
    ] {
        refused(
            json!({"HostConfig": {"Binds": ["/a:/b", text]}}),
            "/config/HostConfig/Binds/1",
        );
    }
    let selinux = Machine {
        selinux: true,
        ..Machine::default()
    };
    let body = json!({"Image": "a", "HostConfig": {"Binds": ["/a:/b", "/c:/d:Z"]}});
    let mapped = mapped_on(&selinux, body).unwrap();
    assert_eq!(mapped.ignored, ["/config/HostConfig/Binds/1"]);
}

#[test]
fn mounts_and_volumes() {
    host(
        json!({"Mounts": [
            {"Type": "bind", "Source": "/s", "Target": "/a", "ReadOnly": true,
             "BindOptions": {"Propagation": "rslave"}},
            {"Type": "bind", "Source": "/s", "Target": "/b", "BindOptions": {"CreateMountpoint": true}},
            {"Type": "volume", "Source": "v", "Target": "/c", "VolumeOptions": {"NoCopy": true}},
            {"Type": "volume", "Target": "/d", "VolumeOptions": {"DriverConfig": {"Name": "local"}}},
            {"Type": "tmpfs", "Target": "/e", "TmpfsOptions": {"SizeBytes": 65536, "Mode": 448}}
        ], "Tmpfs": {"/f": "size=64m,exec", "/g": ""}}),
        json!({"mounts": [
            {"type": "bind", "source": "/s", "target": "/a", "read_only": true,
             "bind": {"propagation": "rslave"}},
            {"type": "bind", "source": "/s", "target": "/b", "bind": {"create_host_path": true}},
            {"type": "volume", "source": "v", "target": "/c", "volume": {"nocopy": true}},
            {"type": "volume", "target": "/d"},
            {"type": "tmpfs", "target": "/e", "tmpfs": {"size": 65536, "mode": "0700"}}
        ], "tmpfs": ["/f:size=64m,exec", "/g"]}),
    );
    whole(
        json!({"Volumes": {"/a": {}, "/b/": {}}, "HostConfig": {"Binds": ["v:/b"]}}),
        json!({"mounts": [
            {"type": "volume", "source": "v", "target": "/b"}, {"type": "volume", "target": "/a"}
        ]}),
    );
    for (mount, place) in [
        (json!({"Type": "npipe", "Target": "/a"}), "/Type"),
        (json!({"Target": "/a"}), "/Type"),
        (json!({"Type": "bind", "Target": "/a"}), ""),
        (
            json!({"Type": "bind", "Source": "a", "Target": "/a"}),
            "/Source",
        ),
        (
            json!({"Type": "bind", "Source": "/a", "Target": "a"}),
            "/Target",
        ),
        (
            json!({"Type": "tmpfs", "Target": "/a", "BindOptions": {}}),
            "/BindOptions",
        ),
        (
            json!({"Type": "bind", "Source": "/a", "Target": "/a", "BindOptions": {"Propagation": "x"}}),
            "/BindOptions/Propagation",
        ),
        (
            json!({"Type": "volume", "Target": "/a",
                   "VolumeOptions": {"DriverConfig": {"Options": {"type": "nfs"}}}}),
            "/VolumeOptions/DriverConfig",
        ),
    ] {
        refused(
            json!({"HostConfig": {"Mounts": [mount]}}),
            &format!("/config/HostConfig/Mounts/0{place}"),
        );
    }
    refused(
        json!({"HostConfig": {"Binds": ["/a:/t", "v:/t"]}}),
        "/config/HostConfig/Binds/1",
    );
    refused(
        json!({"HostConfig": {"Tmpfs": {"/a": "size"}}}),
        "/config/HostConfig/Tmpfs/~1a",
    );
}

#[test]
fn devices_and_runtimes() {
    host(
        json!({"Devices": [
            {"PathOnHost": "/dev/a", "PathInContainer": "/dev/b", "CgroupPermissions": "rw"},
            {"PathOnHost": "/dev/c"}
        ]}),
        json!({"devices": ["/dev/a:/dev/b:rw", "/dev/c"]}),
    );
    refused(
        json!({"HostConfig": {"Devices": [{"PathOnHost": "x"}]}}),
        "/config/HostConfig/Devices/0",
    );
    host(
        json!({"Devices": [{"PathOnHost": "vendor.com/class=a"}], "DeviceRequests": [
            {"Driver": "cdi", "DeviceIDs": ["vendor.com/class=b", "vendor.com/class=c"]}
        ]}),
        json!({"devices": ["vendor.com/class=a", "vendor.com/class=b", "vendor.com/class=c"]}),
    );
    let gpu = |mut request: Value| {
        request["Capabilities"] = json!([["gpu", "utility"]]);
        json!({ "DeviceRequests": [request] })
    };
    for (request, devices) in [
        (
            json!({"Driver": "nvidia", "Count": -1}),
            json!(["nvidia.com/gpu=all"]),
        ),
        (
            json!({"Count": 2}),
            json!(["nvidia.com/gpu=0", "nvidia.com/gpu=1"]),
        ),
        (
            json!({"DeviceIDs": ["0", "GPU-8a"]}),
            json!(["nvidia.com/gpu=0", "nvidia.com/gpu=GPU-8a"]),
        ),
    ] {
        host(gpu(request), json!({"devices": devices}));
    }
    let place = "/config/HostConfig/DeviceRequests/0";
    for (request, field) in [
        (json!({"Driver": "cdi"}), "/DeviceIDs"),
        (
            json!({"Driver": "cdi", "Count": 1, "DeviceIDs": ["a/b=c"]}),
            "/Count",
        ),
        (json!({"Driver": "cdi", "DeviceIDs": ["c"]}), ""),
        (json!({"Driver": "other", "Count": -1}), ""),
        (json!({"Count": -1, "Capabilities": [["tpu"]]}), ""),
        (json!({"Count": -2, "Capabilities": [["gpu"]]}), "/Count"),
        (
            json!({"Count": 1, "DeviceIDs": ["0"], "Capabilities": [["gpu"]]}),
            "/Count",
        ),
    ] {
        let body = json!({"HostConfig": {"DeviceRequests": [request]}});
        refused(body, &format!("{place}{field}"));
    }
    host(json!({"Runtime": "runc"}), json!({}));
    host(
        json!({"Runtime": "io.containerd.runsc.v1"}),
        json!({"runtime": "io.containerd.runsc.v1"}),
    );
    refused(
        json!({"HostConfig": {"Runtime": "kata"}}),
        "/config/HostConfig/Runtime",
    );
    // As found in the field, in lower case.
    refused(
        json!({"HostConfig": {"runtime": "nvidia"}}),
        "/config/HostConfig/Runtime",
    );
    let machine = Machine {
        nvidia: Some("/usr/bin/nvidia-container-runtime".into()),
        ..Machine::default()
    };
    let body = json!({"Image": "a", "HostConfig": {"runtime": "nvidia"}});
    let mapped = mapped_on(&machine, body).unwrap();
    let runtime = mapped.config.runtime.as_deref();
    assert_eq!(runtime, Some("/usr/bin/nvidia-container-runtime"));
}
