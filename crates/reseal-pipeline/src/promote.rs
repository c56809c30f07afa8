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

impl Promotion {
    /// Takes over what an earlier run of the same promotion recorded, if `earlier` is one: a tag that the earlier run moved is
    /// there already for the one that goes on, and only the earlier one knows what it meant before.
    #[must_use]
    pub fn going_on_from(&self, earlier: &Self) -> Self {
        if self.promoted != earlier.promoted {
            return self.clone();
        }
        let mut tags = earlier.tags.clone();
        for tag in &self.tags {
            match tags.iter_mut().find(|known| known.tag == tag.tag) {
                Some(known) if tag.moved => *known = tag.clone(),
                Some(_) => {}
                None => tags.push(tag.clone()),
            }
        }
        Self {
            tags,
            ..self.clone()
        }
    }
}

/// A tag, before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovedTag {
    /// The tag.
    pub tag: Tag,
    /// What it meant before; `None`: it was not there.
    pub previous: Option<Digest>,
    /// Whether this run changes it.
    pub moved: bool,
}

/// Keeps what a promotion is about to do.
pub type Record<'a> = &'a (dyn Fn(&Promotion) -> Result<(), PipelineError> + Sync);

/// Promotes an image. Until the last step no tag has changed; running it again changes nothing. `record` is called when
/// everything is there and no tag has moved yet: a run that dies between two tags can still be taken back.
///
/// # Errors
/// [`PipelineError::Promotion`] and [`PipelineError::NotPromoted`] when it is refused; those of stores.
pub async fn promote(
    settings: &PromoteSettings,
    registries: &Registries,
    record: Record<'_>,
    events: &Events,
) -> Result<Promotion, PipelineError> {
    events.send(Event::Started(Stage::Resolve, None));
    let (digest, tag) = pinned(&settings.source)?;
    let first = first_tag(&settings.destination)?;
    let from = open(&settings.source, registries, false)?.0;
    not_moved(from.as_ref(), tag, digest).await?;
    let root = from
        .manifest(&Target::Digest(digest.clone()))
        .await
        .map_err(store_error(format!("fetch the manifest {digest}")))
        .map_err(|error| error.tampered(digest))?;
    events.send(Event::Finished(Stage::Resolve, None));

    events.send(Event::Started(Stage::Prove, None));
    let proofs = prove(from.as_ref(), digest, &settings.require, &settings.trust)
        .await
        .map_err(PipelineError::refuse)?;
    events.send(Event::Finished(Stage::Prove, None));

    let to = open(&settings.destination, registries, true)?.0;
    let same = name(&settings.source) == name(&settings.destination);
    events.send(Event::Started(Stage::Push, None));
    copy(&from, &to, same, &root)
        .await
        .map_err(|error| error.tampered(digest))?;
    if !same {
        // What cannot be read any more is left out of a copy: what was proved has to be there too.
        prove(to.as_ref(), digest, &settings.require, &settings.trust)
            .await
            .map_err(PipelineError::refuse)?;
    }
    events.send(Event::Finished(Stage::Push, None));

    // Copying takes a while: the tag that was checked at the start may have moved meanwhile.
    not_moved(from.as_ref(), tag, digest).await?;
    events.send(Event::Started(Stage::Tag, None));
    let mut tags: Vec<MovedTag> = Vec::new();
    for tag in std::iter::once(first).chain(&settings.also) {
        if tags.iter().all(|one| one.tag != *tag) {
            tags.push(next_step(to.as_ref(), &root, tag).await?);
        }
    }
    let promotion = Promotion {
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
    };
    record(&promotion)?;
    for step in &promotion.tags {
        take_step(to.as_ref(), &root, step).await?;
    }
    events.send(Event::Finished(Stage::Tag, None));
    Ok(promotion)
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
    // A manifest goes last: where it is, everything that it lists is.
    let there = to
        .resolve(&Target::Digest(root.digest.clone()))
        .await
        .map_err(store_error(format!(
            "look for {} in {}",
            root.digest,
            to.describe()
        )))?;
    if there.is_none() {
        let route = Route { from, to, same };
        copy_root(&route, root).await?;
    }
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

/// Returns what is to be done about a tag: nothing, if it means the image already.
pub(crate) async fn next_step(
    store: &dyn Store,
    root: &RawManifest,
    tag: &Tag,
) -> Result<MovedTag, PipelineError> {
    let previous = current(store, tag).await?;
    Ok(MovedTag {
        tag: tag.clone(),
        moved: previous.as_ref() != Some(&root.digest),
        previous,
    })
}

/// Moves a tag, if that is to be done.
pub(crate) async fn take_step(
    store: &dyn Store,
    root: &RawManifest,
    step: &MovedTag,
) -> Result<(), PipelineError> {
    if !step.moved {
        return Ok(());
    }
    store
        .put_manifest(root, &Target::Tag(step.tag.clone()))
        .await
        .map_err(store_error(format!(
            "tag {} as `{}` in {}",
            root.digest,
            step.tag,
            store.describe()
        )))
}
