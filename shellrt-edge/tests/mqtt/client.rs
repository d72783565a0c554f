//! A client under test, in a thread of its own, so that tests can use what blocks.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Once};
use std::time::{Duration, Instant};

use bytes::Bytes;
use shellrt_edge::mqtt::{Event, Message, Mqtt, Settings};
use tokio::runtime::Handle;
use tokio::sync::{oneshot, Notify};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A client. Dropping it ends it as a killed process would: without a word to the broker.
pub struct Client {
    mqtt: Mqtt,
    handle: Handle,
    events: Arc<Mutex<Vec<Event>>>,
    takes: Arc<(AtomicBool, Notify)>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// Settings for a broker at this port, without anything that could be left out.
pub fn settings(port: u16) -> Settings {
    Settings {
        host: "127.0.0.1".to_owned(),
        port,
        username: None,
        password: None,
        tls: None,
        client_id: "tested".to_owned(),
        keep_alive: Duration::from_secs(60),
    }
}

/// A message of text.
pub fn message(topic: &str, text: impl Into<String>) -> Message {
    Message {
        topic: topic.to_owned(),
        payload: Bytes::from(text.into()),
    }
}

impl Client {
    /// A client that begins to connect.
    pub fn start(settings: Settings, will: Option<Message>) -> Client {
        let events: Arc<Mutex<Vec<Event>>> = Arc::default();
        let takes = Arc::new((AtomicBool::new(true), Notify::new()));
        let (stop, stopped) = oneshot::channel();
        let (started, start) = std::sync::mpsc::channel();
        let (taken, takes_too) = (Arc::clone(&events), Arc::clone(&takes));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = { runtime }.enable_all().build().unwrap();
            runtime.block_on(async {
                let (mqtt, mut events) = Mqtt::connect(settings, will).unwrap();
                started.send((mqtt, Handle::current())).unwrap();
                let take = async {
                    loop {
                        while !takes_too.0.load(Ordering::SeqCst) {
                            takes_too.1.notified().await;
                        }
                        match events.recv().await {
                            Some(event) => taken.lock().unwrap().push(event),
                            None => std::future::pending().await,
                        }
                    }
                };
                tokio::select! {
                    () = take => {}
                    _ = stopped => {}
                }
            });
        });
        let (mqtt, handle) = start.recv().unwrap();
        Client {
            mqtt,
            handle,
            events,
            takes,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// The same, when it is connected.
    pub fn connected(settings: Settings, will: Option<Message>) -> Client {
        let client = Client::start(settings, will);
        client.wait("a connection", |events| {
            events.contains(&Event::Connected).then_some(())
        });
        client
    }

    pub fn mqtt(&self) -> &Mqtt {
        &self.mqtt
    }

    /// Runs something in its thread.
    pub fn run<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> T {
        let (done, is_done) = std::sync::mpsc::channel();
        self.handle.spawn(async move {
            let _ = done.send(future.await);
        });
        is_done.recv_timeout(PATIENCE).expect("it is done in time")
    }

    /// Publishes, and returns when the broker has answered.
    pub fn publish(&self, message: Message) {
        let mqtt = self.mqtt.clone();
        self.run(async move { mqtt.publish(message).await.await });
    }

    /// Publishes texts on a topic, each when the one before is queued; the answer is how many the broker
    /// has acknowledged, as long as it is looked at.
    pub fn publish_all(
        &self,
        topic: &str,
        texts: impl Iterator<Item = String>,
    ) -> Arc<Mutex<Vec<String>>> {
        let acknowledged: Arc<Mutex<Vec<String>>> = Arc::default();
        let (mqtt, list) = (self.mqtt.clone(), Arc::clone(&acknowledged));
        let messages: Vec<_> = texts.map(|text| (message(topic, &text), text)).collect();
        self.handle.spawn(async move {
            for (message, text) in messages {
                let reported = mqtt.publish(message).await;
                let list = Arc::clone(&list);
                tokio::spawn(async move {
                    reported.await;
                    list.lock().unwrap().push(text);
                });
            }
        });
        acknowledged
    }

    pub fn subscribe(&self, filter: &'static str) {
        let mqtt = self.mqtt.clone();
        self.run(async move { mqtt.subscribe(filter).await });
    }

    pub fn close(&self) {
        let mqtt = self.mqtt.clone();
        self.run(async move { mqtt.close().await });
    }

    /// Whether events are taken from it.
    pub fn take(&self, takes: bool) {
        self.takes.0.store(takes, Ordering::SeqCst);
        self.takes.1.notify_one();
    }

    /// All events so far.
    pub fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap().clone()
    }

    /// The text of all messages so far.
    pub fn texts(&self) -> Vec<String> {
        let events = self.events().into_iter();
        let texts = events.filter_map(|event| match event {
            Event::Message(message) => String::from_utf8(message.payload.to_vec()).ok(),
            _ => None,
        });
        texts.collect()
    }

    /// How often it was connected and disconnected.
    pub fn connections(&self) -> Vec<Event> {
        let is_message = |event: &Event| matches!(event, Event::Message(_));
        let mut events = self.events();
        events.retain(|event| !is_message(event));
        events
    }

    /// Waits until `find` finds something in all events so far.
    pub fn wait<T>(&self, what: &str, find: impl Fn(&[Event]) -> Option<T>) -> T {
        until(what, || find(&self.events()))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.stop.take().map(|stop| stop.send(()));
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
    }
}

/// Waits for a condition.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(
            Instant::now() < deadline,
            "{what} never came; the log: {:#?}",
            logged("")
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Lines;

impl log::Log for Lines {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.target().starts_with("shellrt_edge")
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            let line = format!("{} {}", record.level(), record.args());
            LINES.lock().unwrap().push(line);
        }
    }

    fn flush(&self) {}
}

/// Keeps what is logged from now on.
pub fn keep_log() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&Lines).unwrap();
        log::set_max_level(log::LevelFilter::Debug);
    });
}

/// The lines with that text.
pub fn logged(text: &str) -> Vec<String> {
    let lines = LINES.lock().unwrap();
    lines
        .iter()
        .filter(|line| line.contains(text))
        .cloned()
        .collect()
}
