//! Which of an image's layers hold its program: the layouts in which WebAssembly is published.

use shellrt_plugin::registry::{Descriptor, ImageManifest};

use crate::error::Error;

/// Where the program of an image is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Layout<'a> {
    /// The layer is the program.
    Whole(&'a Descriptor),
    /// It is a file in the file system that the layers make up, lowest first.
    Archive(&'a [Descriptor]),
}

impl Layout<'_> {
    /// Reads an image's manifest. Whether the program is a module or a component is not decided
    /// here: media types lie about it, the program's own header does not.
    ///
    /// # Errors
    /// [`Error::ImageInvalid`] with the media type that is not known.
    pub(super) fn of<'a>(
        reference: &str,
        manifest: &'a ImageManifest,
    ) -> Result<Layout<'a>, Error> {
        let refuse = |reason: String| {
            Err(Error::ImageInvalid {
                image: reference.to_owned(),
                reason,
            })
        };
        let layers = manifest.layers.as_slice();
        let config = manifest.config.media_type.as_str();
        let wasm: Vec<_> = layers
            .iter()
            .filter(|layer| is_wasm(&layer.media_type))
            .collect();
        match (config, wasm.as_slice(), layers) {
            (_, _, []) => refuse(format!("it has no layers; its config is {config:?}")),
            // A Spin application's files are not the program's business.
            (SPIN_CONFIG, [program], _) => Ok(Layout::Whole(program)),
            (SPIN_CONFIG, programs, _) => refuse(format!(
                "it is a Spin application ({config:?}) of {} programs, and only one of a single \
                 program can be run; publish its components one by one",
                programs.len()
            )),
            (_, [program], [_]) => Ok(Layout::Whole(program)),
            (_, [_, ..], _) => refuse(format!(
                "it has {} layers, and an artifact with a layer of the type {:?} must have just \
                 that one",
                layers.len(),
                wasm[0].media_type
            )),
            (_, [], _) => match layers.iter().find(|layer| !is_tar(&layer.media_type)) {
                Some(layer) => refuse(format!(
                    "its layer has the media type {:?}, which is no known form of a webassembly \
                     program; publish it as \"application/wasm\"",
                    layer.media_type
                )),
                None if layers.len() > LAYERS_MAX => refuse(format!(
                    "it has {} layers, and at most {LAYERS_MAX} are looked through",
                    layers.len()
                )),
                None if IMAGE_CONFIGS.contains(&config) => Ok(Layout::Archive(layers)),
                None => refuse(format!(
                    "its config has the media type {config:?}, which does not go with layers of \
                     the type {:?}",
                    layers[0].media_type
                )),
            },
        }
    }
}

/// Other runtimes have this limit too; an image for WebAssembly has one or two.
const LAYERS_MAX: usize = 127;

const SPIN_CONFIG: &str = "application/vnd.fermyon.spin.application.v1+config";

const IMAGE_CONFIGS: [&str; 2] = [
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
];

/// Whether a layer of this type is a program: of CNCF's artifacts; of wasm-to-oci, krustlet and old
/// Spin; of solo.io and old wasmCloud; of the Bytecode Alliance's components.
fn is_wasm(media_type: &str) -> bool {
    matches!(
        media_type,
        "application/wasm"
            | "application/vnd.wasm.content.layer.v1+wasm"
            | "application/vnd.module.wasm.content.layer.v1+wasm"
            | "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm"
    )
}

/// Whether a layer of this type is a tar; how it is compressed is seen in its bytes.
fn is_tar(media_type: &str) -> bool {
    matches!(
        media_type,
        "application/vnd.oci.image.layer.v1.tar"
            | "application/vnd.oci.image.layer.v1.tar+gzip"
            | "application/vnd.oci.image.layer.v1.tar+zstd"
            | "application/vnd.docker.image.rootfs.diff.tar"
            | "application/vnd.docker.image.rootfs.diff.tar.gzip"
            | "application/vnd.docker.image.rootfs.diff.tar.zstd"
    )
}

#[cfg(test)]
mod tests {
    use super::Layout;
    use shellrt_api::v0::Code;
    use shellrt_plugin::registry::ImageManifest;

    fn manifest(config: &str, layers: &[&str]) -> ImageManifest {
        let hex = "0123456789abcdef".repeat(4);
        let descriptor = |media_type: &str| {
            format!(r#"{{"mediaType":"{media_type}","digest":"sha256:{hex}","size":9}}"#)
        };
        let layers: Vec<String> = layers.iter().map(|layer| descriptor(layer)).collect();
        let text = format!(
            r#"{{"schemaVersion":2,"config":{},"layers":[{}]}}"#,
            descriptor(config),
            layers.join(",")
        );
        serde_json::from_str(&text).unwrap()
    }

    const OCI: &str = "application/vnd.oci.image.config.v1+json";
    const TAR: &str = "application/vnd.oci.image.layer.v1.tar";

    #[test]
    fn known_layouts_are_read() {
        for (config, layer) in [
            ("application/vnd.wasm.config.v0+json", "application/wasm"),
            (
                "application/vnd.wasm.config.v1+json",
                "application/vnd.wasm.content.layer.v1+wasm",
            ),
            (
                "application/vnd.module.wasm.config.v1+json",
                "application/vnd.module.wasm.content.layer.v1+wasm",
            ),
            (
                OCI,
                "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm",
            ),
            ("application/vnd.oci.empty.v1+json", "application/wasm"),
            (
                "application/vnd.fermyon.spin.application.v1+config",
                "application/wasm",
            ),
        ] {
            let manifest = manifest(config, &[layer]);
            let found = Layout::of("a", &manifest).unwrap();
            assert_eq!(
                found,
                Layout::Whole(&manifest.layers[0]),
                "{config} {layer}"
            );
        }
        for (config, layer) in [
            (OCI, TAR),
            (OCI, "application/vnd.oci.image.layer.v1.tar+zstd"),
            (
                "application/vnd.docker.container.image.v1+json",
                "application/vnd.docker.image.rootfs.diff.tar.gzip",
            ),
        ] {
            let manifest = manifest(config, &[layer, layer]);
            let found = Layout::of("a", &manifest).unwrap();
            assert_eq!(found, Layout::Archive(&manifest.layers), "{config} {layer}");
        }
        let data = "application/vnd.wasm.content.layer.v1+data";
        let spin = "application/vnd.fermyon.spin.application.v1+config";
        let manifest = manifest(spin, &[data, "application/vnd.wasm.content.layer.v1+wasm"]);
        assert_eq!(
            Layout::of("a", &manifest).unwrap(),
            Layout::Whole(&manifest.layers[1])
        );
    }

    #[test]
    fn others_are_refused_with_their_media_type() {
        let cncf = "application/vnd.wasm.config.v0+json";
        let spin = "application/vnd.fermyon.spin.application.v1+config";
        let helm = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";
        for (config, layers, said) in [
            (
                cncf,
                vec!["application/wasm", "application/wasm"],
                "2 layers",
            ),
            (cncf, vec!["application/wasm", TAR], "2 layers"),
            (cncf, vec![TAR], cncf),
            (cncf, vec![], "no layers"),
            (
                spin,
                vec!["application/wasm", "application/wasm"],
                "2 programs",
            ),
            (
                spin,
                vec!["application/vnd.wasm.content.layer.v1+data"],
                "0 programs",
            ),
            ("application/vnd.cncf.helm.config.v1+json", vec![helm], helm),
            (OCI, vec![TAR, helm], helm),
            (OCI, vec![TAR, "application/wasm"], "2 layers"),
            (OCI, vec![TAR; 128], "128 layers"),
        ] {
            let manifest = manifest(config, &layers);
            let error = Layout::of("a", &manifest).unwrap_err();
            assert_eq!(error.code(), Code::IMAGE_INVALID);
            assert!(
                error.to_string().contains(said),
                "{config} {layers:?}: {error}"
            );
        }
    }
}
