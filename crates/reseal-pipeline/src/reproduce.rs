//! Making a patched image again from what it says about itself, to prove that its digest is that of its ingredients.

use reseal_oci::{Digest, ImageManifest, Index, Kind, RawManifest, annotation};
use reseal_registry::{Registries, Target};
use serde::Serialize;

use crate::{
    error::PipelineError,
    event::Events,
    lock::{Carried, LOCK_SCHEMA, Lock, LockedPlatform, LockedSource},
    outcome::Pinned,
    patch::rebuild,
    settings::PatchSettings,
    source::{Patched, Source, resolve, store_error},
};

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reproduction {
    /// `reseal.dev/reproduction/v1`
    pub schema: &'static str,
    /// The image.
    pub image: Pinned,
    /// The digest that came out; equal to that of the image, or there is an error.
    pub digest: Digest,
    /// What it was made from.
    pub lock: Lock,
}

/// Makes a patched image again, without publishing anything, and compares digests. `settings.input.source` names it.
///
/// # Errors
/// [`PipelineError::Verification`] when another digest comes out; [`PipelineError::Image`] when the image was not made by
/// the native engine alone; those of patching.
pub async fn reproduce(
    settings: &PatchSettings,
    registries: &Registries,
    events: &Events,
) -> Result<Reproduction, PipelineError> {
    let source = resolve(&settings.input, Patched::Itself, registries, events).await?;
    let lock = carried(&source).await?;
    let image = source.as_pinned();
    let mut settings = settings.clone();
    settings.epoch = lock.epoch;
    settings.native.lock = Some(lock.clone());
    let made = rebuild(&settings, registries, events).await?;
    if made != image.digest {
        return Err(PipelineError::Verification(format!(
            "its ingredients give {made}, not {}",
            image.digest
        )));
    }
    Ok(Reproduction {
        schema: "reseal.dev/reproduction/v1",
        image,
        digest: made,
        lock,
    })
}

/// Reads the lock that an image carries.
///
/// # Errors
/// [`PipelineError::Image`] when the image was not made by the native engine alone.
pub(crate) async fn carried(source: &Source) -> Result<Lock, PipelineError> {
    let root = &source.pinned;
    let annotations = match root.kind() {
        Kind::Index => Index::parse(root)?.annotations,
        _ => ImageManifest::parse(root)?.annotations,
    };
    let wrong = |message: String| {
        PipelineError::Image {
        image: source.name.clone(),
        message,
        hint: Some("Only images that the native engine patched alone on every platform carry what they were made from".into()),
    }
    };
    let base = annotations
        .get(annotation::PATCH_BASE)
        .and_then(|base| base.parse::<Digest>().ok())
        .ok_or_else(|| wrong("it was not patched by reseal".to_owned()))?;
    let reference = annotations.get(annotation::BASE_NAME).cloned();
    let mut manifests: Vec<RawManifest> = Vec::new();
    match root.kind() {
        Kind::Index => {
            for child in &Index::parse(root)?.children {
                let target = Target::Digest(child.digest.clone());
                manifests.push(
                    source
                        .store
                        .manifest(&target)
                        .await
                        .map_err(store_error(format!("fetch the manifest {}", child.digest)))?,
                );
            }
        }
        _ => manifests.push(root.clone()),
    }
    let mut platforms = Vec::new();
    let mut first: Option<Carried> = None;
    for raw in manifests.iter().filter(|raw| raw.kind() == Kind::Image) {
        let annotations = ImageManifest::parse(raw)?.annotations;
        let Some(base) = annotations.get(annotation::PATCH_BASE) else {
            continue;
        };
        let platform = source
            .platforms
            .iter()
            .find(|one| one.manifest.raw.digest == raw.digest)
            .map(|one| one.platform.clone())
            .ok_or_else(|| wrong(format!("its index lists no platform for {}", raw.digest)))?;
        let text = annotations
            .get(annotation::PATCH_LOCK)
            .ok_or_else(|| wrong(format!("its own package manager or dpkg ran on {platform}")))?;
        let carried: Carried = serde_json::from_str(text)
            .map_err(|error| wrong(format!("what {platform} carries cannot be read: {error}")))?;
        platforms.push(LockedPlatform {
            platform,
            source_digest: base
                .parse()
                .map_err(|_| wrong(format!("`{base}` is no digest")))?,
            engine: "native".to_owned(),
            repositories: Vec::new(),
            packages: carried.packages.clone(),
        });
        first.get_or_insert(carried);
    }
    let first = first.ok_or_else(|| wrong("none of its platforms was patched".to_owned()))?;
    let lock = Lock {
        schema: LOCK_SCHEMA.to_owned(),
        generator: first.generator,
        source: LockedSource {
            reference: reference.unwrap_or_else(|| source.name.clone()),
            digest: base,
        },
        epoch: first.epoch,
        platforms,
    };
    Ok(lock)
}
