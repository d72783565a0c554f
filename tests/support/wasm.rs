//! `shellrt-wasm` with a state directory of its own.

use std::ops::Deref;
use std::path::{Path, PathBuf};

use serde_json::{json, Value};

use super::plugin::{next_boot, processes_with, Plugin};
pub use super::plugin::{signal, until, Answer, Open};

/// The plugin, and everything that its modules leave behind. Dropping it removes all of that.
pub struct Wasm {
    root: tempfile::TempDir,
    files: tempfile::TempDir,
    plugin: Plugin,
}

impl Deref for Wasm {
    type Target = Plugin;

    fn deref(&self) -> &Plugin {
        &self.plugin
    }
}

impl Wasm {
    /// A plugin that has seen nothing yet.
    pub fn new() -> Self {
        let root = tempfile::tempdir().expect("a directory for the state");
        let files = tempfile::tempdir().expect("a directory for files");
        let environment: [(&str, &Path); 3] = [
            ("SHELLRT_WASM_ROOT", root.path()),
            ("SHELLRT_HOSTS_DIR", &files.path().join("hosts")),
            ("DOCKER_CONFIG", &files.path().join("docker")),
        ];
        let plugin = Plugin::new("shellrt-wasm", &environment);
        Wasm {
            root,
            files,
            plugin,
        }
    }

    /// A plugin on a machine without any cgroup that it could use.
    pub fn without_cgroups() -> Self {
        let mut wasm = Wasm::new();
        wasm.plugin.prelude = Some("mount -t tmpfs -o ro none /sys/fs/cgroup".to_owned());
        wasm
    }

    /// A plugin on a machine that has these files in `/etc`, each with its text. `and` is what a shell does
    /// besides before it becomes the plugin.
    pub fn with_etc(files: &[(&str, &str)], and: &str) -> Self {
        let mut wasm = Wasm::new();
        let etc = wasm.files().join("etc");
        std::fs::create_dir(&etc).expect("a directory");
        let mut prelude = String::new();
        for (name, text) in files {
            let file = etc.join(name);
            std::fs::write(&file, text).expect("a file");
            prelude += &format!("mount --bind {} /etc/{name} && ", file.display());
        }
        prelude += if and.is_empty() { ":" } else { and };
        wasm.plugin.prelude = Some(prelude);
        wasm
    }

    /// A plugin that another user runs, one without any rights.
    pub fn of_nobody() -> Self {
        const NOBODY: u32 = 65534;
        let mut wasm = Wasm::new();
        wasm.plugin.user = Some(NOBODY);
        // The tree may lie where that user can't look.
        let copy = wasm.files().join("shellrt-wasm");
        std::fs::copy(&wasm.plugin.program, &copy).expect("a copy");
        wasm.plugin.program = copy;
        for dir in [wasm.root(), wasm.files()] {
            std::os::unix::fs::chown(dir, Some(NOBODY), Some(NOBODY)).expect("root");
        }
        wasm
    }

    /// The state directory.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// A directory for the test's own files.
    pub fn files(&self) -> &Path {
        self.files.path()
    }

    /// The reference of a program that is written as text in `tests/guests`.
    pub fn guest(&self, name: &str) -> String {
        let text = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("guests/{name}.wat"));
        format!("file:{}", text.display())
    }

    /// Pulls `image` and creates a module of it with more config.
    pub fn create(&self, name: &str, image: &str, config: Value) {
        self.ok(&json!({"_type": "img_pull", "image": image}));
        let mut whole = json!({ "image": image });
        for (key, value) in config.as_object().expect("an object") {
            whole[key] = value.clone();
        }
        self.ok(&json!({"_type": "create", "name": name, "config_type": "wasm", "config": whole}));
    }

    /// From now on the plugin believes that the machine was booted anew: the kernel's boot id is
    /// another one, and nothing of before runs.
    pub fn reboot(&mut self) {
        for (pid, _) in self.processes() {
            signal(pid, rustix::process::Signal::KILL);
        }
        until("everything is gone", || self.processes().is_empty());
        let boot = self.files().join("boot_id");
        next_boot(&boot);
        self.plugin.boot = Some(boot);
    }

    /// Every living process that belongs to this state directory, with its name.
    pub fn processes(&self) -> Vec<(u32, String)> {
        processes_with(&format!("SHELLRT_WASM_ROOT={}\0", self.root().display()))
    }

    /// Every file below the state directory, by its path from there.
    pub fn state_files(&self) -> Vec<String> {
        fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
            for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => walk(&entry.path(), found),
                    _ => found.push(entry.path()),
                }
            }
        }
        let mut found = Vec::new();
        walk(self.root(), &mut found);
        let mut names: Vec<String> = found
            .iter()
            .filter_map(|path| Some(path.strip_prefix(self.root()).ok()?.display().to_string()))
            .collect();
        names.sort();
        names
    }
}

impl Default for Wasm {
    fn default() -> Self {
        Wasm::new()
    }
}

impl Drop for Wasm {
    fn drop(&mut self) {
        for (pid, _) in self.processes() {
            signal(pid, rustix::process::Signal::KILL);
        }
    }
}
