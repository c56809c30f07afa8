//! Descriptors: what a manifest or index says about the blobs and manifests it points to.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::json::{Node, Object};
use crate::{Digest, OciError, Platform};

/// A pointer to content, with what is known about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// The content's media type.
    pub media_type: String,
    /// The content's digest.
    pub digest: Digest,
    /// The content's size in bytes.
    pub size: u64,
    /// Annotations on the descriptor itself.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// The platform, for manifests in an index.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// The artifact's type, for manifests of artifacts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
}

impl Descriptor {
    /// Makes a descriptor that says no more than it must.
    pub fn new(media_type: impl Into<String>, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.into(),
            digest,
            size,
            annotations: BTreeMap::new(),
            platform: None,
            artifact_type: None,
        }
    }

    /// Returns the descriptor as compact JSON, the fields in the specification's order.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self)
            .expect("strings, numbers and maps with string keys always serialise")
    }

    pub(crate) fn read(node: &Node<'_>) -> Result<Self, OciError> {
        let object = node.object()?;
        let digest_node = object.need("digest")?;
        Ok(Self {
            media_type: object
                .get("mediaType")
                .map(Node::string)
                .transpose()?
                .unwrap_or_default(),
            digest: digest_node
                .string()?
                .parse()
                .map_err(|error: OciError| digest_node.fail(error.to_string()))?,
            size: object.need("size")?.number()?,
            annotations: annotations(&object)?,
            platform: object.get("platform").map(platform).transpose()?,
            artifact_type: object.get("artifactType").map(Node::string).transpose()?,
        })
    }
}

/// The `annotations` of an object; empty when it has none.
pub(crate) fn annotations(object: &Object<'_>) -> Result<BTreeMap<String, String>, OciError> {
    let Some(node) = object.get("annotations") else {
        return Ok(BTreeMap::new());
    };
    node.map()?
        .members
        .into_iter()
        .map(|member| Ok((member.key, member.value.string()?)))
        .collect()
}

/// A platform from the fields of an object, which is a descriptor's `platform` or a whole config.
pub(crate) fn platform(node: &Node<'_>) -> Result<Platform, OciError> {
    let object = node.object()?;
    let text = |key| object.get(key).map(Node::string).transpose();
    let platform = Platform {
        os: text("os")?.unwrap_or_default(),
        architecture: text("architecture")?.unwrap_or_default(),
        variant: text("variant")?.filter(|variant| !variant.is_empty()),
        os_version: text("os.version")?.filter(|version| !version.is_empty()),
        os_features: object
            .get("os.features")
            .map(Node::strings)
            .transpose()?
            .unwrap_or_default(),
    };
    platform.check().map_err(|why| node.fail(why))?;
    Ok(platform)
}
