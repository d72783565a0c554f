//! What breaks the rules of RawSockets.

use super::scene::{End, Say, Scene, Stage};
use super::wire::raw_frame;

/// Scenes in a session.
pub fn scenes() -> Vec<Scene> {
    use Stage::{Joined, Ready};
    let raw = |bytes: &[u8]| Say::Raw(bytes.to_vec());
    let pings = raw_frame(1, &[7; 200]).repeat(20_000);
    let mut scenes = vec![
        // The frame has more bytes than the client takes: by its head alone, and with all of them.
        Scene::new(Joined, raw(&[0, 0x10, 0, 1]), End::Silence),
        Scene::new(Joined, raw(&[8, 0, 0, 0]), End::Silence),
        Scene::new(Joined, Say::Bytes(vec![b' '; 2 << 20]), End::Silence),
        // Reserved bits, unknown kinds.
        Scene::new(Joined, raw(&[0x10, 0, 0, 0]), End::Silence),
        Scene::new(Joined, raw(&[3, 0, 0, 0]), End::Silence),
        Scene::new(Joined, raw(&[7, 0, 0, 1, 0]), End::Silence),
        // A message that nobody has asked for.
        Scene::new(Ready, raw(&raw_frame(2, b"pong")), End::Lives),
        Scene::new(Ready, raw(&pings), End::Lives),
    ];
    for stage in [Joined, Ready] {
        scenes.push(Scene {
            stage,
            say: vec![raw(&[0, 0, 1, 0, 1, 2, 3]), Say::Close],
            end: End::Silence,
        });
    }
    scenes
}
