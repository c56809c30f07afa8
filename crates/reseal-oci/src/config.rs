//! Image configs.

use crate::descriptor::platform;
use crate::json::Node;
use crate::{CONFIG_LIMIT, Digest, OciError, Platform};

/// An image config that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageConfig {
    /// The bytes it was read from.
    pub bytes: Vec<u8>,
    /// The platform it says it is for; fields that are missing are empty.
    pub platform: Platform,
    /// The digests of the uncompressed layers, the lowest first.
    pub diff_ids: Vec<Digest>,
    /// When the image was made, as written.
    pub created: Option<String>,
    /// The environment, `NAME=value`.
    pub env: Vec<String>,
    /// The user that the image runs as; empty for root.
    pub user: String,
}

pub(crate) const WHAT: &str = "image config";

impl ImageConfig {
    /// Reads an OCI or Docker image config.
    pub fn parse(bytes: impl Into<Vec<u8>>) -> Result<Self, OciError> {
        let bytes = bytes.into();
        let node = Node::document(WHAT, &bytes, CONFIG_LIMIT)?;
        let root = node.object()?;
        let diff_ids = match root.need("rootfs")?.object()?.get("diff_ids") {
            Some(ids) => ids.array()?.iter().map(diff_id).collect::<Result<_, _>>()?,
            None => Vec::new(),
        };
        let run = root.get("config").map(Node::object).transpose()?;
        let field = |key| run.as_ref().and_then(|run| run.get(key));
        let env = field("Env")
            .map(Node::strings)
            .transpose()?
            .unwrap_or_default();
        let user = field("User")
            .map(Node::string)
            .transpose()?
            .unwrap_or_default();
        let created = root.get("created").map(Node::string).transpose()?;
        let platform = platform(&node)?;
        Ok(Self {
            bytes,
            platform,
            diff_ids,
            created,
            env,
            user,
        })
    }
}

fn diff_id(node: &Node<'_>) -> Result<Digest, OciError> {
    node.string()?
        .parse()
        .map_err(|error: OciError| node.fail(error.to_string()))
}
