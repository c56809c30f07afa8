//! Fetching: what it gives, what it costs, and servers that are not well.

use std::collections::BTreeSet;

use reseal_repo::{Class, Folder, Secret};

use crate::make::{INLINE, LIST, Repository, find, usual};
use crate::server::Fault;

const DEB: &str = "/debian/pool/openssl_3.0.1_amd64.deb";

#[tokio::test]
async fn candidates_are_every_version_and_every_provider_and_packages_are_what_the_index_says() {
    let (server, image) = usual().await;
    let repositories = image.open();
    let releases = repositories.refresh().await.unwrap();
    let release = &releases[0];
    assert_eq!(
        (release.suite.as_str(), release.component.as_str()),
        ("stable", "main")
    );
    let inline = server.with(|state| state.files[INLINE].clone());
    assert_eq!(release.digest, reseal_repo::ContentDigest::of(&inline));
    assert!(release.warnings.is_empty(), "{:?}", release.warnings);
    for (names, expected) in [
        (vec!["openssl"], vec!["openssl 3.0.1", "openssl 3.0.2"]),
        (
            vec!["smtpd", "libssl3:amd64"],
            vec!["libssl3 3.0.1", "exim4 4.96"],
        ),
        (vec!["missing"], vec![]),
    ] {
        assert_eq!(find(&repositories, &names).await.unwrap(), expected);
    }
    let names = BTreeSet::from(["openssl".to_owned()]);
    let candidates = repositories.candidates(&names).await.unwrap();
    let url = repositories.package_url(&candidates[0]).await.unwrap();
    assert_eq!(url, format!("{}{DEB}", server.url));
    let both: Vec<_> = candidates.iter().collect();
    let paths = repositories.fetch_all(&both).await.unwrap();
    assert_eq!(
        std::fs::read(&paths[0]).unwrap(),
        server.with(|state| state.files[DEB].clone())
    );
    let mut names = Vec::new();
    repositories
        .scan(release, &mut |stanza| {
            names.push(stanza.field("package").unwrap().into_owned());
        })
        .await
        .unwrap();
    assert_eq!(names, ["openssl", "libssl3", "exim4", "openssl"]);
    // One release file, one list, two packages: nothing was asked for twice.
    assert_eq!(server.requests().len(), 4);
    assert_eq!(repositories.counts().requests, 4);
}

#[tokio::test]
async fn a_second_run_fetches_only_the_release_file_and_not_even_that_if_it_is_unchanged() {
    let (server, image) = usual().await;
    server.with(|state| state.etags = true);
    for expected in [3, 1] {
        let repositories = image.open();
        let names = BTreeSet::from(["libssl3".to_owned()]);
        let found = repositories.candidates(&names).await.unwrap();
        repositories.fetch(&found[0]).await.unwrap();
        assert_eq!(server.requests().len(), expected);
    }
    let repositories = image.open();
    repositories.refresh().await.unwrap();
    assert_eq!(
        (repositories.counts().bytes_in, repositories.counts().cached),
        (0, 1)
    );
    // The note about an address proves nothing: with another key in the image, the same bytes are refused.
    let mut image = image;
    let other = crate::key::Key::new(9, crate::key::Oddity::None);
    image
        .files
        .insert("usr/share/keyrings/shop.gpg".to_owned(), other.binary());
    let error = image.open().refresh().await.unwrap_err();
    assert_eq!(error.class(), Class::Untrusted);
}

#[tokio::test]
async fn a_server_that_stumbles_is_asked_again_and_a_cut_package_is_taken_up_where_it_broke() {
    for ranges in [true, false] {
        let (server, image) = usual().await;
        server.with(|state| {
            state.ranges = ranges;
            let faults = [
                (INLINE, vec![Fault::Status(503), Fault::Cut(10)]),
                (DEB, vec![Fault::Cut(100), Fault::Status(429)]),
            ];
            state.faults = faults
                .map(|(path, faults)| (path.to_owned(), faults))
                .into();
        });
        let repositories = image.open();
        let names = BTreeSet::from(["openssl".to_owned()]);
        let found = repositories.candidates(&names).await.unwrap();
        let path = repositories.fetch(&found[0]).await.unwrap();
        assert_eq!(
            std::fs::read(path).unwrap(),
            server.with(|state| state.files[DEB].clone())
        );
        let about: Vec<_> = server
            .requests()
            .into_iter()
            .filter(|line| line.starts_with(DEB))
            .collect();
        assert_eq!(about.len(), 3);
        assert_eq!(about[2], format!("{DEB} bytes=100-"));
    }
}

#[tokio::test]
async fn a_server_that_stays_ill_is_an_error_with_its_class() {
    for (fault, class, expected) in [
        (Fault::Status(503), Class::Transport, "status 503"),
        (Fault::Status(429), Class::RateLimited, "limits the rate"),
        (Fault::Status(401), Class::Auth, "status 401"),
        (Fault::Status(404), Class::NotFound, "does not exist"),
        (Fault::Cut(5), Class::Transport, "could not fetch"),
        (
            Fault::Redirect("ftp://x.example/".to_owned()),
            Class::Transport,
            "not HTTP",
        ),
        (
            Fault::Redirect(INLINE.to_owned()),
            Class::Transport,
            "redirects",
        ),
    ] {
        let (server, image) = usual().await;
        server.with(|state| {
            state.files.remove("/debian/dists/stable/Release");
            state.faults.insert(INLINE.to_owned(), vec![fault; 20]);
        });
        let error = image.open().refresh().await.unwrap_err();
        assert_eq!(error.class(), class, "{error}");
        assert!(error.to_string().contains(expected), "{error}");
        if class == Class::NotFound {
            assert!(error.hint().unwrap().contains("end of life"));
        }
    }
}

#[tokio::test]
async fn a_list_that_is_not_there_under_its_digest_is_fetched_by_name_and_in_another_form() {
    for (kept, expected) in [
        (vec![".gz"], format!("{LIST}Packages.gz")),
        (vec![".xz"], format!("{LIST}Packages.xz")),
        (vec![""], format!("{LIST}Packages")),
    ] {
        let (server, image) = usual().await;
        let repository = Repository {
            suffixes: vec!["", ".xz", ".gz"],
            ..Repository::new()
        };
        server.with(|state| {
            state.files = repository.files();
            state.files.retain(|path, _| !path.contains("by-hash"));
            state.files.retain(|path, _| {
                !path.starts_with(LIST)
                    || kept
                        .iter()
                        .any(|suffix| path == &format!("{LIST}Packages{suffix}"))
            });
        });
        assert_eq!(
            find(&image.open(), &["exim4"]).await.unwrap(),
            ["exim4 4.96"]
        );
        assert_eq!(server.requests().last().unwrap(), &expected);
    }
}

#[tokio::test]
async fn by_hash_is_not_tried_where_the_release_or_the_image_say_no() {
    for (head, option, setting, expected) in [
        ("yes", "", "", true),
        ("no", "", "", false),
        ("yes", "by-hash=no", "", false),
        ("no", "by-hash=force", "", true),
        ("yes", "", "Acquire::By-Hash \"no\";", false),
    ] {
        let (server, mut image) = usual().await;
        let mut repository = Repository::new();
        repository.head = repository
            .head
            .replace("By-Hash: yes", &format!("By-Hash: {head}"));
        server.with(|state| state.files = repository.files());
        image.source(&format!(
            "deb [signed-by=/usr/share/keyrings/shop.gpg {option}] {}/debian stable main",
            server.url
        ));
        image
            .files
            .insert("etc/apt/apt.conf".to_owned(), setting.as_bytes().to_vec());
        find(&image.open(), &["exim4"]).await.unwrap();
        assert_eq!(
            server.requests()[1].contains("by-hash"),
            expected,
            "{head} {option} {setting}"
        );
    }
}

#[tokio::test]
async fn mirrors_and_logins_and_redirects_change_the_way_and_not_the_trust() {
    let (server, mut image) = usual().await;
    let url = server.url.clone();
    image.source("deb [signed-by=/usr/share/keyrings/shop.gpg] https://me:s3cret@deb.example/root stable main");
    image.http.mirrors = vec![(
        "https://deb.example/root/".to_owned(),
        format!("{url}/debian/"),
    )];
    server.with(|state| {
        state.faults.insert(
            INLINE.to_owned(),
            vec![Fault::Redirect(format!("{url}{INLINE}"))],
        )
    });
    let releases = image.open().refresh().await.unwrap();
    assert_eq!(
        releases[0].url,
        "https://deb.example/root/dists/stable/InRelease"
    );
    assert_eq!(releases[0].source.site(), "deb.example");
    // The login was for the other server.
    assert_eq!(server.requests(), [INLINE, INLINE]);

    server.with(|state| state.login = Some("Basic bWU6czNjcmV0".to_owned()));
    let error = image.open().refresh().await.unwrap_err();
    assert_eq!(error.class(), Class::Auth);
    assert!(!error.to_string().contains("s3cret"), "{error}");
    image.http.auth = vec![reseal_repo::Login {
        scheme: Some("http".to_owned()),
        host: url["http://".len()..].to_owned(),
        path: "/debian/".to_owned(),
        name: "me".to_owned(),
        password: Secret::new("s3cret"),
    }];
    image.open().refresh().await.unwrap();
}

#[tokio::test]
async fn packages_come_from_a_folder_and_from_nowhere_else() {
    let (server, image) = usual().await;
    let folder = tempfile::tempdir().unwrap();
    let content = server.with(|state| state.files[DEB].clone());
    std::fs::write(folder.path().join("any name"), &content).unwrap();
    let repositories = image
        .open()
        .with_folder(Folder::open(folder.path()).unwrap());
    let names = BTreeSet::from(["openssl".to_owned()]);
    let found = repositories.candidates(&names).await.unwrap();
    let before = server.requests().len();
    assert_eq!(
        repositories.fetch(&found[0]).await.unwrap(),
        folder.path().join("any name")
    );
    assert_eq!((before, server.requests().len()), (2, 0));
    let error = repositories.fetch(&found[1]).await.unwrap_err();
    assert!(error.to_string().contains("has no file"), "{error}");
    assert!(error.hint().unwrap().contains("reseal fetch"));
    assert_eq!(server.requests().len(), 0, "nobody else is asked");
}

#[tokio::test]
async fn an_image_without_sources_is_told_from_one_that_is_up_to_date() {
    let (_server, mut image) = usual().await;
    image.source("# nothing");
    let error = image.open().refresh().await.unwrap_err();
    assert!(
        matches!(error, reseal_repo::RepoError::NoSources),
        "{error}"
    );
    assert!(error.hint().is_some());
}

#[tokio::test]
async fn a_package_outside_of_the_repository_is_refused() {
    let (_server, image) = usual().await;
    let repositories = image.open();
    let names = BTreeSet::from(["openssl".to_owned()]);
    let found = repositories.candidates(&names).await.unwrap();
    for name in [
        "../other/x.deb",
        "/x.deb",
        "pool//x.deb",
        "",
        "pool/../../x.deb",
    ] {
        let mut candidate = found[0].clone();
        candidate.filename = name.to_owned();
        let error = repositories.fetch(&candidate).await.unwrap_err();
        assert!(
            error.to_string().contains("out of the repository"),
            "{error}"
        );
    }
}
