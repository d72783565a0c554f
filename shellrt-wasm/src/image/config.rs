//! What an image's config says of running its program.

use std::collections::BTreeMap;

use serde::Deserialize;
use shellrt_plugin::registry::{self, ImageManifest, Platform};

use crate::error::Error;

/// The parts of an image's config that matter here, from any of its forms.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Config {
    #[serde(deserialize_with = "null_is_default")]
    os: String,
    #[serde(deserialize_with = "null_is_default")]
    architecture: String,
    #[serde(deserialize_with = "null_is_default")]
    variant: String,
    #[serde(deserialize_with = "null_is_default")]
    config: Execution,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Execution {
    #[serde(deserialize_with = "null_is_default")]
    entrypoint: Vec<String>,
    #[serde(deserialize_with = "null_is_default")]
    cmd: Vec<String>,
    #[serde(deserialize_with = "null_is_default")]
    env: Vec<String>,
    #[serde(deserialize_with = "null_is_default")]
    working_dir: String,
    #[serde(deserialize_with = "null_is_default")]
    labels: BTreeMap<String, String>,
}

impl Config {
    /// Reads the config of an artifact whose layer is the program. Several tools put things of their
    /// own there, and nothing in it is needed, so what can't be read says nothing.
    pub(super) fn of_artifact(bytes: &[u8]) -> Config {
        serde_json::from_slice(bytes).unwrap_or_default()
    }

    /// Reads the config of an ordinary image.
    pub(super) fn of_image(reference: &str, bytes: &[u8]) -> Result<Config, Error> {
        serde_json::from_slice(bytes).map_err(|error| Error::ImageInvalid {
            image: reference.to_owned(),
            reason: format!("its config can't be read: {error}"),
        })
    }

    /// The platform, where it says one.
    pub(super) fn platform(&self) -> Option<Platform> {
        let platform = Platform {
            os: self.os.clone(),
            architecture: self.architecture.clone(),
            variant: self.variant.clone(),
            ..Platform::default()
        };
        (!self.architecture.is_empty()).then_some(platform)
    }

    /// Where the program is in the image's file system, as the config and the annotations say.
    ///
    /// # Errors
    /// [`Error::ImageInvalid`] for what can't be done here, and code 15 where the image is for
    /// another kind of machine.
    pub(super) fn program(
        &self,
        reference: &str,
        manifest: &ImageManifest,
    ) -> Result<String, Error> {
        let refuse = |reason: String| Error::ImageInvalid {
            image: reference.to_owned(),
            reason,
        };
        let path = self.words().next();
        let is_named_so = path.is_some_and(|path| path.contains(".wasm"));
        if !self.is_wasm() && !is_compatible(manifest) && !is_named_so {
            let error = registry::Error::PlatformUnavailable {
                reference: reference.to_owned(),
                wanted: "wasi/wasm".to_owned(),
                available: self.platform().unwrap_or_default().to_string(),
            };
            return Err(error.into());
        }
        // The "compat" variant has it there.
        let Some(path) = path else {
            return Ok("/plugin.wasm".to_owned());
        };
        let path = match path.split_once('#') {
            Some((path, "_start")) => path,
            Some((_, function)) => {
                return Err(refuse(format!(
                    "its entrypoint {path:?} names the function {function:?}, and only \"_start\" is \
                     ever called; build the program as a command"
                )));
            }
            None => path.as_str(),
        };
        match path.starts_with('/') {
            true => Ok(path.to_owned()),
            false => Ok(format!("{}/{path}", self.config.working_dir)),
        }
    }

    /// The program's own name, where it says one.
    pub(super) fn name(&self) -> Option<String> {
        self.words().next().cloned()
    }

    /// The arguments that always come first.
    pub(super) fn entrypoint(&self) -> Vec<String> {
        self.config.entrypoint.iter().skip(1).cloned().collect()
    }

    /// The arguments after those.
    pub(super) fn command(&self) -> Vec<String> {
        // Without an entrypoint the command's first word is the program.
        let skip = usize::from(self.config.entrypoint.is_empty());
        self.config.cmd.iter().skip(skip).cloned().collect()
    }

    /// The environment. What is no pair says nothing.
    pub(super) fn env(&self) -> BTreeMap<String, String> {
        let pairs = self
            .config
            .env
            .iter()
            .filter_map(|pair| pair.split_once('='));
        pairs
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    /// The labels.
    pub(super) fn labels(&self) -> BTreeMap<String, String> {
        self.config.labels.clone()
    }

    fn words(&self) -> impl Iterator<Item = &String> {
        self.config.entrypoint.iter().chain(&self.config.cmd)
    }

    fn is_wasm(&self) -> bool {
        is_wasm(&self.platform().unwrap_or_default())
    }
}

/// How well an image for `image` suits who wants `wanted`, or says nothing: 0 is best, `None` is not
/// at all.
pub(super) fn rank(wanted: Option<&Platform>, image: &Platform) -> Option<u32> {
    let Some(wanted) = wanted else {
        let by_os = ["wasi", "wasip1", "wasip2"]
            .iter()
            .position(|os| *os == image.os);
        // The position is at most 2.
        return is_wasm(image).then_some(by_os.map_or(3, |position| position as u32));
    };
    let (wanted, image) = (canonical(wanted), canonical(image));
    match wanted.rank(&image) {
        // "wasi" without a version means any.
        None if wanted.os == "wasi" && image.os.starts_with("wasip") => {
            (wanted.architecture == image.architecture).then_some(1)
        }
        rank => rank,
    }
}

fn canonical(platform: &Platform) -> Platform {
    let mut platform = platform.normalized();
    if platform.architecture == "wasm32" {
        platform.architecture = "wasm".to_owned();
    }
    platform
}

fn is_wasm(platform: &Platform) -> bool {
    matches!(platform.architecture.as_str(), "wasm" | "wasm32")
}

/// Whether the manifest says that an ordinary image is a program: the annotation of the wasm image
/// specification's "compat" variant, and crun's.
fn is_compatible(manifest: &ImageManifest) -> bool {
    let annotation = |name: &str| manifest.annotations.get(name).map(String::as_str);
    matches!(
        annotation("module.wasm.image/variant"),
        Some("compat" | "compat-smart")
    ) || annotation("run.oci.handler") == Some("wasm")
}

/// Go programs write `null` for what is empty.
fn null_is_default<'de, D, T>(input: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(input)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::{rank, Config};
    use shellrt_plugin::registry::{ImageManifest, Platform};

    fn manifest(annotations: &str) -> ImageManifest {
        let hex = "0123456789abcdef".repeat(4);
        serde_json::from_str(&format!(
            r#"{{"schemaVersion":2,"annotations":{annotations},
                "config":{{"mediaType":"a","digest":"sha256:{hex}","size":1}}}}"#
        ))
        .unwrap()
    }

    #[test]
    fn the_program_and_its_arguments_are_read_as_docker_does() {
        let none = manifest("null");
        for (config, path, entrypoint, command) in [
            (
                r#"{"Entrypoint":["/a.wasm","-x"],"Cmd":["b"]}"#,
                "/a.wasm",
                vec!["-x"],
                vec!["b"],
            ),
            (
                r#"{"Entrypoint":null,"Cmd":["a.wasm","b","c"]}"#,
                "/a.wasm",
                vec![],
                vec!["b", "c"],
            ),
            (
                r#"{"Entrypoint":["a.wasm"],"WorkingDir":"/app"}"#,
                "/app/a.wasm",
                vec![],
                vec![],
            ),
            (
                r#"{"Entrypoint":["/a.wasm#_start"]}"#,
                "/a.wasm",
                vec![],
                vec![],
            ),
            (r#"{}"#, "/plugin.wasm", vec![], vec![]),
        ] {
            let text = format!(r#"{{"os":"wasi","architecture":"wasm","config":{config}}}"#);
            let read = Config::of_image("a", text.as_bytes()).unwrap();
            assert_eq!(read.program("a", &none).unwrap(), path, "{config}");
            assert_eq!(read.entrypoint(), entrypoint, "{config}");
            assert_eq!(read.command(), command, "{config}");
        }
        let text = br#"{"os":"wasi","architecture":"wasm","config":{"Entrypoint":["/a.wasm#go"]}}"#;
        let error = Config::of_image("a", text)
            .unwrap()
            .program("a", &none)
            .unwrap_err();
        assert!(error.to_string().contains("\"go\""), "{error}");
    }

    #[test]
    fn an_ordinary_image_needs_a_word_that_it_is_a_program() {
        let text = br#"{"os":"linux","architecture":"amd64","config":{"Cmd":["/bin/sh"]}}"#;
        let config = Config::of_image("a", text).unwrap();
        let error = config.program("a", &manifest("{}")).unwrap_err();
        assert!(error.to_string().contains("linux/amd64"), "{error}");
        let annotated = manifest(r#"{"run.oci.handler":"wasm"}"#);
        assert_eq!(config.program("a", &annotated).unwrap(), "/bin/sh");
        let text = br#"{"os":"linux","architecture":"amd64"}"#;
        let config = Config::of_image("a", text).unwrap();
        assert!(config.program("a", &manifest("{}")).is_err());
        let annotated = manifest(r#"{"module.wasm.image/variant":"compat"}"#);
        assert_eq!(config.program("a", &annotated).unwrap(), "/plugin.wasm");
    }

    #[test]
    fn configs_that_say_nothing_are_read() {
        for text in [
            "",
            "{}",
            "null",
            "[1]",
            r#"{"config":null,"os":null}"#,
            "\u{0}",
        ] {
            let config = Config::of_artifact(text.as_bytes());
            assert_eq!(config.platform(), None, "{text:?}");
            assert_eq!(config.name(), None, "{text:?}");
        }
        let config = Config::of_artifact(br#"{"config":{"Env":["A=b=c","X","Y="],"Labels":null}}"#);
        let env: Vec<_> = config.env().into_iter().collect();
        assert_eq!(
            env,
            [
                ("A".to_owned(), "b=c".to_owned()),
                ("Y".to_owned(), String::new())
            ]
        );
    }

    #[test]
    fn wasi_is_preferred_and_wishes_are_honoured() {
        let platform = |text: &str| text.parse::<Platform>().unwrap();
        let ranks = |wanted: Option<&str>| {
            let wanted = wanted.map(platform);
            let images = [
                "wasi/wasm",
                "wasip1/wasm32",
                "wasip2/wasm",
                "js/wasm",
                "linux/amd64",
            ];
            images.map(|image| rank(wanted.as_ref(), &platform(image)))
        };
        assert_eq!(ranks(None), [Some(0), Some(1), Some(2), Some(3), None]);
        assert_eq!(
            ranks(Some("wasip2/wasm32")),
            [None, None, Some(0), None, None]
        );
        assert_eq!(
            ranks(Some("wasi/wasm")),
            [Some(0), Some(1), Some(1), None, None]
        );
        assert_eq!(
            ranks(Some("linux/amd64")),
            [None, None, None, None, Some(0)]
        );
    }
}
