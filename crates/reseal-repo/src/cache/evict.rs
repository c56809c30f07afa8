//! Removing from the cache: only when no other run uses it.

use std::fs::DirEntry;
use std::io;
use std::path::PathBuf;
use std::time::SystemTime;

use rustix::fs::{FlockOperation, flock};

use super::{FOLDERS, Inner, Usage};
use crate::error::RepoError;

struct Entry {
    path: PathBuf,
    bytes: u64,
    used: SystemTime,
    temporary: bool,
}

impl Inner {
    /// Brings the cache under its limit, if no other run uses it. What a run was given stays until it ends.
    pub(super) fn trim(&self) {
        if flock(&self.lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            return;
        }
        if let Err(error) = self.remove_oldest() {
            tracing::debug!(%error, "the cache could not be brought under its limit");
        }
    }

    fn remove_oldest(&self) -> Result<(), RepoError> {
        let (old, mut kept): (Vec<_>, Vec<_>) =
            self.entries()?.into_iter().partition(|e| e.temporary);
        // Nobody else is here: what is still temporary was left by a run that was killed.
        for entry in old {
            let _ = std::fs::remove_file(&entry.path);
        }
        let mut total: u64 = kept.iter().map(|e| e.bytes).sum();
        kept.sort_by(|a, b| (a.used, &a.path).cmp(&(b.used, &b.path)));
        for entry in kept {
            if total <= self.limit {
                break;
            }
            if std::fs::remove_file(&entry.path).is_ok() {
                total -= entry.bytes;
            }
        }
        Ok(())
    }

    pub(super) fn usage(&self) -> Result<Usage, RepoError> {
        let entries = self.entries()?;
        Ok(Usage {
            folder: self.folder.clone(),
            files: entries.len() as u64,
            bytes: entries.iter().map(|e| e.bytes).sum(),
            limit: self.limit,
        })
    }

    pub(super) fn clear(&self) -> Result<Usage, RepoError> {
        let lock = |how| flock(&self.lock, how);
        if lock(FlockOperation::NonBlockingLockExclusive).is_err() {
            let _ = lock(FlockOperation::LockShared);
            return Err(RepoError::CacheInUse {
                path: self.folder.clone(),
            });
        }
        let usage = self.usage();
        let mut failed = None;
        for entry in self.entries()? {
            if let Err(error) = std::fs::remove_file(&entry.path)
                && error.kind() != io::ErrorKind::NotFound
            {
                failed = Some(RepoError::file("remove", &entry.path, &error));
            }
        }
        let _ = lock(FlockOperation::LockShared);
        failed.map_or(usage, Err)
    }

    fn entries(&self) -> Result<Vec<Entry>, RepoError> {
        let mut out = Vec::new();
        for name in FOLDERS {
            let folder = self.folder.join(name);
            let list =
                std::fs::read_dir(&folder).map_err(|e| RepoError::file("read", &folder, &e))?;
            out.extend(list.flatten().filter_map(|e| entry(&e, name == "tmp")));
        }
        Ok(out)
    }
}

/// Returns what is known of a file; `None` for one that went meanwhile, and for what is no file.
fn entry(found: &DirEntry, temporary: bool) -> Option<Entry> {
    let metadata = found.metadata().ok()?;
    metadata.is_file().then(|| Entry {
        path: found.path(),
        bytes: metadata.len(),
        used: metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH),
        temporary,
    })
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.trim();
    }
}
