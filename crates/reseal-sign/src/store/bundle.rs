//! Attaches bundles to what they are about.

use std::collections::BTreeMap;

use reseal_oci::{Artifact, Descriptor, Digest, RawManifest};
use reseal_registry::{BlobSource, Store, Target};
use serde::Serialize;

use super::entry::{BUNDLE, BUNDLE_PREDICATE_ANNOTATION, BundleEntry};
use super::error::ArtifactError;
use super::layers::{Wire, put_bytes};
use crate::go_json;

const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";
const EMPTY: &[u8] = b"{}";

/// A manifest in the order of cosign's fields.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest<'a> {
    schema_version: u8,
    media_type: &'a str,
    artifact_type: &'a str,
    config: Wire<'a>,
    layers: [Wire<'a>; 1],
    annotations: BTreeMap<&'a str, &'a str>,
    subject: Wire<'a>,
}

/// Stores a bundle as a manifest that refers to `subject`, and returns the entry that lists of referrers have for it. The same
/// entry gives the same manifest.
///
/// # Errors
///
/// When the store cannot be written, or the index of referrers of a registry without the API cannot be kept up.
pub async fn attach_bundle(
    store: &dyn Store,
    subject: &Descriptor,
    entry: &BundleEntry,
) -> Result<Descriptor, ArtifactError> {
    let config = Descriptor::new(EMPTY_TYPE, Digest::of(EMPTY), EMPTY.len() as u64);
    if !store.has_blob(&config.digest).await? {
        let empty = BlobSource::Bytes(EMPTY.into());
        store.put_blob(&config, &empty).await?;
    }
    let layer = put_bytes(store, BUNDLE, entry.bundle.clone()).await?;
    // What else is known about it belongs to where it is listed.
    let subject = Descriptor::new(
        subject.media_type.clone(),
        subject.digest.clone(),
        subject.size,
    );
    let manifest = Manifest {
        schema_version: 2,
        media_type: MANIFEST_TYPE,
        artifact_type: BUNDLE,
        config: Wire::of(&config),
        layers: [Wire::of(&layer)],
        annotations: BTreeMap::from([
            ("dev.sigstore.bundle.content", "dsse-envelope"),
            (BUNDLE_PREDICATE_ANNOTATION, entry.predicate_type.as_str()),
            ("org.opencontainers.image.created", entry.created.as_str()),
        ]),
        subject: Wire::of(&subject),
    };
    let raw = RawManifest::new(MANIFEST_TYPE, go_json::to_vec(&manifest));
    let artifact = Artifact::parse(&raw).map_err(|source| ArtifactError::Malformed {
        place: store.describe(),
        source,
    })?;
    store
        .put_manifest(&raw, &Target::Digest(raw.digest.clone()))
        .await?;
    Ok(artifact.entry(&raw))
}
