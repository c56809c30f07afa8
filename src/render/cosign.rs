//! The command of cosign that agrees with what was signed.

use std::path::{Path, PathBuf};

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
    /// Who vouches for services.
    pub(crate) root: Root<'a>,
    /// Whether the registry is spoken to without TLS, and is not on this machine.
    pub(crate) plain_http: bool,
    /// Certificates that the registry is trusted by.
    pub(crate) registry_ca: &'a [PathBuf],
}

/// Whom a verifier has to trust beside the signer.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Root<'a> {
    /// The public instance, or nobody where no services were used.
    Public,
    /// Those that the file names.
    File(&'a Path),
    /// Somebody else.
    Unknown,
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

/// Says how cosign agrees: a command that is ready for a shell, and what it cannot check.
pub(crate) fn advice(check: &Check<'_>) -> String {
    let logged = check.log && matches!(check.root, Root::Unknown);
    match check.by {
        By::Identity(..) if logged => {
            "cosign needs the trusted root of these services: with `--trusted-root FILE`, reseal says how it checks this.\n".to_owned()
        }
        _ => {
            let mut text = format!("Check it with: {}\n", command(check));
            if logged {
                text += "That checks the key alone: with `--trusted-root FILE`, reseal says how the log is checked too.\n";
            }
            text
        }
    }
}

fn command(check: &Check<'_>) -> String {
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
            // Not by a file: there may be one of that name.
            let key = without_pin(key);
            before = format!("reseal key public --key {} | ", quoted(&key));
            flag("--key", "/dev/stdin");
        }
        By::Identity(identity, issuer) => {
            flag("--certificate-identity", identity);
            flag("--certificate-oidc-issuer", issuer);
        }
    }
    match (check.log, check.root) {
        (false, _) | (true, Root::Unknown) => words.push("--insecure-ignore-tlog".to_owned()),
        (true, Root::File(path)) => flag("--trusted-root", &path.display().to_string()),
        (true, Root::Public) => {}
    }
    match check.registry_ca {
        [] => {}
        [one] => words.extend([
            "--registry-cacert".to_owned(),
            quoted(&one.display().to_string()),
        ]),
        several => {
            // cosign takes one file.
            let files: Vec<String> = several
                .iter()
                .map(|file| quoted(&file.display().to_string()))
                .collect();
            before = format!("cat {} > registry-ca.pem && {before}", files.join(" "));
            words.extend(["--registry-cacert", "registry-ca.pem"].map(str::to_owned));
        }
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

/// Returns a key's name without the PIN that the URI of a token can hold; `COSIGN_PKCS11_PIN` takes its place.
fn without_pin(key: &str) -> String {
    let Some((path, query)) = key.split_once('?').filter(|_| key.starts_with("pkcs11:")) else {
        return key.to_owned();
    };
    let kept: Vec<&str> = query
        .split('&')
        .filter(|part| !part.starts_with("pin-value"))
        .collect();
    if kept.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{}", kept.join("&"))
    }
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
        let image = format!("r.example/shop/cart@{digest}");
        let authorities = ["a.pem", "my ca.pem"].map(PathBuf::from);
        let key = Check {
            image: &registry,
            digest: &digest,
            attestation: None,
            by: By::PublicKey("cosign.pub"),
            log: false,
            root: Root::Public,
            plain_http: false,
            registry_ca: &[],
        };
        let logged = Check {
            log: true,
            root: Root::Unknown,
            ..key.clone()
        };
        let job = "https://github.com/acme/app/.github/workflows/ci.yml@refs/heads/main";
        let by_job = Check {
            by: By::Identity(job, "https://token.example"),
            ..logged.clone()
        };
        for (check, wanted) in [
            (
                key.clone(),
                format!("Check it with: cosign verify --key cosign.pub --insecure-ignore-tlog {image}\n"),
            ),
            (
                Check {
                    by: By::PrivateKey("env://KEY"),
                    log: true,
                    plain_http: true,
                    ..key.clone()
                },
                format!("Check it with: reseal key public --key env://KEY | cosign verify --key /dev/stdin --allow-http-registry {image}\n"),
            ),
            (
                Check {
                    by: By::PrivateKey("pkcs11:token=t;object=o?pin-value=1234&module-path=/m.so"),
                    registry_ca: &authorities[..1],
                    ..key.clone()
                },
                format!("Check it with: reseal key public --key 'pkcs11:token=t;object=o?module-path=/m.so' | cosign verify --key /dev/stdin --insecure-ignore-tlog --registry-cacert a.pem {image}\n"),
            ),
            (
                logged.clone(),
                format!("Check it with: cosign verify --key cosign.pub --insecure-ignore-tlog {image}\nThat checks the key alone: with `--trusted-root FILE`, reseal says how the log is checked too.\n"),
            ),
            (
                Check {
                    root: Root::File(Path::new("our root.json")),
                    registry_ca: &authorities,
                    ..logged
                },
                format!("Check it with: cat a.pem 'my ca.pem' > registry-ca.pem && cosign verify --key cosign.pub --trusted-root 'our root.json' --registry-cacert registry-ca.pem {image}\n"),
            ),
            (
                Check {
                    root: Root::File(Path::new("root.json")),
                    attestation: Some("https://slsa.dev/provenance/v1"),
                    ..by_job.clone()
                },
                format!("Check it with: cosign verify-attestation --type https://slsa.dev/provenance/v1 --certificate-identity {job} --certificate-oidc-issuer https://token.example --trusted-root root.json {image}\n"),
            ),
            (
                by_job,
                "cosign needs the trusted root of these services: with `--trusted-root FILE`, reseal says how it checks this.\n".to_owned(),
            ),
            (
                Check {
                    image: &layout,
                    ..key.clone()
                },
                "Check it with: cosign verify --key cosign.pub --insecure-ignore-tlog --local-image '/tmp/my images'\n".to_owned(),
            ),
        ] {
            assert_eq!(advice(&check), wanted);
        }
    }

    #[test]
    fn the_pin_of_a_token_is_not_told() {
        for (key, told) in [
            ("pkcs11:object=o?pin-value=1", "pkcs11:object=o"),
            ("pkcs11:object=o?a=b&pin-value=1", "pkcs11:object=o?a=b"),
            (
                "pkcs11:object=o?pin-source=/pin",
                "pkcs11:object=o?pin-source=/pin",
            ),
            ("what?pin-value", "what?pin-value"),
            ("pkcs11:object=o", "pkcs11:object=o"),
        ] {
            assert_eq!(without_pin(key), told);
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
