//! A router that plays its scenes, one in each connection, and is a good one when all are played.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;

use super::scene::{registered, welcome, Scene};
use super::serializer::Serializer;
use super::wire::{Asked, Carrier, Wire};

/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(180);

/// The router.
pub struct Stage {
    /// Where it listens.
    pub port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    play: Mutex<Play>,
    changed: Condvar,
}

#[derive(Default)]
struct Play {
    waiting: VecDeque<(Serializer, Scene)>,
    /// Scenes that are being played.
    open: usize,
    failures: Vec<String>,
    /// Sessions in which all is well.
    good: usize,
}

impl Stage {
    /// A router that plays `scenes`, each with its serializer.
    pub fn open(carrier: Carrier, scenes: Vec<(Serializer, Scene)>) -> Stage {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State::default());
        state.play.lock().unwrap().waiting = scenes.into();
        let stage = Stage {
            port,
            state: Arc::clone(&state),
        };
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let state = Arc::clone(&state);
                std::thread::spawn(move || {
                    // Who has gone before anything began comes again.
                    if let Ok(asked) = Asked::read(stream, carrier) {
                        state.serve(asked);
                    }
                });
            }
        });
        stage
    }

    /// Waits until all is played and `components` are well, and gives what was wrong.
    pub fn wait_for(&self, components: usize) -> Vec<String> {
        let begin = Instant::now();
        let mut play = self.state.play.lock().unwrap();
        while play.good < components || !play.waiting.is_empty() || play.open > 0 {
            let left = PATIENCE.checked_sub(begin.elapsed());
            let left =
                left.unwrap_or_else(|| panic!("{} are well: {:?}", play.good, play.failures));
            (play, _) = self.state.changed.wait_timeout(play, left).unwrap();
        }
        play.failures.clone()
    }
}

impl State {
    fn serve(&self, asked: Asked) {
        let scene = self.take(&asked.offered);
        let (serializer, scene) = match scene {
            Some((serializer, scene)) => (serializer, Some(scene)),
            None if self.play.lock().unwrap().waiting.is_empty() => (asked.offered[0], None),
            None => {
                // It offers another one next.
                let _ = asked.refuse();
                return;
            }
        };
        let greeted = asked.take(serializer).and_then(|mut wire| {
            let hello = wire.hear()?;
            Ok((wire, hello.is_some_and(|it| serializer.kind(&it) == 1)))
        });
        match (scene, greeted) {
            (Some(scene), Ok((mut wire, true))) => {
                let played = scene.play(&mut wire);
                self.change(|play| {
                    play.open -= 1;
                    if let Err(why) = played {
                        let scene: String = format!("{scene:?}").chars().take(200).collect();
                        play.failures
                            .push(format!("{serializer:?}, {scene}: {why}"));
                    }
                });
            }
            // It was not even begun.
            (Some(scene), _) => self.change(|play| {
                play.open -= 1;
                play.waiting.push_back((serializer, scene));
            }),
            (None, Ok((mut wire, true))) => {
                if welcome(&mut wire).is_ok() && registered(&mut wire).is_ok() {
                    self.change(|play| play.good += 1);
                    be_good(&mut wire);
                    self.change(|play| play.good -= 1);
                }
            }
            (None, _) => {}
        }
    }

    /// The next scene for one of these serializers.
    fn take(&self, offered: &[Serializer]) -> Option<(Serializer, Scene)> {
        let mut play = self.play.lock().unwrap();
        let mut waiting = play.waiting.iter();
        let at = waiting.position(|(serializer, _)| offered.contains(serializer))?;
        play.open += 1;
        play.waiting.remove(at)
    }

    fn change(&self, change: impl FnOnce(&mut Play)) {
        change(&mut self.play.lock().unwrap());
        self.changed.notify_all();
    }
}

/// Until the client leaves.
fn be_good(wire: &mut Wire) {
    while let Ok(Some(message)) = wire.hear() {
        if wire.serializer.kind(&message) == 6 {
            let _ = wire.say(&json!([6, {}, "wamp.close.goodbye_and_out"]));
        }
    }
}
