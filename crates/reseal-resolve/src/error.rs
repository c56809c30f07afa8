//! Why an upgrade is left to the package manager.

use reseal_pkg::PkgError;

/// Why there is no answer that is certainly apt's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unresolved {
    /// Packages would have to go.
    #[error("the upgrade is only possible if {} removed", are(packages))]
    Removal {
        /// Their names.
        packages: Vec<String>,
    },
    /// Packages on hold would have to move.
    #[error("{} on hold, but would have to be upgraded", are(packages))]
    Held {
        /// Their names.
        packages: Vec<String>,
    },
    /// No set of versions fits together.
    #[error("the upgrade is not possible: {explanation}")]
    Unsatisfiable {
        /// What is missing or does not go together.
        explanation: String,
    },
    /// What is installed does not fit together already, or dpkg did not finish with it.
    #[error("the packages of the image are not in order: {explanation}")]
    Broken {
        /// What is wrong.
        explanation: String,
    },
    /// Pins ask for a version that is older than the installed one.
    #[error("`{package}` would be downgraded from {installed} to {candidate}")]
    Downgrade {
        /// The package.
        package: String,
        /// The version that is there.
        installed: String,
        /// The version that apt prefers.
        candidate: String,
    },
    /// There is more than one answer, and which one apt takes depends on things that are not known
    /// here.
    #[error("apt has a choice: {explanation}")]
    Choice {
        /// What it can choose from.
        explanation: String,
    },
    /// Pins that are not understood.
    #[error("the image's preferences are not understood: {}", reasons.join("; "))]
    Preferences {
        /// One reason a record.
        reasons: Vec<String>,
    },
    /// A relation in the database that cannot be read.
    #[error("the package database cannot be used")]
    Database(#[source] PkgError),
}

impl Unresolved {
    /// Returns what the user can do, as one sentence.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Removal { .. } | Self::Unsatisfiable { .. } | Self::Choice { .. } => {
                "Use `--engine buildkit`, which lets the image's own package manager decide"
            }
            Self::Held { .. } => {
                "Release the hold (`apt-mark unhold`) in the image, or leave the package out"
            }
            Self::Broken { .. } | Self::Database(_) => {
                "Rebuild the image: its package manager would refuse to work on it as well"
            }
            Self::Downgrade { .. } | Self::Preferences { .. } => {
                "Look at etc/apt/preferences and etc/apt/preferences.d of the image, or use `--engine buildkit`"
            }
        }
    }
}

fn are(packages: &[String]) -> String {
    let verb = if packages.len() == 1 { "is" } else { "are" };
    let names: Vec<String> = packages.iter().map(|name| format!("`{name}`")).collect();
    format!("{} {verb}", names.join(", "))
}
