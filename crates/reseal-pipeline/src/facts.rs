//! Package databases, read from layers or through the gateway: no tool runs for it.

use std::{error::Error, io::Read};

use reseal_buildkit::{BuildError, Ref};
use reseal_oci::{
    Descriptor, ImageManifest,
    layer::{self, LayerError, LayerFiles, Overlay, Wanted},
};
use reseal_pkg::{OsRelease, dpkg::Database};
use reseal_registry::{Store, StoreError};
use tokio_util::io::SyncIoBridge;

use crate::{
    error::PipelineError,
    source::{SourcePlatform, store_error},
};

/// Where dpkg keeps its database.
pub(crate) const DPKG_STATUS: &str = "var/lib/dpkg/status";
/// Where os-release may be; the first one is usually a link to the second.
pub(crate) const OS_RELEASE: [&str; 2] = ["etc/os-release", "usr/lib/os-release"];
/// Largest database that is read, in bytes. Debian's largest installations stay below 20 MB.
pub(crate) const DATABASE_LIMIT: u64 = 64 << 20;
/// Largest os-release that is read, in bytes.
const OS_RELEASE_LIMIT: u64 = 1 << 20;
/// Top-level directories that are links into `/usr` on merged systems.
pub(crate) const MERGED: [&str; 6] = ["bin", "lib", "lib32", "lib64", "libx32", "sbin"];
/// Go's `os.ModeSymlink`, as `BuildKit` reports modes.
const MODE_SYMLINK: u32 = 1 << 27;

/// What an image says about itself.
pub(crate) struct Facts {
    /// os-release, where it was found.
    pub os: Option<OsRelease>,
    /// The package database.
    pub database: Database,
    /// Links such as `lib` → `usr/lib`; known only through the gateway.
    pub aliases: Vec<(String, String)>,
}

/// Reads what is wanted from the layers of an image, from the top down, and stops as soon as everything is settled.
/// With `database_only` os-release is taken only if it lies on the way.
pub(crate) async fn from_layers(
    store: &dyn Store,
    manifest: &ImageManifest,
    platform: &str,
    database_only: bool,
) -> Result<Facts, PipelineError> {
    let wanted = || Wanted {
        exact: [DPKG_STATUS, OS_RELEASE[0], OS_RELEASE[1]]
            .map(str::to_owned)
            .to_vec(),
        prefixes: Vec::new(),
        limit: DATABASE_LIMIT,
    };
    let mut overlay = Overlay::new(wanted());
    for layer in manifest.layers.iter().rev() {
        let files = read_layer(store, layer, wanted(), platform).await?;
        overlay.push_lower(files);
        let os = database_only || OS_RELEASE.iter().any(|path| overlay.get(path).is_some());
        if overlay.is_settled(DPKG_STATUS) && os {
            break;
        }
    }
    let status = overlay
        .get(DPKG_STATUS)
        .ok_or_else(|| no_database(platform))?;
    let os = OS_RELEASE.iter().find_map(|path| overlay.get(path));
    Ok(Facts {
        os: os
            .map(OsRelease::parse)
            .transpose()
            .map_err(package_error(platform))?,
        database: Database::parse(status).map_err(package_error(platform))?,
        aliases: Vec::new(),
    })
}

/// Reads the package database of the earlier patch that a platform has, if it has one.
pub(crate) async fn previous(
    store: &dyn Store,
    platform: &SourcePlatform,
) -> Result<Option<Database>, PipelineError> {
    let Some(image) = &platform.previous else {
        return Ok(None);
    };
    let name = platform.platform.to_string();
    let found = from_layers(store, &image.manifest, &name, true).await?;
    Ok(Some(found.database))
}

/// Reads one layer of a store as a stream.
pub(crate) async fn read_layer(
    store: &dyn Store,
    descriptor: &Descriptor,
    wanted: Wanted,
    platform: &str,
) -> Result<LayerFiles, PipelineError> {
    stream_layer(store, descriptor, platform, move |tar| {
        layer::read(tar, &wanted)
    })
    .await
}

/// Gives the uncompressed tar of a layer to `read`, while it comes from the store.
pub(crate) async fn stream_layer<T: Send + 'static>(
    store: &dyn Store,
    descriptor: &Descriptor,
    platform: &str,
    read: impl FnOnce(&mut dyn Read) -> Result<T, LayerError> + Send + 'static,
) -> Result<T, PipelineError> {
    let reader = store
        .blob_stream(descriptor)
        .await
        .map_err(store_error(format!(
            "fetch the layer {}",
            descriptor.digest
        )))?;
    let (platform, digest) = (platform.to_owned(), descriptor.digest.clone());
    let bridge = SyncIoBridge::new(reader);
    tokio::task::spawn_blocking(move || {
        let wrap = |source| match source {
            // What the store's reader says of its bytes is about the store, not about the layer.
            LayerError::Read(error)
                if error
                    .get_ref()
                    .is_some_and(<dyn Error + Send + Sync>::is::<StoreError>) =>
            {
                store_error(format!("fetch the layer {digest}"))(StoreError::from_read(
                    digest.as_str(),
                    error,
                ))
            }
            source => PipelineError::Layer {
                platform: platform.clone(),
                source,
            },
        };
        read(&mut layer::decompress(bridge).map_err(wrap)?).map_err(wrap)
    })
    .await
    .expect("reading a layer does not panic")
}

/// Reads what is wanted through the gateway: a daemon that has the image answers at once, and one that will patch it
/// has to unpack it anyway.
pub(crate) async fn from_gateway(image: &Ref, platform: &str) -> Result<Facts, PipelineError> {
    let mut os = None;
    for path in OS_RELEASE {
        os = image
            .read(&format!("/{path}"), OS_RELEASE_LIMIT)
            .await
            .map_err(read_error(platform))?;
        if os.is_some() {
            break;
        }
    }
    let os = os.ok_or_else(|| PipelineError::Image {
        image: platform.to_owned(),
        message: "it has no os-release, so its distribution is unknown".into(),
        hint: Some(
            "reseal patches Debian and Ubuntu images; this one may be built from scratch".into(),
        ),
    })?;
    let status = image
        .read(&format!("/{DPKG_STATUS}"), DATABASE_LIMIT)
        .await
        .map_err(read_error(platform))?
        .ok_or_else(|| no_database(platform))?;
    let aliases = image
        .read_dir("/", None)
        .await
        .map_err(PipelineError::Build)?
        .into_iter()
        .filter(|entry| {
            entry.stat.mode & MODE_SYMLINK != 0 && MERGED.contains(&entry.path.as_str())
        })
        .map(|entry| {
            (
                entry.path,
                entry.stat.linkname.trim_start_matches('/').to_owned(),
            )
        })
        .collect();
    Ok(Facts {
        os: Some(OsRelease::parse(&os).map_err(package_error(platform))?),
        database: Database::parse(&status).map_err(package_error(platform))?,
        aliases,
    })
}

/// A file that is too large is the image's fault, everything else the builder's.
fn read_error(platform: &str) -> impl Fn(BuildError) -> PipelineError {
    let image = platform.to_owned();
    move |error| match error {
        BuildError::TooLarge { .. } => PipelineError::Image {
            image: image.clone(),
            message: error.to_string(),
            hint: None,
        },
        error => PipelineError::Build(error),
    }
}

pub(crate) fn no_database(platform: &str) -> PipelineError {
    PipelineError::Image {
        image: platform.to_owned(),
        message: format!("it has no package database at /{DPKG_STATUS}"),
        hint: Some(
            "reseal patches images with dpkg's database; distroless and scratch images have none"
                .into(),
        ),
    }
}

fn package_error(platform: &str) -> impl Fn(reseal_pkg::PkgError) -> PipelineError {
    let platform = platform.to_owned();
    move |source| PipelineError::Package {
        platform: platform.clone(),
        source,
    }
}
