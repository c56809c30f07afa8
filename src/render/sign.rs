//! Signatures, proofs and moved tags as text.

use reseal_pipeline::{MovedTag, Proof, Sealed};

use crate::escape;

/// Returns a line for each place where something was written.
pub(crate) fn sealed(sealed: &[Sealed]) -> String {
    sealed
        .iter()
        .flat_map(|one| &one.kept_in)
        .map(|place| format!("{}\n", escape::line(place)))
        .collect()
}

/// Returns a line for each proof that holds.
pub(crate) fn proofs(proofs: &[Proof]) -> String {
    proofs
        .iter()
        .map(|proof| {
            format!(
                "{} by {}\n",
                proof.requirement.describe(),
                escape::line(&proof.signer)
            )
        })
        .collect()
}

/// Returns a line for each tag.
pub(crate) fn tags(tags: &[MovedTag]) -> String {
    tags.iter()
        .map(|one| {
            let before = one
                .previous
                .as_ref()
                .map_or_else(|| "nothing".to_owned(), ToString::to_string);
            if one.moved {
                format!("tag {} moved; it was {before}\n", one.tag)
            } else {
                format!("tag {} was there already\n", one.tag)
            }
        })
        .collect()
}
