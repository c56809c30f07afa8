//! Appends the patch layer to an image that stays otherwise as it is.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::json::{Edits, Node, Object, quoted};
use crate::{
    CONFIG_LIMIT, Descriptor, Digest, ImageConfig, ImageManifest, Kind, OciError, RawManifest,
    config,
};

/// The finished patch layer, always compressed with gzip; its blob lies elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatchLayer {
    /// The digest of the compressed blob.
    pub digest: Digest,
    /// The size of the compressed blob, in bytes.
    pub size: u64,
    /// The digest of the uncompressed tar.
    pub diff_id: Digest,
}

/// What is recorded beside the layer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AppendMeta {
    /// The time for the config and its history, in RFC 3339.
    pub created: String,
    /// What made the layer, for the history.
    pub created_by: String,
    /// The history entry's comment; left out when empty.
    pub comment: String,
    /// Added to the manifest's annotations; names that are there already get the new value.
    pub annotations: BTreeMap<String, String>,
}

/// An image with one more layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatchedImage {
    /// The new manifest, of the same media type.
    pub manifest: RawManifest,
    /// The bytes of the new config.
    pub config: Vec<u8>,
    /// The new config's descriptor, as the manifest has it.
    pub config_descriptor: Descriptor,
    /// The layer's descriptor, as the manifest has it.
    pub layer_descriptor: Descriptor,
    /// The new manifest's descriptor, with the config's platform. [`crate::assemble`] puts its digest and size
    /// into the index's own descriptor, which keeps everything else that it says.
    pub descriptor: Descriptor,
}

/// Appends a layer to the original manifest and config.
///
/// In the config, `rootfs.diff_ids` and `history` get one more entry and `created` is set. Where there is no history
/// it stays so, because an entry alone would be taken for the first layer's (it is optional in the OCI specification). In
/// the manifest, the config's digest and size change, `layers` gets one more entry and the annotations are added; Docker's
/// manifests get them too, whose readers pass over them. Every other byte stays.
///
/// # Errors
///
/// When the config is not the one that the manifest names, or the two disagree on the number of layers.
pub fn append(
    manifest: &ImageManifest,
    config: &ImageConfig,
    layer: &PatchLayer,
    meta: &AppendMeta,
) -> Result<PatchedImage, OciError> {
    if !manifest.config.digest.matches(&config.bytes) {
        return Err(OciError::ConfigDigest {
            expected: manifest.config.digest.clone(),
        });
    }
    let (layers, diff_ids) = (manifest.layers.len(), config.diff_ids.len());
    if layers != diff_ids {
        return Err(OciError::LayerCount { layers, diff_ids });
    }
    let new_config = edit_config(config, layer, meta)?;
    let config_descriptor = Descriptor {
        digest: Digest::of(&new_config),
        size: new_config.len() as u64,
        ..manifest.config.clone()
    };
    let layer_descriptor = Descriptor::new(
        manifest.family().layer_gzip_type(),
        layer.digest.clone(),
        layer.size,
    );
    let bytes = edit_manifest(manifest, &config_descriptor, &layer_descriptor, meta)?;
    let manifest = RawManifest::new(manifest.raw.media_type.clone(), bytes);
    let descriptor = Descriptor {
        platform: Some(config.platform.clone()),
        ..manifest.descriptor()
    };
    Ok(PatchedImage {
        manifest,
        config: new_config,
        config_descriptor,
        layer_descriptor,
        descriptor,
    })
}

#[derive(Serialize)]
struct HistoryEntry<'a> {
    created: &'a str,
    created_by: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    comment: &'a str,
}

fn edit_config(
    config: &ImageConfig,
    layer: &PatchLayer,
    meta: &AppendMeta,
) -> Result<Vec<u8>, OciError> {
    let root = Node::document(config::WHAT, &config.bytes, CONFIG_LIMIT)?.object()?;
    let mut edits = Edits::new(&config.bytes);
    let rootfs = root.need("rootfs")?.object()?;
    push(
        &mut edits,
        &rootfs,
        "diff_ids",
        quoted(layer.diff_id.as_str()),
    )?;
    let mut members = vec![("created", quoted(&meta.created))];
    let entry = HistoryEntry {
        created: &meta.created,
        created_by: &meta.created_by,
        comment: &meta.comment,
    };
    let entry = serde_json::to_string(&entry).expect("a struct of strings always serialises");
    match root.get("history") {
        Some(history) => edits.push(history, &history.array()?, entry),
        None if config.diff_ids.is_empty() => members.push(("history", format!("[{entry}]"))),
        None => {}
    }
    edits.set(&root, &members);
    Ok(edits.apply())
}

fn edit_manifest(
    manifest: &ImageManifest,
    config: &Descriptor,
    layer: &Descriptor,
    meta: &AppendMeta,
) -> Result<Vec<u8>, OciError> {
    let root = manifest.raw.root("image manifest", Kind::Image)?;
    let mut edits = Edits::new(&manifest.raw.bytes);
    point_to(&mut edits, &root.need("config")?.object()?, config);
    push(&mut edits, &root, "layers", layer.to_json())?;
    annotate(&mut edits, &root, &meta.annotations)?;
    Ok(edits.apply())
}

/// Adds an element to an array member, which is made when it is missing or null.
fn push(
    edits: &mut Edits<'_>,
    object: &Object<'_>,
    key: &str,
    json: String,
) -> Result<(), OciError> {
    match object.get(key) {
        Some(array) => edits.push(array, &array.array()?, json),
        None => edits.set(object, &[(key, format!("[{json}]"))]),
    }
    Ok(())
}

/// Lets a descriptor point to other content of the same kind. Content embedded in it would be the old one's.
pub(crate) fn point_to(edits: &mut Edits<'_>, descriptor: &Object<'_>, to: &Descriptor) {
    edits.set(
        descriptor,
        &[
            ("digest", quoted(to.digest.as_str())),
            ("size", to.size.to_string()),
        ],
    );
    edits.remove_member(descriptor, "data");
}

/// Adds to the `annotations` of a manifest or index.
pub(crate) fn annotate(
    edits: &mut Edits<'_>,
    root: &Object<'_>,
    annotations: &BTreeMap<String, String>,
) -> Result<(), OciError> {
    if annotations.is_empty() {
        return Ok(());
    }
    if let Some(node) = root.get("annotations") {
        let members: Vec<_> = annotations
            .iter()
            .map(|(key, value)| (key.as_str(), quoted(value)))
            .collect();
        edits.set(&node.map()?, &members);
    } else {
        let json = serde_json::to_string(annotations).expect("a map of strings always serialises");
        edits.set(root, &[("annotations", json)]);
    }
    Ok(())
}
