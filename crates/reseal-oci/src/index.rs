//! Image indexes and Docker manifest lists.

use std::collections::BTreeMap;

use crate::descriptor::annotations;
use crate::{Descriptor, Digest, Family, Kind, OciError, RawManifest, annotation};

/// An index that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// The bytes it was read from.
    pub raw: RawManifest,
    /// What it lists, in its order.
    pub children: Vec<Descriptor>,
    /// The index's annotations.
    pub annotations: BTreeMap<String, String>,
}

impl Index {
    /// Reads an OCI index or a Docker manifest list.
    pub fn parse(raw: &RawManifest) -> Result<Self, OciError> {
        let root = raw.root("image index", Kind::Index)?;
        let children = match root.get("manifests") {
            Some(node) => node
                .array()?
                .iter()
                .map(Descriptor::read)
                .collect::<Result<_, _>>()?,
            None => Vec::new(),
        };
        let annotations = annotations(&root)?;
        Ok(Self {
            children,
            annotations,
            raw: raw.clone(),
        })
    }

    /// Returns the media type family, by the index's own type.
    pub fn family(&self) -> Family {
        Family::of(&self.raw.media_type).unwrap_or(Family::Oci)
    }

    /// Returns the digest of the manifest that the child at this position attests to; `None` for other children.
    pub fn attestation_of(&self, position: usize) -> Option<Digest> {
        attested(self.children.get(position)?)
    }
}

/// What a descriptor attests to, by the annotations that `BuildKit` sets.
pub(crate) fn attested(child: &Descriptor) -> Option<Digest> {
    let kind = child.annotations.get(annotation::REFERENCE_TYPE)?;
    let digest = child.annotations.get(annotation::REFERENCE_DIGEST)?;
    (kind == annotation::ATTESTATION_MANIFEST)
        .then(|| digest.parse().ok())
        .flatten()
}
