//! Adds to `.sig` and `.att` tags.

use reseal_oci::{Descriptor, Digest, Tag};
use reseal_registry::Store;

use super::entry::{LegacyEntry, Suffix};
use super::error::ArtifactError;
use super::layers::{Ensured, Layer, ensure, put_bytes, tag_of};

/// What became of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// The tag that holds it.
    pub tag: Tag,
    /// The tag's manifest, with this entry and all others.
    pub manifest: Descriptor,
    /// Whether it was added; `false` if it was there already.
    pub added: bool,
}

/// Adds a signature or attestation to what others have signed.
///
/// It is not added twice where that can be told: the same payload with the same signature (of a key whose signatures are always
/// the same) and certificate. A signature by ECDSA is a new one every time.
///
/// # Errors
///
/// When the store cannot be read or written, when the tag holds something else than signatures, or when others wrote to the same
/// tag all the time.
pub async fn append_legacy(
    store: &dyn Store,
    subject: &Digest,
    suffix: Suffix,
    entry: &LegacyEntry,
) -> Result<Appended, ArtifactError> {
    let tag = tag_of(subject, suffix.as_str())?;
    let mut descriptor = put_bytes(store, entry.media_type, entry.payload.clone()).await?;
    descriptor.annotations.clone_from(&entry.annotations);
    let (manifest, added) = match ensure(store, &tag, &[Layer::new(descriptor)], None).await? {
        Ensured::Present(manifest) => (manifest, false),
        Ensured::Made(manifest) | Ensured::Grown(manifest) => (manifest, true),
    };
    Ok(Appended {
        tag,
        manifest,
        added,
    })
}
