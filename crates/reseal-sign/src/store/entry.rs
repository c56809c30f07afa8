//! What is written to and read from the places where cosign keeps signatures.

use std::collections::BTreeMap;

use reseal_oci::Descriptor;

/// Media type of a layer of a `.sig` tag: a "simple signing" payload.
pub const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// Media type of a layer of an `.att` tag: a DSSE envelope.
pub const DSSE_ENVELOPE: &str = "application/vnd.dsse.envelope.v1+json";
/// Media type of the bundles that are written.
pub const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// The annotation of a layer that holds the signature in base64; of a DSSE envelope it is there and empty.
pub const SIGNATURE_ANNOTATION: &str = "dev.cosignproject.cosign/signature";
/// The annotation of a layer of an `.att` tag that holds the predicate type.
pub const PREDICATE_TYPE_ANNOTATION: &str = "predicateType";
/// The annotation of a layer that holds the certificate, PEM.
pub const CERTIFICATE_ANNOTATION: &str = "dev.sigstore.cosign/certificate";
/// The annotation of a layer that holds the rest of the certificate's chain, PEM.
pub const CHAIN_ANNOTATION: &str = "dev.sigstore.cosign/chain";
/// The annotation of a layer that holds the log's promise, JSON.
pub const LOG_ANNOTATION: &str = "dev.sigstore.cosign/bundle";
/// The annotation of a layer that holds a signed timestamp, JSON.
pub const TIMESTAMP_ANNOTATION: &str = "dev.sigstore.cosign/rfc3161timestamp";
/// The annotation of a bundle's manifest that holds the predicate type of what is in the bundle.
pub const BUNDLE_PREDICATE_ANNOTATION: &str = "dev.sigstore.bundle.predicateType";

/// One layer of a `.sig` or `.att` tag, to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegacyEntry {
    /// [`SIMPLE_SIGNING`] or [`DSSE_ENVELOPE`].
    pub media_type: &'static str,
    /// The layer's bytes: what was signed, or the envelope.
    pub payload: Vec<u8>,
    /// The layer's annotations: signature, certificate, log entry, …
    pub annotations: BTreeMap<String, String>,
}

/// The tags that cosign makes of a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Suffix {
    /// `.sig`
    Signature,
    /// `.att`
    Attestation,
}

impl Suffix {
    /// Returns the end of the tag, with its dot.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Signature => ".sig",
            Self::Attestation => ".att",
        }
    }
}

/// A bundle, to be attached to an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleEntry {
    /// The bundle, JSON of version 0.3.
    pub bundle: Vec<u8>,
    /// Predicate type of the statement in it.
    pub predicate_type: String,
    /// When it was made, RFC 3339 (`2024-05-01T10:00:00Z`).
    pub created: String,
}

/// A bundle that was found. Nothing of it has been verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundBundle {
    /// The manifest that attaches it.
    pub descriptor: Descriptor,
    /// The bundle, as it is stored.
    pub bytes: Vec<u8>,
    /// What its manifest says the predicate type is.
    pub predicate_type: Option<String>,
}

/// A layer of a `.sig` or `.att` tag that was found. Nothing of it has been verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundLegacy {
    /// The layer's media type.
    pub media_type: String,
    /// The layer's bytes.
    pub payload: Vec<u8>,
    /// The layer's annotations.
    pub annotations: BTreeMap<String, String>,
}

/// Everything about one digest that may be a signature or an attestation. Nothing of it has been verified.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Collected {
    /// Bundles that refer to the digest.
    pub bundles: Vec<FoundBundle>,
    /// Layers of the `.sig` tag.
    pub signatures: Vec<FoundLegacy>,
    /// Layers of the `.att` tag.
    pub attestations: Vec<FoundLegacy>,
    /// What was left out, one sentence each that names it and says why.
    pub skipped: Vec<String>,
}
