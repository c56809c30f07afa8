//! What must not be trusted is not: signatures, keys, dates and every byte.

use std::collections::BTreeMap;

use pgp::composed::KeyType;
use pgp::crypto::hash::HashAlgorithm;
use reseal_repo::Class;

use crate::key::{Key, NOW, Oddity, clear_signed};
use crate::make::{INLINE, Image, LIST, Repository, find, packed, usual};
use crate::server::Server;

type Files = BTreeMap<String, Vec<u8>>;
type Tamper = fn(&mut Files, &Repository);
type ImageFiles<'a> = Vec<(&'a str, Vec<u8>)>;

fn flip(files: &mut Files, path: &str) {
    let file = files.get_mut(path).unwrap();
    let middle = file.len() / 2;
    file[middle] ^= 1;
}

fn replace(files: &mut Files, path: &str, from: &str, to: &str) {
    let text = String::from_utf8(files[path].clone()).unwrap();
    assert!(text.contains(from), "{from}");
    files.insert(path.to_owned(), text.replacen(from, to, 1).into_bytes());
}

fn by_hash(files: &Files) -> Vec<String> {
    let within = format!("{LIST}by-hash/");
    files
        .keys()
        .filter(|path| path.starts_with(&within))
        .cloned()
        .collect()
}

fn resign(files: &mut Files, repository: &Repository, key: &Key) {
    let text = repository.release().0;
    let signed = key.clear_sign(&text, HashAlgorithm::Sha256);
    files.insert(INLINE.to_owned(), signed.into_bytes());
}

/// Runs as far as the first package after something was done to the server's files.
async fn run(tamper: impl FnOnce(&mut Files, &Repository)) -> Result<(), reseal_repo::RepoError> {
    let (server, image) = usual().await;
    server.with(|state| tamper(&mut state.files, &Repository::new()));
    let repositories = image.open();
    let names = ["openssl".to_owned()].into();
    let candidates = repositories.candidates(&names).await?;
    repositories.fetch(&candidates[0]).await.map(|_| ())
}

#[tokio::test]
async fn nothing_that_was_tampered_with_is_used() {
    run(|_, _| {}).await.unwrap();
    let table: Vec<(&str, Tamper)> = vec![
        ("is wrong", |files, _| {
            replace(files, INLINE, "Suite: stable", "Suite: stabel");
        }),
        ("is wrong", |files, _| {
            replace(
                files,
                INLINE,
                "\n-----BEGIN PGP SIG",
                "\nExtra: x\n-----BEGIN PGP SIG",
            );
        }),
        ("is not among the keys", |files, repository| {
            resign(files, repository, &Key::new(2, Oddity::None));
        }),
        ("not signed", |files, repository| {
            files.insert(INLINE.to_owned(), repository.release().0.into_bytes());
        }),
        ("after the signature", |files, _| {
            files
                .get_mut(INLINE)
                .unwrap()
                .extend_from_slice(b"Suite: x\n");
        }),
        ("unreadable", |files, _| {
            let text = "-----BEGIN PGP SIGNED MESSAGE-----\n\nx\n-----BEGIN PGP SIGNATURE-----\n\nrubbish\n-----END PGP SIGNATURE-----\n";
            files.insert(INLINE.to_owned(), text.as_bytes().to_vec());
        }),
        ("no signature", |files, repository| {
            let text = repository.release().0;
            files.insert(INLINE.to_owned(), clear_signed(&text, &[]).into_bytes());
        }),
        (
            "neither `InRelease` nor `Release.gpg`",
            |files, repository| {
                files.remove(INLINE);
                files.insert(
                    "/debian/dists/stable/Release".to_owned(),
                    repository.release().0.into_bytes(),
                );
            },
        ),
        ("has SHA-256", |files, _| {
            for path in by_hash(files) {
                flip(files, &path);
            }
        }),
        ("bytes, not", |files, _| {
            for path in by_hash(files) {
                files.get_mut(&path).unwrap().push(0);
            }
        }),
        ("bytes, not", |files, _| {
            // An older list under the digest of the new one: what a mirror that holds back fixes would serve.
            let mut old = Repository::new();
            old.packages.pop();
            let old = packed(old.list().0.as_bytes(), ".xz");
            for path in by_hash(files) {
                files.insert(path, old.clone());
            }
        }),
        ("has SHA-256", |files, _| {
            for path in by_hash(files) {
                files.remove(&path);
            }
            flip(files, &format!("{LIST}Packages.xz"));
        }),
        ("has SHA-256", |files, _| {
            flip(files, "/debian/pool/openssl_3.0.1_amd64.deb");
        }),
        ("bytes, not", |files, _| {
            files
                .get_mut("/debian/pool/openssl_3.0.1_amd64.deb")
                .unwrap()
                .truncate(10);
        }),
    ];
    for (expected, tamper) in table {
        let error = run(tamper).await.unwrap_err();
        assert_eq!(error.class(), Class::Untrusted, "{error}");
        assert!(
            error.to_string().contains(expected),
            "not `{expected}`: {error}"
        );
        assert!(error.hint().is_some(), "{error}");
    }
}

#[tokio::test]
async fn a_list_that_unpacks_to_something_else_than_the_release_says_is_refused() {
    let server = Server::start().await;
    let mut repository = Repository::new();
    repository.suffixes = vec!["", ".xz"];
    let (text, mut files) = repository.release();
    // The compressed list is as signed, the unpacked one is said to be another of the same size.
    let (list, _) = repository.list();
    let other = list.replace("3.0.2", "3.0.3");
    let digest = |text: &str| reseal_repo::ContentDigest::of(text.as_bytes()).to_string();
    let text = text.replace(&digest(&list), &digest(&other));
    let signed = repository.key.clear_sign(&text, HashAlgorithm::Sha256);
    files.insert(INLINE.to_owned(), signed.into_bytes());
    server.with(|state| state.files = files);
    let error = find(&Image::new(&server, &repository.key).open(), &["openssl"])
        .await
        .unwrap_err();
    assert_eq!(error.class(), Class::Untrusted);
    assert!(error.to_string().contains("unpacked"), "{error}");
}

#[tokio::test]
async fn only_keys_that_may_sign_now_count() {
    for (oddity, expected) in [
        (Oddity::None, None),
        (Oddity::Subkey, None),
        (Oddity::Expired, Some("the key expired on 2023-11-14")),
        (Oddity::Revoked, Some("the key is revoked")),
        (Oddity::NotForSigning, Some("not for signing")),
        (Oddity::SubkeyRevoked, Some("the key is revoked")),
        (Oddity::SubkeyExpired, Some("the key expired")),
        (Oddity::SubkeyStolen, Some("never agreed")),
        (Oddity::Unsigned, Some("no valid signature of its own")),
    ] {
        let repository = Repository {
            key: Key::new(7, oddity),
            ..Repository::new()
        };
        let server = Server::start().await;
        server.with(|state| state.files = repository.files());
        let refreshed = Image::new(&server, &repository.key).open().refresh().await;
        match (refreshed, expected) {
            (Ok(releases), None) => {
                assert_eq!(
                    releases[0].signers[0].certificate,
                    repository.key.fingerprint()
                );
            }
            (Err(error), Some(expected)) => {
                assert_eq!(error.class(), Class::Untrusted);
                assert!(error.to_string().contains(expected), "{error}");
            }
            (result, _) => panic!("{expected:?}: {:?}", result.map(|_| ())),
        }
    }
}

#[tokio::test]
async fn weak_digests_and_weak_keys_do_not_count() {
    let text = Repository::new().release().0;
    for (bits, hash, expected) in [
        (2048, HashAlgorithm::Sha256, None),
        (
            2048,
            HashAlgorithm::Sha1,
            Some("its digest SHA1 is too weak"),
        ),
        (1024, HashAlgorithm::Sha256, Some("RSA with 1024 bits")),
    ] {
        let (server, mut image) = usual().await;
        let key = Key::of(&KeyType::Rsa(bits), 11, Oddity::None);
        let keyring = "usr/share/keyrings/shop.gpg".to_owned();
        image.files.insert(keyring, key.binary());
        let signed = key.clear_sign(&text, hash).into_bytes();
        server.with(|state| state.files.insert(INLINE.to_owned(), signed));
        match (image.open().refresh().await, expected) {
            (Ok(_), None) => {}
            (Err(error), Some(expected)) => {
                assert!(error.to_string().contains(expected), "{error}");
            }
            (result, _) => panic!("{bits} {hash}: {:?}", result.map(|_| ())),
        }
    }
}

#[tokio::test]
async fn one_good_signature_is_enough_but_a_wrong_one_by_a_known_key_is_fatal() {
    let (server, mut image) = usual().await;
    let repository = Repository::new();
    let text = repository.release().0;
    let (known, unknown) = (Key::new(3, Oddity::None), Key::new(4, Oddity::None));
    let keys = [repository.key.binary(), known.binary()].concat();
    image
        .files
        .insert("usr/share/keyrings/shop.gpg".to_owned(), keys);
    let good = || repository.key.text_signature(&text);
    for (others, expected) in [
        (vec![unknown.text_signature(&text)], true),
        (vec![unknown.text_signature("other")], true),
        (vec![known.text_signature(&text)], true),
        (vec![known.text_signature("other")], false),
    ] {
        let signatures: Vec<_> = others.into_iter().chain([good()]).collect();
        let signed = clear_signed(&text, &signatures).into_bytes();
        server.with(|state| state.files.insert(INLINE.to_owned(), signed));
        assert_eq!(image.open().refresh().await.is_ok(), expected);
    }
}

#[tokio::test]
async fn keys_come_from_where_the_source_says() {
    let (server, mut image) = usual().await;
    let repository = Repository::new();
    let (key, other) = (&repository.key, Key::new(5, Oddity::None));
    let url = format!("{}/debian stable main", server.url);
    let print = key.fingerprint();
    let both = format!("{}\ntext between\n{}", other.armored(), key.armored());
    let armored = key.armored();
    let lines = armored
        .lines()
        .map(|line| format!(" {}", if line.is_empty() { "." } else { line }));
    let inside = lines.collect::<Vec<_>>().join("\n");
    let embedded = format!(
        "Types: deb\nURIs: {}/debian\nSuites: stable\nComponents: main\nSigned-By:\n{inside}",
        server.url
    );
    let subkeyed = Key::new(6, Oddity::Subkey);
    let deb = |options: &str| {
        (
            "etc/apt/sources.list",
            format!("deb {options} {url}\n").into_bytes(),
        )
    };
    let keyring = "usr/share/keyrings/k";
    let table: Vec<(ImageFiles, Option<&str>)> = vec![
        (
            vec![
                deb("[signed-by=/usr/share/keyrings/k.asc]"),
                ("usr/share/keyrings/k.asc", both.clone().into_bytes()),
            ],
            None,
        ),
        (
            vec![
                deb("[signed-by=/usr/share/keyrings/k.gpg]"),
                ("usr/share/keyrings/k.gpg", both.clone().into_bytes()),
            ],
            Some("is no binary keyring"),
        ),
        (
            vec![
                deb("[signed-by=/usr/share/keyrings/k.asc]"),
                ("usr/share/keyrings/k.asc", key.binary()),
            ],
            Some("no usable key"),
        ),
        (
            vec![deb("[signed-by=/usr/share/keyrings/k.gpg]")],
            Some("does not exist in the image"),
        ),
        (
            vec![
                deb("[signed-by=/usr/share/keyrings/k.gpg]"),
                ("usr/share/keyrings/k.gpg", vec![0x99, 1, 2]),
            ],
            Some("is not among the keys"),
        ),
        (vec![deb("")], Some("is not among the keys")),
        (
            vec![
                deb(""),
                ("etc/apt/trusted.gpg.d/a.gpg", other.binary()),
                ("etc/apt/trusted.gpg.d/b.asc", key.armored().into_bytes()),
            ],
            None,
        ),
        (vec![deb(""), ("etc/apt/trusted.gpg", key.binary())], None),
        (
            vec![
                deb(""),
                ("etc/apt/trusted.gpg.d/k.txt", key.armored().into_bytes()),
            ],
            Some("is not among the keys"),
        ),
        (
            vec![deb(""), (keyring, key.binary())],
            Some("is not among the keys"),
        ),
        (
            vec![
                deb(&format!("[signed-by={print}]")),
                ("etc/apt/trusted.gpg", key.binary()),
            ],
            None,
        ),
        (
            vec![
                deb(&format!("[signed-by={print}!]")),
                ("etc/apt/trusted.gpg", key.binary()),
            ],
            None,
        ),
        (
            vec![
                deb(&format!("[signed-by={}]", other.fingerprint())),
                ("etc/apt/trusted.gpg", key.binary()),
            ],
            Some("only"),
        ),
        (
            vec![
                deb(&format!("[signed-by={}]", subkeyed.fingerprint())),
                ("etc/apt/trusted.gpg", key.binary()),
            ],
            Some("only"),
        ),
        (
            vec![("etc/apt/sources.list.d/x.sources", embedded.into_bytes())],
            None,
        ),
    ];
    for (number, (files, expected)) in table.into_iter().enumerate() {
        image.files = files
            .into_iter()
            .map(|(path, bytes)| (path.to_owned(), bytes))
            .collect();
        match (image.open().refresh().await, expected) {
            (Ok(releases), None) => assert_eq!(releases.len(), 1, "{number}"),
            (Err(error), Some(expected)) => {
                assert!(error.to_string().contains(expected), "{number}: {error}");
                assert_eq!(error.class(), Class::Untrusted);
            }
            (result, _) => panic!("{number}: {:?}", result.map(|_| ())),
        }
    }
}

#[tokio::test]
async fn a_fingerprint_stands_for_subkeys_unless_it_says_exactly() {
    let repository = Repository {
        key: Key::new(6, Oddity::Subkey),
        ..Repository::new()
    };
    let server = Server::start().await;
    server.with(|state| state.files = repository.files());
    let mut image = Image::new(&server, &repository.key);
    image
        .files
        .insert("etc/apt/trusted.gpg".to_owned(), repository.key.binary());
    let print = repository.key.fingerprint();
    for (end, expected) in [("", true), ("!", false)] {
        image.source(&format!(
            "deb [signed-by={print}{end}] {}/debian stable main",
            server.url
        ));
        assert_eq!(image.open().refresh().await.is_ok(), expected, "{end}");
    }
}

#[tokio::test]
async fn dates_are_checked_as_the_image_and_the_source_say() {
    const DAY: i64 = 86_400;
    let (server, mut image) = usual().await;
    let source = format!(
        "[signed-by=/usr/share/keyrings/shop.gpg OPTION] {}/debian stable main",
        server.url
    );
    for (now, option, setting, expected) in [
        (NOW, "", "", None),
        (
            NOW + DAY + 1,
            "",
            "",
            Some("expired on 2027-01-16 08:00:00 UTC"),
        ),
        (NOW + DAY + 1, "check-valid-until=no", "", None),
        (
            NOW + DAY + 1,
            "",
            "Acquire::Check-Valid-Until \"false\";",
            None,
        ),
        (
            NOW + DAY + 1,
            "check-valid-until=yes",
            "Acquire::Check-Valid-Until \"false\";",
            Some("expired"),
        ),
        (NOW + DAY + 1, "", "Acquire::Min-ValidTime 864000;", None),
        (
            NOW,
            "",
            "Acquire::Max-ValidTime 3600;",
            Some("expired on 2027-01-14 09:00:00"),
        ),
        (
            NOW,
            "",
            "Acquire::Max-ValidTime::Shop 3600;",
            Some("expired"),
        ),
        (NOW, "", "Acquire::Max-ValidTime::Other 3600;", None),
        (NOW, "valid-until-max=3600", "", Some("expired")),
        (NOW - DAY - 60, "", "", Some("not valid yet")),
        (NOW - DAY - 60, "check-date=no", "", None),
        (NOW - DAY - 60, "date-max-future=100", "", None),
        (NOW - DAY - 5, "", "", None),
    ] {
        image.now = now;
        image.source(&format!("deb {}", source.replace("OPTION", option)));
        image
            .files
            .insert("etc/apt/apt.conf".to_owned(), setting.as_bytes().to_vec());
        match (image.open().refresh().await, expected) {
            (Ok(_), None) => {}
            (Err(error), Some(expected)) => {
                assert!(error.to_string().contains(expected), "{error}");
                assert_eq!(error.class(), Class::Untrusted);
            }
            (result, _) => panic!("{now} {option} {setting}: {:?}", result.map(|_| ())),
        }
    }
    image.source(&format!("deb {}", source.replace("OPTION", "")));
    image.now = NOW + 10 * DAY;
    image.http.allow_expired = true;
    image.open().refresh().await.unwrap();
}
