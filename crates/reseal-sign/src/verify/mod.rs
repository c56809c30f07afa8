//! Decides whether an image carries the signature or the attestation that is asked for. Everything is offline: what was
//! [collected](crate::store::Collected) and what is trusted are values.
//!
//! **Invariant:** what is returned was signed, in one piece, by whom the policy names; it is about the digest that was asked for
//! and is of the type that was asked for; and every proof that the policy wants holds. cosign is laxer in two places: its
//! patterns match anywhere in a name, and a bundle of any type passes for a signature.

mod error;
mod evidence;
mod legacy;
mod matching;
mod policy;
mod rekor2;
mod signer;
mod statement;
mod trust;

use std::collections::BTreeMap;
use std::fmt;

use reseal_oci::Digest;
use serde_json::Value;
use sigstore_types::{
    Artifact, ArtifactDigest, Bundle, HashAlgorithm, Sha256Hash, SignatureContent,
};

use crate::key::PublicKey;
use crate::store::{Collected, FoundBundle, FoundLegacy};

use evidence::{Judge, Signed};
use legacy::Legacy;
use statement::{IN_TOTO, Statement, shown};

pub use error::{Reason, Rejected, VerifyError};
pub use evidence::Proof;
pub use matching::Match;
pub use policy::{Claim, Log, Timestamps, VerifyPolicy, Who};
pub use signer::Signer;
pub use statement::SIGN_PREDICATE;
pub use trust::TrustedRoot;

/// Where a candidate is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A bundle that refers to the image.
    Bundle {
        /// Digest of the manifest that attaches it.
        manifest: Digest,
    },
    /// A layer of the `.sig` tag.
    Signature {
        /// Which, from 0.
        layer: usize,
    },
    /// A layer of the `.att` tag.
    Attestation {
        /// Which, from 0.
        layer: usize,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bundle { manifest } => write!(f, "bundle {manifest}"),
            Self::Signature { layer } => write!(f, "layer {} of the `.sig` tag", layer + 1),
            Self::Attestation { layer } => write!(f, "layer {} of the `.att` tag", layer + 1),
        }
    }
}

/// A signature of an image that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Where it is kept. The same signature is usually kept in both forms.
    pub origin: Origin,
    /// Who made it.
    pub signer: Signer,
    /// What proves it.
    pub proof: Proof,
    /// The annotations that were signed along.
    pub annotations: BTreeMap<String, String>,
    /// The image's name at the time, if it was signed along. Copies keep it, so it says little.
    pub name: Option<String>,
}

/// An attestation that holds.
#[derive(Debug, Clone, PartialEq)]
pub struct VerifiedAttestation {
    /// What it states.
    pub predicate: Value,
    /// What it is, as it was signed.
    pub predicate_type: String,
    /// Where it is kept. The same attestation is usually kept in both forms.
    pub origin: Origin,
    /// Who made it.
    pub signer: Signer,
    /// What proves it.
    pub proof: Proof,
    /// The image's name at the time, if it was signed along.
    pub name: Option<String>,
}

/// Reads a public key from PEM, as `cosign public-key` and `openssl pkey -pubout` write it.
pub fn public_key(pem: &[u8]) -> Result<PublicKey, VerifyError> {
    Ok(PublicKey::from_pem(pem)?)
}

/// Finds the signatures of a digest that fulfil the policy: at least one, in both forms.
///
/// `now` is in seconds since 1970; it only serves to refuse what comes from the future.
pub fn verify_signature(
    collected: &Collected,
    subject: &Digest,
    policy: &VerifyPolicy,
    now: i64,
) -> Result<Vec<Verified>, VerifyError> {
    let judge = Judge::new(policy, now)?;
    let bundles = collected.bundles.iter().map(|found| {
        (
            bundle_origin(found),
            bundle(&judge, found, subject, SIGN_PREDICATE).and_then(
                |(statement, signer, proof)| {
                    annotated(&judge, &statement.annotations)?;
                    Ok((statement.annotations, statement.name, signer, proof))
                },
            ),
        )
    });
    let layers = collected
        .signatures
        .iter()
        .enumerate()
        .map(|(layer, found)| {
            (
                Origin::Signature { layer },
                signature(&judge, found, subject),
            )
        });
    sorted(
        collected,
        subject,
        "signature".to_owned(),
        bundles.chain(layers).collect(),
        |origin, (annotations, name, signer, proof)| Verified {
            origin,
            signer,
            proof,
            annotations: annotations
                .into_iter()
                .filter_map(|(key, value)| Some((key, value.as_str()?.to_owned())))
                .collect(),
            name,
        },
    )
}

/// Finds the attestations of a digest that are of a type and fulfil the policy: at least one, in both forms.
///
/// `now` is in seconds since 1970; it only serves to refuse what comes from the future.
pub fn verify_attestation(
    collected: &Collected,
    subject: &Digest,
    predicate_type: &str,
    policy: &VerifyPolicy,
    now: i64,
) -> Result<Vec<VerifiedAttestation>, VerifyError> {
    let judge = Judge::new(policy, now)?;
    let bundles = collected.bundles.iter().map(|found| {
        (
            bundle_origin(found),
            bundle(&judge, found, subject, predicate_type),
        )
    });
    let layers = collected
        .attestations
        .iter()
        .enumerate()
        .map(|(layer, found)| {
            (
                Origin::Attestation { layer },
                attestation(&judge, found, subject, predicate_type),
            )
        });
    sorted(
        collected,
        subject,
        format!("attestation of type `{predicate_type}`"),
        bundles.chain(layers).collect(),
        |origin, (statement, signer, proof)| VerifiedAttestation {
            predicate: statement.predicate,
            predicate_type: statement.predicate_type,
            origin,
            signer,
            proof,
            name: statement.name,
        },
    )
}

fn bundle_origin(found: &FoundBundle) -> Origin {
    Origin::Bundle {
        manifest: found.descriptor.digest.clone(),
    }
}

/// Keeps what holds; if that is nothing, says of each candidate why not.
fn sorted<T, V>(
    collected: &Collected,
    subject: &Digest,
    what: String,
    candidates: Vec<(Origin, Result<T, Reason>)>,
    make: impl Fn(Origin, T) -> V,
) -> Result<Vec<V>, VerifyError> {
    let mut accepted = Vec::new();
    let mut rejected = Vec::new();
    for (origin, outcome) in candidates {
        match outcome {
            Ok(found) => accepted.push(make(origin, found)),
            Err(reason) => rejected.push(Rejected { origin, reason }),
        }
    }
    if !accepted.is_empty() {
        return Ok(accepted);
    }
    let (subject, skipped) = (subject.clone(), collected.skipped.clone());
    Err(if rejected.is_empty() {
        VerifyError::NothingThere {
            subject,
            what,
            skipped,
        }
    } else {
        VerifyError::NoneAccepted {
            subject,
            what,
            rejected,
            skipped,
        }
    })
}

type Attested = (Statement, Signer, Proof);

/// Verifies a bundle. What it says comes first: that somebody signed something else is no fault of the cryptography.
fn bundle(
    judge: &Judge<'_>,
    found: &FoundBundle,
    subject: &Digest,
    predicate_type: &str,
) -> Result<Attested, Reason> {
    let text = std::str::from_utf8(&found.bytes)
        .map_err(|_| Reason::Malformed("it is no text".to_owned()))?;
    let bundle = Bundle::from_json(text).map_err(|e| Reason::Malformed(shown(&e.to_string())))?;
    let SignatureContent::DsseEnvelope(envelope) = &bundle.content else {
        return Err(Reason::NoStatement);
    };
    let statement = stated(envelope, subject, predicate_type)?;
    let (keyed, identity) = evidence::material(&bundle);
    let signer = judge.by_key(&Signed {
        message: &envelope.pae(),
        signature: envelope.signature.sig.as_bytes(),
        keyed,
        identity,
        bundle: true,
    })?;
    let (signer, proof) = match signer {
        Some(signer) if judge.key_alone() => (signer, Proof::default()),
        _ => judge.by_bundle(&bundle, &artifact(subject)?, &[])?,
    };
    Ok((statement, signer, proof))
}

/// Verifies a layer of the `.att` tag. Its annotation `predicateType` is not signed, so nobody looks at it.
fn attestation(
    judge: &Judge<'_>,
    found: &FoundLegacy,
    subject: &Digest,
    predicate_type: &str,
) -> Result<Attested, Reason> {
    let layer = Legacy::attestation(found)?;
    let envelope = layer.envelope().ok_or(Reason::NoStatement)?;
    let statement = stated(envelope, subject, predicate_type)?;
    let signer = judge.by_key(&Signed {
        message: &envelope.pae(),
        signature: envelope.signature.sig.as_bytes(),
        keyed: judge.keyed() || !layer.is_certified(),
        identity: layer.identity(),
        bundle: false,
    })?;
    let (signer, proof) = match signer {
        Some(signer) if judge.key_alone() => (signer, Proof::default()),
        _ => legacy_evidence(judge, &layer, &artifact(subject)?)?,
    };
    Ok((statement, signer, proof))
}

type SignedImage = (BTreeMap<String, Value>, Option<String>, Signer, Proof);

/// Verifies a layer of the `.sig` tag.
fn signature(
    judge: &Judge<'_>,
    found: &FoundLegacy,
    subject: &Digest,
) -> Result<SignedImage, Reason> {
    let layer = Legacy::signature(found)?;
    let payload = statement::simple_signing(&found.payload, subject)?;
    annotated(judge, &payload.annotations)?;
    let signer = judge.by_key(&Signed {
        message: &found.payload,
        signature: layer.raw_signature().unwrap_or_default(),
        keyed: judge.keyed() || !layer.is_certified(),
        identity: layer.identity(),
        bundle: false,
    })?;
    let (signer, proof) = match signer {
        Some(signer) if judge.key_alone() => (signer, Proof::default()),
        _ => legacy_evidence(judge, &layer, &Artifact::from_blob(&found.payload))?,
    };
    let name = Some(payload.reference).filter(|name| !name.is_empty());
    Ok((payload.annotations, name, signer, proof))
}

fn legacy_evidence(
    judge: &Judge<'_>,
    layer: &Legacy<'_>,
    artifact: &Artifact<'_>,
) -> Result<(Signer, Proof), Reason> {
    if judge.logged() && !layer.is_logged() {
        return Err(Reason::NotLogged);
    }
    let outside: Vec<_> = layer
        .envelope_timestamp()
        .map(|token| judge.timestamp(token, layer.payload()))
        .into_iter()
        .collect::<Result<_, _>>()?;
    let bundle = layer.bundle(judge.keyed(), judge.logged())?;
    judge.by_bundle(&bundle, artifact, &outside)
}

/// Reads the statement of an envelope and checks what it is and what it is about.
fn stated(
    envelope: &sigstore_types::DsseEnvelope,
    subject: &Digest,
    predicate_type: &str,
) -> Result<Statement, Reason> {
    if envelope.payload_type != IN_TOTO {
        return Err(Reason::NoStatement);
    }
    let statement = statement::statement(envelope.payload.as_bytes(), subject)?;
    if statement.predicate_type != predicate_type {
        return Err(Reason::OtherPredicate {
            found: shown(&statement.predicate_type),
            wanted: predicate_type.to_owned(),
        });
    }
    Ok(statement)
}

fn annotated(judge: &Judge<'_>, found: &BTreeMap<String, Value>) -> Result<(), Reason> {
    for (name, wanted) in &judge.policy().annotations {
        let value = found.get(name);
        if value.and_then(Value::as_str) != Some(wanted) {
            return Err(Reason::OtherAnnotation {
                name: name.clone(),
                found: value.map(|value| shown(value.as_str().unwrap_or(&value.to_string()))),
                wanted: wanted.clone(),
            });
        }
    }
    Ok(())
}

fn artifact(subject: &Digest) -> Result<Artifact<'static>, Reason> {
    let digest = match subject.algorithm() {
        "sha256" => Sha256Hash::from_hex(subject.hex())
            .map(ArtifactDigest::sha256)
            .map_err(|e| e.to_string()),
        "sha512" => legacy::unhex(subject.hex())
            .ok_or_else(|| "it is no hex".to_owned())
            .and_then(|bytes| {
                ArtifactDigest::new(HashAlgorithm::Sha2512, bytes).map_err(|e| e.to_string())
            }),
        other => Err(format!("digests of type {other} are not supported")),
    };
    digest
        .map(Artifact::from_digest)
        .map_err(Reason::Unsupported)
}
