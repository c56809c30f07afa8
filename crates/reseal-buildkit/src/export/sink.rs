//! A folder that takes the daemon's blobs, each under its own digest and only when the digest is right.

use std::collections::BTreeSet;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

/// Takes exported blobs as files in one folder.
///
/// A blob appears under its final name only after its digest was checked, so whatever [`ExportSink::blob`]
/// finds is whole. What was only begun is removed when its writer is dropped.
#[derive(Debug)]
pub struct ExportSink {
    dir: PathBuf,
    known: BTreeSet<String>,
    /// The first local failure: the daemon's echo of it is longer and says less.
    failure: Mutex<Option<String>>,
}

/// Why a blob was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SinkError {
    /// The daemon's data does not fit its own announcement.
    #[error("blob {expected} arrived damaged: its content is {found}")]
    WrongDigest { expected: String, found: String },
    #[error("blob announced as {expected} bytes arrived with {found}")]
    WrongSize { expected: u64, found: u64 },
    #[error("`{0}` is not a sha256 digest")]
    NotADigest(String),
    #[error("could not write into `{}`: {source}", dir.display())]
    Write {
        dir: PathBuf,
        source: std::io::Error,
    },
}

impl ExportSink {
    /// Stores blobs under `dir`, which must exist. Digests in `known` are answered "already there" and never
    /// transferred: the base layers of a merged result, for example.
    pub fn new(dir: PathBuf, known: BTreeSet<String>) -> Arc<Self> {
        Arc::new(Self {
            dir,
            known,
            failure: Mutex::new(None),
        })
    }

    /// Returns the file of a blob that was completely received.
    pub fn blob(&self, digest: &str) -> Option<PathBuf> {
        let path = self.path_of(digest)?;
        path.is_file().then_some(path)
    }

    /// Whether the daemon need not send this blob.
    pub(crate) fn has(&self, digest: &str) -> bool {
        self.known.contains(digest) || self.blob(digest).is_some()
    }

    /// Begins one blob. Blocking.
    pub(crate) fn begin(&self) -> Result<Ingest, SinkError> {
        let file = tempfile::Builder::new()
            .prefix("ingest-")
            .tempfile_in(&self.dir)
            .map_err(|source| self.failed(source))?;
        Ok(Ingest {
            file,
            hash: Sha256::new(),
            written: 0,
        })
    }

    /// Checks and publishes a finished blob; an empty `expected` and a `total` of 0 claim nothing. Blocking.
    pub(crate) fn commit(
        &self,
        ingest: Ingest,
        expected: &str,
        total: u64,
    ) -> Result<String, SinkError> {
        let found = format!("sha256:{:x}", ingest.hash.finalize());
        if total != 0 && total != ingest.written {
            return Err(self.note(SinkError::WrongSize {
                expected: total,
                found: ingest.written,
            }));
        }
        if !expected.is_empty() && expected != found {
            return Err(self.note(SinkError::WrongDigest {
                expected: expected.to_owned(),
                found,
            }));
        }
        let path = self
            .path_of(&found)
            .ok_or_else(|| SinkError::NotADigest(found.clone()))?;
        ingest
            .file
            .persist(path)
            .map_err(|error| self.failed(error.error))?;
        Ok(found)
    }

    /// Appends to a blob. Blocking.
    pub(crate) fn append(&self, ingest: &mut Ingest, data: &[u8]) -> Result<(), SinkError> {
        ingest
            .file
            .write_all(data)
            .map_err(|source| self.failed(source))?;
        ingest.hash.update(data);
        ingest.written += data.len() as u64;
        Ok(())
    }

    /// Reads one small blob whole; more than `limit` bytes are an error. Blocking.
    pub(crate) fn read(&self, digest: &str, limit: u64) -> Result<Vec<u8>, String> {
        let path = self
            .blob(digest)
            .ok_or_else(|| format!("the daemon did not send {digest}"))?;
        read_range(&path, 0, limit + 1)
            .map_err(|error| format!("{digest}: {error}"))
            .and_then(|bytes| {
                if bytes.len() as u64 > limit {
                    Err(format!("{digest} is larger than {limit} bytes"))
                } else {
                    Ok(bytes)
                }
            })
    }

    /// The first failure on our side, for the error that the user sees.
    pub(crate) fn take_failure(&self) -> Option<String> {
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// Only `sha256:` and 64 lower-case hex digits become a file name: nothing that climbs out of the folder.
    fn path_of(&self, digest: &str) -> Option<PathBuf> {
        let hex = digest.strip_prefix("sha256:")?;
        let clean = hex.len() == 64
            && hex
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        clean.then(|| self.dir.join(format!("sha256-{hex}")))
    }

    fn failed(&self, source: std::io::Error) -> SinkError {
        self.note(SinkError::Write {
            dir: self.dir.clone(),
            source,
        })
    }

    fn note(&self, error: SinkError) -> SinkError {
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert_with(|| error.to_string());
        error
    }
}

/// Reads at most `length` bytes from `offset`. Blocking.
pub(crate) fn read_range(path: &Path, offset: u64, length: u64) -> std::io::Result<Vec<u8>> {
    let mut file = std::fs::File::open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A blob on its way in; removed when dropped before its commit.
#[derive(Debug)]
pub(crate) struct Ingest {
    file: NamedTempFile,
    hash: Sha256,
    written: u64,
}

impl Ingest {
    /// Bytes taken so far.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: &str = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

    fn files_in(dir: &Path) -> usize {
        std::fs::read_dir(dir).unwrap().count()
    }

    #[test]
    fn a_whole_blob_lands_under_its_digest() {
        let dir = tempfile::tempdir().unwrap();
        let sink = ExportSink::new(dir.path().to_owned(), BTreeSet::new());
        let mut ingest = sink.begin().unwrap();
        sink.append(&mut ingest, b"hel").unwrap();
        sink.append(&mut ingest, b"lo").unwrap();
        assert_eq!(ingest.written(), 5);
        assert_eq!(sink.blob(HELLO), None);
        assert_eq!(sink.commit(ingest, HELLO, 5).unwrap(), HELLO);
        assert_eq!(std::fs::read(sink.blob(HELLO).unwrap()).unwrap(), b"hello");
        assert_eq!(sink.read(HELLO, 5).unwrap(), b"hello");
        assert!(
            sink.read(HELLO, 4)
                .unwrap_err()
                .contains("larger than 4 bytes")
        );
    }

    #[test]
    fn a_damaged_blob_leaves_nothing_behind_and_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let sink = ExportSink::new(dir.path().to_owned(), BTreeSet::new());
        let mut ingest = sink.begin().unwrap();
        sink.append(&mut ingest, b"hellO").unwrap();
        assert!(matches!(
            sink.commit(ingest, HELLO, 5),
            Err(SinkError::WrongDigest { .. })
        ));
        assert_eq!(files_in(dir.path()), 0);
        assert!(sink.take_failure().unwrap().contains(HELLO));
    }

    #[test]
    fn a_short_blob_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let sink = ExportSink::new(dir.path().to_owned(), BTreeSet::new());
        let mut ingest = sink.begin().unwrap();
        sink.append(&mut ingest, b"hello").unwrap();
        assert!(matches!(
            sink.commit(ingest, "", 6),
            Err(SinkError::WrongSize {
                expected: 6,
                found: 5
            })
        ));
    }

    #[test]
    fn an_abandoned_blob_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let sink = ExportSink::new(dir.path().to_owned(), BTreeSet::new());
        let ingest = sink.begin().unwrap();
        assert_eq!(files_in(dir.path()), 1);
        drop(ingest);
        assert_eq!(files_in(dir.path()), 0);
    }

    #[test]
    fn a_digest_that_climbs_out_of_the_folder_is_no_blob() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("secret"), b"x").unwrap();
        let sink = ExportSink::new(dir.path().join("blobs"), BTreeSet::new());
        for digest in [
            "sha256:../secret",
            "../secret",
            "sha256:",
            "sha512:00",
            "sha256:ABCDEF",
        ] {
            assert_eq!(sink.blob(digest), None, "{digest}");
            assert!(!sink.has(digest), "{digest}");
        }
    }

    #[test]
    fn a_folder_that_is_gone_is_a_failure_with_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let gone = dir.path().join("gone");
        let sink = ExportSink::new(gone.clone(), BTreeSet::new());
        assert!(
            sink.begin()
                .unwrap_err()
                .to_string()
                .contains(&gone.display().to_string())
        );
        assert!(sink.take_failure().is_some());
    }
}
