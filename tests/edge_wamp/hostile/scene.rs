//! What a router does in one connection that it should not do, and what has to come of it.

use serde_json::{json, Value};

use super::serializer::{Cbor, Json, MsgPack, Serializer};
use super::wire::Wire;

/// The id of the only registration.
pub const REGISTRATION: u64 = 777;

/// The reason of an ABORT that says that the router breaks the protocol.
const VIOLATION: &str = "wamp.error.protocol_violation";

/// One connection.
#[derive(Debug, Clone)]
pub struct Scene {
    /// When it happens.
    pub stage: Stage,
    /// What is done.
    pub say: Vec<Say>,
    /// What has to come of it.
    pub end: End,
}

/// How far the session has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// HELLO has come.
    Greeted,
    /// WELCOME was said.
    Joined,
    /// The component has registered its procedure.
    Ready,
}

/// What a router does.
#[derive(Debug, Clone)]
pub enum Say {
    /// It sends a message.
    List(Value),
    /// It sends a message that need not be one.
    Bytes(Vec<u8>),
    /// It sends bytes without a frame.
    Raw(Vec<u8>),
    /// It breaks the connection off.
    Close,
}

/// What the client does.
#[derive(Debug, Clone, Copy)]
pub enum End {
    /// It aborts with this reason, and closes.
    Abort(&'static str),
    /// It closes without a word.
    Silence,
    /// It answers a GOODBYE, and closes.
    Goodbye,
    /// Nothing: the session goes on, and calls are answered.
    Lives,
}

impl Scene {
    /// One thing is done.
    pub fn new(stage: Stage, say: Say, end: End) -> Scene {
        Scene {
            stage,
            say: vec![say],
            end,
        }
    }

    fn violation(stage: Stage, say: Say) -> Scene {
        Scene::new(stage, say, End::Abort(VIOLATION))
    }

    /// Plays it. An error says what was different.
    pub fn play(&self, wire: &mut Wire) -> Result<(), String> {
        let serializer = wire.serializer;
        if self.stage != Stage::Greeted {
            welcome(wire)?;
        }
        if self.stage == Stage::Ready {
            registered(wire)?;
        }
        for say in &self.say {
            // What breaks the protocol may be answered before all of it is said.
            let _ = match say {
                Say::List(list) => wire.say(list),
                Say::Bytes(bytes) => wire.say_bytes(bytes),
                Say::Raw(bytes) => wire.say_raw(bytes),
                Say::Close => {
                    wire.close();
                    return Ok(());
                }
            };
        }
        if let End::Lives = self.end {
            lives(wire)?;
        }
        let said = to_the_end(wire)?;
        let last = said.last();
        let farewells = said
            .iter()
            .filter(|it| [3, 6].contains(&serializer.kind(it)));
        let is_right = match self.end {
            End::Abort(reason) => last.is_some_and(|it| {
                let text = it.windows(reason.len());
                serializer.kind(it) == 3 && text.clone().any(|part| part == reason.as_bytes())
            }),
            End::Silence => farewells.count() == 0,
            End::Goodbye | End::Lives => {
                let goodbye = json!([6, {}, "wamp.close.goodbye_and_out"]);
                last == Some(&serializer.encode(&goodbye)) && farewells.count() == 1
            }
        };
        match is_right {
            true => Ok(()),
            false => Err(format!("the client has said {said:02x?}")),
        }
    }
}

/// Lets the client in.
pub fn welcome(wire: &mut Wire) -> Result<(), String> {
    let welcome = json!([2, 4711, {"roles": {"broker": {}, "dealer": {}}}]);
    wire.say(&welcome).map_err(|error| error.to_string())
}

/// Reads a REGISTER, which is the first request, and answers it.
pub fn registered(wire: &mut Wire) -> Result<(), String> {
    let heard = wire.hear().map_err(|error| error.to_string())?;
    match heard {
        Some(message) if wire.serializer.kind(&message) == 64 => {}
        other => return Err(format!("no REGISTER: {other:02x?}")),
    }
    let answer = wire.say(&json!([65, 1, REGISTRATION]));
    answer.map_err(|error| error.to_string())
}

/// A call is answered with its own argument, and the end of the session is too.
fn lives(wire: &mut Wire) -> Result<(), String> {
    let call = wire.say(&json!([68, 5, REGISTRATION, {}, [42]]));
    call.map_err(|error| error.to_string())?;
    let heard = wire.hear().map_err(|error| error.to_string())?;
    let answer = wire.serializer.encode(&json!([70, 5, {}, [42]]));
    if heard.as_ref() != Some(&answer) {
        return Err(format!("{heard:02x?} and not {answer:02x?}"));
    }
    let goodbye = wire.say(&json!([6, {}, "wamp.close.system_shutdown"]));
    goodbye.map_err(|error| error.to_string())
}

fn to_the_end(wire: &mut Wire) -> Result<Vec<Vec<u8>>, String> {
    let mut said = Vec::new();
    while let Some(message) = wire
        .hear()
        .map_err(|error| format!("{error}: {said:02x?}"))?
    {
        said.push(message);
    }
    Ok(said)
}

/// All that does not depend on what carries it.
pub fn scenes(serializer: Serializer) -> Vec<Scene> {
    let mut scenes = out_of_order();
    scenes.extend(malformed());
    scenes.extend(undecodable(serializer));
    scenes.extend(odd_moments());
    scenes
}

/// Messages that nobody awaits.
fn out_of_order() -> Vec<Scene> {
    let all = [
        json!([1, "realm1", {}]),
        json!([2, 9, {}]),
        json!([4, "ticket", {}]),
        json!([5, "x", {}]),
        json!([6, {}, "wamp.close.close_realm"]),
        json!([8, 48, 99, {}, "a.b"]),
        json!([16, 1, {}, "a.b"]),
        json!([17, 99, 1]),
        json!([32, 1, {}, "a.b"]),
        json!([33, 99, 1]),
        json!([34, 1, 1]),
        json!([35, 99]),
        json!([36, 1, 1, {}]),
        json!([48, 1, {}, "a.b"]),
        json!([49, 1, {}]),
        json!([50, 99, {}]),
        json!([64, 1, {}, "a.b"]),
        json!([65, 99, 1]),
        json!([66, 1, 1]),
        json!([67, 99]),
        json!([68, 1, 1, {}]),
        json!([69, 1, {}]),
        json!([70, 1, {}]),
    ];
    let mut scenes = Vec::new();
    for list in all {
        let kind = list[0].as_u64().unwrap();
        if ![2, 4].contains(&kind) {
            scenes.push(Scene::violation(Stage::Greeted, Say::List(list.clone())));
        }
        // A GOODBYE may come in a session, an INTERRUPT may have crossed with an answer.
        if ![6, 69].contains(&kind) {
            scenes.push(Scene::violation(Stage::Ready, Say::List(list)));
        }
    }
    // Answers of another kind than the REGISTER, which is open or answered.
    for list in [
        json!([33, 1, 7]),
        json!([17, 1, 7]),
        json!([35, 1]),
        json!([50, 1, {}]),
        json!([8, 32, 1, {}, "a.b"]),
        json!([65, 1, 7]),
    ] {
        scenes.push(Scene::violation(Stage::Ready, Say::List(list)));
    }
    scenes
}

/// Messages of the right kind with wrong elements, and what is none at all.
fn malformed() -> Vec<Scene> {
    let mut scenes = Vec::new();
    let awaited = [
        (Stage::Greeted, json!([2, 9, {}])),
        (Stage::Greeted, json!([3, {}, "a.b"])),
        (Stage::Greeted, json!([4, "ticket", {}])),
        (Stage::Joined, json!([3, {}, "a.b"])),
        (Stage::Joined, json!([6, {}, "a.b"])),
        (Stage::Joined, json!([8, 64, 1, {}, "a.b"])),
        (Stage::Joined, json!([17, 1, 1])),
        (Stage::Joined, json!([33, 1, 1])),
        (Stage::Joined, json!([35, 1])),
        (Stage::Joined, json!([36, 1, 1, {}])),
        (Stage::Joined, json!([50, 1, {}])),
        (Stage::Joined, json!([65, 1, 1])),
        (Stage::Joined, json!([67, 1])),
        (Stage::Joined, json!([68, 1, REGISTRATION, {}])),
        (Stage::Joined, json!([69, 1, {}])),
    ];
    for (stage, list) in awaited {
        for at in 1..list.as_array().unwrap().len() {
            let mut wrong = list.clone();
            wrong[at] = match &list[at] {
                Value::Number(_) => json!("1"),
                Value::Object(_) => json!([]),
                _ => json!(7),
            };
            scenes.push(Scene::violation(stage, Say::List(wrong)));
        }
        let mut short = list;
        short.as_array_mut().unwrap().pop();
        scenes.push(Scene::violation(stage, Say::List(short)));
    }
    for list in [
        json!([]),
        json!({}),
        json!("[68]"),
        json!(68),
        json!(null),
        json!([null]),
        json!(["68"]),
        json!([-68]),
        json!([68.5]),
        json!([999]),
        json!([[68]]),
        // Ids are from 1 to 2^53.
        json!([68, 0, REGISTRATION, {}]),
        json!([68, -1, REGISTRATION, {}]),
        json!([68, 9_007_199_254_740_993_u64, REGISTRATION, {}]),
        json!([68, 1, REGISTRATION, {}, {}]),
        json!([68, 1, REGISTRATION, {}, [], []]),
        json!([68, 1, REGISTRATION, {}, [], {}, 1]),
        json!([8, 64, 1, {}, "a.b", 7]),
        json!([50, 1, {}, "x"]),
        json!([36, 1, 1, {}, [], 7]),
    ] {
        scenes.push(Scene::violation(Stage::Joined, Say::List(list)));
    }
    for session in [json!(0), json!(9_007_199_254_740_993_u64)] {
        let list = json!([2, session, {}]);
        scenes.push(Scene::violation(Stage::Greeted, Say::List(list)));
    }
    scenes
}

/// Bytes that are no value.
fn undecodable(serializer: Serializer) -> Vec<Scene> {
    const DEEP: usize = 100_000;
    let bytes: Vec<Vec<u8>> = match serializer {
        Json => vec![
            b"".to_vec(),
            b"[68,1".to_vec(),
            b"[68,1,777,{}]]".to_vec(),
            b"[68,1,777,{}] [6".to_vec(),
            b"[68,01,777,{}]".to_vec(),
            b"[68,1,777,{\"a\":\"\\ud800\"}]".to_vec(),
            b"[6,{},\"\x00\"]".to_vec(),
            vec![b'['; DEEP],
            [b"[68,1,777,{},", &*vec![b'['; DEEP]].concat(),
        ],
        MsgPack => vec![
            vec![],
            // Never used.
            vec![0xc1],
            // A list, a map, a text and bytes of 4 GiB that are not there.
            vec![0xdd, 0xff, 0xff, 0xff, 0xff],
            vec![0x91, 0xdf, 0xff, 0xff, 0xff, 0xff],
            vec![0x92, 0x06, 0xdb, 0xff, 0xff, 0xff, 0xff],
            vec![0x92, 0x06, 0xc6, 0xff, 0xff, 0xff, 0xff],
            // Something behind the value.
            vec![0x93, 0x06, 0x80, 0xa1, b'a', 0x00],
            vec![0x91; DEEP],
        ],
        Cbor => vec![
            vec![],
            // A "break" without a beginning.
            vec![0xff],
            // A list, a map, a text and bytes of 2^64 that are not there.
            [&[0x9b][..], &[0xff; 8]].concat(),
            [&[0x81, 0xbb][..], &[0xff; 8]].concat(),
            [&[0x82, 0x06, 0x7b][..], &[0xff; 8]].concat(),
            [&[0x82, 0x06, 0x5b][..], &[0xff; 8]].concat(),
            vec![0x83, 0x06, 0xa0, 0x61, 0xff],
            vec![0x83, 0x06, 0xa0, 0x61, b'a', 0x00],
            // Without an end.
            vec![0x9f, 0x06],
            vec![0x81; DEEP],
        ],
    };
    let scenes = bytes.into_iter().map(Say::Bytes);
    scenes
        .map(|say| Scene::violation(Stage::Joined, say))
        .collect()
}

/// What is right at another time.
fn odd_moments() -> Vec<Scene> {
    use Stage::{Greeted, Joined, Ready};
    let abort = || Say::List(json!([3, {"message": "no"}, "wamp.error.no_such_realm"]));
    let goodbye = || Say::List(json!([6, {}, "wamp.close.system_shutdown"]));
    let challenge = || Say::List(json!([4, "wampcra", {"challenge": "{}"}]));
    let mut scenes = vec![
        Scene::new(Greeted, abort(), End::Silence),
        Scene::new(Joined, abort(), End::Silence),
        Scene::new(Ready, abort(), End::Silence),
        Scene::new(Joined, goodbye(), End::Goodbye),
        Scene::new(Ready, goodbye(), End::Goodbye),
        // There is no secret to answer it with.
        Scene::new(
            Greeted,
            challenge(),
            End::Abort("wamp.error.cannot_authenticate"),
        ),
        // An INTERRUPT may have crossed with the answer.
        Scene::new(Ready, Say::List(json!([69, 99, {}])), End::Lives),
        // Null stands for what is absent, unknown members are nobody's business.
        Scene::new(
            Ready,
            Say::List(json!([69, 99, {"_x": 1, "mode": 7}])),
            End::Lives,
        ),
    ];
    for stage in [Greeted, Joined, Ready] {
        scenes.push(Scene::new(stage, Say::Close, End::Silence));
    }
    for say in [vec![goodbye(), goodbye()], vec![goodbye(), abort()]] {
        let end = End::Goodbye;
        let stage = Ready;
        scenes.push(Scene { stage, say, end });
    }
    scenes
}
