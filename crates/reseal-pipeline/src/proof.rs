//! What must be proved of a digest before it gets a name.

use reseal_oci::{Digest, Location};
use reseal_registry::{Registries, Store, Target};
use reseal_sign::{
    statement::predicate_type,
    store::{Collected, collect},
    verify::{
        Signer, VerifyError, VerifyPolicy, verify_attestation, verify_signature as signatures,
    },
};
use serde::Serialize;
use serde_json::Value;

use crate::{
    error::PipelineError,
    promote::pinned,
    source::{open, store_error},
};

/// One kind of proof.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Requirement {
    /// A signature of the digest.
    Signature,
    /// The attestation that every planned fix was found in the pushed layers.
    Verification,
    /// An attestation with this predicate type.
    Attestation(String),
}

impl Requirement {
    /// Reads a name as `--require` takes it: a short one, also of cosign's, or a predicate type.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "signature" => Self::Signature,
            "verification" => Self::Verification,
            "provenance" | "slsaprovenance1" => {
                Self::Attestation(predicate_type::PROVENANCE.to_owned())
            }
            "vuln" => Self::Attestation(predicate_type::VULN.to_owned()),
            "openvex" => Self::Attestation(predicate_type::OPENVEX.to_owned()),
            "spdx" | "spdxjson" => Self::Attestation(predicate_type::SPDX.to_owned()),
            "cyclonedx" => Self::Attestation(predicate_type::CYCLONEDX.to_owned()),
            "slsaprovenance" | "slsaprovenance02" => {
                Self::Attestation("https://slsa.dev/provenance/v0.2".to_owned())
            }
            "link" => Self::Attestation("https://in-toto.io/Link/v1".to_owned()),
            "custom" => Self::Attestation("https://cosign.sigstore.dev/attestation/v1".to_owned()),
            uri if uri.contains("://") => Self::Attestation(uri.to_owned()),
            _ => return None,
        })
    }

    /// Returns the proof in words.
    pub fn describe(&self) -> String {
        match self {
            Self::Signature => "a signature".to_owned(),
            Self::Verification => "an attestation that the patch was verified".to_owned(),
            Self::Attestation(uri) => format!("an attestation of type `{uri}`"),
        }
    }
}

/// A proof that holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Proof {
    /// What is proved.
    pub requirement: Requirement,
    /// Who made it, in words.
    pub signer: String,
}

/// Whose proofs count.
#[derive(Debug, Clone)]
pub struct Trust {
    /// Key or identity, logs and authorities.
    pub policy: VerifyPolicy,
    /// The time in seconds since 1970: what is signed later than now is refused.
    pub now: i64,
}

/// Fetches what may prove something of a digest.
pub(crate) async fn collected(
    store: &dyn Store,
    digest: &Digest,
) -> Result<Collected, PipelineError> {
    collect(store, digest)
        .await
        .map_err(|error| PipelineError::Artifacts {
            action: format!("read the signatures of {digest}"),
            source: error,
        })
}

/// Proves everything that is required of an image that is named by digest.
///
/// # Errors
/// [`PipelineError::Unproved`] with the first proof that is missing, and why each candidate does not count; that of the store where
/// there is neither a candidate nor the image.
pub async fn verify_signature(
    image: &Location,
    required: &[Requirement],
    trust: &Trust,
    registries: &Registries,
) -> Result<Vec<Proof>, PipelineError> {
    let store = open(image, registries, false)?.0;
    let (digest, _) = pinned(image)?;
    let proved = prove(store.as_ref(), digest, required, trust).await;
    if let Err(PipelineError::Unproved {
        source: NotProved::Verify(VerifyError::NothingThere { .. }),
        ..
    }) = &proved
    {
        // Signatures may be kept where their image is not, so it is looked for only now.
        store
            .manifest(&Target::Digest(digest.clone()))
            .await
            .map_err(store_error(format!("fetch the manifest {digest}")))?;
    }
    proved
}

/// Proves everything that is required of a digest, or names what is missing.
pub(crate) async fn prove(
    store: &dyn Store,
    digest: &Digest,
    required: &[Requirement],
    trust: &Trust,
) -> Result<Vec<Proof>, PipelineError> {
    let collected = collected(store, digest).await?;
    required
        .iter()
        .map(|requirement| {
            let signer = check(requirement, &collected, digest, trust).map_err(|source| {
                PipelineError::Unproved {
                    digest: digest.clone(),
                    what: requirement.describe(),
                    source,
                }
            })?;
            Ok(Proof {
                requirement: requirement.clone(),
                signer,
            })
        })
        .collect()
}

fn check(
    requirement: &Requirement,
    collected: &Collected,
    digest: &Digest,
    trust: &Trust,
) -> Result<String, NotProved> {
    let (policy, now) = (&trust.policy, trust.now);
    let attested = |uri: &str| verify_attestation(collected, digest, uri, policy, now);
    let by = match requirement {
        Requirement::Signature => signatures(collected, digest, policy, now)?
            .first()
            .map(|one| signer(&one.signer)),
        Requirement::Attestation(uri) => attested(uri)?.first().map(|one| signer(&one.signer)),
        Requirement::Verification => {
            let mut found = attested(predicate_type::VERIFICATION)?;
            found.retain(|one| is_about(&one.predicate, digest));
            let newest = found.iter().map(|one| verified(&one.predicate)).max();
            found.retain(|one| Some(verified(&one.predicate)) == newest);
            let all_passed = found.iter().all(|one| one.predicate["passed"] == true);
            let by = found.first().filter(|_| all_passed);
            Some(signer(&by.ok_or(NotProved::Failed)?.signer))
        }
    };
    Ok(by.expect("what verifies has at least one signer"))
}

/// Returns who signed, in words.
fn signer(signer: &Signer) -> String {
    match signer {
        Signer::Key { hint } => format!("key {hint}"),
        Signer::Identity {
            identity, issuer, ..
        } => format!("{identity} (by {issuer})"),
    }
}

/// Whether a verification says itself that it is about this digest.
fn is_about(predicate: &Value, digest: &Digest) -> bool {
    predicate["subject"]["digest"] == digest.as_str()
}

/// Returns when an image was verified; one that does not say it is older than all others.
fn verified(predicate: &Value) -> Option<jiff::Timestamp> {
    predicate["verified"].as_str()?.parse().ok()
}

/// Why something is not proved.
#[derive(Debug, thiserror::Error)]
pub enum NotProved {
    /// No signature or attestation fulfils the policy.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// It is attested that the newest verification failed, or none is about the digest.
    #[error("its verification is attested, but did not pass")]
    Failed,
}

impl NotProved {
    /// Returns what the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Verify(error) => error.hint(),
            Self::Failed => {
                Some("Patch the image again, and look at the findings that remain".into())
            }
        }
    }
}
