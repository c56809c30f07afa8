//! Things that were worked out once, such as what a layer holds: kept under a name, with a digest of their own.

use super::{Cache, Note};
use crate::error::RepoError;

/// Largest thing that is remembered, in bytes.
const LIMIT: u64 = 512 << 20;

impl Cache {
    /// Returns what was remembered under a name, exactly as it was given. What was damaged since is forgotten.
    pub fn recall(&self, name: &str) -> Result<Option<Vec<u8>>, RepoError> {
        match self.note(name) {
            Some(note) => self.read(note.digest, LIMIT),
            None => Ok(None),
        }
    }

    /// Returns how many bytes were remembered under a name, without reading them.
    pub fn size(&self, name: &str) -> Option<u64> {
        let path = self.0.content(self.note(name)?.digest);
        std::fs::metadata(path).ok().map(|found| found.len())
    }

    /// Remembers something under a name.
    pub fn remember(&self, name: &str, bytes: &[u8]) -> Result<(), RepoError> {
        let digest = self.write(bytes)?;
        self.set_note(&Note {
            url: name.to_owned(),
            etag: None,
            last_modified: None,
            digest,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_comes_back_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path(), 1 << 20).unwrap();
        assert_eq!(cache.recall("layer x").unwrap(), None);
        cache.remember("layer x", b"facts").unwrap();
        assert_eq!(
            cache.recall("layer x").unwrap().as_deref(),
            Some(&b"facts"[..])
        );
        assert_eq!(cache.recall("layer y").unwrap(), None);
        assert_eq!(
            (cache.size("layer x"), cache.size("layer y")),
            (Some(5), None)
        );
        let stored = std::fs::read_dir(folder.path().join("sha256")).unwrap();
        std::fs::write(stored.last().unwrap().unwrap().path(), b"other").unwrap();
        assert_eq!(cache.recall("layer x").unwrap(), None);
    }
}
