//! The words of the history entry.

use std::{collections::BTreeSet, fmt::Write as _};

use reseal_pkg::dpkg::Change;

/// The changed packages for the history: sources with their versions, at most a line's worth.
pub(crate) fn summary(changes: &[Change]) -> String {
    const MOST: usize = 12;
    let sources: BTreeSet<String> = changes
        .iter()
        .filter_map(|change| {
            Some(format!(
                "{} {}",
                change.source_name,
                change.source_to.as_ref()?
            ))
        })
        .collect();
    let mut text = sources
        .iter()
        .take(MOST)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    if sources.len() > MOST {
        let _ = write!(text, " and {} more", sources.len() - MOST);
    }
    text
}
