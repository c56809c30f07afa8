//! Collecting what a lock needs, for a site that has no network but its registry.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use reseal_repo::{Cache, Downloads};
use serde::Serialize;

use crate::{
    error::PipelineError,
    event::{Event, Events, Stage},
    lock::{Lock, LockedPackage},
    native::repository_error,
    settings::NativeSettings,
};

/// Packages that are fetched at once.
const PARALLEL: usize = 4;

/// What was collected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fetched {
    /// The folder.
    pub folder: PathBuf,
    /// Packages in it that the lock names.
    pub packages: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// Puts every package of a lock into a folder, each checked by its digest.
///
/// # Errors
/// Those of the repositories that the lock names, and of the folder.
pub async fn fetch(
    lock: &Lock,
    to: &Path,
    native: &NativeSettings,
    events: &Events,
) -> Result<Fetched, PipelineError> {
    let wrap = repository_error("the lock");
    let io = |action: String| move |source| PipelineError::Io { action, source };
    std::fs::create_dir_all(to).map_err(io(format!("create the folder `{}`", to.display())))?;
    let cache = Cache::open(&native.cache, native.cache_limit).map_err(&wrap)?;
    let downloads = Downloads::new(native.http()?, cache);
    // Platforms share packages for all architectures.
    let mut wanted: BTreeMap<&LockedPackage, Vec<&str>> = BTreeMap::new();
    for platform in &lock.platforms {
        let uris: Vec<&str> = platform
            .repositories
            .iter()
            .map(|repository| repository.uri.as_str())
            .collect();
        for package in &platform.packages {
            wanted.entry(package).or_insert_with(|| uris.clone());
        }
    }
    events.send(Event::Started(Stage::Fetch, None));
    let (packages, bytes) = (
        wanted.len(),
        wanted.keys().map(|package| package.size).sum(),
    );
    stream::iter(wanted)
        .map(|(package, uris)| {
            let (downloads, wrap) = (&downloads, &wrap);
            async move {
                let found = downloads
                    .package(&uris, &package.file())
                    .await
                    .map_err(wrap)?;
                let target = to.join(file_name(package));
                // A copy under another name first: a folder that is being filled is never read half.
                let part = target.with_extension("part");
                std::fs::copy(&found, &part)
                    .and_then(|_| std::fs::rename(&part, &target))
                    .map_err(|source| PipelineError::Io {
                        action: format!("write `{}`", target.display()),
                        source,
                    })
            }
        })
        .buffer_unordered(PARALLEL)
        .try_collect::<Vec<()>>()
        .await?;
    events.send(Event::Finished(Stage::Fetch, None));
    Ok(Fetched {
        folder: to.to_owned(),
        packages,
        bytes,
    })
}

/// Returns a name that people know packages by. It comes from a file of strangers, so it holds no path.
fn file_name(package: &LockedPackage) -> String {
    let plain = |text: &str| {
        text.chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() || "+-.~".contains(c) {
                    c
                } else {
                    '_'
                }
            })
            .collect::<String>()
    };
    format!(
        "{}_{}_{}.deb",
        plain(&package.name),
        plain(&package.version),
        plain(&package.architecture)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_from_a_lock_is_no_path() {
        let package = LockedPackage {
            name: "../../etc/passwd".to_owned(),
            architecture: "amd64".to_owned(),
            version: "1:2.0-1".to_owned(),
            filename: String::new(),
            size: 1,
            digest: reseal_oci::Digest::of(b""),
            new: false,
        };
        assert_eq!(file_name(&package), ".._.._etc_passwd_1_2.0-1_amd64.deb");
    }
}
