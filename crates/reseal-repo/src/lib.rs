//! Package repositories: signed indexes, candidates, downloads and their cache.
//!
//! Trusts what the image's package manager would trust, and nothing else. Knows nothing of registries, builds or terminals;
//! what belongs to one family of distributions is in a module of its own ([`deb`]).
//!
//! **Invariant:** no byte of an index or a package is used before its digest matched, and the chain of digests ends at a
//! signature by a key that the image trusts. The cache is no part of that chain: what comes from it is checked again.
//!
//! ```
//! use std::collections::BTreeMap;
//! use reseal_repo::deb::read_sources;
//!
//! let file = b"deb [signed-by=/usr/share/keyrings/shop.gpg] http://packages.example/debian bookworm main\n";
//! let files = BTreeMap::from([("etc/apt/sources.list".to_owned(), file.to_vec())]);
//! let sources = read_sources(&files, "amd64")?;
//! assert_eq!(sources.entries[0].release_url(), "http://packages.example/debian/dists/bookworm/");
//! # Ok::<(), reseal_repo::RepoError>(())
//! ```

mod cache;
pub mod deb;
mod digest;
mod error;
mod folder;
mod http;
pub mod openpgp;
mod package;
mod settings;

pub use cache::{Cache, Usage};
pub use digest::ContentDigest;
pub use error::{Class, RepoError};
pub use folder::Folder;
pub use http::Downloads;
pub use package::PackageFile;
pub use reseal_net::Secret;
pub use settings::{Counts, HttpSettings, Login, RealTime, Sleeper};
