//! A real registry (Debian's `docker-registry`) for one test: own storage, own port, ended by its
//! process id. It needs no crate of this workspace, so that any test can push an image for what it
//! runs.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tempfile::TempDir;

pub mod certificates;
pub mod http;
pub mod proxy;
pub mod tokens;

/// How a registry is set up. The default is plain HTTP for everybody.
#[derive(Default)]
pub struct Options {
    /// Whether it wants [`USER`] and [`PASSWORD`].
    pub password: bool,
    /// The token service that it trusts.
    pub tokens: Option<tokens::Trust>,
    /// The certificate that it shows; it speaks TLS then.
    pub tls: Option<certificates::Pair>,
    /// The authority whose client certificates it wants.
    pub client_ca: Option<PathBuf>,
    /// A storage that several registries read, in the place of one of its own.
    pub storage: Option<PathBuf>,
}

/// A running registry.
pub struct Registry {
    child: Child,
    root: TempDir,
    port: u16,
    open: bool,
}

/// The only user of a registry with a password.
pub const USER: &str = "user";
/// That user's password.
pub const PASSWORD: &str = "correct horse";

impl Registry {
    /// Starts a registry; `None`, after saying why, where the program is not installed.
    ///
    /// # Panics
    /// With `CI=true` where the program is not installed, and where it does not start.
    pub fn start(options: &Options) -> Option<Registry> {
        if !is_installed() {
            return None;
        }
        let root = tempfile::tempdir().expect("a temporary folder");
        let (child, port) = serve(root.path(), options);
        let open = !options.password && options.tokens.is_none() && options.tls.is_none();
        Some(Registry {
            child,
            root,
            port,
            open,
        })
    }

    /// Where it keeps what is pushed.
    pub fn storage(&self) -> PathBuf {
        self.root.path().join("storage")
    }

    /// `127.0.0.1:<port>`, as it stands in a reference.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Pushes blobs and a manifest, and gives back the manifest's digest. The media type is the one
    /// in the manifest. It also works where the registry wants a password or speaks TLS.
    ///
    /// # Panics
    /// Where the registry refuses.
    pub fn push(&self, name: &str, tag: &str, manifest: &[u8], blobs: &[&[u8]]) -> String {
        if self.open {
            return push(&self.host(), name, tag, manifest, blobs);
        }
        // A second registry over the same storage, which asks for nothing.
        let (mut child, port) = serve(self.root.path(), &Options::default());
        let digest = push(&format!("127.0.0.1:{port}"), name, tag, manifest, blobs);
        end(&mut child);
        digest
    }

    /// Pushes an artifact of one layer and gives back its manifest's digest.
    pub fn push_layer(&self, name: &str, tag: &str, layer: &[u8]) -> String {
        let config = br#"{"architecture":"wasm","os":"wasip1"}"#;
        let manifest = manifest(
            ("application/vnd.wasm.config.v0+json", config),
            &[("application/wasm", layer)],
        );
        self.push(name, tag, &manifest, &[config, layer])
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// An OCI image manifest over a config and layers, each with its media type.
pub fn manifest(config: (&str, &[u8]), layers: &[(&str, &[u8])]) -> Vec<u8> {
    let layers: Vec<_> = layers
        .iter()
        .map(|(kind, bytes)| descriptor(kind, bytes))
        .collect();
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor(config.0, config.1),
        "layers": layers,
    });
    manifest.to_string().into_bytes()
}

/// The descriptor of some bytes.
pub fn descriptor(media_type: &str, bytes: &[u8]) -> serde_json::Value {
    serde_json::json!({"mediaType": media_type, "digest": digest(bytes), "size": bytes.len()})
}

/// `sha256:...` of some bytes.
pub fn digest(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// Whether `docker-registry` can be started; otherwise it says why not.
///
/// # Panics
/// With `CI=true`: there it must not be missing.
#[allow(
    clippy::print_stderr,
    reason = "that is where a test says why it did not run"
)]
pub fn is_installed() -> bool {
    let found = Command::new("docker-registry")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if found.is_ok_and(|status| status.success()) {
        return true;
    }
    let ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(
        !ci,
        "docker-registry is missing; apt-get install docker-registry"
    );
    eprintln!("ignored: docker-registry is missing; apt-get install docker-registry");
    false
}

fn serve(root: &Path, options: &Options) -> (Child, u16) {
    let config = root.join("config.yml");
    std::fs::write(&config, configuration(root, options)).expect("the registry's configuration");
    let mut child = Command::new("docker-registry")
        .arg("serve")
        .arg(&config)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .env("OTEL_TRACES_EXPORTER", "none")
        .spawn()
        .expect("docker-registry");
    let log = BufReader::new(child.stderr.take().expect("its stderr is piped"));
    let (port_is, port) = mpsc::channel();
    // It goes on to read, because a registry whose log is full stops.
    std::thread::spawn(move || {
        let mut seen = String::new();
        for line in log.lines().map_while(Result::ok) {
            if let Some((_, rest)) = line.split_once("listening on 127.0.0.1:") {
                let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
                let _ = port_is.send(digits.parse::<u16>().map_err(|_| line.clone()));
            }
            seen.push_str(&line);
            seen.push('\n');
        }
        let _ = port_is.send(Err(seen));
    });
    match port.recv_timeout(Duration::from_secs(30)) {
        Ok(Ok(port)) => (child, port),
        Ok(Err(log)) => panic!("docker-registry ended: {log}"),
        Err(_) => {
            end(&mut child);
            panic!("docker-registry did not listen within 30 seconds")
        }
    }
}

fn configuration(root: &Path, options: &Options) -> String {
    let own = root.join("storage");
    let storage = options.storage.as_ref().unwrap_or(&own);
    let readonly = options.storage.is_some();
    let mut text = format!(
        "version: 0.1\nlog: {{level: info}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\n  \
         maintenance: {{readonly: {{enabled: {readonly}}}}}\nhttp:\n  addr: 127.0.0.1:0\n",
        storage.display()
    );
    if let Some(pair) = &options.tls {
        text += &format!(
            "  tls:\n    certificate: {}\n    key: {}\n",
            pair.certificate.display(),
            pair.key.display()
        );
        if let Some(ca) = &options.client_ca {
            text += &format!("    clientcas: [{}]\n", ca.display());
        }
    }
    if options.password {
        let file = root.join("htpasswd");
        // A low cost, because every request pays it.
        std::fs::write(&file, format!("{USER}:{HASH}\n")).expect("the password file");
        text += &format!(
            "auth:\n  htpasswd: {{realm: test, path: {}}}\n",
            file.display()
        );
    }
    if let Some(trust) = &options.tokens {
        text += &format!(
            "auth:\n  token:\n    realm: {}\n    service: {}\n    issuer: {}\n    rootcertbundle: {}\n",
            trust.realm,
            tokens::SERVICE,
            tokens::ISSUER,
            trust.certificate.display()
        );
    }
    text
}

/// bcrypt of [`PASSWORD`].
const HASH: &str = "$2b$04$YTXAL3.Xhfsxne.A0ruTQurR9/vmoTLcRVjYg6SAkJZaG9xsVuCwa";

fn push(host: &str, name: &str, tag: &str, manifest: &[u8], blobs: &[&[u8]]) -> String {
    for blob in blobs {
        let started = http::send(
            host,
            "POST",
            &format!("/v2/{name}/blobs/uploads/"),
            &[],
            b"",
        );
        assert_eq!(started.status, 202, "{started:?}");
        let location = started
            .header("location")
            .expect("where to upload to")
            .to_owned();
        let path = location
            .split_once(host)
            .map_or(location.as_str(), |(_, path)| path);
        let joint = if path.contains('?') { '&' } else { '?' };
        let path = format!("{path}{joint}digest={}", digest(blob));
        let kind = [("Content-Type", "application/octet-stream")];
        let done = http::send(host, "PUT", &path, &kind, blob);
        assert_eq!(done.status, 201, "{done:?}");
    }
    let document: serde_json::Value = serde_json::from_slice(manifest).expect("a JSON manifest");
    let media_type = document["mediaType"].as_str();
    let media_type = media_type.unwrap_or("application/vnd.oci.image.manifest.v1+json");
    let path = format!("/v2/{name}/manifests/{tag}");
    let done = http::send(
        host,
        "PUT",
        &path,
        &[("Content-Type", media_type)],
        manifest,
    );
    assert_eq!(done.status, 201, "{done:?}");
    digest(manifest)
}

fn end(child: &mut Child) {
    // It may have ended already.
    let _ = child.kill();
    let _ = child.wait();
}
