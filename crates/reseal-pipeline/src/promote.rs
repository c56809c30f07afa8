//! Promotion: a digest that is signed and verified is copied to where it runs, and its tags move last.

use std::sync::Arc;

use reseal_oci::{Digest, Location, RawManifest, Tag};
use reseal_registry::{Registries, Store, Target};
use reseal_sign::store::copy_artifacts;
use serde::{Deserialize, Serialize};

use crate::{
    error::PipelineError,
    event::{Event, Events, Stage},
    outcome::Pinned,
    proof::{Proof, Requirement, Trust, prove},
    publish::{Route, copy_root},
    source::{open, store_error},
};

/// The schema name of the result and of the record.
pub const PROMOTION_SCHEMA: &str = "reseal.dev/promotion/v1";

/// Settings of `promote`.
#[derive(Debug, Clone)]
pub struct PromoteSettings {
    /// The image; it names a digest. A tag beside it must still mean that digest.
    pub source: Location,
    /// Where it goes; it names the first tag that moves.
    pub destination: Location,
    /// Floating tags that move after the first one, in this order.
    pub also: Vec<Tag>,
    /// What must be proved.
    pub require: Vec<Requirement>,
    /// Whose proofs count.
    pub trust: Trust,
}

/// The result of `promote`. `rollback` reads it back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promotion {
    /// Always [`PROMOTION_SCHEMA`].
    pub schema: String,
    /// What was promoted.
    pub source: Pinned,
    /// Where it is now.
    pub promoted: Pinned,
    /// Every tag, in the order in which it moved.
    pub tags: Vec<MovedTag>,
    /// What was proved before.
    #[serde(skip_deserializing)]
    pub proofs: Vec<Proof>,
}

/// A tag, before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovedTag {
    /// The tag.
    pub tag: Tag,
    /// What it meant before; `None`: it was not there.
    pub previous: Option<Digest>,
    /// Whether this run changed it.
    pub moved: bool,
}

/// Promotes an image. Until the last step no tag has changed; running it again changes nothing.
///
/// # Errors
/// [`PipelineError::Promotion`] and [`PipelineError::Unproved`] when it is refused; those of stores.
pub async fn promote(
    settings: &PromoteSettings,
    registries: &Registries,
    events: &Events,
) -> Result<Promotion, PipelineError> {
    events.send(Event::Started(Stage::Resolve, None));
    let from = open(&settings.source, registries, false)?.0;
    let (digest, tag) = pinned(&settings.source)?;
    not_moved(from.as_ref(), tag, digest).await?;
    let root = from
        .manifest(&Target::Digest(digest.clone()))
        .await
        .map_err(store_error(format!("fetch the manifest {digest}")))?;
    events.send(Event::Finished(Stage::Resolve, None));

    events.send(Event::Started(Stage::Prove, None));
    let proofs = prove(from.as_ref(), digest, &settings.require, &settings.trust)
        .await
        .map_err(PipelineError::refuse)?;
    events.send(Event::Finished(Stage::Prove, None));

    let to = open(&settings.destination, registries, true)?.0;
    let same = name(&settings.source) == name(&settings.destination);
    events.send(Event::Started(Stage::Push, None));
    copy(&from, &to, same, &root).await?;
    events.send(Event::Finished(Stage::Push, None));

    // Copying takes a while: the tag that was checked at the start may have moved meanwhile.
    not_moved(from.as_ref(), tag, digest).await?;
    events.send(Event::Started(Stage::Tag, None));
    let first = first_tag(&settings.destination)?;
    let mut tags = Vec::new();
    for tag in std::iter::once(first).chain(&settings.also) {
        tags.push(move_tag(to.as_ref(), &root, tag).await?);
    }
    events.send(Event::Finished(Stage::Tag, None));
    Ok(Promotion {
        schema: PROMOTION_SCHEMA.to_owned(),
        source: Pinned {
            reference: name(&settings.source),
            digest: digest.clone(),
        },
        promoted: Pinned {
            reference: name(&settings.destination),
            digest: digest.clone(),
        },
        tags,
        proofs,
    })
}

/// Returns the digest that a promotion starts from, and the tag beside it.
pub(crate) fn pinned(source: &Location) -> Result<(&Digest, Option<&Tag>), PipelineError> {
    let (digest, tag) = match source {
        Location::Registry(reference) => (&reference.digest, &reference.tag),
        Location::Layout { digest, tag, .. } => (digest, tag),
    };
    let digest = digest.as_ref().ok_or_else(|| PipelineError::Usage {
        message: format!("`{source}` has no digest, and a tag may mean something else tomorrow"),
        hint: Some("Name the image by digest, as `reseal patch` prints it".into()),
    })?;
    Ok((digest, tag.as_ref()))
}

fn first_tag(destination: &Location) -> Result<&Tag, PipelineError> {
    match destination {
        Location::Registry(reference) => reference.tag.as_ref(),
        Location::Layout { tag, .. } => tag.as_ref(),
    }
    .ok_or_else(|| PipelineError::Usage {
        message: format!("`{destination}` names no tag"),
        hint: Some("Name the tag that moves, as in `registry.example/shop/cart:1.4`".into()),
    })
}

/// Returns a place without tag and digest.
pub(crate) fn name(location: &Location) -> String {
    match location {
        Location::Registry(reference) => reference.repository.to_string(),
        Location::Layout { path, .. } => format!("oci:{}", path.display()),
    }
}

async fn not_moved(
    store: &dyn Store,
    tag: Option<&Tag>,
    digest: &Digest,
) -> Result<(), PipelineError> {
    let Some(tag) = tag else { return Ok(()) };
    let now = current(store, tag).await?;
    if now.as_ref() == Some(digest) {
        return Ok(());
    }
    Err(PipelineError::Promotion {
        message: format!(
            "The tag `{tag}` of {} is {}, not {digest}",
            store.describe(),
            now.map_or_else(|| "gone".to_owned(), |now| now.to_string())
        ),
        hint: "Verify and promote what the tag means now, or name the digest alone".into(),
    })
}

/// Returns what a tag means now.
pub(crate) async fn current(store: &dyn Store, tag: &Tag) -> Result<Option<Digest>, PipelineError> {
    let found = store
        .resolve(&Target::Tag(tag.clone()))
        .await
        .map_err(store_error(format!(
            "read the tag `{tag}` of {}",
            store.describe()
        )))?;
    Ok(found.map(|descriptor| descriptor.digest))
}

/// Copies the image and all that belongs to it, by digest.
async fn copy(
    from: &Arc<dyn Store>,
    to: &Arc<dyn Store>,
    same: bool,
    root: &RawManifest,
) -> Result<(), PipelineError> {
    if same {
        return Ok(());
    }
    let route = Route { from, to, same };
    copy_root(&route, root).await?;
    for digest in with_children(root)? {
        copy_artifacts(from.as_ref(), to.as_ref(), &digest)
            .await
            .map_err(|source| PipelineError::Artifacts {
                action: format!("copy the signatures of {digest} to {}", to.describe()),
                source,
            })?;
    }
    let there = to
        .manifest(&Target::Digest(root.digest.clone()))
        .await
        .map_err(store_error(format!(
            "read {} back from {}",
            root.digest,
            to.describe()
        )))?;
    if there.bytes != root.bytes {
        return Err(PipelineError::Promotion {
            message: format!(
                "{} has other bytes under {} than were sent",
                to.describe(),
                root.digest
            ),
            hint: "Do not trust this registry: a digest names its bytes".into(),
        });
    }
    Ok(())
}

/// Returns the digest of an image, and those of the images that an index lists.
fn with_children(root: &RawManifest) -> Result<Vec<Digest>, PipelineError> {
    let mut digests = vec![root.digest.clone()];
    if root.kind() == reseal_oci::Kind::Index {
        let index = reseal_oci::Index::parse(root)?;
        digests.extend(index.children.into_iter().map(|child| child.digest));
    }
    Ok(digests)
}

/// Moves a tag, unless it means the image already.
pub(crate) async fn move_tag(
    store: &dyn Store,
    root: &RawManifest,
    tag: &Tag,
) -> Result<MovedTag, PipelineError> {
    let previous = current(store, tag).await?;
    let moved = previous.as_ref() != Some(&root.digest);
    if moved {
        store
            .put_manifest(root, &Target::Tag(tag.clone()))
            .await
            .map_err(store_error(format!(
                "tag {} as `{tag}` in {}",
                root.digest,
                store.describe()
            )))?;
    }
    Ok(MovedTag {
        tag: tag.clone(),
        previous,
        moved,
    })
}
