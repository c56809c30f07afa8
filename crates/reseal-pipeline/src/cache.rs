//! What the native engine keeps from run to run.

use std::path::{Path, PathBuf};

use reseal_repo::Cache;
use serde::Serialize;

use crate::{error::PipelineError, native::repository_error};

/// How much a cache holds, or held before it was cleared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CacheUse {
    /// The folder.
    pub folder: PathBuf,
    /// Files in it.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Counts what a cache holds, and removes it when asked to.
///
/// # Errors
/// [`PipelineError::Repository`] when the folder cannot be used, or another run uses it while it should be cleared.
pub fn cache(folder: &Path, clear: bool) -> Result<CacheUse, PipelineError> {
    let wrap = repository_error("the cache");
    // Opening trims; looking must not.
    let cache = Cache::open(folder, u64::MAX).map_err(&wrap)?;
    let usage = if clear { cache.clear() } else { cache.usage() }.map_err(&wrap)?;
    Ok(CacheUse {
        folder: usage.folder,
        files: usage.files,
        bytes: usage.bytes,
    })
}
