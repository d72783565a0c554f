//! What it may use, and what it may do.

use serde_json::json;

use super::{host, ignored, refused, whole};

#[test]
fn limits() {
    host(
        json!({
            "Memory": 67108864, "MemorySwap": -1, "MemoryReservation": 33554432,
            "NanoCpus": 500000000, "CpuShares": 512, "CpusetCpus": "0", "PidsLimit": 50,
            "ShmSize": 1048576, "Ulimits": [{"Name": "nofile", "Soft": 1024, "Hard": 4096}]
        }),
        json!({
            "mem_limit": "64m", "memswap_limit": -1, "mem_reservation": "32m", "cpus": 0.5,
            "cpu_shares": 512, "cpuset": "0", "pids_limit": 50, "shm_size": "1m",
            "ulimits": {"nofile": {"soft": 1024, "hard": 4096}}
        }),
    );
    host(
        json!({"CpuQuota": 25000, "CpuPeriod": 50000}),
        json!({"cpus": 0.5}),
    );
    host(json!({"CpuQuota": 25000}), json!({"cpus": 0.25}));
    host(json!({"CpuQuota": -1, "PidsLimit": 0}), json!({}));
    ignored(
        json!({"HostConfig": {"CpuPeriod": 50000, "OomKillDisable": true, "MemorySwappiness": 60}}),
        &[
            "/config/HostConfig/CpuPeriod",
            "/config/HostConfig/MemorySwappiness",
            "/config/HostConfig/OomKillDisable",
        ],
    );
    ignored(
        json!({"HostConfig": {"IpcMode": "host", "ShmSize": 1048576}}),
        &["/config/HostConfig/ShmSize"],
    );
    for (limits, key) in [
        (json!({"Memory": 1024}), "Memory"),
        (json!({"Memory": -1}), "Memory"),
        (json!({"MemorySwap": 67108864}), "MemorySwap"),
        (json!({"MemorySwap": -2}), "MemorySwap"),
        (json!({"NanoCpus": 1}), "NanoCpus"),
        (json!({"NanoCpus": 500000000, "CpuQuota": 1000}), "NanoCpus"),
        (json!({"CpuQuota": 1}), "CpuQuota"),
        (json!({"CpuQuota": 1, "CpuPeriod": -1}), "CpuPeriod"),
        (json!({"CpuShares": -1}), "CpuShares"),
        (json!({"CpusetCpus": "x"}), "CpusetCpus"),
        (json!({"PidsLimit": -2}), "PidsLimit"),
        (
            json!({"Ulimits": [{"Name": "x", "Soft": 1, "Hard": 1}]}),
            "Ulimits/0",
        ),
        (json!({"CpusetMems": "0"}), "CpusetMems"),
        (json!({"blkioweight": 10}), "blkioweight"),
        (json!({"StorageOpt": {"size": "1g"}}), "StorageOpt"),
        (json!({"CgroupParent": "a"}), "CgroupParent"),
    ] {
        refused(
            json!({"HostConfig": limits}),
            &format!("/config/HostConfig/{key}"),
        );
    }
}

#[test]
fn protection() {
    host(
        json!({
            "CapAdd": ["NET_ADMIN"], "CapDrop": ["ALL"], "Privileged": true, "ReadonlyRootfs": true,
            "SecurityOpt": ["no-new-privileges:true", "seccomp=unconfined", "label=disable",
                            "seccomp=builtin"],
            "Sysctls": {"net.core.somaxconn": "1024"}, "Annotations": {"a": "b"},
            "PidMode": "host", "IpcMode": "shareable", "UTSMode": "", "UsernsMode": "host",
            "NetworkMode": "bridge"
        }),
        json!({
            "cap_add": ["NET_ADMIN"], "cap_drop": ["ALL"], "privileged": true, "read_only": true,
            "security_opt": ["no-new-privileges", "seccomp=unconfined"],
            "sysctls": {"net.core.somaxconn": "1024"}, "annotations": {"a": "b"}, "pid": "host",
            "network": "bridge"
        }),
    );
    whole(
        json!({"Domainname": "example"}),
        json!({"sysctls": {"kernel.domainname": "example"}}),
    );
    for (options, place) in [
        (json!({"SecurityOpt": ["x=y"]}), "SecurityOpt/0"),
        (
            json!({"SecurityOpt": ["seccomp={\"defaultAction\": 1}"]}),
            "SecurityOpt/0",
        ),
        (json!({"UsernsMode": "private"}), "UsernsMode"),
        (json!({"IpcMode": "container:x"}), "IpcMode"),
        (json!({"PidMode": "shareable"}), "PidMode"),
        (json!({"CapAdd": ["X"]}), "CapAdd"),
        (
            json!({"Sysctls": {"kernel.panic": "1"}}),
            "Sysctls/kernel.panic",
        ),
        (json!({"MaskedPaths": ["/a"]}), "MaskedPaths"),
    ] {
        refused(
            json!({"HostConfig": options}),
            &format!("/config/HostConfig/{place}"),
        );
    }
}
