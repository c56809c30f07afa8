//! What a native patch is made of: enough to make the same digest again, a year later and without the repositories.

use reseal_oci::{Digest, Platform};
use reseal_repo::PackageFile;
use serde::{Deserialize, Serialize};

use crate::error::PipelineError;

/// The schema name that every lock carries.
pub const LOCK_SCHEMA: &str = "reseal.dev/lock/v1";

/// A lock file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    /// Always [`LOCK_SCHEMA`].
    pub schema: String,
    /// Name and version of the program that made it; it goes into the history of the image.
    pub generator: String,
    /// The image.
    pub source: LockedSource,
    /// `SOURCE_DATE_EPOCH` of the run, if it was set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<i64>,
    /// The platforms that are patched; all others pass through.
    pub platforms: Vec<LockedPlatform>,
}

/// The image that a lock is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockedSource {
    /// Its name, without a digest.
    pub reference: String,
    /// The digest of its index, or of its manifest where there is no index.
    pub digest: Digest,
}

/// One platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockedPlatform {
    /// The platform.
    pub platform: Platform,
    /// The manifest that is patched.
    pub source_digest: Digest,
    /// The engine; only `native` can be repeated without the package manager.
    pub engine: String,
    /// The signed indexes that the versions were chosen from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repositories: Vec<LockedRepository>,
    /// Every package, sorted by name and architecture.
    pub packages: Vec<LockedPackage>,
}

/// A repository as it was when the versions were chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockedRepository {
    /// Its address.
    pub uri: String,
    /// Its suite, such as `bookworm-security`.
    pub suite: String,
    /// The digest of its signed `Release` or `InRelease` file.
    pub release: Digest,
    /// The indexes that were read, each with its digest.
    pub indexes: Vec<LockedIndex>,
}

/// An index of packages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockedIndex {
    /// Its path below the suite.
    pub path: String,
    /// The digest that the signed file names.
    pub digest: Digest,
}

/// A package by its bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LockedPackage {
    /// Binary package.
    pub name: String,
    /// Its architecture.
    pub architecture: String,
    /// Its version.
    pub version: String,
    /// Its path below the address of a repository.
    pub filename: String,
    /// Size in bytes.
    pub size: u64,
    /// The digest of the file.
    pub digest: Digest,
    /// Whether it was not installed before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub new: bool,
}

impl LockedPackage {
    /// Returns what is fetched.
    pub(crate) fn file(&self) -> PackageFile<'_> {
        PackageFile {
            path: &self.filename,
            size: self.size,
            sha256: hex(&self.digest),
        }
    }
}

/// Returns the digits of a digest, as indexes have them.
pub(crate) fn hex(digest: &Digest) -> &str {
    digest
        .as_str()
        .split_once(':')
        .map_or("", |(_, digits)| digits)
}

/// What an image that was patched by the native engine carries about itself, in an annotation of each platform's
/// manifest: its packages, and nothing that differs from one day to the next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Carried {
    /// As in [`Lock::generator`].
    pub generator: String,
    /// As in [`Lock::epoch`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<i64>,
    /// As in [`LockedPlatform::packages`].
    pub packages: Vec<LockedPackage>,
}

impl Carried {
    /// Returns the text of the annotation.
    pub(crate) fn to_text(&self) -> String {
        serde_json::to_string(self).expect("it has no keys but texts")
    }
}

impl Lock {
    /// Reads a lock file.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let lock: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if lock.schema != LOCK_SCHEMA {
            return Err(format!(
                "its schema is `{}`, not `{LOCK_SCHEMA}`",
                lock.schema
            ));
        }
        if lock.platforms.is_empty() {
            return Err("it names no platform".to_owned());
        }
        if let Some(other) = lock.platforms.iter().find(|one| one.engine != "native") {
            return Err(format!(
                "the engine of {} is `{}`, which cannot be repeated from a lock",
                other.platform, other.engine
            ));
        }
        Ok(lock)
    }

    /// Refuses a lock that names none of these platforms: the image would be taken for patched.
    pub(crate) fn is_for<'a>(
        &self,
        mut platforms: impl Iterator<Item = &'a Platform>,
    ) -> Result<(), PipelineError> {
        if platforms.any(|name| self.platforms.iter().any(|one| one.platform == *name)) {
            return Ok(());
        }
        let named: Vec<String> = self
            .platforms
            .iter()
            .map(|one| one.platform.to_string())
            .collect();
        Err(PipelineError::Mismatch {
            message: format!(
                "The lock is for {}, and nothing of the image that is worked on is",
                named.join(", ")
            ),
            hint: "Choose platforms that the lock names, or make a new lock with `reseal plan IMAGE --lock FILE`".into(),
        })
    }

    /// Returns the lock as text: JSON, one line a value.
    pub fn to_text(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("a lock has no keys but texts");
        text.push('\n');
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock() -> Lock {
        let digest = Digest::of(b"x");
        Lock {
            schema: LOCK_SCHEMA.to_owned(),
            generator: "reseal 0.1.0".to_owned(),
            source: LockedSource {
                reference: "r.io/a:1".to_owned(),
                digest: digest.clone(),
            },
            epoch: None,
            platforms: vec![LockedPlatform {
                platform: "linux/amd64".parse().unwrap(),
                source_digest: digest.clone(),
                engine: "native".to_owned(),
                repositories: Vec::new(),
                packages: vec![LockedPackage {
                    name: "a".to_owned(),
                    architecture: "all".to_owned(),
                    version: "1".to_owned(),
                    filename: "pool/a.deb".to_owned(),
                    size: 3,
                    digest,
                    new: false,
                }],
            }],
        }
    }

    #[test]
    fn a_lock_comes_back_as_it_was_written() {
        let lock = lock();
        assert_eq!(Lock::parse(lock.to_text().as_bytes()), Ok(lock));
    }

    #[test]
    fn a_lock_is_for_the_platforms_that_it_names() {
        let platforms = ["linux/arm64", "linux/amd64"].map(|name| name.parse().unwrap());
        assert!(lock().is_for(platforms.iter()).is_ok());
        let refused = lock().is_for(platforms[..1].iter()).unwrap_err();
        assert!(refused.to_string().contains("linux/amd64"), "{refused}");
        let mut none = lock();
        none.platforms.clear();
        assert!(Lock::parse(none.to_text().as_bytes()).is_err());
    }

    #[test]
    fn what_cannot_be_repeated_is_refused_with_the_reason() {
        let mut other = lock();
        other.schema = "reseal.dev/lock/v9".to_owned();
        assert!(
            Lock::parse(other.to_text().as_bytes())
                .unwrap_err()
                .contains("v9")
        );
        let mut exec = lock();
        exec.platforms[0].engine = "buildkit".to_owned();
        assert!(
            Lock::parse(exec.to_text().as_bytes())
                .unwrap_err()
                .contains("linux/amd64")
        );
        assert!(Lock::parse(b"{").is_err());
    }
}
