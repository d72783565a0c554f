//! The first process. What is expected is what docker's documentation says of ENTRYPOINT and CMD, of
//! variables, and of its security options.

use serde_json::{json, Value};

use super::{texts, Case, User};

/// Docker's table of what a config does to an image with both.
#[test]
fn entrypoint_and_command() {
    let image = json!({"Entrypoint": ["/entry", "-e"], "Cmd": ["cmd", "-c"]});
    for (config, expected) in [
        (json!({}), vec!["/entry", "-e", "cmd", "-c"]),
        (json!({"command": ["own"]}), vec!["/entry", "-e", "own"]),
        (json!({"command": []}), vec!["/entry", "-e"]),
        (json!({"entrypoint": ["/own"]}), vec!["/own"]),
        (
            json!({"entrypoint": ["/own"], "command": ["arg"]}),
            vec!["/own", "arg"],
        ),
        (
            json!({"entrypoint": [], "command": ["/bin/arg"]}),
            vec!["/bin/arg"],
        ),
    ] {
        let mut case = Case::new(config);
        case.image = image.clone();
        assert_eq!(case.spec().process.args, expected);
    }
    let mut case = Case::new(json!({}));
    case.image = json!({"Entrypoint": null, "Cmd": null});
    assert_eq!(case.wrong_at(), "/config/command");
    case.image = image;
    case.config = json!({"entrypoint": []});
    assert_eq!(case.wrong_at(), "/config/command");
}

#[test]
fn variables_by_precedence() {
    let mut case = Case::new(json!({"network": "none"}));
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    assert_eq!(case.spec().process.env, [path, "HOSTNAME=web-1"]);

    case.config["tty"] = true.into();
    case.user.home = "/home/app".to_owned();
    case.image["Env"] = json!(["PATH=/app/bin", "MODE=image", "EMPTY=", "EQUAL=a=b"]);
    case.env.insert("MODE".to_owned(), "request".to_owned());
    case.env.insert("HOME".to_owned(), "/elsewhere".to_owned());
    assert_eq!(
        case.spec().process.env,
        [
            "PATH=/app/bin",
            "HOSTNAME=web-1",
            "TERM=xterm",
            "HOME=/elsewhere",
            "MODE=request",
            "EMPTY=",
            "EQUAL=a=b",
        ]
    );
    assert!(case.spec().process.terminal);
}

#[test]
fn the_working_directory() {
    let mut case = Case::new(json!({}));
    assert_eq!(case.spec().process.cwd, "/");
    case.image["WorkingDir"] = "".into();
    assert_eq!(case.spec().process.cwd, "/");
    case.image["WorkingDir"] = "/srv".into();
    assert_eq!(case.spec().process.cwd, "/srv");
    case.config["working_dir"] = "/own".into();
    assert_eq!(case.spec().process.cwd, "/own");
}

#[test]
fn who_it_runs_as() {
    let mut case = Case::new(json!({"cap_drop": ["ALL"], "cap_add": ["KILL"]}));
    case.user = User {
        uid: 1000,
        gid: 1001,
        additional_gids: vec![29, 1001],
        home: String::new(),
    };
    let document = case.json();
    let user = json!({"uid": 1000, "gid": 1001, "additionalGids": [1001, 29]});
    assert_eq!(document["process"]["user"], user);
    assert_eq!(
        document["process"]["capabilities"],
        json!({"bounding": ["CAP_KILL"]})
    );
    case.user.uid = 0;
    let all = json!({
        "bounding": ["CAP_KILL"], "effective": ["CAP_KILL"], "permitted": ["CAP_KILL"]
    });
    assert_eq!(case.json()["process"]["capabilities"], all);
}

#[test]
fn what_protects_the_machine() {
    let new_privileges = |options: Value| {
        let case = Case::new(json!({ "security_opt": options }));
        case.json()["process"]["noNewPrivileges"].clone()
    };
    assert_eq!(new_privileges(json!([])), false);
    assert_eq!(new_privileges(json!(["no-new-privileges"])), true);
    assert_eq!(new_privileges(json!(["no-new-privileges:false"])), false);

    let mut case = Case::new(json!({"security_opt": ["apparmor=own"]}));
    assert_eq!(case.wrong_at(), "/config/security_opt/0");
    case.host.apparmor = Some(texts(&["docker-default"]));
    assert_eq!(case.wrong_at(), "/config/security_opt/0");
    case.host.apparmor = Some(texts(&["docker-default", "own"]));
    assert_eq!(case.spec().process.apparmor_profile, "own");
    case.config = json!({"security_opt": ["apparmor=unconfined"]});
    assert_eq!(case.spec().process.apparmor_profile, "");
    case.config = json!({"security_opt": ["label=disable"]});
    assert_eq!(case.wrong_at(), "/config/security_opt/0");
}

#[test]
fn what_is_passed_on() {
    let config = json!({"oom_score_adj": -500, "annotations": {"com.example.gpu": "2"}});
    let document = Case::new(config).json();
    assert_eq!(document["process"]["oomScoreAdj"], -500);
    assert_eq!(document["annotations"], json!({"com.example.gpu": "2"}));
    assert!(Case::new(json!({})).json()["process"]
        .get("oomScoreAdj")
        .is_none());
}
