//! The scanners' scale of severities.

use std::{fmt, str::FromStr};

use serde::{Serialize, Serializer};

/// How bad a finding is; ordered, the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Severity {
    /// No source rates it.
    #[default]
    Unknown,
    /// Includes Grype's `Negligible`.
    Low,
    /// Medium.
    Medium,
    /// High.
    High,
    /// Critical.
    Critical,
}

impl Severity {
    /// Every severity, the least first.
    pub const ALL: [Self; 5] = [
        Self::Unknown,
        Self::Low,
        Self::Medium,
        Self::High,
        Self::Critical,
    ];

    /// Returns the name in capitals, as reports write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "UNKNOWN",
            Self::Low => "LOW",
            Self::Medium => "MEDIUM",
            Self::High => "HIGH",
            Self::Critical => "CRITICAL",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A word that names no severity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown severity `{}`: expected one of UNKNOWN, LOW, MEDIUM, HIGH, CRITICAL", crate::error::shown(.0))]
pub struct UnknownSeverity(pub String);

impl FromStr for Severity {
    type Err = UnknownSeverity;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        let word = word.trim();
        if word.eq_ignore_ascii_case("negligible") {
            return Ok(Self::Low);
        }
        Self::ALL
            .into_iter()
            .find(|severity| word.eq_ignore_ascii_case(severity.as_str()))
            .ok_or_else(|| UnknownSeverity(word.to_owned()))
    }
}

impl Serialize for Severity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_any_case_and_written_in_capitals() {
        for (word, severity) in [
            ("CRITICAL", Severity::Critical),
            ("high", Severity::High),
            (" Medium ", Severity::Medium),
            ("Negligible", Severity::Low),
            ("unknown", Severity::Unknown),
        ] {
            assert_eq!(word.parse(), Ok(severity), "{word}");
        }
        assert_eq!(
            serde_json::to_string(&Severity::High).unwrap(),
            "\"HIGH\"",
            "the JSON form is the name in capitals"
        );
    }

    #[test]
    fn the_worst_comes_last_and_other_words_are_refused() {
        assert!(Severity::ALL.is_sorted());
        assert!(Severity::Critical > Severity::High);
        assert!("severe".parse::<Severity>().is_err());
    }
}
