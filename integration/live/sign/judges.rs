//! The programs that others verify with, driven offline: they reach the registry and nothing else.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use reseal_oci::Digest;
use serde_json::json;

use super::signers::Signatory;
use super::support::{Services, Site, site};

/// Whom a verifier is told to trust.
#[derive(Debug, Clone)]
pub(super) enum Trust {
    /// A file with a public key.
    Key(PathBuf),
    /// Whoever has this identity from this issuer.
    Identity { identity: String, issuer: String },
}

/// What must prove a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Proofs {
    /// An entry in a log.
    pub(super) log: bool,
    /// A signed timestamp.
    pub(super) time: bool,
}

impl Proofs {
    pub(super) fn of(services: Services) -> Self {
        Self {
            log: services != Services::None,
            time: matches!(services, Services::Rekor1Tsa | Services::Rekor2),
        }
    }
}

/// A cosign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judge {
    /// 2.5
    OldCosign,
    /// 3.1
    NewCosign,
}

impl Judge {
    /// `cosign verify`: by the old one the `.sig` tag, by the new one the bundles where there are any.
    pub(super) fn accepts_signature(
        self,
        case: &str,
        reference: &str,
        trust: &Trust,
        proofs: Proofs,
    ) {
        let output = self.verify(reference, trust, proofs, &[]);
        assert!(
            output.status.success(),
            "{self:?} verify, {case}: {}",
            said(&output)
        );
    }

    /// `cosign verify --local-image`.
    pub(super) fn accepts_layout(self, folder: &str, trust: &Trust, proofs: Proofs) {
        let output = self.verify(folder, trust, proofs, &["--local-image=true"]);
        assert!(
            output.status.success(),
            "{self:?} verify --local-image: {}",
            said(&output)
        );
    }

    pub(super) fn refuses_signature(self, reference: &str, trust: &Trust, proofs: Proofs) {
        let output = self.verify(reference, trust, proofs, &[]);
        assert!(
            !output.status.success(),
            "{self:?} accepts {trust:?} {proofs:?}"
        );
    }

    /// Whether it accepts a key's signature without a log that carries the annotation.
    pub(super) fn verify_annotated(self, reference: &str, trust: &Trust, annotation: &str) -> bool {
        let proofs = Proofs::of(Services::None);
        self.verify(reference, trust, proofs, &["-a", annotation])
            .status
            .success()
    }

    fn verify(self, reference: &str, trust: &Trust, proofs: Proofs, more: &[&str]) -> Output {
        let mut command = self.command("verify");
        // The old one has its trust for `.sig` tags from the environment, see `command`.
        match self {
            Self::OldCosign if proofs.log => command.arg("--offline=true"),
            Self::OldCosign => &mut command,
            Self::NewCosign => self.trusted_root(&mut command, proofs),
        };
        self.with_trust(&mut command, trust, proofs);
        run(command.args(more).arg(reference))
    }

    /// `cosign verify-attestation` of a bundle.
    pub(super) fn accepts_bundle(
        self,
        case: &str,
        reference: &str,
        predicate_type: &str,
        trust: &Trust,
        proofs: Proofs,
    ) {
        let output = self.verify_bundle(reference, predicate_type, trust, proofs);
        assert!(
            output.status.success(),
            "{self:?} verify-attestation of the bundle, {case}: {}",
            said(&output)
        );
    }

    pub(super) fn refuses_bundle(
        self,
        case: &str,
        reference: &str,
        predicate_type: &str,
        trust: &Trust,
        proofs: Proofs,
    ) {
        let output = self.verify_bundle(reference, predicate_type, trust, proofs);
        assert!(
            !output.status.success(),
            "{self:?} accepts the bundle, {case}"
        );
    }

    fn verify_bundle(
        self,
        reference: &str,
        predicate_type: &str,
        trust: &Trust,
        proofs: Proofs,
    ) -> Output {
        let mut command = self.command("verify-attestation");
        if self == Self::OldCosign {
            command.arg("--new-bundle-format=true");
        }
        self.trusted_root(&mut command, proofs);
        self.with_trust(&mut command, trust, proofs);
        run(command.args(["--type", predicate_type, reference]))
    }

    /// `cosign verify-attestation` of the `.att` tag; by the old one only, the new one sees it where there are no bundles.
    pub(super) fn accepts_attestation(
        self,
        case: &str,
        reference: &str,
        predicate_type: &str,
        trust: &Trust,
        proofs: Proofs,
    ) {
        let mut command = self.command("verify-attestation");
        if proofs.log {
            command.arg("--offline=true");
        }
        self.with_trust(&mut command, trust, proofs);
        let output = run(command.args(["--type", predicate_type, reference]));
        assert!(
            output.status.success(),
            "{self:?} verify-attestation of the tag, {case}: {}",
            said(&output)
        );
    }

    /// `cosign sign`, in the form that is usual with this version.
    pub(super) fn sign(self, reference: &str, who: &Signatory, services: Services) {
        let site = site().expect("the tests have asked");
        let mut command = self.command("sign");
        command.args(["--yes"]);
        match who {
            Signatory::Key(key) => command.arg("--key").arg(&key.private),
            Signatory::Identity { kind, .. } => {
                command.args(["--identity-token", &site.token(kind)])
            }
        };
        match self {
            Self::OldCosign => {
                command.args(["--fulcio-url", &site.fulcio, "--rekor-url", &site.rekor]);
                command.arg(format!("--tlog-upload={}", services != Services::None));
                if services == Services::Rekor1Tsa {
                    command.args(["--timestamp-server-url", &site.tsa]);
                }
            }
            Self::NewCosign => {
                command
                    .arg("--signing-config")
                    .arg(site.signing_config(services));
                command.arg("--trusted-root").arg(&site.trusted_root);
            }
        }
        let output = run(command.arg(reference));
        assert!(
            output.status.success(),
            "{self:?} sign by {who}, {services:?}: {}",
            said(&output)
        );
    }

    fn trusted_root(self, command: &mut Command, proofs: Proofs) -> &mut Command {
        let site = site().expect("the tests have asked");
        let _ = self;
        command.arg("--trusted-root").arg(if proofs.log {
            &site.trusted_root
        } else {
            &site.trusted_root_empty
        })
    }

    fn with_trust(self, command: &mut Command, trust: &Trust, proofs: Proofs) {
        match trust {
            Trust::Key(file) => command.arg("--key").arg(file),
            Trust::Identity { identity, issuer } => command
                .args(["--certificate-identity", identity])
                .args(["--certificate-oidc-issuer", issuer]),
        };
        if !proofs.log {
            command.arg("--insecure-ignore-tlog=true");
        }
        let _ = self;
    }

    /// cosign itself, with no trust but that of the private instance and with the logins of all registries.
    fn command(self, subcommand: &str) -> Command {
        let site = site().expect("the tests have asked");
        let mut command = Command::new(match self {
            Self::OldCosign => &site.cosign_old,
            Self::NewCosign => &site.cosign_new,
        });
        command
            .arg(subcommand)
            .args([
                "--allow-http-registry=true",
                "--allow-insecure-registry=true",
            ])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", site.home())
            .env("DOCKER_CONFIG", site.home())
            .env("COSIGN_PASSWORD", "")
            // Only for `.sig` and `.att` tags; for bundles it takes the trusted root.
            .env("SIGSTORE_ROOT_FILE", &site.fulcio_chain)
            .env("SIGSTORE_CT_LOG_PUBLIC_KEY_FILE", &site.ct_key)
            .env("SIGSTORE_REKOR_PUBLIC_KEY", &site.rekor_key);
        command
    }
}

/// Lets sigstore-python judge a bundle that is about a digest.
pub(super) fn sigstore_python(
    site: &Site,
    case: &str,
    bundle: &[u8],
    digest: &Digest,
    identity: &str,
    issuer: &str,
) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("bundle.json");
    fs::write(&file, bundle).expect("a written file");
    let output = run(Command::new(&site.sigstore_python)
        .arg("--trust-config")
        .arg(trust_config(site, folder.path()))
        .args(["verify", "identity", "--offline", "--bundle"])
        .arg(&file)
        .args(["--cert-identity", identity, "--cert-oidc-issuer", issuer])
        .arg(digest.to_string())
        .env("HOME", site.home()));
    assert!(
        output.status.success(),
        "sigstore-python, {case}: {}",
        said(&output)
    );
}

/// The one file that sigstore-python wants of the two that everybody else takes.
fn trust_config(site: &Site, folder: &Path) -> PathBuf {
    let read = |path: &Path| -> serde_json::Value {
        serde_json::from_slice(&fs::read(path).expect("a readable file")).expect("JSON")
    };
    let file = folder.join("trust.json");
    let text = json!({
        "mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json",
        "trustedRoot": read(&site.trusted_root),
        "signingConfig": read(&site.signing_config(Services::Rekor2)),
    });
    fs::write(&file, text.to_string()).expect("a written file");
    file
}

fn run(command: &mut Command) -> Output {
    command.output().expect("a program that starts")
}

pub(super) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).trim().to_owned()
}
