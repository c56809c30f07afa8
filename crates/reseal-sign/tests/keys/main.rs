//! Keys that cosign, OpenSSL and OpenSSH made.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::path::{Path, PathBuf};

use reseal_registry::Secret;
use reseal_sign::key::{
    Algorithm, FileKey, KeyError, KeyReference, PublicKey, Signer as _, generate_key, import_key,
    load_key,
};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../testdata/keys")
        .join(name)
}

fn read(name: &str) -> Vec<u8> {
    std::fs::read(file(name)).unwrap()
}

fn open(name: &str, password: &str) -> Result<FileKey, KeyError> {
    load_key(&read(name), &|| Ok(Secret::new(password)))
}

fn never() -> Result<Secret, KeyError> {
    unreachable!("a key that is not encrypted needs no password")
}

#[test]
fn keys_of_every_kind_sign_what_their_public_half_verifies() {
    let rsa = Algorithm::Rsa { bits: 2048 };
    for (private, public, algorithm) in [
        ("cosign-2.key", "cosign-2.pub", Algorithm::EcdsaP256),
        ("imported-rsa.key", "rsa.pub", rsa),
        ("imported-p384.key", "p384.pub", Algorithm::EcdsaP384),
        ("imported-ed25519.key", "ed25519.pub", Algorithm::Ed25519),
        ("p256.pem", "p256.pub", Algorithm::EcdsaP256),
        ("p384.pem", "p384.pub", Algorithm::EcdsaP384),
        ("p521.pem", "p521.pub", Algorithm::EcdsaP521),
        ("rsa.pem", "rsa.pub", rsa),
        ("rsa-pkcs1.pem", "rsa.pub", rsa),
        ("ed25519.pem", "ed25519.pub", Algorithm::Ed25519),
    ] {
        let key = open(private, "correct").unwrap();
        let public = PublicKey::from_pem(&read(public)).unwrap();
        assert_eq!(key.public_key(), &public, "{private}");
        assert_eq!(public.algorithm(), algorithm, "{private}");
        let signature = key.sign_message(b"message").unwrap();
        public.verify(b"message", &signature).unwrap();
        assert_eq!(
            public.verify(b"massage", &signature),
            Err(KeyError::Mismatch)
        );
        let pem = String::from_utf8(read("p256.pub")).unwrap();
        assert_eq!(PublicKey::from_pem(pem.as_bytes()).unwrap().to_pem(), pem);
    }
    let old_form = open("p256-sec1.pem", "").unwrap();
    let signature = old_form.sign_message(b"x").unwrap();
    old_form.public_key().verify(b"x", &signature).unwrap();
}

#[test]
fn an_empty_password_is_a_password_and_a_wrong_one_opens_nothing() {
    let key = open("cosign-3.key", "").unwrap();
    assert_eq!(
        key.public_key(),
        &PublicKey::from_pem(&read("cosign-3.pub")).unwrap()
    );
    for (name, password) in [
        ("cosign-3.key", " "),
        ("cosign-2.key", ""),
        ("cosign-2.key", "Correct"),
    ] {
        assert_eq!(open(name, password).unwrap_err(), KeyError::WrongPassword);
    }
    let none = || {
        Err(KeyError::NoPassword {
            why: "there is no terminal".into(),
        })
    };
    assert!(matches!(
        load_key(&read("cosign-2.key"), &none),
        Err(KeyError::NoPassword { .. })
    ));
}

#[test]
fn keys_that_cannot_be_used_are_refused_by_name_with_a_remedy() {
    for (name, message, hint) in [
        ("p256-enc.pem", "`ENCRYPTED PRIVATE KEY`", "openssl pkcs8"),
        ("p256-trad-enc.pem", "Proc-Type", "openssl pkcs8"),
        (
            "openssh.pem",
            "`OPENSSH PRIVATE KEY`",
            "ssh-keygen -p -m PKCS8",
        ),
        ("rsa1024.pem", "RSA", "2048 to 8192"),
        ("x25519.pem", "another kind", "ECDSA P-256"),
        ("secp256k1.pem", "another curve", "ECDSA P-256"),
        ("p256.pub", "found `PUBLIC KEY`", "BEGIN PRIVATE KEY"),
    ] {
        let error = load_key(&read(name), &never).unwrap_err();
        assert!(error.to_string().contains(message), "{name}: {error}");
        assert!(error.hint().unwrap().contains(hint), "{name}: {error:?}");
    }
    for text in [
        &b""[..],
        b"garbage",
        b"\xff\xfe",
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----",
    ] {
        assert!(load_key(text, &never).is_err());
    }
}

#[test]
fn no_truncation_of_a_key_opens_or_panics() {
    for name in [
        "p256.pem",
        "p384.pem",
        "p521.pem",
        "rsa.pem",
        "ed25519.pem",
        "p256-sec1.pem",
    ] {
        let text = String::from_utf8(read(name)).unwrap();
        let body: String = text
            .lines()
            .filter(|line| !line.starts_with("--"))
            .collect();
        for cut in (4..body.len() - 4).step_by(4) {
            let label = if name.contains("sec1") {
                "EC PRIVATE KEY"
            } else {
                "PRIVATE KEY"
            };
            let cut = format!(
                "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
                &body[..cut]
            );
            assert!(load_key(cut.as_bytes(), &never).is_err(), "{name}");
        }
    }
}

#[test]
fn a_new_key_opens_with_its_password_alone() {
    let files = generate_key(&Secret::new("geheim")).unwrap();
    assert!(!format!("{files:?}").contains("PRIVATE"));
    let key = load_key(files.private.as_bytes(), &|| Ok(Secret::new("geheim"))).unwrap();
    assert_eq!(key.public_key().to_pem(), files.public);
    assert_eq!(key.algorithm(), Algorithm::EcdsaP256);
    assert_eq!(
        load_key(files.private.as_bytes(), &|| Ok(Secret::new(""))).unwrap_err(),
        KeyError::WrongPassword
    );
    let other = generate_key(&Secret::new("geheim")).unwrap();
    assert_ne!(other.private, files.private);
}

#[test]
fn an_imported_key_is_the_same_key_and_a_password_can_be_changed() {
    for name in [
        "p256.pem",
        "p384.pem",
        "p521.pem",
        "rsa.pem",
        "rsa-pkcs1.pem",
        "ed25519.pem",
        "p256-sec1.pem",
    ] {
        let files = import_key(&read(name), &never, &Secret::new("new")).unwrap();
        let key = load_key(files.private.as_bytes(), &|| Ok(Secret::new("new"))).unwrap();
        assert_eq!(
            key.public_key(),
            load_key(&read(name), &never).unwrap().public_key(),
            "{name}"
        );
        assert_eq!(key.public_key().to_pem(), files.public);
    }
    let old = || Ok(Secret::new("correct"));
    let files = import_key(&read("cosign-2.key"), &old, &Secret::new("changed")).unwrap();
    assert_eq!(files.public.as_bytes(), read("cosign-2.pub"));
}

#[test]
fn keys_open_from_files_and_variables() {
    let password = || Ok(Secret::new("correct"));
    let text = String::from_utf8(read("cosign-2.key")).unwrap();
    let expected = PublicKey::from_pem(&read("cosign-2.pub")).unwrap();
    let variable = |name: &str| (name == "SIGNING_KEY").then(|| text.clone());
    for reference in [
        file("cosign-2.key").display().to_string(),
        "env://SIGNING_KEY".to_owned(),
    ] {
        let reference: KeyReference = reference.parse().unwrap();
        let signer = reference.open(&variable, &password).unwrap();
        assert_eq!(signer.public_key(), &expected);
    }
}

#[test]
fn nothing_of_a_private_key_is_ever_shown() {
    let key = open("cosign-2.key", "correct").unwrap();
    assert_eq!(
        format!("{key:?}"),
        format!(
            "FileKey(PublicKey(ECDSA P-256, {}))",
            key.public_key().hint()
        )
    );
}
