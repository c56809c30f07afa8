//! Why there is no plan.

use reseal_pkg::PkgError;

/// Why findings and facts give no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// A report names a package that the family's grammar does not allow.
    #[error("finding {index} names a package that cannot exist: {source}")]
    BadName {
        /// Position among the findings for operating-system packages, from 0.
        index: usize,
        /// Why the name is refused.
        #[source]
        source: PkgError,
    },
    /// The report was made for another distribution.
    #[error("the report is about {report}, the image is {image}")]
    OtherDistribution {
        /// What the report says.
        report: String,
        /// What the image says.
        image: String,
    },
    /// The distribution or the database of the image cannot be used.
    #[error("the image cannot be planned: {0}")]
    Image(#[from] PkgError),
}
