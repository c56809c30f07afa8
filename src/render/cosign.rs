//! The command of cosign that agrees with what was signed.

use reseal_oci::{Digest, Location};

use crate::escape;

/// What there is to check.
#[derive(Debug, Clone)]
pub(crate) struct Check<'a> {
    /// The place of the image; tag and digest in it do not count.
    pub(crate) image: &'a Location,
    /// The image.
    pub(crate) digest: &'a Digest,
    /// Predicate type of an attestation; a signature when `None`.
    pub(crate) attestation: Option<&'a str>,
    /// Who signed.
    pub(crate) by: By<'a>,
    /// Whether a transparency log was used.
    pub(crate) log: bool,
    /// Whether the services are not those of the public instance.
    pub(crate) own_services: bool,
    /// Whether the registry is spoken to without TLS, and is not on this machine.
    pub(crate) plain_http: bool,
}

/// Who signed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum By<'a> {
    /// The key whose public half is in this file.
    PublicKey(&'a str),
    /// The private key that is named so; its public half is in no file that is known.
    PrivateKey(&'a str),
    /// An identity, by an issuer.
    Identity(&'a str, &'a str),
}

/// Returns the command, ready for a shell.
pub(crate) fn command(check: &Check<'_>) -> String {
    let mut words = vec!["cosign".to_owned()];
    let mut before = String::new();
    words.push(
        if check.attestation.is_some() {
            "verify-attestation"
        } else {
            "verify"
        }
        .to_owned(),
    );
    let mut flag = |name: &str, value: &str| words.extend([name.to_owned(), quoted(value)]);
    if let Some(kind) = check.attestation {
        flag("--type", kind);
    }
    match check.by {
        By::PublicKey(path) => flag("--key", path),
        By::PrivateKey(key) => {
            before = format!("reseal key public --key {} > cosign.pub && ", quoted(key));
            flag("--key", "cosign.pub");
        }
        By::Identity(identity, issuer) => {
            flag("--certificate-identity", identity);
            flag("--certificate-oidc-issuer", issuer);
        }
    }
    if !check.log {
        words.push("--insecure-ignore-tlog".to_owned());
    } else if check.own_services {
        words.extend(["--trusted-root", "trusted_root.json"].map(str::to_owned));
    }
    if check.plain_http {
        words.push("--allow-http-registry".to_owned());
    }
    match check.image {
        Location::Registry(reference) => {
            words.push(quoted(&format!(
                "{}@{}",
                reference.repository, check.digest
            )));
        }
        Location::Layout { path, .. } => words.extend([
            "--local-image".to_owned(),
            quoted(&path.display().to_string()),
        ]),
    }
    before + &words.join(" ")
}

/// Quotes a word for a shell, where that is needed.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./_-".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", escape::line(word).replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_says_what_was_signed_and_how() {
        let digest = Digest::of(b"");
        let registry: Location = "r.example/shop/cart:1.4".parse().unwrap();
        let layout: Location = "oci:/tmp/my images:1".parse().unwrap();
        let key = Check {
            image: &registry,
            digest: &digest,
            attestation: None,
            by: By::PublicKey("cosign.pub"),
            log: false,
            own_services: false,
            plain_http: false,
        };
        let job = "https://github.com/acme/app/.github/workflows/ci.yml@refs/heads/main";
        for (check, wanted) in [
            (
                key.clone(),
                format!("cosign verify --key cosign.pub --insecure-ignore-tlog r.example/shop/cart@{digest}"),
            ),
            (
                Check {
                    by: By::PrivateKey("env://KEY"),
                    log: true,
                    plain_http: true,
                    ..key.clone()
                },
                format!("reseal key public --key env://KEY > cosign.pub && cosign verify --key cosign.pub --allow-http-registry r.example/shop/cart@{digest}"),
            ),
            (
                Check {
                    by: By::Identity(job, "https://token.example"),
                    log: true,
                    own_services: true,
                    attestation: Some("https://slsa.dev/provenance/v1"),
                    ..key.clone()
                },
                format!("cosign verify-attestation --type https://slsa.dev/provenance/v1 --certificate-identity {job} --certificate-oidc-issuer https://token.example --trusted-root trusted_root.json r.example/shop/cart@{digest}"),
            ),
            (
                Check {
                    image: &layout,
                    ..key.clone()
                },
                "cosign verify --key cosign.pub --insecure-ignore-tlog --local-image '/tmp/my images'".to_owned(),
            ),
        ] {
            assert_eq!(command(&check), wanted);
        }
    }

    #[test]
    fn names_cannot_leave_their_quotes() {
        for (word, wanted) in [
            ("a b", "'a b'"),
            ("", "''"),
            ("$(rm)", "'$(rm)'"),
            ("a'b", r"'a'\''b'"),
            ("a\nb", "'a b'"),
        ] {
            assert_eq!(quoted(word), wanted);
        }
    }
}
