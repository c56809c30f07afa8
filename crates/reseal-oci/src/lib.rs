//! OCI and Docker images as values: digests, references, platforms, manifests, configs, indexes and layers.
//!
//! Knows nothing of networks, files, clocks or terminals: everything comes in as bytes (or `Read`, `Seek`, `Write`).
//!
//! **Invariant:** bytes are the truth. A manifest, config or index is kept as it was read and edited by splicing, so
//! whatever is not changed on purpose (unknown fields, key order, numbers, white space) comes out as it went in.
//!
//! ```
//! use reseal_oci::{Digest, Reference};
//!
//! let image: Reference = "registry.example:5000/shop/cart:1.4".parse()?;
//! assert_eq!(image.repository.registry(), "registry.example:5000");
//! let digest = Digest::of(b"hello");
//! assert_eq!(digest.algorithm(), "sha256");
//! # Ok::<(), reseal_oci::OciError>(())
//! ```

mod append;
mod artifact;
mod assemble;
mod config;
mod descriptor;
mod digest;
mod error;
mod index;
mod json;
pub mod layer;
mod location;
mod manifest;
mod media;
mod platform;
mod reference;

pub use append::{AppendMeta, PatchLayer, PatchedImage, append};
pub use artifact::{Artifact, List, extend_config};
pub use assemble::{Assembled, assemble};
pub use config::ImageConfig;
pub use descriptor::Descriptor;
pub use digest::{Digest, Hasher};
pub use error::OciError;
pub use index::Index;
pub use location::Location;
pub use manifest::{ImageManifest, RawManifest};
pub use media::{Family, Kind};
pub use platform::Platform;
pub use reference::{PinnedRef, Reference, Repository, Tag};

/// Largest manifest or index that is read, in bytes (the distribution specification's own advice).
pub const MANIFEST_LIMIT: usize = 4 << 20;
/// Largest image config that is read, in bytes.
pub const CONFIG_LIMIT: usize = 8 << 20;

/// Names of annotations that reseal reads and writes.
pub mod annotation {
    /// The reference of the image that this one was made from (OCI image specification).
    pub const BASE_NAME: &str = "org.opencontainers.image.base.name";
    /// The digest of the image that this one was made from (OCI image specification).
    pub const BASE_DIGEST: &str = "org.opencontainers.image.base.digest";
    /// JSON about the patch: `{"version": …, "engine": …}`.
    pub const PATCH: &str = "dev.reseal.patch";
    /// The digest of the manifest or index that this patched one was made from.
    pub const PATCH_BASE: &str = "dev.reseal.patch.base";
    /// JSON about the packages that a patch without a package manager was laid down from.
    pub const PATCH_LOCK: &str = "dev.reseal.patch.lock";
    /// The digest of the layer that the patch added.
    pub const PATCH_LAYER: &str = "dev.reseal.patch.layer";
    /// What another manifest of the index this descriptor is about (`BuildKit`).
    pub const REFERENCE_DIGEST: &str = "vnd.docker.reference.digest";
    /// Which kind of thing it is about it (`BuildKit`).
    pub const REFERENCE_TYPE: &str = "vnd.docker.reference.type";
    /// The value of [`REFERENCE_TYPE`] for attestation manifests.
    pub const ATTESTATION_MANIFEST: &str = "attestation-manifest";
}
