//! What people read, to the character.

use std::collections::BTreeMap;

use shellrt_api::v0::{events, img_list, list, status, sys_info, top};

use super::{event, list as list_text, short, status as status_text};

fn running() -> status::Response {
    status::Response {
        status: status::Status::Running,
        image_id: "sha256:0123456789abcdef".to_owned(),
        started_at: 1_700_000_000_000_000_000,
        ..Default::default()
    }
}

#[test]
fn names_are_for_copying_and_details_for_reading() {
    let mut response = list::Response {
        modules: vec!["a".to_owned(), "longer".to_owned(), "new".to_owned()],
        details: None,
    };
    assert_eq!(list_text(&response), "a\nlonger\nnew\n");
    let failed = status::Response {
        status: status::Status::Failed,
        exit_code: Some(137),
        image: Some("hello:1".to_owned()),
        state: Some(status::State::Restarting),
        ..running()
    };
    let mut details = BTreeMap::from([("longer".to_owned(), failed)]);
    details.insert("a".to_owned(), status::Response::default());
    response.details = Some(details);
    assert_eq!(
        list_text(&response),
        "NAME    STATUS      SINCE  EXIT  IMAGE\n\
         a       unknown     -      -     -\n\
         longer  restarting  -      137   hello:1\n\
         new     -           -      -     -\n"
    );
}

/// What an old plugin knows is enough.
#[test]
fn a_v0_status() {
    let text = status_text("web", &running());
    let (first, rest) = text.split_once('\n').unwrap();
    assert_eq!(first, "web: running");
    assert!(
        rest.starts_with("  started   2023-11-14T22:13:20Z ("),
        "{rest}"
    );
    assert!(
        rest.ends_with(" days ago)\n  image id  sha256:0123456789abcdef\n"),
        "{rest}"
    );
}

#[test]
fn tables() {
    let image = img_list::Image {
        reference: "docker.io/library/hello:1".to_owned(),
        digest: "sha256:0123456789abcdef".to_owned(),
        size: 1536,
        created_at: i64::MAX,
    };
    assert_eq!(
        super::img_list(&img_list::Response {
            images: vec![image]
        }),
        "IMAGE                      DIGEST        SIZE     PULLED\n\
         docker.io/library/hello:1  0123456789ab  1.5 KiB\n"
    );
    let process = top::Process {
        pid: 12,
        ppid: 1,
        command: "a\tb".to_owned(),
        cpu_ns: 1_500_000_000,
        memory_bytes: 2048,
    };
    let response = top::Response {
        processes: vec![process],
        memory_bytes: Some(2048),
        ..Default::default()
    };
    assert_eq!(
        super::top(&response),
        "PID  PPID  CPU     MEMORY   COMMAND\n\
         12   1     1.50 s  2.0 KiB  a\\tb\n  \
         memory  2.0 KiB\n"
    );
}

#[test]
fn the_envelope_is_no_fact_about_the_machine() {
    let more = [("_status", "ok"), ("cgroup_version", "2")];
    let response = sys_info::Response {
        more: more
            .map(|(key, value)| (key.to_owned(), value.into()))
            .into(),
        ..Default::default()
    };
    let text = super::sys_info(&response);
    assert!(text.contains("cgroup version  2\n"), "{text}");
    assert!(!text.contains("status"), "{text}");
}

#[test]
fn events_and_digests() {
    let exited = events::Event {
        time: 1_700_000_000_000_000_000,
        name: "web".to_owned(),
        event: events::Kind::Exited,
        exit_code: Some(3),
    };
    assert_eq!(event(&exited), "2023-11-14T22:13:20Z  exited    web (3)");
    assert_eq!(short("sha256:0123456789abcdef"), "0123456789ab");
    assert_eq!(short("odd"), "odd");
}
