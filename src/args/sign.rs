//! Commands and flags around signatures. Names are those that users of cosign know.

#![expect(
    clippy::doc_markdown,
    reason = "these comments are the help that people read in a terminal"
)]

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::RegistryArgs;

/// Who signs, and with which services.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Signing")]
pub(crate) struct SignerArgs {
    /// Sign with this key: a file (cosign.key or PKCS#8), or `env://VARIABLE`
    ///
    /// The password comes from COSIGN_PASSWORD, else from the terminal.
    #[arg(
        long,
        value_name = "KEY",
        visible_alias = "key",
        conflicts_with = "keyless"
    )]
    pub(crate) sign_key: Option<String>,
    /// Sign with a certificate for the identity of this CI job
    ///
    /// The token comes from --identity-token, SIGSTORE_ID_TOKEN, GitHub, Buildkite, CircleCI, GitLab or Kubernetes.
    #[arg(long)]
    pub(crate) keyless: bool,
    /// Identity token for keyless signing, or a file that holds one; implies `--keyless`
    #[arg(long, value_name = "TOKEN")]
    pub(crate) identity_token: Option<String>,
    /// Which forms are written: cosign before 3 reads legacy tags, cosign 3 bundles
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub(crate) signature_format: SignatureForm,
    /// Whether signatures are entered in a transparency log; `off` needs no internet, and a key
    #[arg(long, value_enum, value_name = "ON|OFF", default_value_t)]
    pub(crate) tlog: Switch,
    /// Services as cosign's `signing-config create` writes them; those of the public instance when nothing is given
    #[arg(long, value_name = "FILE")]
    pub(crate) signing_config: Option<PathBuf>,
    /// Authorities and logs of these services, as cosign's `trusted-root create` writes them, for the command that is told at the end
    #[arg(long, value_name = "FILE")]
    pub(crate) trusted_root: Option<PathBuf>,
    /// Certificate authority, instead of the one that the configuration names
    #[arg(long, value_name = "URL")]
    pub(crate) fulcio_url: Option<String>,
    /// Transparency log (Rekor v1), instead of those that the configuration names
    #[arg(long, value_name = "URL")]
    pub(crate) rekor_url: Option<String>,
    /// Timestamp authority, instead of those that the configuration names
    #[arg(long, value_name = "URL")]
    pub(crate) tsa_url: Option<String>,
    /// Sign KEY=VALUE along with the image; can be repeated
    #[arg(long, short, value_name = "KEY=VALUE", value_delimiter = ',')]
    pub(crate) annotations: Vec<String>,
}

/// See `reseal_sign::SignatureFormat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum SignatureForm {
    /// Both, so that every cosign finds one that it knows
    #[default]
    Both,
    /// Bundles that refer to the image
    Bundle,
    /// `.sig` and `.att` tags
    Legacy,
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Switch {
    #[default]
    On,
    Off,
}

/// Whose signatures count.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Trust")]
pub(crate) struct TrustArgs {
    /// Public key that must have signed: a file, or `env://VARIABLE`
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Option<String>,
    /// Identity that must have signed without a key: an e-mail address or a URI
    #[arg(long, value_name = "IDENTITY", conflicts_with = "key")]
    pub(crate) certificate_identity: Option<String>,
    /// As a regular expression that must cover the whole identity
    #[arg(
        long,
        value_name = "REGEXP",
        conflicts_with_all = ["key", "certificate_identity"]
    )]
    pub(crate) certificate_identity_regexp: Option<String>,
    /// Issuer that vouched for the identity
    #[arg(long, value_name = "URL", conflicts_with = "key")]
    pub(crate) certificate_oidc_issuer: Option<String>,
    /// As a regular expression that must cover the whole issuer
    #[arg(
        long,
        value_name = "REGEXP",
        conflicts_with_all = ["key", "certificate_oidc_issuer"]
    )]
    pub(crate) certificate_oidc_issuer_regexp: Option<String>,
    /// Authorities and logs as cosign's `trusted-root create` writes them; the public instance's when not given
    #[arg(long, value_name = "FILE")]
    pub(crate) trusted_root: Option<PathBuf>,
    /// What else the certificate must say, as in `source-repository-uri=https://github.com/acme/app`; can be repeated
    #[arg(
        long,
        value_name = "NAME=VALUE",
        value_delimiter = ',',
        conflicts_with = "key"
    )]
    pub(crate) certificate_claim: Vec<String>,
    /// Whether a signature must be in a transparency log
    #[arg(long, value_enum, value_name = "ON|OFF", default_value_t)]
    pub(crate) tlog: Switch,
    /// Ask for a timestamp of a timestamp authority
    #[arg(long)]
    pub(crate) use_signed_timestamps: bool,
    /// What must be signed along with an image; can be repeated
    #[arg(long, short, value_name = "KEY=VALUE", value_delimiter = ',')]
    pub(crate) annotations: Vec<String>,
}

/// Signs an image by digest, in every form that cosign reads
///
/// An index is signed together with the manifests in it that a patch made. What others signed stays.
#[derive(Debug, Args)]
pub(crate) struct SignArgs {
    /// The image by digest: `REPOSITORY@DIGEST`, or an OCI layout as `oci:PATH@DIGEST`
    #[arg(value_name = "IMAGE@DIGEST")]
    pub(crate) image: String,
    /// Sign every manifest of an index
    #[arg(long)]
    pub(crate) recursive: bool,
    #[command(flatten)]
    pub(crate) signer: SignerArgs,
    /// Give up after this time, such as `90s`, `10m` or `1h30m`
    #[arg(long, value_name = "TIME", default_value = "10m")]
    pub(crate) timeout: String,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
}

/// Attests a statement about an image by digest
#[derive(Debug, Args)]
pub(crate) struct AttestArgs {
    /// The image by digest: `REPOSITORY@DIGEST`, or an OCI layout as `oci:PATH@DIGEST`
    #[arg(value_name = "IMAGE@DIGEST")]
    pub(crate) image: String,
    /// Type of the predicate, by cosign's names or as a URI: slsaprovenance1, vuln, openvex, spdxjson, cyclonedx, custom
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) predicate_type: String,
    /// The predicate, a JSON file
    #[arg(long, value_name = "FILE")]
    pub(crate) predicate: PathBuf,
    #[command(flatten)]
    pub(crate) signer: SignerArgs,
    /// Give up after this time, such as `90s`, `10m` or `1h30m`
    #[arg(long, value_name = "TIME", default_value = "10m")]
    pub(crate) timeout: String,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
}

/// Checks signatures or attestations of an image by digest, offline but for the registry
#[derive(Debug, Args)]
pub(crate) struct VerifySignatureArgs {
    /// The image by digest: `REPOSITORY@DIGEST`, or an OCI layout as `oci:PATH@DIGEST`
    #[arg(value_name = "IMAGE@DIGEST")]
    pub(crate) image: String,
    /// What must be there: signature, verification, provenance, vuln, openvex, spdx, cyclonedx, or a predicate type; can be repeated
    #[arg(
        long,
        visible_alias = "type",
        value_name = "PROOF",
        value_delimiter = ',',
        default_value = "signature"
    )]
    pub(crate) require: Vec<String>,
    #[command(flatten)]
    pub(crate) trust: TrustArgs,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
}

/// Copies a signed and verified digest to where it runs, and moves tags last
///
/// Refused with exit code 60 when a proof is missing, or when a tag of the source that is named beside the digest has moved.
/// Running it again changes nothing.
#[derive(Debug, Args)]
pub(crate) struct PromoteArgs {
    /// The image by digest: `REPOSITORY[:TAG]@DIGEST`, or an OCI layout as `oci:PATH@DIGEST`
    #[arg(value_name = "IMAGE@DIGEST")]
    pub(crate) image: String,
    /// Where it goes: `REPOSITORY:TAG`, or an OCI layout as `oci:PATH:TAG`
    #[arg(value_name = "DESTINATION:TAG")]
    pub(crate) destination: String,
    /// Floating tag that moves after the first one; can be repeated
    #[arg(long, value_name = "TAG", value_delimiter = ',')]
    pub(crate) also_tag: Vec<String>,
    /// Proofs that must be there; see `reseal verify-signature`
    #[arg(
        long,
        value_name = "PROOF",
        value_delimiter = ',',
        default_values = ["signature", "verification"]
    )]
    pub(crate) require: Vec<String>,
    /// Keep what the tags meant before in this file, for `reseal rollback`
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,
    /// Give up after this time, such as `90s`, `10m` or `1h30m`
    #[arg(long, value_name = "TIME", default_value = "30m")]
    pub(crate) timeout: String,
    #[command(flatten)]
    pub(crate) trust: TrustArgs,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
}

/// Moves the tags of a promotion back to what they meant before, if that is signed
#[derive(Debug, Args)]
pub(crate) struct RollbackArgs {
    /// What `reseal promote --record` wrote
    #[arg(long, value_name = "FILE")]
    pub(crate) record: PathBuf,
    #[command(flatten)]
    pub(crate) trust: TrustArgs,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
}

/// Makes and reads key files that cosign understands
#[derive(Debug, Args)]
pub(crate) struct KeyArgs {
    #[command(subcommand)]
    pub(crate) what: KeyCommand,
}

/// See [`KeyArgs`].
#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Makes an encrypted ECDSA P-256 key: PREFIX.key and PREFIX.pub
    Generate {
        /// Where the files go
        #[arg(long, value_name = "PREFIX", default_value = "cosign")]
        output_key_prefix: PathBuf,
    },
    /// Encrypts an existing private key: PREFIX.key and PREFIX.pub
    Import {
        /// The key: PKCS#8, SEC1 or PKCS#1 as PEM, or a cosign.key whose password changes
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// Where the files go
        #[arg(long, value_name = "PREFIX", default_value = "import-cosign")]
        output_key_prefix: PathBuf,
    },
    /// Prints the public key of a private one
    Public {
        /// The key: a file, or `env://VARIABLE`
        #[arg(long, value_name = "KEY")]
        key: String,
    },
}
