//! Who must have signed, and what must prove it.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use sigstore_crypto::FulcioCiClaims;

use super::{Match, PublicKey, TrustedRoot, VerifyError};

/// What a signature must fulfil.
#[derive(Debug, Clone)]
pub struct VerifyPolicy {
    /// Whose signature counts.
    pub who: Who,
    /// Logs and authorities. Needed for everything but a key without a log.
    pub trusted_root: Option<TrustedRoot>,
    /// Whether the signature must be in a transparency log.
    pub log: Log,
    /// Whether a certificate must have been seen by a certificate transparency log. Some private instances have none.
    pub certificate_log: Log,
    /// Whether the signature must carry a signed timestamp (RFC 3161).
    pub timestamps: Timestamps,
    /// Annotations that a signature must carry, with these values. Attestations have none.
    pub annotations: BTreeMap<String, String>,
}

impl VerifyPolicy {
    /// Makes a policy with both kinds of logs, without annotations, and with timestamps as they come.
    pub fn new(who: Who, trusted_root: Option<TrustedRoot>) -> Self {
        Self {
            who,
            trusted_root,
            log: Log::Required,
            certificate_log: Log::Required,
            timestamps: Timestamps::WhenPresent,
            annotations: BTreeMap::new(),
        }
    }

    /// Refuses what can never be fulfilled, before anything is fetched.
    pub fn check(&self) -> Result<(), VerifyError> {
        let keyless = matches!(self.who, Who::Identity { .. });
        let timed = self.timestamps == Timestamps::Required;
        let missing = |what: &'static str| Err(VerifyError::RootLacks { what });
        let Some(root) = &self.trusted_root else {
            return if keyless {
                Err(VerifyError::NoTrustedRoot {
                    purpose: "an identity",
                })
            } else if self.log == Log::Required {
                Err(VerifyError::NoTrustedRoot {
                    purpose: "the transparency log",
                })
            } else if timed {
                Err(VerifyError::NoTrustedRoot {
                    purpose: "signed timestamps",
                })
            } else {
                Ok(())
            };
        };
        if keyless && !root.has_certificate_authorities() {
            return missing("certificate authority");
        }
        if keyless && self.certificate_log == Log::Required && !root.has_certificate_logs() {
            return missing("certificate transparency log");
        }
        if self.log == Log::Required && !root.has_logs() {
            return missing("transparency log");
        }
        if timed && !root.has_timestamp_authorities() {
            return missing("timestamp authority");
        }
        Ok(())
    }
}

/// Whose signature counts.
#[derive(Debug, Clone)]
pub enum Who {
    /// The holder of this key.
    Key(PublicKey),
    /// Somebody whom an issuer vouched for, by a certificate of a trusted authority.
    Identity {
        /// The certificate's subject: an e-mail address, or the URI of a workload.
        identity: Match,
        /// The OIDC issuer that vouched for it.
        issuer: Match,
        /// Further claims of the certificate. All must hold.
        claims: Vec<(Claim, Match)>,
    },
}

/// Whether something must be in a transparency log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Log {
    /// It must be there, proved by the trusted root's keys.
    #[default]
    Required,
    /// It is not asked for. Of a signature by key, nothing but the key is checked then; a certificate still needs a signed time.
    Off,
}

/// Whether the signature must carry a timestamp of a timestamp authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Timestamps {
    /// Those that are there must be right (they are not read for a key with [`Log::Off`]).
    #[default]
    WhenPresent,
    /// At least one must be there.
    Required,
}

macro_rules! claims {
    ($($variant:ident, $name:literal, $doc:literal, |$c:ident| $value:expr;)*) => {
        /// A claim about a CI job that Fulcio copies from its token into the certificate.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Claim {
            $(#[doc = $doc] $variant,)*
        }

        impl Claim {
            /// Every claim, in the order of their object identifiers.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Returns the name, as on the command line.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            pub(super) fn of(self, claims: &FulcioCiClaims) -> Option<&str> {
                match self { $(Self::$variant => { let $c = claims; $value })* }
            }
        }
    };
}

claims! {
    WorkflowTrigger, "github-workflow-trigger", "What started the GitHub workflow, `push` (older certificates, 1.3.6.1.4.1.57264.1.2).",
        |c| c.deprecated_github.workflow_trigger.as_deref();
    WorkflowSha, "github-workflow-sha", "The commit of the GitHub workflow (.3).",
        |c| c.deprecated_github.workflow_sha.as_deref();
    WorkflowName, "github-workflow-name", "The name of the GitHub workflow (.4).",
        |c| c.deprecated_github.workflow_name.as_deref();
    WorkflowRepository, "github-workflow-repository", "The repository of the GitHub workflow, `acme/app` (.5).",
        |c| c.deprecated_github.workflow_repository.as_deref();
    WorkflowRef, "github-workflow-ref", "The ref of the GitHub workflow, `refs/heads/main` (.6).",
        |c| c.deprecated_github.workflow_ref.as_deref();
    BuildSigner, "build-signer-uri", "The build definition that asked for the signature, with its ref (.9).",
        |c| c.build_signer_uri.as_deref();
    RunnerEnvironment, "runner-environment", "`github-hosted` or `self-hosted` (.11).",
        |c| c.runner_environment.as_deref();
    SourceRepository, "source-repository-uri", "The repository that was built (.12).",
        |c| c.source_repository_uri.as_deref();
    SourceDigest, "source-repository-digest", "The commit that was built (.13).",
        |c| c.source_repository_digest.as_deref();
    SourceRef, "source-repository-ref", "The ref that was built (.14).",
        |c| c.source_repository_ref.as_deref();
    SourceIdentifier, "source-repository-identifier", "The number of the repository that was built, which no renaming changes (.15).",
        |c| c.source_repository_identifier.as_deref();
    SourceOwner, "source-repository-owner-uri", "Whose repository was built (.16).",
        |c| c.source_repository_owner_uri.as_deref();
    BuildConfig, "build-config-uri", "The top build definition, with its ref (.18).",
        |c| c.build_config_uri.as_deref();
    BuildTrigger, "build-trigger", "What started the build, `push` (.20).",
        |c| c.build_trigger.as_deref();
    RunInvocation, "run-invocation-uri", "The run that made the signature (.21).",
        |c| c.run_invocation_uri.as_deref();
    DeploymentEnvironment, "deployment-environment", "The environment that the job was let into, `production` (.23).",
        |c| c.deployment_environment.as_deref();
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Claim {
    type Err = VerifyError;

    fn from_str(text: &str) -> Result<Self, VerifyError> {
        Self::ALL
            .iter()
            .copied()
            .find(|claim| claim.as_str() == text)
            .ok_or_else(|| VerifyError::UnknownClaim {
                name: text.to_owned(),
            })
    }
}
