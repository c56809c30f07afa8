//! Stage 8: what was pushed is read back by digest. Nothing that this process still knows counts as proof.

use std::{collections::BTreeMap, io::Read};

use reseal_oci::{
    Digest, ImageManifest, Index, PatchLayer, RawManifest,
    layer::{EntryKind, LayerError, Meaning, visit},
};
use reseal_pkg::dpkg::Database;
use reseal_registry::{Store, Target};
use sha2::{Digest as _, Sha256};

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

/// What the pushed patch layer of a platform holds.
pub(crate) struct ReadBack {
    /// The package database.
    pub database: Database,
    /// The SHA-256 of its files by path; only if files are to be compared.
    pub files: BTreeMap<String, [u8; 32]>,
}

/// Reads the pushed patch layer of one platform. `root` is what was read back of the index, or of the manifest where there
/// is no index; `hash` asks for the digests of files.
///
/// # Errors
/// [`PipelineError::Verification`] when the root does not list the manifest, the manifest does not end in the layer,
/// or the layer has no database.
pub(crate) async fn layer(
    store: &dyn Store,
    root: &RawManifest,
    patched: &Digest,
    layer: &PatchLayer,
    platform: &str,
    hash: bool,
) -> Result<ReadBack, PipelineError> {
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
    let (status, files) =
        facts::stream_layer(store, top, platform, move |tar| contents(tar, hash)).await?;
    let status = status.ok_or_else(|| {
        PipelineError::Verification(format!(
            "the patch layer of {platform} has no package database"
        ))
    })?;
    let database = Database::parse(&status).map_err(|source| PipelineError::Package {
        platform: platform.to_owned(),
        source,
    })?;
    Ok(ReadBack { database, files })
}

type Contents = (Option<Vec<u8>>, BTreeMap<String, [u8; 32]>);

/// Reads the package database out of a layer, and hashes all files if asked to.
fn contents(tar: &mut dyn Read, hash: bool) -> Result<Contents, LayerError> {
    let (mut status, mut files) = (None, BTreeMap::new());
    visit(tar, Meaning::Layer, &mut |member, contents| {
        let path = member.path;
        match member.kind {
            EntryKind::File if path == DPKG_STATUS => {
                if member.size > DATABASE_LIMIT {
                    return Err(LayerError::TooLarge {
                        path: path.to_owned(),
                        size: member.size,
                        limit: DATABASE_LIMIT,
                    });
                }
                let mut bytes = Vec::new();
                contents.read_to_end(&mut bytes).map_err(LayerError::Read)?;
                status = Some(bytes);
            }
            EntryKind::File if hash => {
                let mut hasher = Sha256::new();
                std::io::copy(contents, &mut hasher).map_err(LayerError::Read)?;
                files.insert(path.to_owned(), hasher.finalize().into());
            }
            EntryKind::Hardlink if hash => {
                let first = member.link.and_then(|first| files.get(first).copied());
                files.extend(first.map(|digest| (path.to_owned(), digest)));
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok((status, files))
}
