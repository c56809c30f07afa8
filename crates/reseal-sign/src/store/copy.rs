//! Takes everything that belongs to an image along to another place.

use std::collections::{BTreeSet, VecDeque};

use reseal_oci::{Artifact, Descriptor, Digest, RawManifest, Tag};
use reseal_registry::{Store, StoreError, Target, copy_blob};

use super::error::{ArtifactError, one_line};
use super::layers::{Ensured, LayerList, ensure, place, tag_of};

/// More than this belongs to no image; it is a flood, or a circle.
const MOST: usize = 1000;
/// How deep the manifests of an artifact that is an index are followed.
const DEEPEST: usize = 4;
/// The tags that cosign makes of a digest; whether others' entries are added to what is there.
const SUFFIXES: [(&str, bool); 3] = [(".sig", true), (".att", true), (".sbom", false)];

/// One thing that belongs to an image, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// What it belongs to: the image, or something that belongs to the image.
    pub subject: Digest,
    /// Its tag, or its digest where it refers to the subject.
    pub what: Target,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of something that was to be copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was there already.
    Present,
    /// It was not there, and is now, with the same digest.
    Copied,
    /// The other place had signatures of others: now it has both.
    Merged,
    /// It was left out.
    Skipped(String),
}

/// Copies everything that belongs to `subject`: `.sig`, `.att` and `.sbom` tags and all referrers of any type, and what belongs to
/// those. Signatures that the other place has stay there.
///
/// It may be cut off anywhere and called again: whatever is found at the other place is whole, and is not sent again. What belongs to
/// an index's children is copied by calls for these.
///
/// # Errors
///
/// When a store cannot be read or written, and when content is not what its digest says. A referrer whose blobs are not there is
/// left out: anybody may attach such a thing, and it must not hold up the image.
pub async fn copy_artifacts(
    from: &dyn Store,
    to: &dyn Store,
    subject: &Digest,
) -> Result<Vec<Copied>, ArtifactError> {
    let mut copied = Vec::new();
    let mut seen = BTreeSet::from([subject.clone()]);
    let mut waiting = VecDeque::from([subject.clone()]);
    while let Some(current) = waiting.pop_front() {
        for (suffix, merges) in SUFFIXES {
            // A digest that makes no tag has none.
            let Ok(tag) = tag_of(&current, suffix) else {
                continue;
            };
            if let Some(outcome) = copy_tag(from, to, &tag, merges).await? {
                copied.push(Copied {
                    subject: current.clone(),
                    what: Target::Tag(tag),
                    outcome,
                });
            }
        }
        let listed = from.referrers(&current).await?;
        if listed.is_empty() {
            continue;
        }
        let there: BTreeSet<Digest> = to
            .referrers(&current)
            .await?
            .into_iter()
            .map(|entry| entry.digest)
            .collect();
        if seen.len() + listed.len() > MOST {
            return Err(ArtifactError::TooMany {
                digest: subject.clone(),
                place: from.describe(),
                limit: MOST,
            });
        }
        for entry in listed {
            if !seen.insert(entry.digest.clone()) {
                continue;
            }
            let is_listed = there.contains(&entry.digest);
            let outcome = copy_referrer(from, to, &current, &entry.digest, is_listed).await?;
            if !matches!(outcome, Outcome::Skipped(_)) {
                waiting.push_back(entry.digest.clone());
            }
            copied.push(Copied {
                subject: current.clone(),
                what: Target::Digest(entry.digest),
                outcome,
            });
        }
    }
    Ok(copied)
}

/// Copies a tag; `None` if there is none.
async fn copy_tag(
    from: &dyn Store,
    to: &dyn Store,
    tag: &Tag,
    merges: bool,
) -> Result<Option<Outcome>, ArtifactError> {
    let target = Target::Tag(tag.clone());
    let raw = match from.manifest(&target).await {
        Ok(raw) => raw,
        Err(StoreError::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let there = to.resolve(&target).await?;
    if there
        .as_ref()
        .is_some_and(|there| there.digest == raw.digest)
    {
        return Ok(Some(Outcome::Present));
    }
    if there.is_some() && !merges {
        let why = "the other place has another one, which stays".to_owned();
        return Ok(Some(Outcome::Skipped(why)));
    }
    let list = match LayerList::parse(raw, &place(from, tag)) {
        Ok(list) => list,
        Err(error) => return Ok(Some(Outcome::Skipped(error.to_string()))),
    };
    if let Some(why) = copy_contents(from, to, &list.raw, 0).await? {
        return Ok(Some(Outcome::Skipped(why)));
    }
    let ensured = ensure(to, tag, &list.layers, Some(&list.raw)).await?;
    Ok(Some(match ensured {
        Ensured::Present(_) => Outcome::Present,
        Ensured::Made(made) if made.digest == list.raw.digest => Outcome::Copied,
        Ensured::Made(_) | Ensured::Grown(_) => Outcome::Merged,
    }))
}

async fn copy_referrer(
    from: &dyn Store,
    to: &dyn Store,
    subject: &Digest,
    digest: &Digest,
    is_listed: bool,
) -> Result<Outcome, ArtifactError> {
    let target = Target::Digest(digest.clone());
    if is_listed && to.resolve(&target).await?.is_some() {
        return Ok(Outcome::Present);
    }
    let raw = match from.manifest(&target).await {
        Ok(raw) => raw,
        Err(error @ (StoreError::NotFound { .. } | StoreError::BadManifest { .. })) => {
            return Ok(Outcome::Skipped(error.to_string()));
        }
        Err(error) => return Err(error.into()),
    };
    match Artifact::parse(&raw) {
        Ok(Artifact {
            subject: Some(own), ..
        }) if own.digest == *subject => {}
        Ok(_) => return Ok(Outcome::Skipped("it belongs to something else".to_owned())),
        Err(error) => return Ok(Outcome::Skipped(one_line(&error.to_string()))),
    }
    if let Some(why) = copy_contents(from, to, &raw, 0).await? {
        return Ok(Outcome::Skipped(why));
    }
    to.put_manifest(&raw, &target).await?;
    Ok(Outcome::Copied)
}

/// Copies what a manifest points to; why not, if something of it is not there.
async fn copy_contents(
    from: &dyn Store,
    to: &dyn Store,
    raw: &RawManifest,
    depth: usize,
) -> Result<Option<String>, ArtifactError> {
    let artifact = match Artifact::parse(raw) {
        Ok(artifact) => artifact,
        Err(error) => return Ok(Some(one_line(&error.to_string()))),
    };
    let mut seen = BTreeSet::new();
    for blob in &artifact.blobs {
        if !seen.insert(&blob.digest) {
            continue;
        }
        match copy_blob(from, to, blob).await {
            Ok(_) => {}
            Err(error @ StoreError::NotFound { .. }) => return Ok(Some(error.to_string())),
            Err(error) => return Err(error.into()),
        }
    }
    for child in &artifact.manifests {
        if depth == DEEPEST {
            return Ok(Some("its indexes are nested too deep".to_owned()));
        }
        if let Some(why) = Box::pin(copy_child(from, to, child, depth + 1)).await? {
            return Ok(Some(why));
        }
    }
    Ok(None)
}

async fn copy_child(
    from: &dyn Store,
    to: &dyn Store,
    child: &Descriptor,
    depth: usize,
) -> Result<Option<String>, ArtifactError> {
    let target = Target::Digest(child.digest.clone());
    if to.resolve(&target).await?.is_some() {
        return Ok(None);
    }
    let raw = match from.manifest(&target).await {
        Ok(raw) => raw,
        Err(error @ StoreError::NotFound { .. }) => return Ok(Some(error.to_string())),
        Err(error) => return Err(error.into()),
    };
    if let Some(why) = copy_contents(from, to, &raw, depth).await? {
        return Ok(Some(why));
    }
    to.put_manifest(&raw, &target).await?;
    Ok(None)
}
