//! Finds everything about a digest that may be a signature or attestation.

use std::collections::BTreeMap;

use reseal_oci::{Artifact, Descriptor, Digest, ImageManifest};
use reseal_registry::{Class, Store, StoreError, Target};

use super::entry::{
    BUNDLE_PREDICATE_ANNOTATION, Collected, DSSE_ENVELOPE, FoundBundle, FoundLegacy,
    SIMPLE_SIGNING, Suffix,
};
use super::error::{ArtifactError, one_line};
use super::layers::{LayerList, tag_of};

/// Media types of bundles of all versions start so.
const BUNDLES: &str = "application/vnd.dev.sigstore.bundle";

/// How much of what strangers may have put there is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Referrers, and layers of each tag.
    pub(super) entries: usize,
    /// Bytes of one payload or bundle.
    pub(super) each: u64,
    /// Bytes of all together.
    pub(super) total: u64,
}

/// The largest attestations are SBOMs, of some 10 MB.
const LIMITS: Limits = Limits {
    entries: 1000,
    each: 32 << 20,
    total: 128 << 20,
};

/// Collects all bundles that refer to a digest, and the layers of its `.sig` and `.att` tags.
///
/// What is of another kind, damaged, missing or too much is left out, with a reason: it takes nothing from a signature that is good,
/// and a signature that is left out convinces nobody.
///
/// # Errors
///
/// When the store cannot be read at all: then nobody knows what is there.
pub async fn collect(store: &dyn Store, subject: &Digest) -> Result<Collected, ArtifactError> {
    collect_within(store, subject, LIMITS).await
}

pub(super) async fn collect_within(
    store: &dyn Store,
    subject: &Digest,
    limits: Limits,
) -> Result<Collected, ArtifactError> {
    let mut collection = Collection {
        store,
        subject,
        limits,
        left: limits.total,
        found: Collected::default(),
    };
    collection.bundles().await?;
    let signatures = collection.layers(Suffix::Signature, SIMPLE_SIGNING).await?;
    let attestations = collection
        .layers(Suffix::Attestation, DSSE_ENVELOPE)
        .await?;
    Ok(Collected {
        signatures,
        attestations,
        ..collection.found
    })
}

struct Collection<'a> {
    store: &'a dyn Store,
    subject: &'a Digest,
    limits: Limits,
    /// Bytes that may still be read.
    left: u64,
    found: Collected,
}

impl Collection<'_> {
    fn skip(&mut self, what: &str, why: &str) {
        self.found.skipped.push(one_line(&format!("{what}: {why}")));
    }

    /// Takes a result apart: content that is wrong or gone is skipped, a store that cannot be read is an error.
    fn usable<T>(
        &mut self,
        what: &str,
        result: Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) if is_about_content(&error) => {
                self.skip(what, &error.to_string());
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Reads a blob, if what it may be is worth it.
    async fn blob(
        &mut self,
        what: &str,
        layer: &Descriptor,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        if layer.size > self.limits.each.min(self.left) {
            let why = format!(
                "its {} bytes are too many: {} at once and {} in all are read",
                layer.size, self.limits.each, self.limits.total
            );
            self.skip(what, &why);
            return Ok(None);
        }
        let result = self.store.blob(&layer.digest, layer.size).await;
        let Some(bytes) = self.usable(what, result)? else {
            return Ok(None);
        };
        if bytes.len() as u64 != layer.size {
            self.skip(what, "its size is not what its manifest says");
            return Ok(None);
        }
        self.left -= layer.size;
        Ok(Some(bytes))
    }

    async fn bundles(&mut self) -> Result<(), ArtifactError> {
        let result = self.store.referrers(self.subject).await;
        let what = format!("the list of referrers in {}", self.store.describe());
        let listed = self.usable(&what, result)?.unwrap_or_default();
        let most = self.limits.entries;
        if listed.len() > most {
            let why = format!(
                "it has {} entries, and the first {most} are read",
                listed.len()
            );
            self.skip(&what, &why);
        }
        for entry in listed.iter().take(most) {
            let what = format!("referrer {}", entry.digest);
            let target = Target::Digest(entry.digest.clone());
            let result = self.store.manifest(&target).await;
            let Some(raw) = self.usable(&what, result)? else {
                continue;
            };
            // Lists are not to be trusted, neither in what an entry is nor in what it belongs to.
            let parsed = Artifact::parse(&raw).and_then(|artifact| {
                ImageManifest::parse(&raw).map(|manifest| (artifact, manifest.layers))
            });
            let (artifact, layers) = match parsed {
                Ok(parsed) => parsed,
                Err(error) => {
                    self.skip(&what, &error.to_string());
                    continue;
                }
            };
            if artifact
                .subject
                .is_none_or(|subject| subject.digest != *self.subject)
            {
                self.skip(&what, "it belongs to something else");
                continue;
            }
            let [layer] = layers.as_slice() else {
                self.skip(
                    &what,
                    &format!("it has {} layers, and a bundle is one", layers.len()),
                );
                continue;
            };
            if !layer.media_type.starts_with(BUNDLES) {
                let kind = artifact
                    .artifact_type
                    .as_deref()
                    .unwrap_or(&layer.media_type);
                self.skip(&what, &format!("it is no bundle, it is of type `{kind}`"));
                continue;
            }
            let Some(bytes) = self.blob(&what, layer).await? else {
                continue;
            };
            self.found.bundles.push(FoundBundle {
                descriptor: raw.descriptor(),
                bytes,
                predicate_type: artifact
                    .annotations
                    .get(BUNDLE_PREDICATE_ANNOTATION)
                    .cloned(),
            });
        }
        Ok(())
    }

    async fn layers(
        &mut self,
        suffix: Suffix,
        wanted: &str,
    ) -> Result<Vec<FoundLegacy>, ArtifactError> {
        // A digest that makes no tag has none.
        let Ok(tag) = tag_of(self.subject, suffix.as_str()) else {
            return Ok(Vec::new());
        };
        let what = format!("tag `{tag}`");
        let list = match LayerList::read(self.store, &tag).await {
            Ok(Some(list)) => list,
            Ok(None) => return Ok(Vec::new()),
            Err(ArtifactError::Store(error)) => {
                self.usable::<()>(&what, Err(error))?;
                return Ok(Vec::new());
            }
            // It names the tag.
            Err(error) => {
                self.found.skipped.push(one_line(&error.to_string()));
                return Ok(Vec::new());
            }
        };
        let most = self.limits.entries;
        if list.layers.len() > most {
            let why = format!(
                "it has {} layers, and the first {most} are read",
                list.layers.len()
            );
            self.skip(&what, &why);
        }
        let mut found: Vec<FoundLegacy> = Vec::new();
        // All signers of one image have the same payload.
        let mut known: BTreeMap<Digest, usize> = BTreeMap::new();
        for (number, layer) in list.layers.into_iter().take(most).enumerate() {
            let layer = layer.descriptor;
            let what = format!("layer {} of tag `{tag}`", number + 1);
            if layer.media_type != wanted {
                self.skip(&what, &format!("it is of type `{}`", layer.media_type));
                continue;
            }
            let again = known.get(&layer.digest).map(|&place| &found[place].payload);
            let payload = match again {
                Some(again) if again.len() as u64 <= self.left => {
                    self.left -= again.len() as u64;
                    again.clone()
                }
                _ => match self.blob(&what, &layer).await? {
                    Some(bytes) => bytes,
                    None => continue,
                },
            };
            known.entry(layer.digest).or_insert(found.len());
            found.push(FoundLegacy {
                media_type: layer.media_type,
                payload,
                annotations: layer.annotations,
            });
        }
        Ok(found)
    }
}

/// Tells whether an error is about one thing in the store, not about the store.
fn is_about_content(error: &StoreError) -> bool {
    match error.class() {
        Class::NotFound => true,
        // A refusal is the store's, whatever the request was for.
        Class::Content => !matches!(
            error,
            StoreError::Refused { .. } | StoreError::Layout { .. }
        ),
        _ => false,
    }
}
