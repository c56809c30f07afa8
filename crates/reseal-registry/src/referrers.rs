//! The way to referrers where there is no API for them: an index under a tag that is made of the digest.

use reseal_oci::{Descriptor, Digest, Index};

use crate::error::StoreError;
use crate::store::{Store, Target};

/// Longest algorithm and longest hash that go into such a tag (OCI distribution specification, "Referrers Tag Schema").
const ALGORITHM: usize = 32;
const HASH: usize = 64;

/// Lists what the index under the fallback tag has.
pub(crate) async fn by_tag<S: Store + ?Sized>(
    store: &S,
    digest: &Digest,
) -> Result<Vec<Descriptor>, StoreError> {
    let cut = |text: &str, length: usize| text.chars().take(length).collect::<String>();
    let name = format!(
        "{}-{}",
        cut(digest.algorithm(), ALGORITHM),
        cut(digest.hex(), HASH)
    );
    let Ok(tag) = name.parse() else {
        return Ok(Vec::new());
    };
    let raw = match store.manifest(&Target::Tag(tag)).await {
        Ok(raw) => raw,
        Err(StoreError::NotFound { .. }) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let index = Index::parse(&raw).map_err(|error| StoreError::BadManifest {
        what: format!("tag `{name}` in {}", store.describe()),
        why: error.to_string(),
    })?;
    Ok(index.children)
}
