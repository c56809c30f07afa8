//! Repositories in other shapes: detached signatures, flat, unsigned but trusted, and without a release file.

use std::collections::BTreeMap;

use crate::key::{Key, Oddity};
use crate::make::{INLINE, Image, Repository, find, packed, usual};
use crate::server::Server;

const RELEASE: &str = "/debian/dists/stable/Release";

#[tokio::test]
async fn lists_are_read_in_every_form() {
    for suffixes in [
        vec![".zst"],
        vec!["", ".gz"],
        vec![".xz"],
        vec![""],
        vec!["", ".xz", ".gz", ".zst"],
    ] {
        let (server, image) = usual().await;
        let repository = Repository {
            suffixes: suffixes.clone(),
            ..Repository::new()
        };
        server.with(|state| state.files = repository.files());
        for _ in 0..2 {
            let found = find(&image.open(), &["libssl3"]).await.unwrap();
            assert_eq!(found, ["libssl3 3.0.1"], "{suffixes:?}");
        }
        let lists = server
            .requests()
            .iter()
            .filter(|line| line.contains("by-hash"))
            .count();
        assert_eq!(lists, 1, "{suffixes:?}");
    }
}

#[tokio::test]
async fn a_release_file_with_its_signature_beside_it_is_accepted_if_that_is_right() {
    let (server, image) = usual().await;
    let repository = Repository::new();
    let text = repository.release().0;
    let other = Key::new(2, Oddity::None);
    for (signature, expected) in [
        (repository.key.detached(text.as_bytes()), true),
        (repository.key.detached(b"other"), false),
        (other.detached(text.as_bytes()), false),
        (String::new(), false),
        ("rubbish".to_owned(), false),
    ] {
        server.with(|state| {
            state.files.remove(INLINE);
            state
                .files
                .insert(RELEASE.to_owned(), text.clone().into_bytes());
            state
                .files
                .insert(format!("{RELEASE}.gpg"), signature.clone().into_bytes());
        });
        let refreshed = image.open().refresh().await;
        assert_eq!(refreshed.is_ok(), expected, "{signature}");
        if let Err(error) = refreshed {
            assert_eq!(error.class(), reseal_repo::Class::Untrusted);
        }
    }
}

#[tokio::test]
async fn a_source_that_is_said_to_be_trusted_needs_no_signature_and_one_said_not_to_be_is_never_used()
 {
    let (server, mut image) = usual().await;
    let repository = Repository::new();
    let (text, files) = repository.release();
    let other = Key::new(2, Oddity::None);
    let signed = other.clear_sign(&text, pgp::crypto::hash::HashAlgorithm::Sha256);
    let shapes: [(&str, BTreeMap<String, Vec<u8>>); 4] = [
        (
            "unsigned InRelease",
            [(INLINE.to_owned(), text.clone().into_bytes())].into(),
        ),
        (
            "Release alone",
            [(RELEASE.to_owned(), text.clone().into_bytes())].into(),
        ),
        (
            "foreign key",
            [(INLINE.to_owned(), signed.into_bytes())].into(),
        ),
        ("no release file", BTreeMap::new()),
    ];
    for (name, release) in shapes {
        server.with(|state| {
            state.files = files.clone();
            state.files.extend(release);
        });
        for (option, expected) in [("trusted=yes", true), ("trusted=no", false), ("", false)] {
            image.source(&format!("deb [{option}] {}/debian stable main", server.url));
            let repositories = image.open();
            let found = find(&repositories, &["openssl"]).await;
            assert_eq!(found.is_ok(), expected, "{name} {option}");
            if expected {
                assert_eq!(found.unwrap(), ["openssl 3.0.1", "openssl 3.0.2"]);
                let releases = repositories.refresh().await.unwrap();
                assert!(releases[0].signers.is_empty());
                assert!(
                    releases[0].warnings[0].contains("trusted"),
                    "{:?}",
                    releases[0].warnings
                );
            }
        }
    }
}

#[tokio::test]
async fn a_flat_repository_has_no_suites() {
    let repository = Repository::new();
    let server = Server::start().await;
    let (list, packages) = repository.list();
    let list = list.replace("Filename: pool/", "Filename: ./pool/");
    let bytes = packed(list.as_bytes(), ".gz");
    let digest = reseal_repo::ContentDigest::of(&bytes);
    let text = format!(
        "Date: Thu, 14 Jan 2027 08:00:00 UTC\nSHA256:\n {digest} {} ./Packages.gz\n",
        bytes.len()
    );
    let signed = repository
        .key
        .clear_sign(&text, pgp::crypto::hash::HashAlgorithm::Sha512);
    server.with(|state| {
        state.files = packages;
        state
            .files
            .insert("/debian/InRelease".to_owned(), signed.into_bytes());
        state.files.insert("/debian/Packages.gz".to_owned(), bytes);
    });
    let mut image = Image::new(&server, &repository.key);
    image.source(&format!(
        "deb [signed-by=/usr/share/keyrings/shop.gpg] {}/debian ./",
        server.url
    ));
    let repositories = image.open();
    let names = ["libssl3".to_owned()].into();
    let found = repositories.candidates(&names).await.unwrap();
    assert_eq!(found.len(), 1);
    repositories.fetch(&found[0]).await.unwrap();
    assert_eq!(
        server.requests(),
        [
            "/debian/InRelease",
            "/debian/Packages.gz",
            "/debian/pool/libssl3_3.0.1_amd64.deb"
        ]
    );
}

#[tokio::test]
async fn sources_that_share_a_release_fetch_it_once_and_give_each_package_once() {
    let (server, mut image) = usual().await;
    let option = "[signed-by=/usr/share/keyrings/shop.gpg]";
    let url = format!("{}/debian", server.url);
    image.source(&format!(
        "deb {option} {url} stable main contrib\ndeb {option} {url}/ stable main"
    ));
    let repositories = image.open();
    let releases = repositories.refresh().await.unwrap();
    let shown: Vec<_> = releases
        .iter()
        .map(|r| (r.number, r.component.as_str(), r.indexes.len()))
        .collect();
    assert_eq!(shown, [(0, "main", 1), (1, "contrib", 0), (2, "main", 0)]);
    assert!(
        releases[1].warnings[0].contains("no component contrib"),
        "{:?}",
        releases[1].warnings
    );
    assert_eq!(find(&repositories, &["exim4"]).await.unwrap().len(), 1);
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn a_suite_that_calls_itself_something_else_is_a_warning_as_for_apt() {
    let (server, image) = usual().await;
    let mut repository = Repository::new();
    repository.head = repository.head.replace("Suite: stable", "Suite: oldstable");
    server.with(|state| state.files = repository.files());
    let releases = image.open().refresh().await.unwrap();
    assert!(
        releases[0].warnings[0].contains("`oldstable` (`bookworm`), not `stable`"),
        "{:?}",
        releases[0].warnings
    );
}

#[tokio::test]
async fn a_stanza_that_cannot_be_used_is_an_error_only_for_those_who_want_it() {
    let (server, image) = usual().await;
    let mut repository = Repository::new();
    repository.packages.push(("broken", "1", "Depends: ((("));
    server.with(|state| state.files = repository.files());
    let repositories = image.open();
    assert_eq!(find(&repositories, &["exim4"]).await.unwrap().len(), 1);
    let error = find(&repositories, &["broken"]).await.unwrap_err();
    assert_eq!(error.class(), reseal_repo::Class::Content);
    assert!(error.to_string().contains("Packages"), "{error}");
}
