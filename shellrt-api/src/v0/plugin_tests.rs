//! Every byte that old programs send, and every byte that they expect.

use std::io::{self, Cursor, Read};

use super::super::{img_pull, list, logs, start, status, version, Code, Error, Request, Response};
use super::{exchange, Reply};

/// What the plugin answers to `input` when its handler does `handle`, with the exit status.
fn answer(input: &[u8], handle: impl FnOnce(Request) -> Result<Reply, Error>) -> (String, u8) {
    let mut output = Vec::new();
    let input = Cursor::new(input.to_vec());
    let status = exchange(
        &Request::TYPES,
        input,
        &mut output,
        |_, request| handle(request),
        || (),
    );
    (String::from_utf8(output).unwrap(), status)
}

/// The code that `input` is refused with, before any handler.
fn refused(input: &[u8]) -> u64 {
    let (output, status) = answer(input, |request| panic!("{request:?} must not be served"));
    assert_eq!(status, 1, "{output}");
    let output: serde_json::Value = serde_json::from_str(&output).unwrap();
    assert_eq!(output["_version"], "0.1.0");
    assert_eq!(output["_status"], "err");
    assert!(!output["message"].as_str().unwrap().is_empty());
    output["code"].as_u64().unwrap()
}

#[test]
fn v0_success() {
    let (output, status) = answer(
        br#"{"_version":"0.1.0","_type":"start","name":"web"}"#,
        |request| {
            assert_eq!(
                request,
                Request::Start(start::Request {
                    name: "web".to_owned()
                })
            );
            Ok(Response::Start(start::Response {}).into())
        },
    );
    assert_eq!(output, r#"{"_version":"0.1.0","_status":"ok"}"#);
    assert_eq!(status, 0);
}

#[test]
fn v0_responses_without_fields() {
    for (kind, fields, response) in [
        (
            "img_pull",
            r#","image":"a""#,
            Response::ImgPull(img_pull::Response::default()),
        ),
        (
            "img_remove",
            r#","image":"a""#,
            Response::ImgRemove(Default::default()),
        ),
        (
            "start",
            r#","name":"a""#,
            Response::Start(Default::default()),
        ),
        (
            "restart",
            r#","name":"a""#,
            Response::Restart(Default::default()),
        ),
        (
            "remove",
            r#","name":"a""#,
            Response::Remove(Default::default()),
        ),
        (
            "stop",
            r#","name":"a","timeout":1"#,
            Response::Stop(Default::default()),
        ),
        (
            "create",
            r#","name":"a","env":{},"config_type":"t","config":{}"#,
            Response::Create(Default::default()),
        ),
    ] {
        let input = format!(r#"{{"_version":"0.1.0","_type":"{kind}"{fields}}}"#);
        let (output, status) = answer(input.as_bytes(), |_| Ok(response.into()));
        assert_eq!(output, r#"{"_version":"0.1.0","_status":"ok"}"#, "{kind}");
        assert_eq!(status, 0, "{kind}");
    }
}

#[test]
fn v0_fields_are_present_when_empty() {
    let (output, _) = answer(br#"{"_version":"0.1.0","_type":"list"}"#, |_| {
        Ok(Response::List(list::Response::default()).into())
    });
    assert_eq!(
        output,
        r#"{"_version":"0.1.0","_status":"ok","modules":[]}"#
    );
    let (output, _) = answer(br#"{"_version":"0.1.0","_type":"version"}"#, |_| {
        Ok(Response::Version(version::Response::default()).into())
    });
    assert_eq!(output, r#"{"_version":"0.1.0","_status":"ok","info":""}"#);
    let (output, _) = answer(
        br#"{"_version":"0.1.0","_type":"status","name":"a"}"#,
        |_| Ok(Response::Status(status::Response::default()).into()),
    );
    assert_eq!(
        output,
        concat!(
            r#"{"_version":"0.1.0","_status":"ok","status":"unknown","status_description":"","#,
            r#""image_id":"","started_at":0}"#
        )
    );
    let (output, _) = answer(
        br#"{"_version":"0.1.0","_type":"status","name":"a"}"#,
        |_| {
            let ended = status::Response {
                status: status::Status::Failed,
                status_description: "exited with 7".to_owned(),
                image_id: "sha256:ab".to_owned(),
                started_at: 1,
                finished_at: Some(2),
                exit_code: Some(7),
                ..Default::default()
            };
            Ok(Response::Status(ended).into())
        },
    );
    assert_eq!(
        output,
        concat!(
            r#"{"_version":"0.1.0","_status":"ok","status":"failed","#,
            r#""status_description":"exited with 7","image_id":"sha256:ab","started_at":1,"#,
            r#""finished_at":2,"exit_code":7}"#
        )
    );
}

#[test]
fn v0_error() {
    let (output, status) = answer(
        br#"{"_version":"0.1.0","_type":"start","name":"web"}"#,
        |_| Err(Error::message(Code::MODULE_NOT_FOUND, "no module \"web\"")),
    );
    assert_eq!(
        output,
        concat!(
            r#"{"_version":"0.1.0","_status":"err","code":5,"message":"no module \"web\"","#,
            r#""detail":{"kind":"module_not_found","retryable":false}}"#
        )
    );
    assert_eq!(status, 1);
}

#[test]
fn v0_stream_is_object_nul_bytes() {
    let input = concat!(
        r#"{"_version":"0.1.0","_type":"logs","name":"web","#,
        r#""follow":false,"tail":null,"since":null}"#
    );
    let (output, status) = answer(input.as_bytes(), |request| {
        let expected = logs::Request {
            name: "web".to_owned(),
            ..Default::default()
        };
        assert_eq!(request, Request::Logs(expected));
        Ok(Reply::stream(
            Response::Logs(logs::Response {}),
            &b"one\ntwo"[..],
        ))
    });
    assert_eq!(
        output,
        "{\"_version\":\"0.1.0\",\"_status\":\"ok\"}\0one\ntwo"
    );
    assert_eq!(status, 0);
}

#[test]
fn what_old_programs_send_and_what_they_may_leave_out() {
    for (input, expected) in [
        (
            r#"{"_version":"0.1.0","_type":"img_pull","image":"a","credentials":{}}"#,
            r#"{"_type":"img_pull","image":"a","credentials":{}}"#,
        ),
        (
            r#"{"_version":"0.1.0","_type":"img_pull","image":"a"}"#,
            r#"{"_type":"img_pull","image":"a","credentials":{}}"#,
        ),
        (
            r#"{"_version":"0.1.0","_type":"create","name":"n","config_type":"x","config":null}"#,
            r#"{"_type":"create","name":"n","env":{},"config_type":"x","config":null}"#,
        ),
        (
            r#"{"_version":"0.1.0","_type":"stop","name":"n"}"#,
            r#"{"_type":"stop","name":"n"}"#,
        ),
        (
            r#"{"_version":"0.1.0","_type":"stop","name":"n","timeout":-1}"#,
            r#"{"_type":"stop","name":"n","timeout":-1}"#,
        ),
        (
            r#"{"_version":"0.1.0","_type":"logs","name":"n"}"#,
            r#"{"_type":"logs","name":"n","follow":false,"tail":null,"since":null}"#,
        ),
        (
            r#"{"_version":"0.1.7","_type":"remove","name":"n","a":1,"_b":2}"#,
            r#"{"_type":"remove","name":"n"}"#,
        ),
    ] {
        let object = serde_json::from_str(input).unwrap();
        let request = Request::decode(&object).unwrap();
        assert_eq!(serde_json::to_string(&request).unwrap(), expected);
    }
}

#[test]
fn the_answer_carries_the_version_of_the_request() {
    let (output, _) = answer(br#"{"_version":"0.1.12","_type":"list"}"#, |_| {
        Ok(Response::List(list::Response::default()).into())
    });
    assert!(output.starts_with(r#"{"_version":"0.1.12","#), "{output}");
}

#[test]
fn other_versions_are_refused_before_anything_else() {
    for version in [
        r#""0.2.0""#,
        r#""1.0.0""#,
        r#""""#,
        r#""0.1""#,
        r#""0.1.01""#,
        r#""0.1.x""#,
        "5",
        "null",
    ] {
        let input = format!(r#"{{"_version":{version},"_type":"what_is_this","name":7}}"#);
        assert_eq!(refused(input.as_bytes()), 1, "{input}");
    }
}

#[test]
fn bad_input_is_error_2() {
    let deep = format!(
        r#"{{"_version":"0.1.0","_type":"list","a":{}"#,
        "[".repeat(200)
    );
    let large = format!(
        r#"{{"_version":"0.1.0","_type":"list","a":"{}"}}"#,
        "x".repeat(16 << 20)
    );
    for input in [
        "".as_bytes(),
        b" \n",
        b"hello",
        b"5",
        b"[]",
        b"\"{}\"",
        b"\0",
        b"\xef\xbb\xbf{}",
        b"{",
        b"{\"_version\":\"0.1.0\"",
        b"{]",
        b"{}",
        b"{\"_type\":\"list\"}",
        b"{\"_version\":\"0.1.0\"}",
        b"{\"_version\":\"0.1.0\",\"_type\":5}",
        b"{\"_version\":\"0.1.0\",\"_type\":\"start\"}",
        b"{\"_version\":\"0.1.0\",\"_type\":\"start\",\"name\":5}",
        b"{\"_version\":\"0.1.0\",\"_type\":\"start\",\"name\":\"\xff\"}",
        b"{\"_version\":\"0.1.0\",\"_type\":\"list\",\"_deadline_ms\":-1}",
        deep.as_bytes(),
        large.as_bytes(),
    ] {
        assert_eq!(
            refused(input),
            2,
            "{}",
            String::from_utf8_lossy(&input[..input.len().min(80)])
        );
    }
}

#[test]
fn an_unknown_type_is_error_3() {
    assert_eq!(refused(br#"{"_version":"0.1.0","_type":"explode"}"#), 3);
}

#[test]
fn a_type_that_is_not_served_is_error_3_whatever_its_fields() {
    let mut output = Vec::new();
    let input = Cursor::new(br#"{"_version":"0.1.0","_type":"exec"}"#);
    let status = exchange(
        &["list"],
        input,
        &mut output,
        |_, _| panic!("it must not be served"),
        || (),
    );
    assert!(String::from_utf8(output).unwrap().contains(r#""code":3"#));
    assert_eq!(status, 1);
}

#[test]
fn a_deadline_of_nothing_is_error_20() {
    assert_eq!(
        refused(br#"{"_version":"0.1.0","_type":"list","_deadline_ms":0}"#),
        20
    );
}

#[test]
fn a_panic_is_error_21() {
    let (output, status) = answer(br#"{"_version":"0.1.0","_type":"list"}"#, |_| {
        panic!("a bug")
    });
    assert!(output.contains(r#""code":21"#), "{output}");
    assert_eq!(status, 1);
}

/// A reader that fails when more is asked of it than the object.
struct NothingAfter(Cursor<Vec<u8>>);

impl Read for NothingAfter {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // One byte at a time, as slow as a client can be.
        let length = self.0.read(&mut buffer[..1])?;
        assert!(length > 0, "the plugin waited for the end of file");
        Ok(length)
    }
}

#[test]
fn does_not_wait_for_the_end_of_file() {
    let request = br#" {"_version":"0.1.0","_type":"start","name":"a}\"{\\"} "#;
    let input = io::BufReader::with_capacity(1, NothingAfter(Cursor::new(request.to_vec())));
    let mut output = Vec::new();
    let status = exchange(
        &Request::TYPES,
        input,
        &mut output,
        |_, request| {
            assert_eq!(
                request,
                Request::Start(start::Request {
                    name: "a}\"{\\".to_owned()
                })
            );
            Ok(Response::Start(start::Response {}).into())
        },
        || (),
    );
    assert_eq!(status, 0);
}

#[test]
fn what_follows_the_object_is_left_for_the_handler() {
    let input = Cursor::new(b"{\"_version\":\"0.1.0\",\"_type\":\"list\"}\0bytes".to_vec());
    let mut output = Vec::new();
    exchange(
        &Request::TYPES,
        input,
        &mut output,
        |mut call, _| {
            let mut rest = Vec::new();
            call.input.read_to_end(&mut rest).unwrap();
            assert_eq!(rest, b"\0bytes");
            Ok(Response::List(list::Response::default()).into())
        },
        || (),
    );
}

#[test]
fn no_request_prints_a_secret() {
    let object = serde_json::json!({
        "_version": "0.1.0", "_type": "img_pull", "image": "a",
        "credentials": {"username": "hunter2", "password": "hunter2", "token": "hunter2"},
    });
    let request = Request::decode(&object).unwrap();
    assert!(!format!("{request:?}").contains("hunter2"));
    let Request::ImgPull(img_pull::Request { credentials, .. }) = &request else {
        panic!()
    };
    assert_eq!(credentials["password"].expose(), "hunter2");

    let object = serde_json::json!({
        "_version": "0.1.0", "_type": "create", "name": "a", "env": {"PASSWORD": "hunter2"},
        "config_type": "wasm", "config": {"command": ["hunter2"]},
    });
    assert!(!format!("{:?}", Request::decode(&object).unwrap()).contains("hunter2"));
}
