//! Signatures, proofs and moved tags as text.

use reseal_pipeline::{MovedTag, Proof, Sealed};

use crate::escape;

/// Returns a line for each place where something was written.
pub(crate) fn sealed(sealed: &[Sealed]) -> String {
    lines(
        sealed
            .iter()
            .flat_map(|one| &one.kept_in)
            .map(|place| escape::line(place)),
    )
}

/// Returns a line for each proof that holds.
pub(crate) fn proofs(proofs: &[Proof]) -> String {
    lines(proofs.iter().map(|proof| {
        format!(
            "{} by {}",
            proof.requirement.describe(),
            escape::line(&proof.signer)
        )
    }))
}

/// Returns a line for each tag.
pub(crate) fn tags(tags: &[MovedTag]) -> String {
    lines(tags.iter().map(|one| {
        let before = one
            .previous
            .as_ref()
            .map_or_else(|| "nothing".to_owned(), ToString::to_string);
        if one.moved {
            format!("tag {} moved; it was {before}", one.tag)
        } else {
            format!("tag {} was there already", one.tag)
        }
    }))
}

/// Ends each text with a line feed.
fn lines(texts: impl Iterator<Item = String>) -> String {
    texts.fold(String::new(), |mut all, text| {
        all += &text;
        all.push('\n');
        all
    })
}
