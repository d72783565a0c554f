//! What a daemon is set up with that does not tell it over its interface: containerd 2 keeps the pause
//! image's name to itself. Its own program says what follows from its configuration.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Where containerd's configuration is unless its arguments say otherwise.
const CONFIG: &str = "/etc/containerd/config.toml";

/// The reference of the pause image of the daemon `pid`; `None` where that can't be found out.
pub fn pause_image(pid: i32) -> Option<String> {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let program = fs::read_link(process.join("exe")).ok()?;
    // Somebody else may hold the socket for it.
    if !program.file_name()?.to_str()?.contains("containerd") {
        return None;
    }
    let arguments = fs::read(process.join("cmdline")).ok()?;
    let arguments: Vec<String> = arguments
        .split(|&byte| byte == 0)
        .map(|argument| String::from_utf8_lossy(argument).into_owned())
        .collect();
    let config = config(&arguments).unwrap_or_else(|| CONFIG.into());
    let config = fs::read_link(process.join("cwd")).map_or(config.clone(), |dir| dir.join(config));
    // Also where it was replaced since by a newer one.
    let output = Command::new(process.join("exe"))
        .arg("--config")
        .arg(config)
        .args(["config", "dump"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    of_dump(&text)
}

/// The configuration that a daemon's arguments name.
fn config(arguments: &[String]) -> Option<PathBuf> {
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let (name, value) = match argument.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (argument.as_str(), None),
        };
        if matches!(name, "-c" | "--c" | "-config" | "--config") {
            let path = value.or_else(|| arguments.next().cloned())?;
            return Some(path.into());
        }
    }
    None
}

/// The image in what `containerd config dump` writes.
fn of_dump(text: &str) -> Option<String> {
    let document: toml::Table = text.parse().ok()?;
    let plugins = document.get("plugins")?;
    let image = plugins
        .get("io.containerd.cri.v1.images")
        .and_then(|images| images.get("pinned_images")?.get("sandbox"))
        .or_else(|| {
            plugins
                .get("io.containerd.grpc.v1.cri")?
                .get("sandbox_image")
        });
    Some(image?.as_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::{config, of_dump};

    #[test]
    fn the_configuration_is_named_in_four_ways() {
        let of = |line: &str| {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            config(&words)
        };
        let path = Some(PathBuf::from("/a/c.toml"));
        assert_eq!(of("containerd --config /a/c.toml"), path);
        assert_eq!(of("containerd -l debug -c /a/c.toml"), path);
        assert_eq!(of("containerd --config=/a/c.toml --root /b"), path);
        assert_eq!(of("containerd -c=/a/c.toml"), path);
        assert_eq!(of("containerd --root /b"), None);
        assert_eq!(of("containerd --config"), None);
    }

    #[test]
    fn the_pause_image_of_both_generations() {
        let newer = "version = 3\n[plugins.'io.containerd.cri.v1.images'.pinned_images]\n\
                     sandbox = 'registry.k8s.io/pause:3.10'\n";
        assert_eq!(of_dump(newer).unwrap(), "registry.k8s.io/pause:3.10");
        let older = "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\"]\n\
                     sandbox_image = \"registry.k8s.io/pause:3.6\"\n";
        assert_eq!(of_dump(older).unwrap(), "registry.k8s.io/pause:3.6");
        assert_eq!(of_dump("version = 3\n"), None);
        assert_eq!(of_dump("nothing"), None);
    }
}
