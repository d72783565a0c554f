//! Which image of an index is wanted, and finding it.

use std::fmt;
use std::sync::Arc;

use super::manifest::is_index;
use super::{Client, Descriptor, Digest, Error, Manifest, Platform, Reference};

/// What [`Client::resolve`] found.
#[derive(Debug, Clone)]
pub struct Image {
    /// The indexes above the image, outermost first; empty where the reference names an image.
    pub parents: Vec<Manifest>,
    /// The image's manifest.
    pub manifest: Manifest,
    /// Its platform as the index has it; `None` where no index said one.
    pub platform: Option<Platform>,
}

impl Image {
    /// The digest of what the reference names: the outermost index, or the manifest.
    pub fn digest(&self) -> &Digest {
        let root = self.parents.first().unwrap_or(&self.manifest);
        &root.descriptor.digest
    }
}

/// What gives a platform its place: the lowest number is the best, `None` does not suit.
type Rank = dyn Fn(&Platform) -> Option<u32> + Send + Sync;

/// Which image of an index is wanted.
#[derive(Clone)]
pub struct Choice {
    wanted: String,
    rank: Arc<Rank>,
}

impl Choice {
    /// The image that suits `platform` best; see [`Platform::rank`].
    pub fn platform(platform: Platform) -> Choice {
        Choice::by(platform.to_string(), move |image| platform.rank(image))
    }

    /// The image to whose platform `rank` gives the lowest number, the first of several; `None`
    /// means that it does not suit. `wanted` names the wish in the error, as in "wasi/wasm".
    pub fn by(
        wanted: impl Into<String>,
        rank: impl Fn(&Platform) -> Option<u32> + Send + Sync + 'static,
    ) -> Choice {
        Choice {
            wanted: wanted.into(),
            rank: Arc::new(rank),
        }
    }
}

impl fmt::Debug for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Choice")
            .field("wanted", &self.wanted)
            .finish_non_exhaustive()
    }
}

/// Looks for the image, level by level: those that say a fitting platform, then the indexes among
/// the children, and last the images that do not say a platform, by their configs.
pub(super) async fn resolve(
    client: &Client,
    reference: &Reference,
    choice: &Choice,
) -> Result<Image, Error> {
    let root = client.manifest(reference).await?;
    if !root.is_index() {
        return Ok(Image {
            parents: Vec::new(),
            manifest: root,
            platform: None,
        });
    }
    let mut available = Vec::new();
    let mut unsaid: Vec<(Vec<Manifest>, Descriptor)> = Vec::new();
    let mut open = vec![vec![root]];
    let mut looked_into = 0;
    while let Some(parents) = open.pop() {
        let Some(index) = parents.last() else {
            continue;
        };
        looked_into += 1;
        if looked_into > INDEXES_MAX || parents.len() > DEPTH_MAX {
            return Err(Error::Manifest {
                manifest: reference.to_string(),
                reason: "its indexes hold too many indexes".to_owned(),
            });
        }
        let children = choice.sort(index.index()?.manifests, &mut available);
        if let Some(child) = children.image {
            let manifest = client.child(reference, &child).await?;
            if !manifest.is_index() {
                return Ok(Image {
                    parents,
                    manifest,
                    platform: child.platform,
                });
            }
            open.push(extended(&parents, manifest));
            continue;
        }
        for child in children.indexes.into_iter().rev() {
            let manifest = client.child(reference, &child).await?;
            open.push(extended(&parents, manifest));
        }
        for child in children.unsaid {
            unsaid.push((parents.clone(), child));
        }
    }
    for (parents, child) in unsaid.into_iter().take(UNSAID_MAX) {
        let manifest = client.child(reference, &child).await?;
        let platform = match manifest.is_index() {
            true => None,
            false => platform_of(client, reference, &manifest).await?,
        };
        if let Some(platform) = platform {
            if (choice.rank)(&platform).is_some() {
                return Ok(Image {
                    parents,
                    manifest,
                    platform: Some(platform),
                });
            }
            note(&mut available, &platform);
        }
    }
    Err(Error::PlatformUnavailable {
        reference: reference.to_string(),
        wanted: choice.wanted.clone(),
        available: match available.is_empty() {
            true => "none at all".to_owned(),
            false => available.join(", "),
        },
    })
}

/// Bounds on what a strange index can make this machine fetch.
const INDEXES_MAX: usize = 32;
const DEPTH_MAX: usize = 4;
const UNSAID_MAX: usize = 8;
const CONFIG_MAX: u64 = 4 << 20;

/// The children of an index, as far as they matter.
struct Children {
    /// The child with the best platform.
    image: Option<Descriptor>,
    /// Indexes without a platform.
    indexes: Vec<Descriptor>,
    /// Images without a platform.
    unsaid: Vec<Descriptor>,
}

impl Choice {
    fn sort(&self, manifests: Vec<Descriptor>, available: &mut Vec<String>) -> Children {
        let mut best: Option<(u32, Descriptor)> = None;
        let mut indexes = Vec::new();
        let mut unsaid = Vec::new();
        for child in manifests {
            if child.is_attestation() {
                continue;
            }
            let said = child.platform.as_ref();
            match said.filter(|platform| !platform.architecture.is_empty()) {
                Some(platform) => {
                    note(available, platform);
                    let Some(rank) = (self.rank)(platform) else {
                        continue;
                    };
                    if best.as_ref().is_none_or(|(least, _)| rank < *least) {
                        best = Some((rank, child));
                    }
                }
                None if is_index(&child.media_type) => indexes.push(child),
                None => unsaid.push(child),
            }
        }
        Children {
            image: best.map(|(_, child)| child),
            indexes,
            unsaid,
        }
    }
}

fn extended(parents: &[Manifest], child: Manifest) -> Vec<Manifest> {
    let mut parents = parents.to_vec();
    parents.push(child);
    parents
}

fn note(available: &mut Vec<String>, platform: &Platform) {
    let text = platform.normalized().to_string();
    if !available.contains(&text) {
        available.push(text);
    }
}

/// The platform in an image's config; `None` where it has no config that says one.
async fn platform_of(
    client: &Client,
    reference: &Reference,
    manifest: &Manifest,
) -> Result<Option<Platform>, Error> {
    let config = manifest.image()?.config;
    let is_json = config.media_type.ends_with("+json");
    if !is_json || config.media_type == EMPTY {
        return Ok(None);
    }
    let bytes = client.bytes(reference, &config, CONFIG_MAX).await?;
    let platform = serde_json::from_slice::<Platform>(&bytes).ok();
    Ok(platform.filter(|platform| !platform.architecture.is_empty()))
}

/// The type of the config that artifacts have instead of one.
const EMPTY: &str = "application/vnd.oci.empty.v1+json";

#[cfg(test)]
mod tests {
    use super::*;
    use oci_distribution::manifest as media;

    fn child(platform: &str, variant: &str) -> Descriptor {
        let mut child = Descriptor::new(
            media::OCI_IMAGE_MEDIA_TYPE,
            Digest::of(platform.as_bytes()),
            1,
        );
        let (os, architecture) = platform.split_once('/').unwrap_or_default();
        child.platform = (!os.is_empty()).then(|| Platform {
            os: os.to_owned(),
            architecture: architecture.to_owned(),
            variant: variant.to_owned(),
            os_version: String::new(),
        });
        child
    }

    fn chosen(wanted: &str, children: Vec<Descriptor>) -> Option<String> {
        let choice = Choice::platform(wanted.parse().unwrap());
        let found = choice.sort(children, &mut Vec::new()).image?;
        found.platform.map(|platform| platform.to_string())
    }

    #[test]
    fn the_best_platform_wins_wherever_it_stands() {
        let arm = || {
            vec![
                child("linux/amd64", ""),
                child("linux/arm", "v5"),
                child("linux/arm", "v7"),
                child("linux/arm", "v6"),
                child("linux/arm64", "v8"),
            ]
        };
        assert_eq!(chosen("linux/arm", arm()).as_deref(), Some("linux/arm/v7"));
        assert_eq!(
            chosen("linux/arm/v6", arm()).as_deref(),
            Some("linux/arm/v6")
        );
        assert_eq!(
            chosen("linux/arm64", arm()).as_deref(),
            Some("linux/arm64/v8")
        );
        assert_eq!(
            chosen("linux/x86_64", arm()).as_deref(),
            Some("linux/amd64")
        );
        assert_eq!(chosen("linux/riscv64", arm()), None);
    }

    #[test]
    fn attestations_are_passed_over_and_the_rest_is_listed() {
        let mut signed = child("linux/arm64", "");
        signed.annotations.insert(
            "vnd.docker.reference.type".into(),
            "attestation-manifest".into(),
        );
        let mut nested = child("", "");
        nested.media_type = media::OCI_IMAGE_INDEX_MEDIA_TYPE.to_owned();
        let children = vec![
            child("unknown/unknown", ""),
            signed,
            child("linux/amd64", ""),
            child("", ""),
            nested,
        ];
        let mut available = Vec::new();
        let choice = Choice::platform("linux/arm64".parse().unwrap());
        let found = choice.sort(children, &mut available);
        assert!(found.image.is_none());
        assert_eq!(available, ["linux/amd64"]);
        assert_eq!((found.indexes.len(), found.unsaid.len()), (1, 1));
    }

    #[test]
    fn a_caller_ranks_by_its_own_rules() {
        let order = ["wasip2", "wasip1", "wasi"];
        let choice = Choice::by("WebAssembly", move |platform| {
            let place = order.iter().position(|os| *os == platform.os)?;
            u32::try_from(place)
                .ok()
                .filter(|_| platform.architecture == "wasm")
        });
        let children = vec![
            child("linux/amd64", ""),
            child("wasi/wasm", ""),
            child("wasip1/wasm", ""),
        ];
        let found = choice.sort(children, &mut Vec::new()).image.unwrap();
        assert_eq!(found.platform.unwrap().os, "wasip1");
    }
}
