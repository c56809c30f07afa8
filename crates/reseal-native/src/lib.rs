//! Lays newer packages down on an image without running anything of them.
//!
//! By dpkg's rules: the same files, the same package database, byte for byte, as the image's own dpkg would leave, but
//! for what maintainer scripts do. Scripts are known by digest ([`scripts`]); a package with one that is not is refused,
//! and so is everything else that cannot be done right. Nothing is guessed.
//!
//! Knows nothing of repositories, versions to choose, networks or file systems: the image comes as a [`Tree`], packages
//! as readers, the changes go into a raw tar.
//!
//! **Invariant:** the result follows from the image and the set of packages, in whatever order they are given.
//!
//! [`Tree`]: reseal_rootfs::Tree

mod error;
mod lay;
mod order;
mod owners;
mod raw;
mod view;

pub mod database;
pub mod deb;
pub mod scripts;
pub mod settings;

pub use deb::{ControlFiles, Fields};
pub use error::{ArchiveError, NativeError, Refusal};
pub use lay::lay_down;
pub use order::{Deb, Effect, Laid, Order, Proof, Scripts};
pub use raw::NOW;
