//! Rules of the distributions: os-release, package names, versions and dpkg's database.
//!
//! Bytes in, values out; knows nothing of files, images, reports or package managers that run.
//!
//! **Invariant:** no input panics, and a database that dpkg wrote comes back byte for byte.
//!
//! ```
//! use reseal_pkg::{dpkg::Database, version::compare_dpkg};
//! let status = b"Package: bsdutils\nStatus: install ok installed\nArchitecture: amd64\n\
//!     Source: util-linux (2.41-5)\nVersion: 1:2.41-5\n\n";
//! let database = Database::parse(status)?;
//! let package = database.installed().next().expect("one is in the text");
//! // A fix of Debian names the source's version: the binary's own would look newer.
//! assert!(compare_dpkg(&package.source_version, "2.41.5-0+deb13u1").is_lt());
//! assert!(compare_dpkg(&package.version, "2.41.5-0+deb13u1").is_gt());
//! # Ok::<(), reseal_pkg::PkgError>(())
//! ```

pub mod dpkg;
mod error;
mod family;
mod name;
mod os_release;
pub mod version;

pub use error::PkgError;
pub use family::Family;
pub use name::validate_package_name;
pub use os_release::OsRelease;
