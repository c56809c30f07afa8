//! Tags whose manifest is a list: one layer for each signature or attestation.

use reseal_oci::{Descriptor, Digest, Kind, List, RawManifest, Tag, extend_config};
use reseal_registry::{BlobSource, Store, StoreError, Target};
use serde::Serialize;

use super::entry::{LOG_ANNOTATION, TIMESTAMP_ANNOTATION};
use super::error::{ArtifactError, one_line};
use crate::go_json;

/// How often a list is written when others write to it too.
const TRIES: u32 = 8;
const CONFIG_LIMIT: u64 = reseal_oci::CONFIG_LIMIT as u64;
const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";
/// The time of what has none.
const NO_TIME: &str = "0001-01-01T00:00:00Z";

/// Makes the tag that holds what belongs to a digest.
pub(super) fn tag_of(digest: &Digest, suffix: &str) -> Result<Tag, ArtifactError> {
    let name = format!("{}-{}{suffix}", digest.algorithm(), digest.hex());
    name.parse().map_err(|_| ArtifactError::NoTag {
        digest: digest.clone(),
    })
}

/// A descriptor in the order of cosign's fields.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Wire<'a> {
    media_type: &'a str,
    size: u64,
    digest: &'a Digest,
    #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    annotations: &'a std::collections::BTreeMap<String, String>,
}

impl<'a> Wire<'a> {
    pub(super) fn of(descriptor: &'a Descriptor) -> Self {
        Self {
            media_type: &descriptor.media_type,
            size: descriptor.size,
            digest: &descriptor.digest,
            annotations: &descriptor.annotations,
        }
    }
}

/// A layer of a list: as it is written, and what it says.
#[derive(Debug, Clone)]
pub(super) struct Layer {
    text: String,
    pub(super) descriptor: Descriptor,
}

impl Layer {
    pub(super) fn new(descriptor: Descriptor) -> Self {
        let text = String::from_utf8_lossy(&go_json::to_vec(&Wire::of(&descriptor))).into_owned();
        Self { text, descriptor }
    }

    /// Tells whether another layer says all that this one does. A log entry or timestamp of the same signature need not be the
    /// same one: logs sign their promise anew each time they are asked.
    fn is_in(&self, other: &Descriptor) -> bool {
        let (mine, theirs) = (&self.descriptor, other);
        mine.digest == theirs.digest
            && mine.media_type == theirs.media_type
            && mine.annotations.iter().all(|(key, value)| {
                theirs.annotations.get(key).is_some_and(|other| {
                    other == value || matches!(&**key, LOG_ANNOTATION | TIMESTAMP_ANNOTATION)
                })
            })
    }
}

/// A list as it is in a store.
#[derive(Debug, Clone)]
pub(super) struct LayerList {
    pub(super) raw: RawManifest,
    config: Descriptor,
    pub(super) layers: Vec<Layer>,
}

impl LayerList {
    /// Reads what is under a tag.
    pub(super) fn parse(raw: RawManifest, place: &str) -> Result<Self, ArtifactError> {
        let foreign = |why: &str| ArtifactError::Foreign {
            place: place.to_owned(),
            why: one_line(why),
        };
        if raw.kind() != Kind::Image {
            return Err(foreign("it is no image manifest"));
        }
        let manifest =
            reseal_oci::ImageManifest::parse(&raw).map_err(|error| foreign(&error.to_string()))?;
        let layers = List::Layers
            .entries(&raw)
            .map_err(|error| foreign(&error.to_string()))?
            .into_iter()
            .map(|(text, descriptor)| Layer { text, descriptor })
            .collect();
        Ok(Self {
            raw,
            config: manifest.config,
            layers,
        })
    }

    pub(super) async fn read(store: &dyn Store, tag: &Tag) -> Result<Option<Self>, ArtifactError> {
        match store.manifest(&Target::Tag(tag.clone())).await {
            Ok(raw) => Self::parse(raw, &place(store, tag)).map(Some),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns those of `wanted` that are not here.
    fn without<'a>(&self, wanted: &'a [Layer]) -> Vec<&'a Layer> {
        let is_here = |layer: &Layer| {
            let mut all = self.layers.iter();
            all.any(|own| own.text == layer.text || layer.is_in(&own.descriptor))
        };
        wanted.iter().filter(|layer| !is_here(layer)).collect()
    }
}

/// Names a tag in messages.
pub(super) fn place(store: &dyn Store, tag: &Tag) -> String {
    format!("tag `{tag}` in {}", store.describe())
}

/// What became of a list.
#[derive(Debug)]
pub(super) enum Ensured {
    /// It had everything.
    Present(Descriptor),
    /// There was none.
    Made(Descriptor),
    /// It has more layers now.
    Grown(Descriptor),
}

/// Sees to it that the list under `tag` has all of `wanted`, whose blobs are there. Where there is no list, `whole` is written
/// as it is, if given.
///
/// Others may write to the same tag. The list is read again just before it is written and after: what others added in between is
/// kept, and what others removed is added again. (Registries have no conditional writes, so two writers that look and write at the same
/// instant can still lose one signature; that one notices when it reads again.)
pub(super) async fn ensure(
    store: &dyn Store,
    tag: &Tag,
    wanted: &[Layer],
    whole: Option<&RawManifest>,
) -> Result<Ensured, ArtifactError> {
    let target = Target::Tag(tag.clone());
    let mut found = LayerList::read(store, tag).await?;
    let existed = found.is_some();
    for attempt in 0..TRIES {
        let missing = match &found {
            Some(list) => list.without(wanted),
            None => wanted.iter().collect(),
        };
        if let Some(list) = &found
            && missing.is_empty()
        {
            let manifest = list.raw.descriptor();
            return Ok(match (attempt, existed) {
                (0, _) => Ensured::Present(manifest),
                (_, false) => Ensured::Made(manifest),
                (_, true) => Ensured::Grown(manifest),
            });
        }
        let raw = match (&found, whole) {
            (None, Some(whole)) => whole.clone(),
            _ => grown(store, tag, found.as_ref(), &missing).await?,
        };
        let now = store.resolve(&target).await?.map(|now| now.digest);
        if now.as_ref() == found.as_ref().map(|list| &list.raw.digest) {
            store.put_manifest(&raw, &target).await?;
        } else {
            tracing::debug!(%tag, attempt, "another writer changed the list");
        }
        found = LayerList::read(store, tag).await?;
    }
    if found.is_some_and(|list| list.without(wanted).is_empty()) {
        return Ok(Ensured::Grown(resolved(store, &target).await?));
    }
    Err(StoreError::Contended {
        what: place(store, tag),
        tries: TRIES,
    }
    .into())
}

async fn resolved(store: &dyn Store, target: &Target) -> Result<Descriptor, ArtifactError> {
    let found = store.resolve(target).await?;
    Ok(found.ok_or_else(|| StoreError::NotFound {
        what: format!("{target} in {}", store.describe()),
    })?)
}

/// Makes the manifest with more layers, and stores its config.
async fn grown(
    store: &dyn Store,
    tag: &Tag,
    list: Option<&LayerList>,
    added: &[&Layer],
) -> Result<RawManifest, ArtifactError> {
    let malformed = |source| ArtifactError::Malformed {
        place: place(store, tag),
        source,
    };
    let new_ids: Vec<Digest> = added
        .iter()
        .map(|layer| layer.descriptor.digest.clone())
        .collect();
    let texts: Vec<String> = added.iter().map(|layer| layer.text.clone()).collect();
    let Some(list) = list else {
        let config = fresh_config(&new_ids);
        let config = put_bytes(store, CONFIG_TYPE, config).await?;
        let config = go_json::to_vec(&Wire::of(&config));
        let text = format!(
            r#"{{"schemaVersion":2,"mediaType":"{MANIFEST_TYPE}","config":{},"layers":[{}]}}"#,
            String::from_utf8_lossy(&config),
            texts.join(",")
        );
        return Ok(RawManifest::new(MANIFEST_TYPE, text.into_bytes()));
    };
    let old = match store.blob(&list.config.digest, CONFIG_LIMIT).await {
        Ok(bytes) => Some(bytes),
        // A config that is not there has nothing to lose.
        Err(
            StoreError::NotFound { .. }
            | StoreError::TooLarge { .. }
            | StoreError::DigestMismatch { .. },
        ) => None,
        Err(error) => return Err(error.into()),
    };
    let history = format!(r#"{{"created":"{NO_TIME}"}}"#);
    let extended = old.and_then(|old| {
        extend_config(&old, list.layers.len(), &new_ids, &history)
            .ok()
            .flatten()
    });
    let config = extended.unwrap_or_else(|| {
        let old = list
            .layers
            .iter()
            .map(|layer| layer.descriptor.digest.clone());
        fresh_config(&old.chain(new_ids).collect::<Vec<_>>())
    });
    let config = put_bytes(store, &list.config.media_type, config).await?;
    List::Layers
        .extend(&list.raw, &texts, Some(&config))
        .map_err(malformed)
}

/// The config that cosign writes: an image of nothing, with one layer for each signature.
fn fresh_config(diff_ids: &[Digest]) -> Vec<u8> {
    let history = vec![format!(r#"{{"created":"{NO_TIME}"}}"#); diff_ids.len()].join(",");
    let ids: Vec<String> = diff_ids.iter().map(|id| format!("\"{id}\"")).collect();
    format!(
        r#"{{"architecture":"","created":"{NO_TIME}","history":[{history}],"os":"","rootfs":{{"type":"layers","diff_ids":[{}]}},"config":{{}}}}"#,
        ids.join(",")
    )
    .into_bytes()
}

/// Stores a small blob.
pub(super) async fn put_bytes(
    store: &dyn Store,
    media_type: &str,
    bytes: Vec<u8>,
) -> Result<Descriptor, StoreError> {
    let descriptor = Descriptor::new(media_type, Digest::of(&bytes), bytes.len() as u64);
    store
        .put_blob(&descriptor, &BlobSource::Bytes(bytes.into()))
        .await?;
    Ok(descriptor)
}
