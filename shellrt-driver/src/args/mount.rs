//! Mounts as people write them: `HOST:GUEST:ro`, docker's `--volume` and docker's `--mount`.

use std::path::{self, Path};

pub use shellrt_api::v0::config::containerd::Mount;
use shellrt_api::v0::config::containerd::{
    BindOptions, MountKind, Propagation, TmpfsOptions, VolumeOptions,
};

/// `HOST:GUEST[:ro|rw]`, or docker's `key=value,key=value`.
pub fn mount(text: &str) -> Result<Mount, String> {
    match text.split([',', '=']).next() {
        Some("type" | "source" | "src" | "target" | "destination" | "dst" | "readonly") => {
            long(text)
        }
        _ => short(text),
    }
}

/// Splits from the right, so that the directory of the host may contain colons.
fn short(text: &str) -> Result<Mount, String> {
    let (paths, read_only) = match text.rsplit_once(':') {
        Some((paths, "ro")) => (paths, true),
        Some((paths, "rw")) => (paths, false),
        _ => (text, false),
    };
    let Some((source, target)) = paths.rsplit_once(':') else {
        return Err("write HOST:GUEST, HOST:GUEST:ro or HOST:GUEST:rw".to_owned());
    };
    if target != "." && !Path::new(target).is_absolute() {
        return Err(format!(
            "{target:?}, the name inside, must be an absolute path or \".\"; a mode is \"ro\" or \"rw\""
        ));
    }
    Ok(Mount {
        source: Some(absolute(source)?),
        read_only,
        ..bare(MountKind::Bind, target)
    })
}

/// docker's `--volume`: the source is a path if it begins with `/` or `.`, else a volume's name.
pub fn volume(text: &str) -> Result<Mount, String> {
    const FORMS: &str = "write NAME:GUEST, /HOST:GUEST or ./HOST:GUEST, and \":ro\" behind it for \
                         reading only";
    let mut parts = text.splitn(3, ':');
    let (Some(source), Some(target)) = (parts.next(), parts.next()) else {
        return Err(FORMS.to_owned());
    };
    if source.is_empty() || !target.starts_with('/') {
        return Err(FORMS.to_owned());
    }
    let is_path = source.starts_with(['/', '.']);
    let mut mount = if is_path {
        Mount {
            source: Some(absolute(source)?),
            bind: Some(BindOptions {
                create_host_path: true,
                ..BindOptions::default()
            }),
            ..bare(MountKind::Bind, target)
        }
    } else {
        Mount {
            source: Some(source.to_owned()),
            ..bare(MountKind::Volume, target)
        }
    };
    for option in parts.next().into_iter().flat_map(|rest| rest.split(',')) {
        match (option, &mut mount.bind) {
            ("ro", _) => mount.read_only = true,
            ("rw", _) => mount.read_only = false,
            ("nocopy", None) => mount.volume = Some(VolumeOptions { nocopy: true }),
            (option, Some(bind)) => bind.propagation = Some(propagation(option)?),
            (option, None) => return Err(format!("a volume has no option {option:?}")),
        }
    }
    Ok(mount)
}

/// docker's `--mount`: `key=value` with commas between.
fn long(text: &str) -> Result<Mount, String> {
    // As in docker, what has no type is a volume.
    let mut mount = bare(MountKind::Volume, "");
    for field in text.split(',') {
        let (key, value) = field.split_once('=').unwrap_or((field, ""));
        match key {
            "type" => mount.kind = kind(value)?,
            "source" | "src" => mount.source = Some(value.to_owned()),
            "target" | "destination" | "dst" => value.clone_into(&mut mount.target),
            "readonly" | "ro" => mount.read_only = yes(key, value)?,
            "bind-propagation" => {
                let bind = mount.bind.get_or_insert_with(BindOptions::default);
                bind.propagation = Some(propagation(value)?);
            }
            "bind-create-src" => {
                let bind = mount.bind.get_or_insert_with(BindOptions::default);
                bind.create_host_path = yes(key, value)?;
            }
            "tmpfs-size" => {
                let size = value.parse().map_err(|error| format!("{error}"))?;
                let tmpfs = mount.tmpfs.get_or_insert_with(TmpfsOptions::default);
                tmpfs.size = Some(size);
            }
            "tmpfs-mode" => {
                let mode = u32::from_str_radix(value, 8)
                    .map_err(|_| format!("{value:?} is no permissions; write octal digits"))?;
                let tmpfs = mount.tmpfs.get_or_insert_with(TmpfsOptions::default);
                tmpfs.mode = Some(mode);
            }
            "volume-nocopy" => {
                let nocopy = yes(key, value)?;
                mount.volume = Some(VolumeOptions { nocopy });
            }
            _ => return Err(format!("a mount has no option {key:?} here")),
        }
    }
    if mount.kind == MountKind::Bind {
        mount.source = mount.source.as_deref().map(absolute).transpose()?;
    }
    if mount.target.is_empty() {
        return Err("a mount needs a \"target\", its path inside".to_owned());
    }
    Ok(mount)
}

fn bare(kind: MountKind, target: &str) -> Mount {
    Mount {
        kind,
        source: None,
        target: target.to_owned(),
        read_only: false,
        bind: None,
        tmpfs: None,
        volume: None,
    }
}

/// The plugin may run in another directory one day, so the path is made absolute here.
fn absolute(source: &str) -> Result<String, String> {
    let path = path::absolute(source)
        .map_err(|error| format!("{source:?} is no directory of this machine: {error}"))?;
    let path = path.into_os_string().into_string();
    path.map_err(|path| format!("{path:?} is not UTF-8, which JSON can't say"))
}

fn kind(text: &str) -> Result<MountKind, String> {
    match text {
        "bind" => Ok(MountKind::Bind),
        "tmpfs" => Ok(MountKind::Tmpfs),
        "volume" => Ok(MountKind::Volume),
        _ => Err(format!(
            "{text:?} is no type of mounts; there are \"bind\", \"tmpfs\" and \"volume\""
        )),
    }
}

fn propagation(text: &str) -> Result<Propagation, String> {
    match text {
        "private" => Ok(Propagation::Private),
        "rprivate" => Ok(Propagation::Rprivate),
        "shared" => Ok(Propagation::Shared),
        "rshared" => Ok(Propagation::Rshared),
        "slave" => Ok(Propagation::Slave),
        "rslave" => Ok(Propagation::Rslave),
        _ => Err(format!(
            "{text:?} is no option of a mount; there are \"ro\", \"rw\" and the propagations \
             \"rprivate\", \"rshared\", \"rslave\", \"private\", \"shared\", \"slave\""
        )),
    }
}

fn yes(key: &str, value: &str) -> Result<bool, String> {
    match value {
        "" | "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(format!("{key:?} is \"true\" or \"false\"")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{json, Value};

    use super::{mount, volume, Mount};

    fn written(mount: Result<Mount, String>) -> Value {
        serde_json::to_value(mount.unwrap()).unwrap()
    }

    #[test]
    fn short_form() {
        for (text, source, target, read_only) in [
            ("/srv/data:/data", "/srv/data", "/data", false),
            ("/srv/data:/data:ro", "/srv/data", "/data", true),
            ("/srv/data:/data:rw", "/srv/data", "/data", false),
            ("/a:b:/data:ro", "/a:b", "/data", true),
            ("/srv:.", "/srv", ".", false),
            ("/a=b,c:/data", "/a=b,c", "/data", false),
        ] {
            let mount = mount(text).unwrap();
            assert_eq!(mount.source.as_deref(), Some(source), "{text}");
            assert_eq!(mount.target, target, "{text}");
            assert_eq!(mount.read_only, read_only, "{text}");
        }
        let relative = mount("data:/data").unwrap().source.unwrap();
        let here = std::env::current_dir().unwrap();
        assert_eq!(std::path::Path::new(&relative), here.join("data"));
        for text in [
            "",
            "/data",
            "/data:ro",
            "/srv:data",
            ":/data",
            "/srv:/data:wr",
        ] {
            assert!(mount(text).is_err(), "{text}");
        }
    }

    /// The examples of docker's manual.
    #[test]
    fn long_form() {
        assert_eq!(
            written(mount("type=volume,source=myvolume,target=/path,readonly")),
            json!({"type": "volume", "source": "myvolume", "target": "/path", "read_only": true})
        );
        assert_eq!(
            written(mount(
                "type=bind,src=/data,dst=/data,bind-propagation=rslave,ro=false"
            )),
            json!({"type": "bind", "source": "/data", "target": "/data",
                   "bind": {"propagation": "rslave"}})
        );
        assert_eq!(
            written(mount(
                "type=tmpfs,destination=/app,tmpfs-mode=1770,tmpfs-size=64m"
            )),
            json!({"type": "tmpfs", "target": "/app", "tmpfs": {"mode": 0o1770, "size": 64 << 20}})
        );
        assert_eq!(
            written(mount("src=a,dst=/a,volume-nocopy")),
            json!({"type": "volume", "source": "a", "target": "/a", "volume": {"nocopy": true}})
        );
        for text in [
            "type=npipe,target=/a",
            "type=bind,source=/a",
            "type=bind,source=/a,target=/a,size=1",
            "type=bind,source=/a,target=/a,bind-propagation=x",
            "type=tmpfs,target=/a,tmpfs-mode=8",
            "type=tmpfs,target=/a,tmpfs-size=x",
            "type=bind,source=/a,target=/a,readonly=no",
        ] {
            assert!(mount(text).is_err(), "{text}");
        }
    }

    #[test]
    fn volumes() {
        assert_eq!(
            written(volume("data:/data")),
            json!({"type": "volume", "source": "data", "target": "/data"})
        );
        assert_eq!(
            written(volume("data:/data:ro,nocopy")),
            json!({"type": "volume", "source": "data", "target": "/data", "read_only": true,
                   "volume": {"nocopy": true}})
        );
        assert_eq!(
            written(volume("/srv:/data:ro,rshared")),
            json!({"type": "bind", "source": "/srv", "target": "/data", "read_only": true,
                   "bind": {"propagation": "rshared", "create_host_path": true}})
        );
        let here = std::env::current_dir().unwrap().join("data");
        let relative = volume("./data:/data").unwrap().source.unwrap();
        assert_eq!(std::path::Path::new(&relative), here);
        for text in [
            "",
            "/data",
            ":/data",
            "a:b",
            "a:/b:Z",
            "/a:/b:nocopy",
            "a:/b:shared",
        ] {
            assert!(volume(text).is_err(), "{text}");
        }
    }
}
