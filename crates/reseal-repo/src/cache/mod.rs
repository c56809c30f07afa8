//! Content by digest under the user's cache folder.
//!
//! ```text
//! FOLDER/lock            held shared by every run, exclusively by whoever removes
//! FOLDER/sha256/HEX      packages, signed indexes: the content with that digest
//! FOLDER/plain/HEX.zst   package lists, compressed anew: what they unpack to has that digest
//! FOLDER/notes/HEX       what a server said about the age of an address: a hint, never a proof
//! FOLDER/tmp/            what is being written
//! ```
//!
//! **Invariant:** nothing is given out whose digest was not computed again. A file that fails is removed.

mod evict;
mod keyed;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{FlockOperation, Timespec, Timestamps, UTIME_NOW, flock, futimens};
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use crate::digest::ContentDigest;
use crate::error::RepoError;

const FOLDERS: [&str; 4] = ["sha256", "plain", "notes", "tmp"];
/// Package lists that are unpacked at once, each with up to 20 MB of tables.
const UNPACKING: usize = 2;
/// Notes are some hundred bytes; more is not one of ours.
const NOTE_LIMIT: u64 = 64 << 10;

/// A folder of content by digest. Clones share it.
#[derive(Clone)]
pub struct Cache(Arc<Inner>);

struct Inner {
    folder: PathBuf,
    limit: u64,
    lock: File,
    turns: Mutex<BTreeMap<ContentDigest, Arc<tokio::sync::Mutex<()>>>>,
    unpacking: tokio::sync::Semaphore,
}

/// What a cache holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// Its folder.
    pub folder: PathBuf,
    /// Files in it, temporary ones and notes included.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How many bytes it may hold when no run is using it.
    pub limit: u64,
}

/// What a server said about the age of an address, and the digest of what it sent then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Note {
    pub(crate) url: String,
    pub(crate) etag: Option<String>,
    pub(crate) last_modified: Option<String>,
    pub(crate) digest: ContentDigest,
}

impl Cache {
    /// Opens a cache, and creates it where there is none. If no other run uses it, it is first brought under `max_bytes`:
    /// what was not used for the longest time goes.
    pub fn open(folder: &Path, max_bytes: u64) -> Result<Self, RepoError> {
        for name in FOLDERS {
            let path = folder.join(name);
            std::fs::create_dir_all(&path).map_err(|e| RepoError::file("create", &path, &e))?;
        }
        let tag = folder.join("CACHEDIR.TAG");
        if !tag.exists() {
            // By the convention for cache folders: backup programs leave such a folder out.
            let text = "Signature: 8a477f597d28d172789f06886806bc55\n";
            std::fs::write(&tag, text).map_err(|e| RepoError::file("write", &tag, &e))?;
        }
        let path = folder.join("lock");
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|e| RepoError::file("create", &path, &e))?;
        let cache = Self(Arc::new(Inner {
            folder: folder.to_owned(),
            limit: max_bytes,
            lock,
            turns: Mutex::default(),
            unpacking: tokio::sync::Semaphore::new(UNPACKING),
        }));
        cache.0.trim();
        flock(&cache.0.lock, FlockOperation::LockShared)
            .map_err(|e| RepoError::file("lock", &path, &e.into()))?;
        Ok(cache)
    }

    /// Returns the path of content, if it is there and has this digest, and this size if one is given. It counts as used.
    pub fn get(
        &self,
        digest: ContentDigest,
        size: Option<u64>,
    ) -> Result<Option<PathBuf>, RepoError> {
        let path = self.0.content(digest);
        let Some(mut file) = open(&path)? else {
            return Ok(None);
        };
        let fail = |e| RepoError::file("read", &path, &e);
        let found = file.metadata().map_err(fail)?.len();
        if size.is_none_or(|size| size == found) {
            let (actual, _) = ContentDigest::of_reader(&mut file).map_err(fail)?;
            if actual == digest {
                touch(&file);
                return Ok(Some(path));
            }
        }
        discard(&path);
        Ok(None)
    }

    /// Returns small content, checked as by [`Cache::get`] but against the very bytes that are returned.
    pub(crate) fn read(
        &self,
        digest: ContentDigest,
        limit: u64,
    ) -> Result<Option<Vec<u8>>, RepoError> {
        let path = self.0.content(digest);
        let Some(file) = open(&path)? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        io::copy(&mut io::Read::take(&file, limit), &mut bytes)
            .map_err(|e| RepoError::file("read", &path, &e))?;
        if ContentDigest::of(&bytes) == digest {
            touch(&file);
            return Ok(Some(bytes));
        }
        discard(&path);
        Ok(None)
    }

    /// Puts small content in and returns its digest.
    pub(crate) fn write(&self, bytes: &[u8]) -> Result<ContentDigest, RepoError> {
        let digest = ContentDigest::of(bytes);
        self.put(bytes, &self.0.content(digest))?;
        Ok(digest)
    }

    /// Makes a file for content that is still coming.
    pub(crate) fn temporary(&self) -> Result<NamedTempFile, RepoError> {
        let folder = self.0.folder.join("tmp");
        NamedTempFile::new_in(&folder).map_err(|e| RepoError::file("create", &folder, &e))
    }

    /// Puts a file under its digest, which the caller has computed while it wrote it.
    pub(crate) fn store(
        &self,
        file: NamedTempFile,
        digest: ContentDigest,
    ) -> Result<PathBuf, RepoError> {
        persist(file, self.0.content(digest))
    }

    /// Opens a package list in its recompressed form. **Not checked**: the reader must compare what it unpacks with the digest,
    /// and tell by [`Cache::drop_plain`] if it differs.
    pub(crate) fn open_plain(&self, digest: ContentDigest) -> Result<Option<File>, RepoError> {
        let file = open(&self.0.plain(digest))?;
        if let Some(file) = &file {
            touch(file);
        }
        Ok(file)
    }

    /// Puts in a recompressed package list; `digest` is that of what it unpacks to.
    pub(crate) fn store_plain(
        &self,
        file: NamedTempFile,
        digest: ContentDigest,
    ) -> Result<(), RepoError> {
        persist(file, self.0.plain(digest)).map(|_| ())
    }

    /// Removes a recompressed package list that turned out to be damaged.
    pub(crate) fn drop_plain(&self, digest: ContentDigest) {
        discard(&self.0.plain(digest));
    }

    /// Removes content that a better form of has been stored.
    pub(crate) fn drop_content(&self, digest: ContentDigest) {
        let _ = std::fs::remove_file(self.0.content(digest));
    }

    /// Returns the note about an address; one that cannot be read is none.
    pub(crate) fn note(&self, url: &str) -> Option<Note> {
        let file = File::open(self.0.note(url)).ok()?;
        let note: Note = serde_json::from_reader(io::Read::take(&file, NOTE_LIMIT)).ok()?;
        (note.url == url).then_some(note)
    }

    pub(crate) fn set_note(&self, note: &Note) -> Result<(), RepoError> {
        let text = serde_json::to_vec(note).map_err(|error| RepoError::Settings {
            why: error.to_string(),
        })?;
        self.put(&text, &self.0.note(&note.url))
    }

    /// Waits until nobody else in this program fetches the same content.
    pub(crate) async fn turn(&self, digest: ContentDigest) -> tokio::sync::OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.0.turns.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(turns.entry(digest).or_default())
        };
        turn.lock_owned().await
    }

    /// Waits until a package list may be unpacked.
    pub(crate) async fn unpacking(&self) -> tokio::sync::SemaphorePermit<'_> {
        let permit = self.0.unpacking.acquire().await;
        permit.expect("the semaphore is never closed")
    }

    fn put(&self, bytes: &[u8], path: &Path) -> Result<(), RepoError> {
        let mut file = self.temporary()?;
        file.write_all(bytes)
            .map_err(|e| RepoError::file("write", file.path(), &e))?;
        persist(file, path.to_owned()).map(|_| ())
    }

    /// Counts what is there.
    pub fn usage(&self) -> Result<Usage, RepoError> {
        self.0.usage()
    }

    /// Removes everything, and returns what it was. Refused while another run uses the cache.
    pub fn clear(&self) -> Result<Usage, RepoError> {
        self.0.clear()
    }
}

impl Inner {
    fn content(&self, digest: ContentDigest) -> PathBuf {
        self.folder.join("sha256").join(digest.to_string())
    }

    fn plain(&self, digest: ContentDigest) -> PathBuf {
        self.folder.join("plain").join(format!("{digest}.zst"))
    }

    fn note(&self, url: &str) -> PathBuf {
        let name = ContentDigest::of(url.as_bytes()).to_string();
        self.folder.join("notes").join(name)
    }
}

fn open(path: &Path) -> Result<Option<File>, RepoError> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(RepoError::file("read", path, &e)),
    }
}

/// Marks a file as used now: what was not used for longest goes first.
fn touch(file: &File) {
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: UTIME_NOW,
    };
    // A cache on a read-only disk still serves.
    let _ = futimens(
        file,
        &Timestamps {
            last_access: now,
            last_modification: now,
        },
    );
}

fn persist(file: NamedTempFile, path: PathBuf) -> Result<PathBuf, RepoError> {
    file.persist(&path)
        .map_err(|e| RepoError::file("write", &path, &e.error))?;
    Ok(path)
}

fn discard(path: &Path) {
    tracing::warn!(path = %path.display(), "a damaged file of the cache was removed");
    let _ = std::fs::remove_file(path);
}

#[cfg(test)]
mod tests;
