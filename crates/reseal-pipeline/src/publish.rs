//! Stage 7: everything is pushed by digest; no tag yet, and no base blob moves that need not.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use reseal_oci::{Descriptor, Digest, ImageManifest, Index, Kind, PatchedImage, RawManifest};
use reseal_registry::{BlobSource, Store, StoreError, Target, copy_blob};

use crate::{error::PipelineError, source::store_error};

/// Blobs that are on their way at the same time.
const PARALLEL: usize = 4;

/// One platform's new content.
pub(crate) struct Pushable {
    /// Manifest and configuration.
    pub image: PatchedImage,
    /// The compressed layer.
    pub blob: PathBuf,
}

/// Where images come from and where they go.
pub(crate) struct Route<'a> {
    /// The source.
    pub from: &'a Arc<dyn Store>,
    /// The destination.
    pub to: &'a Arc<dyn Store>,
    /// Whether both are the same repository or layout, so that base content is there already.
    pub same: bool,
}

/// Pushes patched platforms and the root that names them. `patched` goes by the digest of the base manifest. `base` is
/// the index or manifest that was patched: it comes along to another place, because a later patch starts from it.
pub(crate) async fn publish(
    route: &Route<'_>,
    patched: &BTreeMap<Digest, Pushable>,
    base: &RawManifest,
    root: &RawManifest,
) -> Result<(), PipelineError> {
    copy_root(route, base).await?;
    stream::iter(patched.values().map(Ok::<_, PipelineError>))
        .try_for_each_concurrent(PARALLEL, |platform| push_platform(route, platform, root))
        .await?;
    if root.kind() == Kind::Index && !route.same {
        let base: Vec<Descriptor> = match base.kind() {
            Kind::Index => Index::parse(base)?.children,
            _ => Vec::new(),
        };
        let there: Vec<&Digest> = patched
            .values()
            .map(|platform| &platform.image.manifest.digest)
            .chain(base.iter().map(|child| &child.digest))
            .collect();
        for child in Index::parse(root)?
            .children
            .iter()
            .filter(|child| !there.contains(&&child.digest))
        {
            copy_manifest(route, child).await?;
        }
    }
    put_manifest(route.to.as_ref(), root).await
}

/// Copies an image or index as it is, by digest.
pub(crate) async fn copy_root(route: &Route<'_>, root: &RawManifest) -> Result<(), PipelineError> {
    if route.same {
        return Ok(());
    }
    Box::pin(copy_raw(route, root)).await
}

async fn push_platform(
    route: &Route<'_>,
    platform: &Pushable,
    root: &RawManifest,
) -> Result<(), PipelineError> {
    let to = route.to.as_ref();
    let layer = &platform.image.layer_descriptor;
    let config = &platform.image.config_descriptor;
    let place = to.describe();
    let put_layer = async {
        put_new(to, layer, BlobSource::File(platform.blob.clone()))
            .await
            .map_err(store_error(format!("push the patch layer to {place}")))
    };
    let put_config = async {
        put_new(
            to,
            config,
            BlobSource::Bytes(platform.image.config.clone().into()),
        )
        .await
        .map_err(store_error(format!("push the configuration to {place}")))
    };
    futures_util::future::try_join(put_layer, put_config).await?;
    if platform.image.manifest.digest != root.digest {
        put_manifest(to, &platform.image.manifest).await?;
    }
    Ok(())
}

/// A run that is repeated finds its blobs there already.
async fn put_new(
    to: &dyn Store,
    blob: &Descriptor,
    source: BlobSource<'_>,
) -> Result<(), StoreError> {
    if to.has_blob(&blob.digest).await? {
        return Ok(());
    }
    to.put_blob(blob, &source).await
}

async fn copy_manifest(route: &Route<'_>, child: &Descriptor) -> Result<(), PipelineError> {
    let raw = route
        .from
        .manifest(&Target::Digest(child.digest.clone()))
        .await
        .map_err(store_error(format!("fetch the manifest {}", child.digest)))?;
    Box::pin(copy_raw(route, &raw)).await
}

async fn copy_raw(route: &Route<'_>, raw: &RawManifest) -> Result<(), PipelineError> {
    match raw.kind() {
        Kind::Index => {
            for child in &Index::parse(raw)?.children {
                copy_manifest(route, child).await?;
            }
        }
        Kind::Image => {
            let manifest = ImageManifest::parse(raw)?;
            let mut blobs = manifest.layers;
            blobs.push(manifest.config);
            copy_blobs(route, &blobs).await?;
        }
        Kind::Other => {}
    }
    put_manifest(route.to.as_ref(), raw).await
}

async fn copy_blobs(route: &Route<'_>, blobs: &[Descriptor]) -> Result<(), PipelineError> {
    stream::iter(blobs)
        // Layers that may not be distributed lie where their URLs say.
        .filter(|blob| {
            std::future::ready(
                !blob.media_type.contains("nondistributable")
                    && !blob.media_type.contains(".foreign."),
            )
        })
        .map(Ok)
        .try_for_each_concurrent(PARALLEL, |blob| async move {
            copy_blob(route.from.as_ref(), route.to.as_ref(), blob)
                .await
                .map(drop)
                .map_err(store_error(format!(
                    "copy the blob {} to {}",
                    blob.digest,
                    route.to.describe()
                )))
        })
        .await
}

async fn put_manifest(to: &dyn Store, raw: &RawManifest) -> Result<(), PipelineError> {
    to.put_manifest(raw, &Target::Digest(raw.digest.clone()))
        .await
        .map_err(store_error(format!(
            "push the manifest {} to {}",
            raw.digest,
            to.describe()
        )))
}
