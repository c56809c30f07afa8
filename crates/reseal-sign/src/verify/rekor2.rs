//! Entries of Rekor 2 for keys that `sigstore-verify` 0.15 cannot read: of the names that such a log has for kinds of keys, it
//! knows that of P-256 alone. What an entry must prove is the same here as there, and three things more, all of which cosign asks
//! for too: the log that the entry names is the one that signed, under the host name that the trusted root has for it, and the kind
//! of key is the one that it was.

use jiff::Timestamp;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use sigstore_merkle::{hash_leaf, verify_inclusion_proof};
use sigstore_types::{Bundle, KindVersion, Sha256Hash, SignatureContent, TransparencyLogEntry};

use super::statement::shown;
use super::{Reason, TrustedRoot};
use crate::key::{Algorithm, PublicKey};

const SHA256: &str = "SHA2_256";

#[derive(Deserialize)]
struct Body {
    kind: String,
    #[serde(rename = "apiVersion")]
    version: String,
    spec: Spec,
}

#[derive(Deserialize)]
struct Spec {
    #[serde(rename = "hashedRekordV002")]
    entry: Entry,
}

#[derive(Deserialize)]
struct Entry {
    data: Data,
    signature: Signature,
}

#[derive(Deserialize)]
struct Data {
    algorithm: String,
    digest: sigstore_types::DigestBytes,
}

#[derive(Deserialize)]
struct Signature {
    content: sigstore_types::SignatureBytes,
    verifier: Verifier,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Verifier {
    key_details: String,
    public_key: Option<RawKey>,
    x509_certificate: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawKey {
    raw_bytes: sigstore_types::DerPublicKey,
}

fn bad(what: impl std::fmt::Display) -> Reason {
    Reason::LogEntry(shown(&what.to_string()))
}

/// Tells whether the library has no way to read the entry of a signature by this key.
pub(super) fn is_unread(entry: &TransparencyLogEntry, key: &PublicKey) -> bool {
    entry.kind_version == KindVersion::HashedRekordV002 && key.algorithm() != Algorithm::EcdsaP256
}

/// Checks that an entry is that of this bundle's signature by this key and, where there is a trusted root to prove it by, that one of
/// its logs holds the entry.
pub(super) fn check(
    entry: &TransparencyLogEntry,
    bundle: &Bundle,
    key: &PublicKey,
    logs: Option<&TrustedRoot>,
    now: Timestamp,
) -> Result<(), Reason> {
    let SignatureContent::DsseEnvelope(envelope) = &bundle.content else {
        return Err(bad("a log of this kind holds signatures of envelopes"));
    };
    describes(
        entry.canonicalized_body.as_bytes(),
        &envelope.pae(),
        envelope.signature.sig.as_bytes(),
        key,
    )?;
    if entry.inclusion_promise.is_some() {
        return Err(bad("a log of this kind makes no promises"));
    }
    logs.map_or(Ok(()), |root| included(entry, root, now))
}

/// Compares what was entered with what was signed.
fn describes(body: &[u8], message: &[u8], signature: &[u8], key: &PublicKey) -> Result<(), Reason> {
    let body: Body =
        serde_json::from_slice(body).map_err(|e| bad(format!("it cannot be read: {e}")))?;
    if body.kind != "hashedrekord" || body.version != "0.0.2" {
        return Err(bad("its contents are of another kind than it says"));
    }
    let Entry {
        data,
        signature: of,
    } = body.spec.entry;
    if data.algorithm != SHA256 || data.digest.as_bytes() != Sha256::digest(message).as_slice() {
        return Err(bad("it is about something else"));
    }
    if of.content.as_bytes() != signature {
        return Err(bad("it holds another signature"));
    }
    let Verifier {
        key_details,
        public_key,
        x509_certificate,
    } = of.verifier;
    if public_key.is_none_or(|found| found.raw_bytes.as_bytes() != key.spki())
        || x509_certificate.is_some()
    {
        return Err(bad("it is of another key"));
    }
    if key.algorithm().key_details() != Some(key_details.as_str()) {
        return Err(bad(format!("it calls the key `{key_details}`")));
    }
    Ok(())
}

/// Checks that the log proves the entry. Position and size are those of the checkpoint, which is signed: what a proof says of them
/// besides, nobody vouches for.
fn included(
    entry: &TransparencyLogEntry,
    root: &TrustedRoot,
    now: Timestamp,
) -> Result<(), Reason> {
    let proof = entry
        .inclusion_proof
        .as_ref()
        .ok_or_else(|| bad("the log does not prove it"))?;
    let checkpoint = proof
        .checkpoint
        .checkpoint()
        .ok_or_else(|| bad("its proof has no checkpoint"))?;
    let id = Sha256Hash::try_from(entry.log_id.key_id.as_bytes())
        .map_err(|e| bad(format!("the name of its log is wrong: {e}")))?;
    let log = root
        .log(&id)
        .ok_or_else(|| bad("the trusted root names no such log"))?;
    if let Some(since) = log.since.filter(|&since| since > now) {
        // Whatever it signed, it has not signed it yet.
        return Err(Reason::Future {
            time: since.to_string(),
        });
    }
    if checkpoint.origin() != log.host {
        return Err(bad(format!(
            "its checkpoint is of `{}`, not of `{}`",
            checkpoint.origin(),
            log.host
        )));
    }
    let signed = checkpoint.signatures().iter().any(|one| {
        one.name == log.host
            && id.as_bytes().starts_with(one.key_id.as_bytes())
            && log
                .key
                .verify(checkpoint.signed_data(), &one.signature)
                .is_ok()
    });
    if !signed {
        return Err(bad("its log did not sign its checkpoint"));
    }
    verify_inclusion_proof(
        &hash_leaf(entry.canonicalized_body.as_bytes()),
        entry.log_index.get(),
        checkpoint.tree_size(),
        &proof.hashes,
        checkpoint.root_hash(),
    )
    .map_err(|e| bad(format!("the log's proof is wrong: {e}")))
}

#[cfg(test)]
mod tests;
