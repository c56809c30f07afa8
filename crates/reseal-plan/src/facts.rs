//! What a plan is made from: the image as its own files tell it.

use std::sync::Arc;

use reseal_oci::{Digest, Platform};
use reseal_pkg::{OsRelease, dpkg::Database};

/// One platform of an image.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The platform.
    pub platform: Platform,
    /// The manifest that is patched.
    pub source_digest: Digest,
    /// Its os-release.
    pub os: OsRelease,
    /// Its package database, shared with whoever else needs it for as long.
    pub database: Arc<Database>,
    /// The database of an earlier patch that this one replaces; what that had upgraded stays upgraded.
    pub previous: Option<Database>,
}

impl Facts {
    /// Returns the distribution as people write it, such as `debian 12`.
    pub fn distribution(&self) -> String {
        match &self.os.version_id {
            Some(version) => format!("{} {version}", self.os.id),
            None => self.os.id.clone(),
        }
    }
}
