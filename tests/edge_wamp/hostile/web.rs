//! What breaks the rules of WebSockets.

use serde_json::json;

use super::scene::{End, Say, Scene, Stage, REGISTRATION};
use super::serializer::Serializer;
use super::wire::web_frame;

/// The end of a message, in the first byte of a frame.
const FIN: u8 = 0x80;

/// Scenes in a session.
pub fn scenes(serializer: Serializer) -> Vec<Scene> {
    use Stage::{Joined, Ready};
    let own = serializer.opcode();
    // Text where bytes belong, and the other way round.
    let other = 3 - own;
    let event = serializer.encode(&json!([36, 1, 1, {}]));
    let silence = |bytes: Vec<u8>| Scene {
        stage: Joined,
        say: vec![Say::Raw(bytes)],
        end: End::Silence,
    };
    let masked = [&[FIN | own, 0x80 | 4, 1, 2, 3, 4][..], &[0; 4]].concat();
    let endless = web_frame(0, &[b' '; 60_000]).repeat(40);
    let endless = [web_frame(own, b"["), endless].concat();
    let mut scenes = vec![
        silence(web_frame(FIN | other, &event)),
        // Only servers read masked frames.
        silence(masked),
        // RSV1: compressed, which nobody has agreed on. RSV2. An opcode that there is not.
        silence(web_frame(FIN | 0x40 | own, &event)),
        silence(web_frame(FIN | 0x20 | own, &event)),
        silence(web_frame(FIN | 3, &event)),
        // The middle of a message that has not begun, and one that begins in another.
        silence(web_frame(FIN, &event)),
        silence([web_frame(own, &event), web_frame(FIN | own, &event)].concat()),
        // Parts without an end: more than the client takes.
        silence(endless),
        // A ping in parts, and a long one.
        silence(web_frame(9, b"x")),
        silence(web_frame(FIN | 9, &[0; 200])),
        // More than there can be, and more than the client takes.
        silence([&[FIN | own, 127][..], &[0xff; 8]].concat()),
        silence([&[FIN | own, 127][..], &(2_u64 << 20).to_be_bytes()].concat()),
        // A close without a whole code, with one that nobody may send, with no text behind it.
        silence(web_frame(FIN | 8, &[3])),
        silence(web_frame(FIN | 8, &1005_u16.to_be_bytes())),
        silence(web_frame(FIN | 8, &[0x03, 0xe8, 0xff])),
        silence(web_frame(FIN | 8, &1011_u16.to_be_bytes())),
        silence(web_frame(FIN | 8, &[])),
    ];
    if serializer == Serializer::Json {
        // A text that is no UTF-8.
        scenes.push(silence(web_frame(FIN | own, b"[36,1,1,{},[\"\xff\"]]")));
    }
    // A frame ends in the middle.
    scenes.push(Scene {
        stage: Joined,
        say: vec![Say::Raw(vec![FIN | own, 100, 1]), Say::Close],
        end: End::Silence,
    });
    // Parts with a ping between them are right.
    let message = serializer.encode(&json!([69, 99, {}]));
    let (begin, rest) = message.split_at(2);
    let parts = [
        web_frame(own, begin),
        web_frame(FIN | 9, b"ping"),
        web_frame(0, b""),
        web_frame(FIN, rest),
        web_frame(FIN | 10, b"a pong that nobody has asked for"),
    ];
    scenes.push(Scene {
        stage: Ready,
        say: vec![Say::Raw(parts.concat())],
        end: End::Lives,
    });
    let unknown = json!([68, 1, REGISTRATION + 1, {}]);
    scenes.push(Scene {
        stage: Ready,
        say: vec![Say::List(unknown)],
        end: End::Abort("wamp.error.protocol_violation"),
    });
    scenes
}
