//! Operations that bring an image into the graph.

use std::collections::{BTreeMap, BTreeSet};

use reseal_proto::pb;

use crate::{Graph, Out, Platform, capability};

/// How a daemon that has images of its own finds one; others always ask the registry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ResolveMode {
    /// Whatever the daemon does by itself.
    #[default]
    Unset,
    /// The registry, even when the daemon has the image.
    Pull,
    /// The daemon's own image when it has one.
    PreferLocal,
}

/// What is said about an image besides its reference.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ImageOptions {
    /// Where the image is looked for.
    pub resolve_mode: ResolveMode,
    /// How many layers are used, from the bottom.
    pub layer_limit: Option<u32>,
}

impl Graph {
    /// Adds an image from a registry.
    ///
    /// `reference` is complete, as a daemon does not add a default registry or tag: `host[:port]/path@sha256:…`. A digest
    /// is best: a tag is asked for again in every solve.
    pub fn image(&mut self, reference: &str, platform: &Platform, options: ImageOptions) -> Out {
        let mut attrs = BTreeMap::new();
        let mut capabilities = BTreeSet::from([capability::IMAGE]);
        let ImageOptions {
            resolve_mode,
            layer_limit,
        } = options;
        let mut set = |name: &str, value: String| attrs.insert(name.to_owned(), value);
        match resolve_mode {
            ResolveMode::Unset => {}
            ResolveMode::Pull => {
                set("image.resolvemode", "pull".to_owned());
                capabilities.insert(capability::IMAGE_RESOLVE_MODE);
            }
            // A wish, so no capability: a daemon without images of its own may ignore it.
            ResolveMode::PreferLocal => {
                set("image.resolvemode", "local".to_owned());
            }
        }
        if let Some(limit) = layer_limit {
            set("image.layerlimit", limit.to_string());
            capabilities.insert(capability::IMAGE_LAYER_LIMIT);
        }
        self.source(
            format!("docker-image://{reference}"),
            attrs,
            platform,
            capabilities,
        )
    }

    /// Adds an image that the client serves from the content store of its session.
    ///
    /// `reference` is `local/NAME@sha256:…`; the daemon asks session `session` for store `oci:STORE`. An empty session
    /// or store is left out, and then the daemon takes the session of the solve.
    pub fn oci_layout(
        &mut self,
        reference: &str,
        session: &str,
        store: &str,
        platform: &Platform,
    ) -> Out {
        let attrs = [("oci.session", session), ("oci.store", store)]
            .into_iter()
            // Go encodes an empty map value and prost does not: never have one, or digests differ.
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        self.source(
            format!("oci-layout://{reference}"),
            attrs,
            platform,
            BTreeSet::from([capability::OCI_LAYOUT]),
        )
    }

    fn source(
        &mut self,
        identifier: String,
        attrs: BTreeMap<String, String>,
        platform: &Platform,
        capabilities: BTreeSet<&'static str>,
    ) -> Out {
        let source = pb::op::Op::Source(pb::SourceOp { identifier, attrs });
        self.add(Vec::new(), source, Some(platform), capabilities, false)
    }
}
