//! Where a result goes, and under which name.

use std::sync::Arc;

use reseal_oci::{Digest, Location, Tag};
use reseal_registry::{Registries, Store};

use crate::{
    error::PipelineError,
    outcome::Pinned,
    settings::PatchSettings,
    source::{Source, open},
};

/// Where the result goes.
pub(crate) struct Destination {
    /// Its store.
    pub store: Arc<dyn Store>,
    /// Whether it is the source's own repository or layout.
    pub same: bool,
    /// As the result names it, without tag or digest.
    pub name: String,
    /// The tag that moves last.
    pub tag: Option<Tag>,
}

impl Destination {
    pub(crate) fn new(
        settings: &PatchSettings,
        source: &Source,
        registries: &Registries,
    ) -> Result<Self, PipelineError> {
        let place = |location: &Location| match location {
            Location::Registry(reference) => reference.repository.to_string(),
            Location::Layout { path, .. } => format!("oci:{}", path.display()),
        };
        let to = settings.to.as_ref().unwrap_or(&settings.input.source);
        let same = place(to) == place(&settings.input.source);
        let named = match &settings.to {
            Some(Location::Registry(reference)) => reference.tag.clone(),
            Some(Location::Layout { tag, .. }) => tag.clone(),
            None => None,
        };
        // An image that a layout's index does not list cannot be found in it: it always gets a name.
        let in_layout = matches!(to, Location::Layout { .. });
        let fallback = || in_layout.then(|| "patched".parse().expect("`patched` is a tag"));
        let explicit = settings.to.is_some() && !same;
        let named = if explicit || in_layout { named } else { None };
        let tag = settings.tag.clone().or(named).or_else(fallback);
        if same && tag.is_some() && tag == source.tag {
            return Err(PipelineError::Usage {
                message: format!(
                    "`{}` is the tag of the source, which is never moved",
                    source.name
                ),
                hint: Some("Choose another tag with `-t`, such as `-t '{{tag}}-patched'`".into()),
            });
        }
        let store = if same {
            source.store.clone()
        } else {
            open(to, registries, true)?.0
        };
        Ok(Self {
            store,
            same,
            name: place(to),
            tag,
        })
    }

    pub(crate) fn pinned(&self, digest: &Digest) -> Pinned {
        let name = &self.name;
        Pinned {
            reference: self
                .tag
                .as_ref()
                .map_or_else(|| name.clone(), |tag| format!("{name}:{tag}")),
            digest: digest.clone(),
        }
    }
}
