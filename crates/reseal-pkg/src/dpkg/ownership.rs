//! Tells what a path of a patch layer belongs to.

use std::collections::BTreeMap;

use super::{
    lists::parse_list,
    paths::{Aliases, clean},
};

/// What a path of a patch layer belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Owner {
    /// A package whose files are in the layer.
    Package,
    /// The package managers' own records.
    Database,
    /// No package: a maintainer script or trigger wrote it. Kept, and worth listing.
    Script,
    /// Left over from the work: caches, logs, locks, mount points. Not kept.
    Junk,
}

/// The paths of the changed packages: what their `info/*.list` files say, which lie in the patch
/// layer themselves.
#[derive(Debug, Clone, Default)]
pub struct Ownership {
    packages: Vec<String>,
    /// Path to index in `packages`, past the merged directories.
    owned: BTreeMap<String, usize>,
    aliases: Aliases,
}

impl Ownership {
    /// Builds it from `(info stem, bytes of the list)` pairs; `aliases` are the image's directories
    /// that are links, such as `("lib", "usr/lib")`.
    pub fn from_lists(
        lists: impl IntoIterator<Item = (String, Vec<u8>)>,
        aliases: &[(String, String)],
    ) -> Self {
        let mut out = Self {
            aliases: Aliases::new(aliases),
            ..Self::default()
        };
        out.add(lists);
        out
    }

    /// Adds the lists of the versions before, so that the whiteouts of files which the new versions
    /// no longer have count as the packages' too.
    #[must_use]
    pub fn with_former(mut self, lists: impl IntoIterator<Item = (String, Vec<u8>)>) -> Self {
        self.add(lists);
        self
    }

    fn add(&mut self, lists: impl IntoIterator<Item = (String, Vec<u8>)>) {
        for (stem, bytes) in lists {
            let package = self.packages.len();
            self.packages.push(stem);
            for path in parse_list(&bytes) {
                let path = self.aliases.resolve(path);
                self.owned.entry(path).or_insert(package);
            }
        }
    }

    /// Tells what a path belongs to. A whiteout belongs to what the path that it hides does.
    pub fn owner(&self, path: &str) -> Owner {
        let Some(path) = self.real(path) else {
            return Owner::Junk;
        };
        if is_mount_stub(&path) {
            return Owner::Junk;
        }
        if is_under(&path, "var/lib/dpkg") || path == "var/lib/apt/extended_states" {
            return if is_database_leftover(&path) {
                Owner::Junk
            } else {
                Owner::Database
            };
        }
        if self.owned.contains_key(&path) {
            Owner::Package
        } else if is_junk(&path) {
            Owner::Junk
        } else {
            Owner::Script
        }
    }

    /// Tells whether a changed package has the path in its list.
    pub fn owns(&self, path: &str) -> bool {
        self.package_of(path).is_some()
    }

    /// Returns the info stem of the changed package that has the path in its list; of a directory
    /// that several have, the first.
    pub fn package_of(&self, path: &str) -> Option<&str> {
        let package = *self.owned.get(&self.real(path)?)?;
        self.packages.get(package).map(String::as_str)
    }

    /// Names the group of a path that a script wrote, so that long lists can be told in short:
    /// `byte code`, `ld.so cache`, `certificates` or `other`.
    pub fn group(path: &str) -> &'static str {
        let path = path.trim_start_matches(['/', '.']);
        let file = path.rsplit('/').next().unwrap_or(path);
        let extension = |wanted| file.rsplit_once('.').is_some_and(|(_, e)| e == wanted);
        if path.split('/').any(|part| part == "__pycache__") || extension("pyc") || extension("pyo")
        {
            "byte code"
        } else if path == "etc/ld.so.cache" {
            "ld.so cache"
        } else if is_under(path, "etc/ssl/certs")
            || is_under(path, "etc/pki")
            || is_under(path, "usr/local/share/ca-certificates")
            || path.starts_with("etc/ca-certificates")
        {
            "certificates"
        } else {
            "other"
        }
    }

    /// Returns the path a layer's entry is about: clean, past merged directories and whiteout marks.
    fn real(&self, path: &str) -> Option<String> {
        let path = clean(path)?;
        let (parent, file) = path.rsplit_once('/').unwrap_or(("", &path));
        let hidden = match file.strip_prefix(".wh.") {
            None => path,
            Some(".wh..opq") => clean(parent)?,
            Some(name) => clean(&format!("{parent}/{name}"))?,
        };
        Some(self.aliases.resolve(hidden))
    }
}

/// Tells whether a path is a directory or lies in it.
fn is_under(path: &str, directory: &str) -> bool {
    path.strip_prefix(directory)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// What the container runtime puts into a root to mount over it. Never wanted in a layer: an empty
/// `etc/hosts` would hide the image's own.
fn is_mount_stub(path: &str) -> bool {
    ["dev", "proc", "sys"].iter().any(|dir| is_under(path, dir))
        || matches!(
            path,
            "etc/resolv.conf" | "etc/hosts" | "etc/hostname" | ".dockerenv"
        )
}

/// Locks, backups and unfinished files of the package managers' records.
fn is_database_leftover(path: &str) -> bool {
    let Some(path) = path.strip_prefix("var/lib/dpkg/") else {
        return false;
    };
    matches!(path, "lock" | "lock-frontend" | "triggers/Lock")
        || is_under(path, "tmp.ci")
        || (!path.contains('/') && path.ends_with("-old"))
        || is_unfinished(path)
}

fn is_unfinished(path: &str) -> bool {
    path.ends_with(".dpkg-new") || path.ends_with(".dpkg-tmp")
}

fn is_junk(path: &str) -> bool {
    const FOLDERS: &[&str] = &[
        "root/.cache",
        "run",
        "tmp",
        "var/cache",
        "var/lib/apt/lists",
        "var/lib/apt/periodic",
        "var/lock",
        "var/log",
        "var/run",
        "var/tmp",
    ];
    FOLDERS.iter().any(|folder| is_under(path, folder))
        || path == "var/lib/apt/daily_lock"
        || is_unfinished(path)
}
