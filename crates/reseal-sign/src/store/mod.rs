//! Where cosign keeps what belongs to an image: `.sig` and `.att` tags, and bundles that refer to it.
//!
//! Manifests and configs are written in the bytes that cosign writes. What is there is added to by splicing, so that signatures of
//! others keep every byte; nothing is ever replaced by less. Nothing here verifies anything: what is read is what was found.

mod bundle;
mod collect;
mod copy;
mod entry;
mod error;
mod layers;
mod legacy;

pub use bundle::attach_bundle;
pub use collect::collect;
pub use copy::{Copied, Outcome, copy_artifacts};
pub use entry::*;
pub use error::ArtifactError;
pub use legacy::{Appended, append_legacy};

#[cfg(test)]
mod tests;
