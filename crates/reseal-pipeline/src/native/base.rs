//! What the image has: its layers, read once each and remembered by digest.

use std::error::Error;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use reseal_oci::{Descriptor, ImageManifest, layer};
use reseal_registry::{Store, StoreError};
use reseal_repo::Cache;
use reseal_rootfs::{LayerFacts, RootfsError, Tree, wanted};
use tokio_util::io::SyncIoBridge;

use crate::{error::PipelineError, source::store_error};

/// How many layers of a platform are read at once: unpacking takes one processor each.
const AT_ONCE: usize = 2;

/// Reads the layers of an image into a tree.
pub(super) async fn tree(
    store: &dyn Store,
    manifest: &ImageManifest,
    cache: &Cache,
    platform: &str,
) -> Result<Tree, PipelineError> {
    let layers: Vec<LayerFacts> = stream::iter(&manifest.layers)
        .map(|layer| facts(store, layer, cache, platform))
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    stack(layers, platform).await
}

/// Puts layers onto each other, the bottom one first.
pub(super) async fn stack(layers: Vec<LayerFacts>, platform: &str) -> Result<Tree, PipelineError> {
    let stacked = tokio::task::spawn_blocking(move || Tree::stack(layers))
        .await
        .expect("stacking layers does not panic");
    stacked.map_err(unusable(platform))
}

/// The name under which it is remembered what a layer says.
fn of_layer(layer: &Descriptor) -> String {
    format!("layer-facts {}", layer.digest)
}

/// Returns how many bytes of layers were never read.
pub(super) fn unread(manifest: &ImageManifest, cache: &Cache) -> u64 {
    manifest
        .layers
        .iter()
        .filter(|layer| cache.size(&of_layer(layer)).is_none())
        .map(|layer| layer.size)
        .sum()
}

/// Returns how many bytes of facts there are about an image. Layers that were never read are read for it.
pub(super) async fn weigh(
    store: &dyn Store,
    manifest: &ImageManifest,
    cache: &Cache,
    platform: &str,
) -> Result<u64, PipelineError> {
    stream::iter(&manifest.layers)
        .map(|layer| async move {
            if let Some(size) = cache.size(&of_layer(layer)) {
                return Ok(size);
            }
            let facts = facts(store, layer, cache, platform).await?;
            Ok(facts.as_bytes().len() as u64)
        })
        .buffered(AT_ONCE)
        .try_fold(0, |sum, size| async move { Ok(sum + size) })
        .await
}

/// Returns what is remembered under a name; nothing where it cannot be read.
pub(super) async fn recall(
    cache: &Cache,
    name: String,
    platform: &str,
) -> Result<Option<LayerFacts>, PipelineError> {
    let cache = cache.clone();
    let known = tokio::task::spawn_blocking(move || {
        let known = cache.recall(&name)?;
        Ok(known.and_then(|bytes| LayerFacts::from_bytes(bytes).ok()))
    })
    .await
    .expect("reading the cache does not panic");
    known.map_err(super::repository_error(platform))
}

/// Remembers facts under a name.
pub(super) fn remember(
    cache: &Cache,
    name: &str,
    facts: &LayerFacts,
    platform: &str,
) -> Result<(), PipelineError> {
    cache
        .remember(name, facts.as_bytes())
        .map_err(super::repository_error(platform))
}

/// Returns what one layer says. What was remembered and cannot be read is read again from the layer.
async fn facts(
    store: &dyn Store,
    layer: &Descriptor,
    cache: &Cache,
    platform: &str,
) -> Result<LayerFacts, PipelineError> {
    let name = of_layer(layer);
    if let Some(facts) = recall(cache, name.clone(), platform).await? {
        return Ok(facts);
    }
    let facts = read(store, layer, platform).await?;
    remember(cache, &name, &facts, platform)?;
    Ok(facts)
}

async fn read(
    store: &dyn Store,
    descriptor: &Descriptor,
    platform: &str,
) -> Result<LayerFacts, PipelineError> {
    let action = || format!("fetch the layer {}", descriptor.digest);
    let reader = store
        .blob_stream(descriptor)
        .await
        .map_err(store_error(action()))?;
    let bridge = SyncIoBridge::new(reader);
    let read = tokio::task::spawn_blocking(move || {
        let tar = layer::decompress(bridge).map_err(RootfsError::from)?;
        LayerFacts::from_layer(tar, &wanted())
    })
    .await
    .expect("reading a layer does not panic");
    read.map_err(|error| match error {
        // What the store's reader says of its bytes is about the store, not about the layer.
        RootfsError::Layer(layer::LayerError::Read(error))
            if error
                .get_ref()
                .is_some_and(<dyn Error + Send + Sync>::is::<StoreError>) =>
        {
            store_error(action())(StoreError::from_read(descriptor.digest.as_str(), error))
        }
        error => unusable(platform)(error),
    })
}

fn unusable(platform: &str) -> impl FnOnce(RootfsError) -> PipelineError {
    let image = platform.to_owned();
    move |error| PipelineError::Image {
        image,
        message: error.to_string(),
        hint: None,
    }
}
