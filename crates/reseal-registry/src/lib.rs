//! Reads and writes images: one [`Store`] trait, with a repository of a registry ([`Registries::open`]) and an OCI layout folder
//! ([`Layout`]) as its forms.
//!
//! Knows nothing of builds, packages or terminals.
//!
//! **Invariant:** content that was asked for by digest has that digest, or there is an error. No blob is ever held in memory,
//! no secret is ever shown, and no request asks for more rights than it needs.
//!
//! Why registries are spoken to directly and not through a ready-made client: `docs/decisions.md`, "D4".
//!
//! ```
//! use reseal_oci::RawManifest;
//! use reseal_registry::{Layout, Store, Target};
//!
//! # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
//! # runtime.block_on(async {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("out");
//! let layout = Layout::create(path)?;
//! let raw = RawManifest::new("application/vnd.oci.image.index.v1+json", br#"{"schemaVersion":2,"manifests":[]}"#.to_vec());
//! layout.put_manifest(&raw, &Target::Tag("1.4".parse()?)).await?;
//! assert_eq!(layout.manifest(&Target::Digest(raw.digest.clone())).await?, raw);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod auth;
mod client;
mod connect;
mod credentials;
mod error;
mod layout;
mod mirror;
mod referrers;
mod registries;
mod remote;
mod reply;
mod retry;
mod settings;
mod store;
mod text;
mod tls;
mod verify;

pub use credentials::{Credential, CredentialError, CredentialStore};
pub use error::{Class, StoreError};
pub use layout::Layout;
pub use registries::Registries;
pub use reseal_net::Secret;
pub use settings::{RealTime, RegistrySettings, Sleeper, Wait};
pub use store::{
    BlobReader, BlobSource, Copied, Counts, MANIFEST_LIMIT, OpenBlob, Store, Target, copy_blob,
};
