//! Transfers that break, stall, lie and are limited.

use super::*;
use tests::registry::proxy::Fault;

const SIZE: usize = 500_000;

struct Setup {
    place: Place,
    _registry: Registry,
    proxy: Proxy,
    reference: Reference,
    layer: Descriptor,
    bytes: Vec<u8>,
    /// The blob's path as the proxy sees it.
    path: String,
}

impl Setup {
    fn new() -> Option<Setup> {
        let registry = Registry::start(&Options::default())?;
        let bytes = layer(SIZE);
        registry.push_layer("app", "1", &bytes);
        let proxy = Proxy::start(registry.host());
        let layer = descriptor(&bytes);
        Some(Setup {
            place: Place::new(),
            reference: reference(&proxy.host(), "app:1"),
            _registry: registry,
            proxy,
            path: format!("blobs/{}", layer.digest),
            layer,
            bytes,
        })
    }

    async fn download(&self) -> Result<Downloaded, Error> {
        self.download_by(&self.place.client()).await
    }

    async fn download_by(&self, client: &Client) -> Result<Downloaded, Error> {
        let (done, bytes) = self
            .place
            .download(client, &self.reference, &self.layer)
            .await?;
        assert!(bytes == self.bytes, "other bytes");
        Ok(done)
    }

    fn ranges(&self) -> Vec<String> {
        self.proxy
            .seen(&self.path)
            .into_iter()
            .map(|seen| seen.range)
            .collect()
    }
}

#[tokio::test]
async fn a_cut_layer_goes_on_where_it_was() {
    let Some(setup) = Setup::new() else { return };
    setup.proxy.fault("blobs", Fault::Cut(100_000), 1);
    setup.proxy.fault("blobs", Fault::Cut(50_000), 1);
    let done = setup.download().await.unwrap();
    assert_eq!(done.bytes_fetched, SIZE as u64);
    assert_eq!(setup.proxy.bytes(&setup.path), SIZE as u64);
    assert_eq!(
        setup.ranges(),
        ["", "bytes=100000-499999", "bytes=150000-499999"]
    );
}

#[tokio::test]
async fn many_cuts_are_no_reason_to_give_up_while_bytes_come() {
    let Some(setup) = Setup::new() else { return };
    setup.proxy.fault("blobs", Fault::Cut(20_000), 20);
    setup.download().await.unwrap();
    assert_eq!(setup.proxy.bytes(&setup.path), SIZE as u64);
}

#[tokio::test]
async fn a_broken_download_is_resumed_by_the_next_process() {
    let Some(setup) = Setup::new() else { return };
    setup.proxy.fault("blobs", Fault::Stall(200_000), 1);
    // What a kill leaves behind: a download that is dropped in the middle.
    let path = setup.place.path("done").join(setup.layer.digest.hex());
    let partials = setup.place.path("partial");
    let client = setup.place.client();
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let dropped = client.download(
        &setup.reference,
        &setup.layer,
        &partials,
        &path,
        |_, at, _| {
            let _ = tell.send(at);
        },
    );
    tokio::select! {
        done = dropped => panic!("{done:?}"),
        () = async { while told.recv().await.unwrap() < 200_000 {} } => {}
    }
    assert_eq!(setup.place.partials().len(), 1);
    assert!(!path.exists());
    let done = setup.download().await.unwrap();
    assert_eq!((done.bytes_fetched, done.bytes_resumed), (300_000, 200_000));
    assert_eq!(setup.ranges(), ["", "bytes=200000-499999"]);
    assert!(setup.place.partials().is_empty());
}

#[tokio::test]
async fn wrong_bytes_are_deleted() {
    let Some(setup) = Setup::new() else { return };
    setup.proxy.fault("blobs", Fault::Corrupt(123_456), 1);
    let error = setup.download().await.unwrap_err();
    assert_eq!(error.code(), Code::IMAGE_INVALID);
    assert!(error.spoils_bytes());
    assert!(
        error.to_string().contains(&setup.layer.digest.to_string()),
        "{error}"
    );
    assert!(setup.place.partials().is_empty());
    let done = setup.download().await.unwrap();
    assert_eq!((done.bytes_fetched, done.bytes_resumed), (SIZE as u64, 0));
}

#[tokio::test]
async fn a_wrong_start_is_fetched_once_more() {
    let Some(setup) = Setup::new() else { return };
    let name = format!("sha256-{}.partial", setup.layer.digest.hex());
    let partial = setup.place.path("partial").join(name);
    for left in [vec![0; 300_000], vec![0; SIZE], vec![0; SIZE + 1]] {
        std::fs::write(&partial, &left).unwrap();
        let done = setup.download().await.unwrap();
        assert_eq!(done.bytes_resumed, 0);
        std::fs::remove_file(setup.place.path("done").join(setup.layer.digest.hex())).unwrap();
    }
    assert_eq!(setup.ranges(), ["bytes=300000-499999", "", "", ""]);
    // A start that is right is used, even if it is all.
    std::fs::write(&partial, &setup.bytes).unwrap();
    let done = setup.download().await.unwrap();
    assert_eq!((done.bytes_fetched, done.bytes_resumed), (0, SIZE as u64));
}

#[tokio::test]
async fn too_many_requests_are_taken_back() {
    let Some(setup) = Setup::new() else { return };
    setup
        .proxy
        .fault("blobs", Fault::Status(429, "retry-after", "1"), 1);
    let begun = Instant::now();
    setup.download().await.unwrap();
    assert!(
        begun.elapsed() >= Duration::from_secs(1),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(setup.proxy.seen(&setup.path).len(), 2);
}

#[tokio::test]
async fn an_hour_of_patience_is_the_callers() {
    let Some(setup) = Setup::new() else { return };
    setup
        .proxy
        .fault("manifests", Fault::Status(429, "retry-after", "3600"), 100);
    let client = setup.place.client();
    let error = client.manifest(&setup.reference).await.unwrap_err();
    assert_eq!(error.code(), Code::REGISTRY_UNREACHABLE);
    assert_eq!(error.retry_after_ms(), Some(3_600_000));
    assert!(error.retryable());
    assert_eq!(setup.proxy.seen("manifests").len(), 1);
}

#[tokio::test]
async fn an_overloaded_registry_gets_time() {
    let Some(setup) = Setup::new() else { return };
    setup
        .proxy
        .fault("manifests", Fault::Status(503, "x-y", "z"), 2);
    setup
        .proxy
        .fault("blobs", Fault::Status(503, "x-y", "z"), 2);
    let client = setup.place.client();
    client.manifest(&setup.reference).await.unwrap();
    assert_eq!(setup.proxy.seen("manifests").len(), 3);
    setup.download_by(&client).await.unwrap();
    assert_eq!(setup.proxy.seen(&setup.path).len(), 3);
}

#[tokio::test]
async fn an_overloaded_registry_gets_five_tries() {
    let Some(setup) = Setup::new() else { return };
    setup
        .proxy
        .fault("blobs", Fault::Status(502, "x-y", "z"), 100);
    let error = setup.download().await.unwrap_err();
    assert_eq!(error.code(), Code::REGISTRY_UNREACHABLE);
    assert!(
        error.to_string().contains("502") && error.retryable(),
        "{error}"
    );
    assert_eq!(setup.proxy.seen(&setup.path).len(), 5);
    setup
        .proxy
        .fault("manifests", Fault::Status(418, "x-y", "z"), 100);
    let error = setup
        .place
        .client()
        .manifest(&setup.reference)
        .await
        .unwrap_err();
    assert!(!error.retryable());
    assert_eq!(setup.proxy.seen("manifests").len(), 1);
}

#[tokio::test]
async fn a_stalled_layer_goes_on() {
    let Some(setup) = Setup::new() else { return };
    setup.proxy.fault("blobs", Fault::Stall(250_000), 1);
    let mut settings = setup.place.settings(&[]);
    settings.read_timeout = Duration::from_millis(500);
    let begun = Instant::now();
    let done = setup.download_by(&Client::new(settings)).await.unwrap();
    // The proxy itself would end the connection after ten seconds.
    assert!(begun.elapsed() < Duration::from_secs(8));
    assert_eq!(done.bytes_fetched, SIZE as u64);
    assert_eq!(setup.ranges(), ["", "bytes=250000-499999"]);
}

#[tokio::test]
async fn registries_without_ranges_are_read_from_the_start() {
    let Some(setup) = Setup::new() else { return };
    setup.proxy.fault("blobs", Fault::Cut(100_000), 1);
    setup.proxy.fault("blobs", Fault::WholeOnly, 1);
    setup.download().await.unwrap();
    assert_eq!(setup.ranges(), ["", "bytes=100000-499999"]);

    let again = Setup::new().unwrap();
    again.proxy.fault("blobs", Fault::Cut(100_000), 1);
    again.proxy.fault(
        "blobs",
        Fault::Status(416, "content-range", "bytes */500000"),
        1,
    );
    again.download().await.unwrap();
    assert_eq!(again.ranges(), ["", "bytes=100000-499999", ""]);
}

#[tokio::test]
async fn sizes_are_those_of_the_descriptor() {
    let Some(setup) = Setup::new() else { return };
    let client = setup.place.client();
    for size in [SIZE as u64 - 1, SIZE as u64 + 1] {
        let mut lie = setup.layer.clone();
        lie.size = size;
        let error = setup
            .place
            .download(&client, &setup.reference, &lie)
            .await
            .unwrap_err();
        assert_eq!(error.code(), Code::IMAGE_INVALID, "{error}");
        assert!(!setup.place.path("done").join(lie.digest.hex()).exists());
    }
    assert!(setup.place.partials().is_empty());
}

#[tokio::test]
async fn a_store_that_verifies_by_itself_needs_no_bytes_again() {
    let Some(setup) = Setup::new() else { return };
    let client = setup.place.client();
    let mut blob = client.blob(&setup.reference, &setup.layer, Resume::Unverified(499_000));
    let mut rest = Vec::new();
    while let Some(chunk) = blob.next().await.unwrap() {
        rest.extend_from_slice(&chunk);
    }
    assert!(rest == setup.bytes[499_000..]);
    assert_eq!((blob.offset(), blob.fetched()), (SIZE as u64, 1000));
    let mut blob = client.blob(
        &setup.reference,
        &setup.layer,
        Resume::Unverified(SIZE as u64 + 1),
    );
    assert!(blob.next().await.unwrap_err().spoils_bytes());
}

#[tokio::test]
async fn a_layer_is_fetched_once_however_many_want_it() {
    let Some(setup) = Setup::new() else { return };
    setup.proxy.fault("blobs", Fault::Cut(100_000), 1);
    // Clients of their own, because other processes share nothing either.
    let clients = [
        setup.place.client(),
        setup.place.client(),
        setup.place.client(),
    ];
    let all = [&clients[0], &clients[1], &clients[2]].map(|client| setup.download_by(client));
    let [a, b, c] = all;
    let (a, b, c) = tokio::join!(a, b, c);
    let all = [a.unwrap(), b.unwrap(), c.unwrap()];
    assert_eq!(all.iter().filter(|done| done.existed).count(), 2);
    assert_eq!(setup.proxy.bytes(&setup.path), SIZE as u64);
    assert!(
        setup.place.partials().is_empty(),
        "{:?}",
        setup.place.partials()
    );
}

#[tokio::test]
async fn transfers_are_bounded() {
    let Some(setup) = Setup::new() else { return };
    setup.proxy.fault("blobs", Fault::Stall(10), 3);
    let mut settings = setup.place.settings(&[]);
    (settings.concurrency, settings.tries) = (2, 1);
    settings.read_timeout = Duration::from_secs(2);
    let client = Client::new(settings);
    let mut blobs = [(); 3].map(|()| client.blob(&setup.reference, &setup.layer, Resume::Start));
    let [a, b, c] = &mut blobs;
    assert!(a.next().await.unwrap().is_some());
    assert!(b.next().await.unwrap().is_some());
    let third = tokio::time::timeout(Duration::from_millis(500), c.next()).await;
    assert!(third.is_err(), "a third transfer began");
    assert_eq!(setup.proxy.seen(&setup.path).len(), 2);
    drop(std::mem::replace(
        a,
        client.blob(&setup.reference, &setup.layer, Resume::Start),
    ));
    assert!(c.next().await.unwrap().is_some());
}

#[tokio::test]
async fn files_that_cannot_be_written_say_so() {
    let Some(setup) = Setup::new() else { return };
    let missing = setup.place.path("missing");
    let path = setup.place.path("done").join("x");
    let client = setup.place.client();
    let error = client
        .download(
            &setup.reference,
            &setup.layer,
            &missing,
            &path,
            |_, _, _| (),
        )
        .await
        .unwrap_err();
    assert!(error.to_string().contains("missing"), "{error}");
    assert!(told(&error).contains("No such file"), "{}", told(&error));
    // Every write to this device finds the disk full.
    let full = setup.place.path("full");
    std::fs::create_dir(&full).unwrap();
    let name = format!("sha256-{}.partial", setup.layer.digest.hex());
    std::os::unix::fs::symlink("/dev/full", full.join(name)).unwrap();
    let error = client
        .download(&setup.reference, &setup.layer, &full, &path, |_, _, _| ())
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::OUT_OF_RESOURCES, "{}", told(&error));
}
