//! apt's marks of packages that came only as a dependency (`var/lib/apt/extended_states`).

use std::collections::BTreeSet;

use super::paragraph::split;

/// A package by name and architecture.
pub type Mark = (String, String);

/// Returns the packages that are marked as installed automatically.
///
/// The file is apt's own and has no say in what is installed: one that breaks the format is read as
/// far as it goes wrong, that is, as one without marks.
pub fn auto_marks(bytes: &[u8]) -> BTreeSet<Mark> {
    split(bytes, "apt's extended_states")
        .unwrap_or_default()
        .iter()
        .filter(|stanza| stanza.field("Auto-Installed").as_deref() == Some("1"))
        .filter_map(|stanza| {
            Some((
                stanza.field("Package")?,
                stanza.field("Architecture").unwrap_or_default(),
            ))
        })
        .collect()
}

/// How marks changed between two states of an image.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MarkChanges {
    /// Marked now, not before.
    pub gained: BTreeSet<Mark>,
    /// Marked before, not now: apt's autoremove no longer takes them.
    pub lost: BTreeSet<Mark>,
}

impl MarkChanges {
    /// Tells whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.gained.is_empty() && self.lost.is_empty()
    }
}

/// Compares the marks of two `extended_states` files.
pub fn compare(before: &[u8], after: &[u8]) -> MarkChanges {
    let (before, after) = (auto_marks(before), auto_marks(after));
    MarkChanges {
        gained: after.difference(&before).cloned().collect(),
        lost: before.difference(&after).cloned().collect(),
    }
}
