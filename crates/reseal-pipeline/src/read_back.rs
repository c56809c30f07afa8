//! Stage 8: what was pushed is read back by digest. Nothing that this process still knows counts as proof.

use reseal_oci::{
    Digest, ImageManifest, Index, PatchLayer, RawManifest,
    layer::{LayerFiles, Wanted},
};
use reseal_pkg::dpkg::Database;
use reseal_registry::{Store, Target};

use crate::{
    error::PipelineError,
    facts::{self, DATABASE_LIMIT, DPKG_STATUS},
    source::store_error,
};

/// Fetches a manifest or index by digest, as anybody else would.
pub(crate) async fn manifest(
    store: &dyn Store,
    digest: &Digest,
) -> Result<RawManifest, PipelineError> {
    store
        .manifest(&Target::Digest(digest.clone()))
        .await
        .map_err(store_error(format!("read back the manifest {digest}")))
}

/// Reads one platform's package database from the pushed patch layer. `root` is what was read back of the index, or of
/// the manifest where there is no index.
///
/// # Errors
/// [`PipelineError::Verification`] when the root does not list the manifest, the manifest does not end in the layer,
/// or the layer has no database.
pub(crate) async fn database(
    store: &dyn Store,
    root: &RawManifest,
    patched: &Digest,
    layer: &PatchLayer,
    platform: &str,
) -> Result<Database, PipelineError> {
    let raw = if root.digest == *patched {
        root.clone()
    } else if Index::parse(root)?
        .children
        .iter()
        .any(|child| child.digest == *patched)
    {
        manifest(store, patched).await?
    } else {
        return Err(PipelineError::Verification(format!(
            "the index {} does not list {patched} of {platform}",
            root.digest
        )));
    };
    let manifest = ImageManifest::parse(&raw)?;
    let top = manifest
        .layers
        .last()
        .filter(|top| top.digest == layer.digest)
        .ok_or_else(|| {
            PipelineError::Verification(format!(
                "the manifest {} does not end in the patch layer {}",
                raw.digest, layer.digest
            ))
        })?;
    let wanted = Wanted {
        exact: vec![DPKG_STATUS.to_owned()],
        prefixes: Vec::new(),
        limit: DATABASE_LIMIT,
    };
    let LayerFiles { files, .. } = facts::read_layer(store, top, wanted, platform).await?;
    let status = files.get(DPKG_STATUS).ok_or_else(|| {
        PipelineError::Verification(format!(
            "the patch layer of {platform} has no package database"
        ))
    })?;
    Database::parse(status).map_err(|source| PipelineError::Package {
        platform: platform.to_owned(),
        source,
    })
}
