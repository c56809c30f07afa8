//! The way to referrers where there is no API for them: an index under a tag that is made of the digest.

use reseal_oci::{Descriptor, Digest, Index, List, RawManifest, Tag};

use crate::error::StoreError;
use crate::store::{Store, Target};

/// Longest algorithm and longest hash that go into such a tag (OCI distribution specification, "Referrers Tag Schema").
const ALGORITHM: usize = 32;
const HASH: usize = 64;
const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";

/// Returns the tag whose index lists what belongs to a digest.
pub(crate) fn tag_of(digest: &Digest) -> Option<Tag> {
    let cut = |text: &str, length: usize| text.chars().take(length).collect::<String>();
    let name = format!(
        "{}-{}",
        cut(digest.algorithm(), ALGORITHM),
        cut(digest.hex(), HASH)
    );
    name.parse().ok()
}

/// Takes the name apart of a tag that holds what belongs to a digest: `sha256-<hex>`, or cosign's `sha256-<hex>.sig`, `.att`, ….
pub(crate) fn subject_of(name: &str) -> Option<(Digest, &str)> {
    let (digest, suffix) = name.split_once('.').unwrap_or((name, ""));
    let digest = digest.replacen('-', ":", 1).parse().ok()?;
    Some((digest, suffix))
}

/// Lists what the index under the fallback tag has.
pub(crate) async fn by_tag<S: Store + ?Sized>(
    store: &S,
    digest: &Digest,
) -> Result<Vec<Descriptor>, StoreError> {
    let Some(tag) = tag_of(digest) else {
        return Ok(Vec::new());
    };
    let what = format!("tag `{tag}` in {}", store.describe());
    match store.manifest(&Target::Tag(tag)).await {
        Ok(raw) if is_the_subject(&raw, digest) => Ok(Vec::new()),
        Ok(raw) => listed(&raw, &what),
        Err(StoreError::NotFound { .. }) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Tells whether the tag holds what its name says, and no list: `cosign copy` leaves images there under the name of their digest.
fn is_the_subject(raw: &RawManifest, subject: &Digest) -> bool {
    raw.digest == *subject
}

fn listed(raw: &RawManifest, what: &str) -> Result<Vec<Descriptor>, StoreError> {
    match Index::parse(raw) {
        Ok(index) => Ok(index.children),
        Err(error) => Err(StoreError::BadManifest {
            what: what.to_owned(),
            why: error.to_string(),
        }),
    }
}

/// Returns the subject's index with one more entry; `None` if it lists that manifest already. Entries of others keep every byte.
pub(crate) fn with_entry(
    index: Option<RawManifest>,
    subject: &Digest,
    entry: &Descriptor,
    what: &str,
) -> Result<Option<RawManifest>, StoreError> {
    let index = index.filter(|raw| !is_the_subject(raw, subject));
    let index = index.unwrap_or_else(|| {
        let empty = format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX_TYPE}","manifests":[]}}"#);
        RawManifest::new(INDEX_TYPE, empty.into_bytes())
    });
    if listed(&index, what)?
        .iter()
        .any(|found| found.digest == entry.digest)
    {
        return Ok(None);
    }
    let grown = List::Manifests.extend(&index, &[entry.to_json()], None);
    grown.map(Some).map_err(|error| StoreError::BadManifest {
        what: what.to_owned(),
        why: error.to_string(),
    })
}
