//! A folder of packages, in place of the network.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::digest::ContentDigest;
use crate::error::RepoError;

/// A folder of package files. They are found by size and digest: their names mean nothing, and other files are left alone.
pub struct Folder {
    path: PathBuf,
    by_size: BTreeMap<u64, Vec<PathBuf>>,
    known: Mutex<BTreeMap<PathBuf, ContentDigest>>,
}

impl Folder {
    /// Lists the folder; nothing is read yet.
    pub fn open(path: &Path) -> Result<Self, RepoError> {
        let fail = |e| RepoError::file("read", path, &e);
        let mut by_size: BTreeMap<u64, Vec<PathBuf>> = BTreeMap::new();
        for found in std::fs::read_dir(path).map_err(fail)? {
            let file = found.map_err(fail)?.path();
            // Links are followed: folders of packages are often made of them.
            let Ok(metadata) = std::fs::metadata(&file) else {
                continue;
            };
            if metadata.is_file() {
                by_size.entry(metadata.len()).or_default().push(file);
            }
        }
        for files in by_size.values_mut() {
            files.sort();
        }
        Ok(Self {
            path: path.to_owned(),
            by_size,
            known: Mutex::default(),
        })
    }

    /// Returns the folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the file with this size and digest. Blocks while files of that size are read.
    pub fn find(&self, size: u64, digest: ContentDigest) -> Result<Option<PathBuf>, RepoError> {
        for path in self.by_size.get(&size).into_iter().flatten() {
            if self.digest(path)? == digest {
                return Ok(Some(path.clone()));
            }
        }
        Ok(None)
    }

    fn digest(&self, path: &Path) -> Result<ContentDigest, RepoError> {
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(digest) = known().get(path) {
            return Ok(*digest);
        }
        let fail = |e| RepoError::file("read", path, &e);
        let mut file = File::open(path).map_err(fail)?;
        let (digest, _) = ContentDigest::of_reader(&mut file).map_err(fail)?;
        known().insert(path.to_owned(), digest);
        Ok(digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_found_by_size_and_digest_whatever_its_name() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("a.deb", "one"), ("README", "two"), ("c", "three")] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        std::fs::create_dir(folder.path().join("more")).unwrap();
        std::os::unix::fs::symlink("missing", folder.path().join("broken")).unwrap();
        let packages = Folder::open(folder.path()).unwrap();
        for (size, text, expected) in [
            (3, "one", Some("a.deb")),
            (3, "two", Some("README")),
            (5, "three", Some("c")),
            (4, "one", None),
            (3, "six", None),
        ] {
            let found = packages
                .find(size, ContentDigest::of(text.as_bytes()))
                .unwrap();
            assert_eq!(found, expected.map(|name| folder.path().join(name)));
        }
        let error = Folder::open(&folder.path().join("missing")).err().unwrap();
        assert!(error.to_string().contains("missing"), "{error}");
    }
}
