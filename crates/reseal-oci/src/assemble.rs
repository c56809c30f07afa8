//! Rebuilds an index around the manifests that changed.

use std::collections::{BTreeMap, BTreeSet};

use crate::append::{annotate, point_to};
use crate::index::attested;
use crate::json::{Edits, Node};
use crate::{Descriptor, Digest, Index, Kind, OciError, RawManifest};

/// A rebuilt index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assembled {
    /// The new index, of the same media type.
    pub index: RawManifest,
    /// The attestations of manifests that were replaced: they are about something else now.
    pub dropped: Vec<Descriptor>,
    /// What was neither replaced nor dropped.
    pub kept: Vec<Descriptor>,
}

/// Rebuilds the original index with replacements by the original child's digest.
///
/// A replaced descriptor gets the new digest and size and loses embedded `data`; its platform, annotations, artifact type
/// and fields unknown here stay. All other descriptors, their order and the rest of the index keep their bytes, but for the
/// attestation manifests of replaced children, which are dropped, and the annotations that are added (to Docker's
/// lists too: their readers pass over them, and a later run finds its base by them).
///
/// # Errors
///
/// When the index does not list a digest that is to be replaced, or lists it with another media type.
pub fn assemble(
    index: &Index,
    replacements: &BTreeMap<Digest, Descriptor>,
    annotations: &BTreeMap<String, String>,
) -> Result<Assembled, OciError> {
    if let Some(digest) = replacements
        .keys()
        .find(|&digest| index.children.iter().all(|child| child.digest != *digest))
    {
        return Err(OciError::NotInIndex {
            digest: digest.clone(),
        });
    }
    let root = index.raw.root("image index", Kind::Index)?;
    let mut edits = Edits::new(&index.raw.bytes);
    let items = root
        .get("manifests")
        .map(Node::array)
        .transpose()?
        .unwrap_or_default();
    let (mut dropped, mut kept, mut gone) = (Vec::new(), Vec::new(), BTreeSet::new());
    for (i, item) in items.iter().enumerate() {
        let child = Descriptor::read(item)?;
        if let Some(new) = replacements.get(&child.digest) {
            if new.media_type != child.media_type {
                let (old, new) = (child.media_type, new.media_type.clone());
                return Err(OciError::ReplacementType {
                    digest: child.digest,
                    old,
                    new,
                });
            }
            point_to(&mut edits, &item.object()?, new);
        } else if attested(&child).is_some_and(|digest| replacements.contains_key(&digest)) {
            gone.insert(i);
            dropped.push(child);
        } else {
            kept.push(child);
        }
    }
    edits.remove_items(&items, &gone);
    annotate(&mut edits, &root, annotations)?;
    let index = RawManifest::new(index.raw.media_type.clone(), edits.apply());
    Ok(Assembled {
        index,
        dropped,
        kept,
    })
}
