//! Stage 8: what was pushed is read back by digest. Nothing that this process still knows counts as proof.

use std::{collections::BTreeMap, io::Read};

use reseal_oci::{
    Descriptor, Digest, ImageManifest, Index, PatchLayer, RawManifest,
    layer::{EntryKind, LayerError, Meaning, Visited, visit},
};
use reseal_pkg::dpkg::Database;
use reseal_registry::{Store, Target};
use sha2::{Digest as _, Sha256};

use crate::{
    error::PipelineError,
    facts::{self, DATABASE_LIMIT, DPKG_STATUS},
    patch_layer::{LIST_LIMIT, list_stem},
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
    /// dpkg's lists of the changed packages, by their names under `info/`; only then too.
    pub lists: Vec<(String, Vec<u8>)>,
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
    contents_of(store, top, platform, hash).await
}

/// Reads the database and the lists of files out of a layer; `hash` asks for the digests of files.
///
/// # Errors
/// [`PipelineError::Verification`] when the layer has no database.
pub(crate) async fn contents_of(
    store: &dyn Store,
    layer: &Descriptor,
    platform: &str,
    hash: bool,
) -> Result<ReadBack, PipelineError> {
    let Contents {
        status,
        files,
        lists,
    } = facts::stream_layer(store, layer, platform, move |tar| contents(tar, hash)).await?;
    let status = status.ok_or_else(|| {
        PipelineError::Verification(format!(
            "the patch layer of {platform} has no package database"
        ))
    })?;
    let database = Database::parse(&status).map_err(|source| PipelineError::Package {
        platform: platform.to_owned(),
        source,
    })?;
    Ok(ReadBack {
        database,
        files,
        lists,
    })
}

/// What is read out of a layer.
#[derive(Default)]
struct Contents {
    status: Option<Vec<u8>>,
    files: BTreeMap<String, [u8; 32]>,
    lists: Vec<(String, Vec<u8>)>,
}

/// Reads the package database out of a layer, and with `hash` the digests of all files and dpkg's lists of them.
fn contents(tar: &mut dyn Read, hash: bool) -> Result<Contents, LayerError> {
    let mut out = Contents::default();
    visit(tar, Meaning::Layer, &mut |member, contents| {
        let path = member.path;
        match member.kind {
            EntryKind::File if path == DPKG_STATUS => {
                out.status = Some(bounded(member, contents, DATABASE_LIMIT)?);
            }
            EntryKind::File if hash && list_stem(path).is_some() => {
                let bytes = bounded(member, contents, LIST_LIMIT)?;
                out.lists
                    .extend(list_stem(path).map(|stem| (stem.to_owned(), bytes)));
            }
            EntryKind::File if hash => {
                let mut hasher = Sha256::new();
                std::io::copy(contents, &mut hasher).map_err(LayerError::Read)?;
                out.files.insert(path.to_owned(), hasher.finalize().into());
            }
            EntryKind::Hardlink if hash => {
                let first = member.link.and_then(|first| out.files.get(first).copied());
                out.files
                    .extend(first.map(|digest| (path.to_owned(), digest)));
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(out)
}

fn bounded(
    member: &Visited<'_>,
    contents: &mut dyn Read,
    limit: u64,
) -> Result<Vec<u8>, LayerError> {
    if member.size > limit {
        return Err(LayerError::TooLarge {
            path: member.path.to_owned(),
            size: member.size,
            limit,
        });
    }
    let mut bytes = Vec::new();
    contents.read_to_end(&mut bytes).map_err(LayerError::Read)?;
    Ok(bytes)
}
