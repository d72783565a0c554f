//! The filter of system calls. The expectations are docker's documentation of its default profile and
//! the profile itself, read by hand.

use serde_json::{json, Value};

use super::Case;

/// The rules for a call, without those of other names.
fn rules<'a>(document: &'a Value, name: &str) -> Vec<&'a Value> {
    let rules = document["linux"]["seccomp"]["syscalls"].as_array().unwrap();
    let names = |rule: &Value| rule["names"].as_array().unwrap().contains(&json!(name));
    rules.iter().filter(|rule| names(rule)).collect()
}

#[test]
fn what_is_not_named_fails() {
    let document = Case::new(json!({})).json();
    let seccomp = &document["linux"]["seccomp"];
    assert_eq!(seccomp["defaultAction"], "SCMP_ACT_ERRNO");
    assert_eq!(seccomp["defaultErrnoRet"], 1);
    assert_eq!(
        seccomp["architectures"],
        json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"])
    );
    // docker's list of calls that are always allowed: the 346 of version 20.10, less the three of
    // io_uring and the plain socket, and the 19 that came since.
    let always = &seccomp["syscalls"][0];
    assert_eq!(always["names"].as_array().unwrap().len(), 346 - 4 + 19);
    assert_eq!(always["action"], "SCMP_ACT_ALLOW");
    for forbidden in [
        "io_uring_setup",
        "kexec_load",
        "add_key",
        "keyctl",
        "mount",
        "swapon",
    ] {
        assert!(rules(&document, forbidden).is_empty(), "{forbidden}");
    }
    for allowed in [
        "read",
        "execve",
        "futex_waitv",
        "mknodat",
        "chroot",
        "ptrace",
    ] {
        let found = rules(&document, allowed);
        assert_eq!(found.len(), 1, "{allowed}");
        assert!(found[0].get("args").is_none(), "{allowed}");
    }
}

#[test]
fn new_namespaces_need_sys_admin() {
    let document = Case::new(json!({})).json();
    let clone = rules(&document, "clone");
    assert_eq!(clone.len(), 1);
    // 2114060288 is the mask as docker's JSON has it.
    let args = json!([{
        "index": 0, "value": 2_114_060_288_u32, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"
    }]);
    assert_eq!(clone[0]["args"], args);
    let clone3 = rules(&document, "clone3");
    assert_eq!(clone3.len(), 1);
    assert_eq!(clone3[0]["action"], "SCMP_ACT_ERRNO");
    assert_eq!(clone3[0]["errnoRet"], 38);

    let document = Case::new(json!({"cap_add": ["SYS_ADMIN"]})).json();
    for name in ["clone", "clone3", "unshare", "mount", "bpf"] {
        let found = rules(&document, name);
        assert_eq!(found.len(), 1, "{name}");
        assert_eq!(found[0]["action"], "SCMP_ACT_ALLOW", "{name}");
        assert!(found[0].get("args").is_none(), "{name}");
    }
}

#[test]
fn capabilities_bring_their_calls() {
    for (capability, call) in [
        ("DAC_READ_SEARCH", "open_by_handle_at"),
        ("SYS_BOOT", "reboot"),
        ("SYS_MODULE", "init_module"),
        ("SYS_PACCT", "acct"),
        ("SYS_PTRACE", "kcmp"),
        ("SYS_RAWIO", "iopl"),
        ("SYS_TIME", "settimeofday"),
        ("SYS_TTY_CONFIG", "vhangup"),
        ("SYS_NICE", "mbind"),
        ("SYSLOG", "syslog"),
        ("BPF", "bpf"),
        ("PERFMON", "perf_event_open"),
    ] {
        let with = Case::new(json!({"cap_add": [capability]})).json();
        assert_eq!(rules(&with, call).len(), 1, "{call}");
        let without = Case::new(json!({})).json();
        assert!(rules(&without, call).is_empty(), "{call}");
    }
    let without = Case::new(json!({"cap_drop": ["SYS_CHROOT"]})).json();
    assert!(rules(&without, "chroot").is_empty());
}

/// AF_ALG is 38 and AF_VSOCK 40 in linux/socket.h.
#[test]
fn sockets_by_family() {
    let document = Case::new(json!({})).json();
    let allows = |family: u64| {
        rules(&document, "socket").iter().any(|rule| {
            let argument = &rule["args"][0];
            assert_eq!(rule["args"].as_array().unwrap().len(), 1);
            let value = argument["value"].as_u64().unwrap();
            match argument["op"].as_str().unwrap() {
                "SCMP_CMP_LT" => family < value,
                "SCMP_CMP_EQ" => family == value,
                other => panic!("{other}"),
            }
        })
    };
    // UNIX, INET, INET6, NETLINK, PACKET, CAN, TIPC, BLUETOOTH, QIPCRTR, XDP, MCTP.
    for family in [1, 2, 10, 16, 17, 29, 30, 31, 42, 44, 45] {
        assert!(allows(family), "{family}");
    }
    // DECnet, ECONET, ATMSVC, IRDA, WANPIPE, ISDN, CAIF, ALG, VSOCK, and what is yet to come.
    for family in [12, 19, 20, 23, 25, 34, 37, 38, 40, 46] {
        assert!(!allows(family), "{family}");
    }
}

#[test]
fn personalities_by_value() {
    let document = Case::new(json!({})).json();
    let values = rules(&document, "personality");
    let values: Vec<u64> = values
        .iter()
        .map(|rule| rule["args"][0]["value"].as_u64().unwrap())
        .collect();
    // As docker's JSON has them.
    assert_eq!(values, [0, 8, 131_072, 131_080, 4_294_967_295]);
}

#[test]
fn the_kernel_and_the_processor_decide() {
    let mut case = Case::new(json!({}));
    case.host.kernel = (4, 7);
    assert!(rules(&case.json(), "ptrace").is_empty());
    case.host.kernel = (4, 8);
    assert_eq!(rules(&case.json(), "ptrace").len(), 1);

    assert_eq!(rules(&case.json(), "arch_prctl").len(), 1);
    case.host.architecture = "arm64".to_owned();
    let arm = case.json();
    assert_eq!(
        arm["linux"]["seccomp"]["architectures"],
        json!(["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"])
    );
    assert!(rules(&arm, "arch_prctl").is_empty());
    assert_eq!(rules(&arm, "cacheflush").len(), 1);
    case.host.architecture = "arm".to_owned();
    assert!(case.json()["linux"]["seccomp"]
        .get("architectures")
        .is_none());
    case.host.architecture = "s390x".to_owned();
    assert_eq!(rules(&case.json(), "clone")[0]["args"][0]["index"], 1);
}

#[test]
fn privileged_and_unconfined_have_none() {
    for config in [
        json!({"privileged": true}),
        json!({"security_opt": ["seccomp=unconfined"]}),
    ] {
        assert!(Case::new(config).spec().linux.seccomp.is_none());
    }
    let mut case = Case::new(json!({}));
    case.host.seccomp = false;
    assert!(case.spec().linux.seccomp.is_none());
}

/// The profile has each feature of docker's format once.
#[test]
fn a_profile_of_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("profile.json");
    let profile = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "archMap": [
            {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]},
            {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": null},
        ],
        "syscalls": [
            {"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13, "comment": "no",
             "args": [{"index": 1, "value": 7, "op": "SCMP_CMP_EQ"}]},
            {"name": "rmdir", "action": "SCMP_ACT_KILL", "includes": {}, "excludes": {}},
            {"names": ["a"], "action": "SCMP_ACT_ERRNO", "includes": {"caps": ["CAP_BPF"]}},
            {"names": ["b"], "action": "SCMP_ACT_ERRNO", "excludes": {"caps": ["CAP_CHOWN"]}},
            {"names": ["c"], "action": "SCMP_ACT_ERRNO", "includes": {"minKernel": "6.2"}},
            {"names": ["d"], "action": "SCMP_ACT_ERRNO", "excludes": {"arches": ["amd64"]}},
            {"names": ["e"], "action": "SCMP_ACT_ERRNO", "excludes": {"minKernel": "6.1"}},
            {"names": ["f"], "action": "SCMP_ACT_ERRNO",
             "includes": {"caps": ["CAP_CHOWN"], "arches": ["arm64", "amd64"], "minKernel": "4.8"},
             "excludes": {"caps": ["CAP_BPF"], "arches": ["x86"], "minKernel": "7.0"}},
        ],
    });
    std::fs::write(&path, profile.to_string()).unwrap();
    let case = Case::new(json!({
        "security_opt": [format!("seccomp={}", path.display())],
        "privileged": true,
        "cap_add": [],
    }));
    // A privileged container has all capabilities, and so other rules.
    assert_eq!(rules(&case.json(), "a").len(), 1);
    let mut case = case;
    case.config["privileged"] = false.into();
    assert_eq!(
        case.json()["linux"]["seccomp"],
        json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "architectures": ["SCMP_ARCH_X86_64"],
            "syscalls": [
                {"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13,
                 "args": [{"index": 1, "value": 7, "valueTwo": 0, "op": "SCMP_CMP_EQ"}]},
                {"names": ["rmdir"], "action": "SCMP_ACT_KILL"},
                {"names": ["f"], "action": "SCMP_ACT_ERRNO"},
            ],
        })
    );

    for wrong in [
        "no JSON",
        r#"{"defaultAction": "SCMP_ACT_ALLOW", "sycalls": []}"#,
        r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"action": "SCMP_ACT_ALLOW"}]}"#,
    ] {
        std::fs::write(&path, wrong).unwrap();
        assert_eq!(case.wrong_at(), "/config/security_opt/0", "{wrong}");
    }
    std::fs::remove_file(&path).unwrap();
    assert_eq!(case.wrong_at(), "/config/security_opt/0");
}
