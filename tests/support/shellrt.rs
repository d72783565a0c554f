//! `shellrt-containerd` with a state directory and a containerd of its own.

use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};

use serde_json::{json, Value};

use super::containerd::{Containerd, Options};
use super::network::{cni_plugins, remove_bridges};
use super::plugin::Plugin;

/// The plugin, its containerd, and everything that its modules leave behind. Dropping it removes all
/// of that.
pub struct Shellrt {
    plugin: Plugin,
    /// The daemon.
    pub containerd: Containerd,
    root: tempfile::TempDir,
    files: tempfile::TempDir,
}

impl Deref for Shellrt {
    type Target = Plugin;

    fn deref(&self) -> &Plugin {
        &self.plugin
    }
}

impl DerefMut for Shellrt {
    fn deref_mut(&mut self) -> &mut Plugin {
        &mut self.plugin
    }
}

impl Shellrt {
    /// A plugin that has seen nothing yet, with the installed containerd; `None`, after saying why,
    /// where that can't be run.
    pub fn start() -> Option<Self> {
        Shellrt::start_with(Options::default())
    }

    /// The same with another containerd.
    ///
    /// # Panics
    /// As [`Containerd::start_with`].
    pub fn start_with(options: Options) -> Option<Self> {
        Some(Shellrt::over(Containerd::start_with(options)?))
    }

    /// A plugin that has seen nothing yet, with a containerd that has perhaps.
    pub fn over(containerd: Containerd) -> Self {
        let root = tempfile::tempdir().expect("a directory for the state");
        let files = tempfile::tempdir().expect("a directory for files");
        let environment: [(&str, &Path); 7] = [
            ("CONTAINERD_ADDRESS", &containerd.address()),
            ("CONTAINERD_NAMESPACE", Path::new(containerd.namespace())),
            ("SHELLRT_CONTAINERD_ROOT", root.path()),
            ("SHELLRT_HOSTS_DIR", &files.path().join("hosts")),
            ("DOCKER_CONFIG", &files.path().join("docker")),
            ("NETCONFPATH", &files.path().join("net.d")),
            // No plugins there: a module has the machine's network unless a test wants another one.
            ("CNI_PATH", &files.path().join("cni")),
        ];
        Shellrt {
            plugin: Plugin::new("shellrt-containerd", &environment),
            containerd,
            root,
            files,
        }
    }

    /// The same, with the machine's CNI plugins; `None`, after saying why, where it has none.
    ///
    /// # Panics
    /// With `CI=true` where it has none.
    #[allow(
        clippy::print_stderr,
        reason = "that is where a test says why it did not run"
    )]
    pub fn with_networks(mut self) -> Option<Self> {
        let Some(plugins) = cni_plugins() else {
            let is_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
            assert!(!is_ci, "no CNI plugins");
            eprintln!("ignored: containernetworking-plugins are missing");
            return None;
        };
        self.set("CNI_PATH", &plugins);
        Some(self)
    }

    /// Sets a variable of the plugin's environment.
    pub fn set(&mut self, name: &str, value: &Path) {
        let value = value.to_str().expect("text").to_owned();
        let environment = &mut self.plugin.environment;
        environment.retain(|(other, _)| other != name);
        environment.push((name.to_owned(), Some(value)));
    }

    /// The directory of the networks.
    pub fn networks(&self) -> PathBuf {
        self.files().join("net.d")
    }

    /// The plugin's state directory.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// A directory for the test's own files.
    pub fn files(&self) -> &Path {
        self.files.path()
    }

    /// Pulls an image.
    pub fn pull(&self, image: &str) -> Value {
        self.ok(&json!({"_type": "img_pull", "image": image}))
    }

    /// Pulls `image` and creates a module of it with more config.
    pub fn create(&self, name: &str, image: &str, config: Value) {
        self.pull(image);
        self.create_only(name, image, config);
    }

    /// Creates a module of an image that is here.
    pub fn create_only(&self, name: &str, image: &str, config: Value) {
        let mut whole = json!({ "image": image });
        for (key, value) in config.as_object().expect("an object") {
            whole[key] = value.clone();
        }
        let request = json!({
            "_type": "create", "name": name, "config_type": "containerd", "config": whole,
        });
        self.ok(&request);
    }

    /// Creates a module that runs a script with busybox, and starts it.
    pub fn run(&self, name: &str, image: &str, script: &str, mut config: Value) {
        config["command"] = json!(["sh", "-c", script]);
        self.create(name, image, config);
        self.module("start", name);
    }

    /// The power goes and comes back, and containerd is started; for containerd and for the plugin
    /// the kernel's boot id is another one.
    pub fn reboot(&mut self) {
        let boot = self.files().join("boot_id");
        self.containerd.lose_power(&boot);
        self.plugin.boot = Some(boot);
        self.containerd.start_again();
    }
}

impl Drop for Shellrt {
    fn drop(&mut self) {
        remove_bridges(&self.networks());
    }
}
