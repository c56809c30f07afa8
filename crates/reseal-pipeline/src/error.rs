//! Why a run stopped, by class. Exit codes hang on the class alone (`src/exit.rs`).

use reseal_buildkit::{BuildError, ConnectError};
use reseal_native::NativeError;
use reseal_oci::{Digest, OciError, layer::LayerError};
use reseal_pkg::PkgError;
use reseal_plan::{BindError, PlanError};
use reseal_registry::{Class as StoreClass, StoreError};
use reseal_repo::{Class as RepoClass, RepoError};
use reseal_report::ReportError;
use reseal_sign::{SignError, store::ArtifactError};

use crate::{outcome::RunResult, proof::NotProved};

/// The classes of `docs/exit-codes.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// A bug.
    Internal,
    /// The request makes no sense.
    Usage,
    /// A gated finding has no fix.
    NoFix,
    /// A gated or planned finding remains.
    Residual,
    /// Packages could not be resolved or installed, or the image cannot be patched.
    Install,
    /// No builder answers.
    Unreachable,
    /// The builder lacks something.
    Capability,
    /// The solve failed.
    Solve,
    /// The registry refused the credentials.
    RegistryAuth,
    /// The registry could not be used.
    RegistryTransport,
    /// The registry asks to come back later.
    RateLimited,
    /// The report cannot be used.
    Report,
    /// The report belongs to something else.
    Mismatch,
    /// A gated finding is there only after the patch.
    NewFinding,
    /// The tag moved while the run went on.
    Promotion,
    /// Signing failed; the image is in the registry, unsigned.
    Signing,
    /// A signature or attestation is missing or not valid.
    Signature,
    /// The time is up.
    Timeout,
}

/// An error of the pipeline. The message says what failed and why, [`PipelineError::hint`] what to do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PipelineError {
    /// A request that cannot be meant.
    #[error("{message}")]
    Usage {
        /// What is wrong.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
    /// A report that cannot be read.
    #[error("Could not read the report `{name}`")]
    Report {
        /// Its name.
        name: String,
        /// Why.
        #[source]
        source: ReportError,
    },
    /// A report that speaks of something else.
    #[error("{message}")]
    Mismatch {
        /// What does not fit.
        message: String,
        /// What to do.
        hint: String,
    },
    /// The image is not what it should be.
    #[error("Could not use the image `{image}`: {message}")]
    Image {
        /// Which.
        image: String,
        /// Why not.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
    /// A registry or layout.
    #[error("Could not {action}")]
    Store {
        /// What was tried.
        action: String,
        /// Why it failed.
        #[source]
        source: StoreError,
    },
    /// No builder.
    #[error("Could not reach a BuildKit daemon")]
    Connect(#[from] ConnectError),
    /// The builder cannot do what is needed.
    #[error("{message}")]
    Capability {
        /// What is missing.
        message: String,
        /// What to do.
        hint: String,
    },
    /// The package manager failed.
    #[error("Could not upgrade the packages of {platform}: {message}")]
    Install {
        /// Where.
        platform: String,
        /// What the package manager said, in one line.
        message: String,
        /// The end of its output.
        log: String,
        /// What to do.
        hint: String,
    },
    /// The daemon failed.
    #[error("The solve failed")]
    Build(#[source] BuildError),
    /// A package repository, or the cache of what came from it.
    #[error("Could not get the packages of {platform}")]
    Repository {
        /// Where they are needed.
        platform: String,
        /// Why.
        #[source]
        source: RepoError,
    },
    /// The native engine leaves a platform to its package manager, and there is none to take it.
    #[error("The native engine cannot patch {platform}: {reason}")]
    Refused {
        /// Where.
        platform: String,
        /// What only the package manager can do right.
        reason: String,
        /// What to do.
        hint: String,
    },
    /// Packages could not be laid down.
    #[error("Could not lay down the packages of {platform}")]
    Native {
        /// Where.
        platform: String,
        /// Why.
        #[source]
        source: NativeError,
    },
    /// The layer that came back.
    #[error("Could not turn the changes of {platform} into a layer")]
    Layer {
        /// Where.
        platform: String,
        /// Why.
        #[source]
        source: LayerError,
    },
    /// Scripts wrote elsewhere, and the user forbade it.
    #[error("Maintainer scripts of {platform} wrote outside their packages' own files: {paths}")]
    StrictLayer {
        /// Where.
        platform: String,
        /// The paths.
        paths: String,
    },
    /// No plan can be made.
    #[error("Could not plan the patch of {platform}")]
    Plan {
        /// Where.
        platform: String,
        /// Why.
        #[source]
        source: PlanError,
    },
    /// A report that belongs to no platform.
    #[error("Could not match the reports with the image")]
    Bind(#[from] BindError),
    /// Manifest surgery.
    #[error("Could not assemble the image")]
    Oci(#[from] OciError),
    /// A package database.
    #[error("Could not read the package database of {platform}")]
    Package {
        /// Where.
        platform: String,
        /// Why.
        #[source]
        source: PkgError,
    },
    /// The pushed image is not what was meant to be pushed.
    #[error("The pushed image does not verify: {0}")]
    Verification(String),
    /// The gate is shut. The image is in the registry by digest, no tag moved.
    #[error("{message}")]
    Gate {
        /// What remains.
        message: String,
        /// Residual or no fix.
        class: Class,
        /// All that is known.
        result: Box<RunResult>,
    },
    /// The source tag moved.
    #[error(
        "The tag `{reference}` moved from {from} to {to} while the run went on; nothing was tagged"
    )]
    TagMoved {
        /// The tag.
        reference: String,
        /// What it was at the start.
        from: Digest,
        /// What it is now.
        to: String,
    },
    /// A digest could not be signed.
    #[error("Could not sign {digest}")]
    Signing {
        /// What was to be signed.
        digest: Digest,
        /// Why.
        #[source]
        source: SignError,
    },
    /// A signature that was made could not be written. The image is in the registry, without it.
    #[error("Could not write the signature of {digest} to {place}")]
    Unsigned {
        /// What was signed.
        digest: Digest,
        /// Where to.
        place: String,
        /// Why.
        #[source]
        source: ArtifactError,
    },
    /// A patch could not be signed or attested. It is in the registry by digest, no tag moved.
    #[error(
        "Could not sign the patched image: {place}@{digest} is in the registry unsigned, and no tag moved"
    )]
    Unsealed {
        /// The repository or layout.
        place: String,
        /// The image.
        digest: Digest,
        /// All that is known.
        result: Box<RunResult>,
        /// Why.
        #[source]
        source: Box<PipelineError>,
    },
    /// Signatures and attestations could not be read or copied.
    #[error("Could not {action}")]
    Artifacts {
        /// What was tried.
        action: String,
        /// Why it failed.
        #[source]
        source: ArtifactError,
    },
    /// A promotion for which a proof is missing.
    #[error("Refused to move a tag to {digest}: {what} is missing")]
    NotPromoted {
        /// Which image.
        digest: Digest,
        /// What should be proved.
        what: String,
        /// Why it is not.
        #[source]
        source: NotProved,
    },
    /// A promotion of something that is not whole.
    #[error("Refused to move a tag to {digest}: something of it is not what its digest says")]
    Tampered {
        /// Which image.
        digest: Digest,
        /// What is wrong, and where.
        #[source]
        source: Box<PipelineError>,
    },
    /// Something that is required is not proved.
    #[error("Could not prove {what} of {digest}")]
    Unproved {
        /// Which image.
        digest: Digest,
        /// What should be proved.
        what: String,
        /// Why it is not.
        #[source]
        source: NotProved,
    },
    /// A tag must not move.
    #[error("{message}")]
    Promotion {
        /// Why not.
        message: String,
        /// What to do.
        hint: String,
    },
    /// A local file.
    #[error("Could not {action}")]
    Io {
        /// What was tried.
        action: String,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
}

impl PipelineError {
    /// What is not proved is refused, where a tag would move.
    pub(crate) fn refuse(self) -> Self {
        match self {
            Self::Unproved {
                digest,
                what,
                source,
            } => Self::NotPromoted {
                digest,
                what,
                source,
            },
            error => error,
        }
    }

    /// Makes a refusal to promote `digest` of bytes that are not what their digest says.
    pub(crate) fn tampered(self, digest: &Digest) -> Self {
        let wrong = match &self {
            Self::Store { source, .. } => Some(source),
            Self::Artifacts { source, .. } => source.store(),
            _ => None,
        };
        match wrong {
            Some(StoreError::DigestMismatch { .. } | StoreError::SizeMismatch { .. }) => {
                Self::Tampered {
                    digest: digest.clone(),
                    source: Box::new(self),
                }
            }
            _ => self,
        }
    }

    /// Returns the class that the exit code follows.
    pub fn class(&self) -> Class {
        match self {
            Self::Usage { .. } => Class::Usage,
            Self::Report { .. }
            | Self::Plan {
                source: PlanError::BadName { .. },
                ..
            } => Class::Report,
            Self::Mismatch { .. }
            | Self::Bind(_)
            | Self::Plan {
                source: PlanError::OtherDistribution { .. },
                ..
            } => Class::Mismatch,
            Self::Image { .. }
            | Self::Plan { .. }
            | Self::Install { .. }
            | Self::Package { .. }
            | Self::StrictLayer { .. }
            | Self::Layer { .. }
            | Self::Refused { .. }
            | Self::Native { .. }
            | Self::Oci(_) => Class::Install,
            Self::Store { source, .. } => store_class(source),
            Self::Repository { source, .. } => match source.class() {
                RepoClass::Usage => Class::Usage,
                _ => Class::Install,
            },
            Self::Signing { .. } | Self::Unsigned { .. } | Self::Unsealed { .. } => Class::Signing,
            Self::Artifacts { source, .. } => {
                source.store().map_or(Class::RegistryTransport, store_class)
            }
            Self::Unproved { .. } => Class::Signature,
            Self::Connect(_) => Class::Unreachable,
            Self::Capability { .. } | Self::Build(BuildError::Unsupported(_)) => Class::Capability,
            Self::Build(_) | Self::Io { .. } => Class::Solve,
            Self::Verification(_) => Class::Residual,
            Self::Gate { class, .. } => *class,
            Self::TagMoved { .. }
            | Self::Promotion { .. }
            | Self::NotPromoted { .. }
            | Self::Tampered { .. } => Class::Promotion,
        }
    }

    /// Returns what the user can do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Usage { hint, .. } | Self::Image { hint, .. } => hint.clone(),
            Self::Mismatch { hint, .. }
            | Self::Capability { hint, .. }
            | Self::Install { hint, .. }
            | Self::Refused { hint, .. }
            | Self::Promotion { hint, .. } => Some(hint.clone()),
            Self::Report { source, .. } => source.hint(),
            Self::Store { source, .. } => source.hint(),
            Self::Repository { source, .. } => source.hint(),
            Self::Native { source, .. } => source.hint(),
            Self::Signing { source, .. } => source.hint(),
            // Signing alone would leave out what a run attests, and promotion asks for that.
            Self::Unsealed { source, .. } => Some(match source.hint() {
                Some(hint) => format!("{hint}\nThen run the same again: it finds its layers there"),
                None => "Run the same again: it finds its layers there".to_owned(),
            }),
            Self::Unsigned { source, .. } | Self::Artifacts { source, .. } => source.hint(),
            Self::Unproved { source, .. } | Self::NotPromoted { source, .. } => source.hint(),
            Self::Connect(source) => source.hint(),
            Self::Build(source) => source.hint(),
            Self::StrictLayer { .. } => {
                Some("Leave out `--strict-layer` to keep these files: the packages need them".into())
            }
            Self::Tampered { .. } => Some(
                "Do not trust the registry that it came from: whoever can write there changed it, or it is broken".into(),
            ),
            Self::TagMoved { .. } => Some("Run again: the new image has to be patched itself".into()),
            Self::Gate { class: Class::NoFix, .. } => Some(
                "Move to a newer base image, lower the gate with `--gate`, or leave findings without a fix out with `--ignore-unfixed`"
                    .into(),
            ),
            Self::Gate { .. } => Some("Look at the findings that remain, in the summary or with `--format json`".into()),
            Self::Io { .. } => Some("Check free space and rights of the folder named in TMPDIR".into()),
            Self::Bind(BindError::Twice { .. }) => Some("Give one report a platform".into()),
            Self::Plan { source: PlanError::OtherDistribution { .. }, .. } => Some(
                "Scan the image that is to be patched: fixes of another distribution or release are none here".into(),
            ),
            Self::Bind(_) => Some(
                "Scan the image that is to be patched, or take the report all the same with `--allow-report-mismatch`"
                    .into(),
            ),
            Self::Plan { source: PlanError::BadName { .. }, .. } => {
                Some("Do not trust this report: no scanner writes such names. Scan the image again".into())
            }
            Self::Plan { source: PlanError::Image(source), .. } | Self::Package { source, .. } => {
                source.hint().map(str::to_owned)
            }
            Self::Oci(source) => source.hint(),
            Self::Layer { source, .. } => source.hint(),
            Self::Plan { .. } | Self::Verification(_) => None,
        }
    }
}

fn store_class(error: &StoreError) -> Class {
    match error.class() {
        StoreClass::Auth => Class::RegistryAuth,
        StoreClass::RateLimited => Class::RateLimited,
        _ => Class::RegistryTransport,
    }
}
