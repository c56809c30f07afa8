//! Reads the exported index, its manifests and their configs out of the sink.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::ExportSink;
use crate::BuildError;

/// Manifests and indexes beyond this size are not ours: a patch has one layer.
const MANIFEST_LIMIT: u64 = 4 << 20;
/// Image configs beyond this size are refused.
const CONFIG_LIMIT: u64 = 8 << 20;

/// What a build left in its [`ExportSink`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exported {
    /// Nothing was exported: no sink, or no platform had a result.
    Nothing,
    /// One manifest for each platform of the build's output.
    Index {
        /// Digest of the exported root: an index, or with one platform usually its bare manifest. Empty when every
        /// platform's result was empty, so that there was nothing to send.
        digest: String,
        /// By platform id, in the order of the output.
        manifests: Vec<(String, ExportedManifest)>,
        /// The daemon's exporter response, as sent.
        response: BTreeMap<String, String>,
    },
}

/// One platform's exported manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExportedManifest {
    /// Digest of the image config; no digest at all for an empty result, which is not exported.
    pub config: String,
    /// The layers from the bottom up; empty when the diff was empty.
    pub layers: Vec<ExportedLayer>,
    /// The uncompressed digests, one for each layer.
    pub diff_ids: Vec<String>,
}

/// Digest, size in bytes and media type of one exported layer blob.
pub type ExportedLayer = (String, u64, String);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Node {
    #[serde(default)]
    manifests: Option<Vec<Descriptor>>,
    #[serde(default)]
    config: Option<Descriptor>,
    /// Go writes `null` for an empty list.
    #[serde(default)]
    layers: Option<Vec<Descriptor>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    digest: String,
    size: u64,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    rootfs: RootFs,
}

#[derive(Deserialize, Default)]
struct RootFs {
    #[serde(default)]
    diff_ids: Option<Vec<String>>,
}

/// Marks a manifest of attestations in an index, which is nobody's platform.
const ATTESTATION: (&str, &str) = ("vnd.docker.reference.type", "attestation-manifest");

/// Parses what lies in the sink. `platforms` are the ids of the output in their order, each with whether it is empty
/// and was left out of the export; the others are the exported images, in that order. Blocking.
pub(crate) fn read_exported(
    sink: &ExportSink,
    response: BTreeMap<String, String>,
    platforms: &[(String, bool)],
) -> Result<Exported, BuildError> {
    let sent = platforms.iter().filter(|(_, empty)| !empty).count();
    let digest = response
        .get("containerimage.digest")
        .cloned()
        .unwrap_or_default();
    let images = match sent {
        0 => Vec::new(),
        _ if digest.is_empty() => {
            return Err(BuildError::Export {
                why: "the daemon reports success, but exported nothing; it may be too old (0.12 is the oldest that works)".to_owned(),
            });
        }
        _ => read_images(sink, &digest)?,
    };
    if images.len() != sent {
        return Err(BuildError::Export {
            why: format!(
                "{digest} holds {} images for {sent} platforms",
                images.len()
            ),
        });
    }
    let mut images = images.into_iter();
    let manifests = platforms.iter().map(|(platform, empty)| {
        let manifest = if *empty { None } else { images.next() };
        (platform.clone(), manifest.unwrap_or_default())
    });
    let manifests = manifests.collect();
    Ok(Exported::Index {
        digest,
        manifests,
        response,
    })
}

/// Reads every image of an index, or the one image that a bare manifest is.
fn read_images(sink: &ExportSink, digest: &str) -> Result<Vec<ExportedManifest>, BuildError> {
    let root = node(sink, digest)?;
    let Some(children) = root.manifests else {
        return Ok(vec![manifest(sink, digest, root)?]);
    };
    let is_image = |child: &Descriptor| {
        child
            .annotations
            .get(ATTESTATION.0)
            .is_none_or(|kind| kind != ATTESTATION.1)
    };
    let images = children.into_iter().filter(is_image);
    images
        .map(|image| manifest(sink, &image.digest, node(sink, &image.digest)?))
        .collect()
}

fn node(sink: &ExportSink, digest: &str) -> Result<Node, BuildError> {
    json(sink, digest, MANIFEST_LIMIT)
}

fn manifest(sink: &ExportSink, digest: &str, node: Node) -> Result<ExportedManifest, BuildError> {
    let config = node
        .config
        .ok_or_else(|| BuildError::Export {
            why: format!("{digest} is neither an index nor an image manifest"),
        })?
        .digest;
    let layers: Vec<ExportedLayer> = node
        .layers
        .unwrap_or_default()
        .into_iter()
        .map(|layer| (layer.digest, layer.size, layer.media_type))
        .collect();
    let diff_ids = json::<Config>(sink, &config, CONFIG_LIMIT)?
        .rootfs
        .diff_ids
        .unwrap_or_default();
    if diff_ids.len() != layers.len() {
        return Err(BuildError::Export {
            why: format!(
                "{digest} has {} layers, but its config names {}",
                layers.len(),
                diff_ids.len()
            ),
        });
    }
    Ok(ExportedManifest {
        config,
        layers,
        diff_ids,
    })
}

fn json<T: for<'de> Deserialize<'de>>(
    sink: &ExportSink,
    digest: &str,
    limit: u64,
) -> Result<T, BuildError> {
    let bytes = sink
        .read(digest, limit)
        .map_err(|why| BuildError::Export { why })?;
    serde_json::from_slice(&bytes).map_err(|error| BuildError::Export {
        why: format!("{digest}: {error}"),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;

    struct Fixture {
        _dir: tempfile::TempDir,
        sink: Arc<ExportSink>,
    }

    impl Fixture {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let sink = ExportSink::new(dir.path().to_owned(), BTreeSet::new());
            Self { _dir: dir, sink }
        }

        fn put(&self, value: &Value) -> Value {
            let bytes = serde_json::to_vec(value).unwrap();
            let mut ingest = self.sink.begin().unwrap();
            self.sink.append(&mut ingest, &bytes).unwrap();
            let digest = self.sink.commit(ingest, "", 0).unwrap();
            json!({"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": bytes.len()})
        }

        /// A manifest with one layer for each diff id.
        fn image(&self, diff_ids: &[&str]) -> Value {
            let config = self.put(&json!({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}}));
            let layers: Vec<Value> = diff_ids.iter().map(|id| json!({"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": id, "size": 7})).collect();
            self.put(&json!({"schemaVersion": 2, "config": config, "layers": layers}))
        }

        fn read(&self, root: &Value, platforms: &[&str]) -> Result<Exported, BuildError> {
            let response = BTreeMap::from([(
                "containerimage.digest".to_owned(),
                root["digest"].as_str().unwrap().to_owned(),
            )]);
            let platforms: Vec<(String, bool)> =
                platforms.iter().map(|&id| (id.to_owned(), false)).collect();
            read_exported(&self.sink, response, &platforms)
        }
    }

    fn layers_of(exported: Exported) -> Vec<(String, usize)> {
        let Exported::Index { manifests, .. } = exported else {
            panic!("nothing exported")
        };
        manifests
            .into_iter()
            .map(|(platform, manifest)| (platform, manifest.layers.len()))
            .collect()
    }

    #[test]
    fn a_bare_manifest_belongs_to_the_only_platform() {
        let fixture = Fixture::new();
        let image = fixture.image(&["sha256:aa"]);
        assert_eq!(
            layers_of(fixture.read(&image, &["linux/amd64"]).unwrap()),
            [("linux/amd64".to_owned(), 1)]
        );
        assert!(
            fixture
                .read(&image, &["linux/amd64", "linux/arm64"])
                .unwrap_err()
                .to_string()
                .contains("1 images for 2")
        );
    }

    #[test]
    fn an_index_keeps_the_order_of_the_output_and_skips_attestations() {
        let fixture = Fixture::new();
        let mut attestation = fixture.image(&["sha256:cc"]);
        attestation["annotations"] = json!({"vnd.docker.reference.type": "attestation-manifest"});
        let index = fixture.put(&json!({"schemaVersion": 2, "manifests": [fixture.image(&["sha256:aa"]), fixture.image(&[]), attestation]}));
        let layers = layers_of(
            fixture
                .read(&index, &["linux/amd64", "linux/arm64"])
                .unwrap(),
        );
        assert_eq!(
            layers,
            [("linux/amd64".to_owned(), 1), ("linux/arm64".to_owned(), 0)]
        );
    }

    #[test]
    fn an_empty_diff_has_no_layers_even_when_go_writes_null() {
        let fixture = Fixture::new();
        let config = fixture.put(&json!({"rootfs": {"type": "layers", "diff_ids": null}}));
        let image = fixture.put(&json!({"schemaVersion": 2, "config": config, "layers": null}));
        assert_eq!(
            layers_of(fixture.read(&image, &["linux/amd64"]).unwrap()),
            [("linux/amd64".to_owned(), 0)]
        );
    }

    #[test]
    fn success_without_an_export_is_an_error() {
        let fixture = Fixture::new();
        let error = read_exported(
            &fixture.sink,
            BTreeMap::new(),
            &[("linux/amd64".to_owned(), false)],
        )
        .unwrap_err();
        assert!(error.to_string().contains("exported nothing"), "{error}");
    }

    #[test]
    fn damaged_exports_are_errors_with_a_reason() {
        let fixture = Fixture::new();
        let config = fixture.put(&json!({"rootfs": {"diff_ids": ["sha256:aa", "sha256:bb"]}}));
        let layer = json!({"digest": "sha256:aa", "size": 1});
        let table = [
            (
                json!({"digest": format!("sha256:{}", "0".repeat(64))}),
                "did not send",
            ),
            (
                fixture.put(&json!({"hello": 1})),
                "neither an index nor an image",
            ),
            (fixture.put(&json!([1, 2])), "invalid"),
            (
                fixture.put(&json!({"config": config, "layers": [layer]})),
                "names 2",
            ),
            (
                fixture.put(&json!({"manifests": []})),
                "0 images for 1 platforms",
            ),
        ];
        for (root, why) in table {
            let error = fixture
                .read(&root, &["linux/amd64"])
                .unwrap_err()
                .to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
