//! What is asked for, and what comes back.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, Read};

use reseal_pkg::dpkg::{Database, extended_states::Mark};
use reseal_rootfs::Tree;

/// A package to lay down. Its bytes were checked against the repository's digest already.
#[derive(Clone, Copy)]
pub struct Deb<'a> {
    /// The package's name.
    pub name: &'a str,
    /// Its architecture.
    pub architecture: &'a str,
    /// Its version.
    pub version: &'a str,
    /// The digest of the `.deb`, SHA-256 in hexadecimal digits; only copied into the proofs.
    pub sha256: &'a str,
    /// Opens it from its beginning. Called twice, and once more if it has libraries larger than some MiB.
    pub open: &'a (dyn Fn() -> io::Result<Box<dyn Read + 'a>> + Sync),
}

impl fmt::Debug for Deb<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{} {}", self.name, self.architecture, self.version)
    }
}

/// What becomes of packages whose maintainer scripts are not known to be inert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scripts {
    /// They are refused.
    #[default]
    Refuse,
    /// They are left unpacked where `dpkg --configure --pending` is all that they need afterwards, otherwise refused.
    Configure,
    /// They are taken for inert. Only for finding out which are.
    Assume,
}

/// Packages to lay down on an image, in one run.
#[derive(Debug)]
pub struct Order<'a> {
    /// The image.
    pub tree: &'a Tree,
    /// Its package database.
    pub database: &'a Database,
    /// The packages, in any order.
    pub debs: Vec<Deb<'a>>,
    /// Those (name, architecture) of them that come in as dependencies and are to be marked so for apt.
    pub new: BTreeSet<Mark>,
    /// dpkg's name for the image's architecture.
    pub architecture: &'a str,
    /// What becomes of packages with scripts that are not known.
    pub scripts: Scripts,
    /// Whether the next package is unpacked meanwhile on a second processor, which takes up to 12 MiB of memory more. What
    /// comes out is the same.
    pub ahead: bool,
}

/// What was laid down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Laid {
    /// The package database after it.
    pub database: Database,
    /// The regular files that came from packages, by path; of several names of one file each.
    pub files: Vec<Proof>,
    /// Configuration files that were changed in the image and stay, by path.
    pub kept_conffiles: Vec<String>,
    /// What else was done or is left to do.
    pub effects: Vec<Effect>,
}

impl Laid {
    /// Returns the packages for which `dpkg --configure --pending` has to run on the result, as dpkg names them.
    pub fn unconfigured(&self) -> impl Iterator<Item = &str> {
        self.effects.iter().filter_map(|effect| match effect {
            Effect::LeftUnpacked { package }
            | Effect::Triggered {
                package,
                left: true,
                ..
            } => Some(package.as_str()),
            _ => None,
        })
    }
}

/// A file with the package that it is from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Proof {
    /// The path in the image, relative, without links in it.
    pub path: String,
    /// The package's name.
    pub package: String,
    /// Its architecture.
    pub architecture: String,
    /// Its version.
    pub version: String,
    /// The digest of the `.deb`, as it was given.
    pub deb: String,
    /// The digest of the file: SHA-256.
    pub sha256: [u8; 32],
}

/// Something beside files and database.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Effect {
    /// A package was left unpacked, for `dpkg --configure`.
    LeftUnpacked {
        /// The package, as dpkg names it.
        package: String,
    },
    /// A package was triggered.
    Triggered {
        /// The package, as dpkg names it.
        package: String,
        /// The triggers, by name.
        triggers: Vec<String>,
        /// Whether it is marked for `dpkg --configure --pending`; otherwise nothing is left to do.
        left: bool,
    },
    /// The dynamic linker's cache was written.
    LinkerCache,
    /// What ca-certificates makes of certificates was written: its configuration, links and the bundle of all.
    Certificates,
    /// Compiled Python modules that no package owns went with the modules that they were compiled from.
    Bytecode {
        /// How many.
        files: usize,
    },
}
