//! Package files that are known by digest: no index is needed for them.

use std::fmt::Write as _;
use std::path::PathBuf;

use crate::digest::ContentDigest;
use crate::error::RepoError;
use crate::http::Downloads;

/// A package file as a lock names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackageFile<'a> {
    /// Its path below the address of a repository.
    pub path: &'a str,
    /// Its size in bytes.
    pub size: u64,
    /// Its SHA-256, in hexadecimal digits.
    pub sha256: &'a str,
}

impl PackageFile<'_> {
    pub(crate) fn digest(&self) -> Result<ContentDigest, RepoError> {
        self.sha256
            .parse()
            .map_err(|why: String| RepoError::malformed(self.path.to_owned(), why))
    }
}

impl Downloads {
    /// Returns the path of a package file: in the cache, or fetched into it from the first of these repositories that has
    /// it. Size and digest are those that were given, or there is an error.
    pub async fn package(
        &self,
        repositories: &[&str],
        file: &PackageFile<'_>,
    ) -> Result<PathBuf, RepoError> {
        let malformed = |why: &str| RepoError::malformed(file.path.to_owned(), why);
        let digest = file.digest()?;
        let path = below(file.path).ok_or_else(|| malformed("it leads out of the repository"))?;
        let mut failure = None;
        for uri in repositories {
            let slash = if uri.ends_with('/') { "" } else { "/" };
            let url = format!("{uri}{slash}{}", escaped(path));
            match self.content(&url, file.size, digest).await {
                Ok(path) => return Ok(path),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        Err(failure.unwrap_or_else(|| malformed("no repository is known that may have it")))
    }
}

/// Returns a path that stays below the address of its repository.
pub(crate) fn below(path: &str) -> Option<&str> {
    let path = path.trim_start_matches("./");
    let harmless = !path.is_empty()
        && !path.starts_with('/')
        && !path.split('/').any(|part| part.is_empty() || part == "..");
    harmless.then_some(path)
}

/// Escapes what would not be part of the path in an address.
pub(crate) fn escaped(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_never_leaves_its_repository() {
        assert_eq!(below("./pool/a.deb"), Some("pool/a.deb"));
        for wrong in ["", "/etc/x", "pool/../../x", "pool//x"] {
            assert_eq!(below(wrong), None, "{wrong}");
        }
        assert_eq!(escaped("pool/a b?#.deb"), "pool/a%20b%3F%23.deb");
    }
}
