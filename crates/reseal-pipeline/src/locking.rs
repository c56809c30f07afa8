//! Writing a lock: what the native engine would lay down, by digest.

use futures_util::future::try_join_all;
use reseal_registry::Registries;

use crate::{
    error::PipelineError,
    event::Events,
    facts,
    lock::{LOCK_SCHEMA, Lock, LockedSource},
    native::Native,
    reports::{Basis, bases},
    settings::{Input, NativeSettings},
    solve::Job,
    source::{Patched, resolve},
};

/// Chooses the packages of every platform and writes down what they are. Nothing is patched.
///
/// # Errors
/// Those of reading image, reports and repositories, and [`PipelineError::Refused`] for a platform that needs its own
/// package manager.
pub async fn lock(
    input: &Input,
    native: &NativeSettings,
    generator: &str,
    epoch: Option<i64>,
    registries: &Registries,
    events: &Events,
) -> Result<Lock, PipelineError> {
    let source = resolve(input, Patched::Base, registries, events).await?;
    let (bases, _) = bases(input, &source)?;
    let engine = Native::open(&source, input, native, events)?;
    let work = source
        .platforms
        .iter()
        .zip(bases)
        .enumerate()
        .filter(|(_, (_, basis))| !matches!(basis, Basis::Preserve))
        .map(|(place, (platform, basis))| {
            let (source, engine) = (&source, &engine);
            async move {
                let name = platform.platform.to_string();
                let previous = match &platform.previous {
                    Some(image) => {
                        let store = source.store.as_ref();
                        let facts = facts::from_layers(store, &image.manifest, &name, true).await?;
                        Some(facts.database)
                    }
                    None => None,
                };
                let job = Job {
                    place,
                    platform: platform.clone(),
                    basis,
                    previous,
                };
                let prepared = engine.prepare(&job).await;
                prepared
                    .map(|prepared| prepared.lock())
                    .map_err(|failure| failure.into_error(&platform.platform, "a lock is its work"))
            }
        });
    let platforms = try_join_all(work).await?;
    Ok(Lock {
        schema: LOCK_SCHEMA.to_owned(),
        generator: generator.to_owned(),
        source: LockedSource {
            reference: source.base_name.clone(),
            digest: source.root.digest.clone(),
        },
        epoch,
        platforms: platforms.into_iter().flatten().collect(),
    })
}
