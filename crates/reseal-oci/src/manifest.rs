//! Image manifests, as the bytes that a registry serves.

use std::collections::BTreeMap;

use crate::descriptor::annotations;
use crate::error::shown;
use crate::json::{Node, Object};
use crate::media::{DOCKER_CONFIG, OCI_CONFIG, OCI_INDEX, OCI_MANIFEST};
use crate::{Descriptor, Digest, Family, Kind, MANIFEST_LIMIT, OciError};

/// A manifest of any kind: its media type and its bytes, which are its identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawManifest {
    /// The media type, without parameters.
    pub media_type: String,
    /// The bytes that were hashed and are sent.
    pub bytes: Vec<u8>,
    /// The SHA-256 digest of the bytes.
    pub digest: Digest,
}

impl RawManifest {
    /// Wraps the bytes of a manifest.
    ///
    /// Where the given media type says nothing (empty, `application/json`, …) the document's own `mediaType` is taken,
    /// or what its shape says.
    pub fn new(media_type: impl Into<String>, bytes: Vec<u8>) -> Self {
        let given = media_type.into();
        let given = given.split(';').next().unwrap_or_default().trim();
        let generic = matches!(
            given,
            "" | "application/json" | "text/plain" | "application/octet-stream" | "text/json"
        );
        let media_type = generic
            .then(|| sniff(&bytes))
            .flatten()
            .unwrap_or_else(|| given.to_owned());
        Self {
            digest: Digest::of(&bytes),
            media_type,
            bytes,
        }
    }

    /// Returns what the media type says that it is.
    pub fn kind(&self) -> Kind {
        Kind::of(&self.media_type)
    }

    /// Returns a descriptor of it that says no more than it must.
    pub fn descriptor(&self) -> Descriptor {
        Descriptor::new(
            self.media_type.clone(),
            self.digest.clone(),
            self.bytes.len() as u64,
        )
    }

    /// The document's root, checked to be of the wanted kind and to mean one thing only.
    pub(crate) fn root(&self, what: &'static str, wanted: Kind) -> Result<Object<'_>, OciError> {
        if self.kind() != wanted {
            return Err(OciError::MediaType {
                what,
                media_type: shown(&self.media_type),
            });
        }
        let root = Node::document(what, &self.bytes, MANIFEST_LIMIT)?.object()?;
        if let Some(node) = root.get("mediaType")
            && node.string()? != self.media_type
        {
            return Err(node.fail(format!(
                "it does not agree with the type `{}` it came with",
                shown(&self.media_type)
            )));
        }
        // A document that is an index to one reader and an image to another has no single meaning.
        let foreign = if wanted == Kind::Index {
            ["layers", "config", "fsLayers"]
        } else {
            ["manifests", "", "fsLayers"]
        };
        match foreign.iter().find_map(|key| root.get(key)) {
            Some(node) => Err(node.fail(format!("it does not belong into an {what}"))),
            None => Ok(root),
        }
    }
}

fn sniff(bytes: &[u8]) -> Option<String> {
    let root = Node::document("manifest", bytes, MANIFEST_LIMIT)
        .ok()?
        .object()
        .ok()?;
    match root.get("mediaType") {
        Some(node) => node.string().ok(),
        None if root.get("manifests").is_some() => Some(OCI_INDEX.to_owned()),
        None if root.get("config").and(root.get("layers")).is_some() => {
            Some(OCI_MANIFEST.to_owned())
        }
        None => None,
    }
}

/// An image manifest that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageManifest {
    /// The bytes it was read from.
    pub raw: RawManifest,
    /// The image's config.
    pub config: Descriptor,
    /// The layers, the lowest first.
    pub layers: Vec<Descriptor>,
    /// The manifest's annotations.
    pub annotations: BTreeMap<String, String>,
}

impl ImageManifest {
    /// Reads an OCI or Docker schema 2 image manifest.
    pub fn parse(raw: &RawManifest) -> Result<Self, OciError> {
        let root = raw.root("image manifest", Kind::Image)?;
        let config = Descriptor::read(root.need("config")?)?;
        let layers = match root.get("layers") {
            Some(node) => node
                .array()?
                .iter()
                .map(Descriptor::read)
                .collect::<Result<_, _>>()?,
            None => Vec::new(),
        };
        let annotations = annotations(&root)?;
        Ok(Self {
            config,
            layers,
            annotations,
            raw: raw.clone(),
        })
    }

    /// Returns the media type family, by the manifest's own type.
    pub fn family(&self) -> Family {
        Family::of(&self.raw.media_type).unwrap_or(Family::Oci)
    }

    /// Tells whether it is a container image, not an artifact or attestation that has the same kind of manifest.
    ///
    /// `BuildKit`'s attestations do have an image config; [`crate::Index::attestation_of`] tells them apart.
    pub fn is_container_image(&self) -> bool {
        matches!(self.config.media_type.as_str(), OCI_CONFIG | DOCKER_CONFIG)
    }
}
