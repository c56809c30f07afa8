//! Reading, and every way in which it fails.

use std::time::Duration;

use reseal_oci::Descriptor;
use reseal_registry::{Class, MANIFEST_LIMIT, StoreError, Target};
use reseal_testkit::registry::{Action, FakeRegistry, Fault, Options};

use crate::common::*;

const PATH: &str = "/v2/shop/cart/manifests/1.4";

async fn cart() -> (FakeRegistry, reseal_oci::RawManifest) {
    let fake = FakeRegistry::start().await;
    let raw = image(&fake, "shop/cart", "cart");
    fake.put_manifest("shop/cart", MANIFEST, &raw.bytes, Some("1.4"));
    (fake, raw)
}

#[tokio::test]
async fn a_tag_is_resolved_with_one_request_and_read_with_one() {
    let (fake, raw) = cart().await;
    let store = Setup::new(None).open(&fake, "shop/cart");
    assert_eq!(
        store.resolve(&tag("1.4")).await.unwrap(),
        Some(raw.descriptor())
    );
    assert_eq!(store.manifest(&tag("1.4")).await.unwrap(), raw);
    assert_eq!(
        store
            .manifest(&Target::Digest(raw.digest.clone()))
            .await
            .unwrap(),
        raw
    );
    assert_eq!(store.resolve(&tag("none")).await.unwrap(), None);
    let by_digest = format!("GET /v2/shop/cart/manifests/{} 200", raw.digest);
    assert_eq!(
        fake.take_lines(),
        [
            "HEAD /v2/shop/cart/manifests/1.4 200",
            "GET /v2/shop/cart/manifests/1.4 200",
            &by_digest,
            "HEAD /v2/shop/cart/manifests/none 404",
        ]
    );
    assert_eq!(store.counts().requests, 4);
    assert_eq!(store.counts().bytes_in, 2 * raw.bytes.len() as u64);
}

#[tokio::test]
async fn a_head_that_says_too_little_is_followed_by_a_get() {
    let (fake, raw) = cart().await;
    let store = Setup::new(None).open(&fake, "shop/cart");
    for fault in [
        Fault::on(
            "HEAD",
            PATH,
            Action::WithoutHeaders(&["docker-content-digest"]),
        ),
        Fault::on("HEAD", PATH, Action::WithoutHeaders(&["content-type"])),
        Fault::status("HEAD", PATH, 405),
    ] {
        fake.fault(fault.clone());
        assert_eq!(
            store.resolve(&tag("1.4")).await.unwrap(),
            Some(raw.descriptor()),
            "{fault:?}"
        );
        assert_eq!(fake.take_lines().len(), 2, "{fault:?}");
    }
}

#[tokio::test]
async fn a_manifest_without_a_useful_content_type_gets_its_own() {
    let (fake, raw) = cart().await;
    let store = Setup::new(None).open(&fake, "shop/cart");
    fake.fault(Fault::on(
        "GET",
        PATH,
        Action::WithoutHeaders(&["content-type"]),
    ));
    assert_eq!(
        store.manifest(&tag("1.4")).await.unwrap().media_type,
        MANIFEST
    );
    let text = String::from_utf8(raw.bytes).unwrap();
    fake.fault(Fault::respond(
        "GET",
        PATH,
        200,
        &[(
            "content-type",
            "application/vnd.docker.distribution.manifest.v1+prettyjws",
        )],
        &text,
    ));
    let error = store.manifest(&tag("1.4")).await.unwrap_err();
    assert!(error.to_string().contains("schema 1"), "{error}");
}

/// Fault, requests, pauses in seconds (none: back-off), class and text of the error if it is one.
type Case = (
    Fault,
    usize,
    Option<Vec<u64>>,
    Option<(Class, &'static str)>,
);

#[tokio::test]
async fn what_may_pass_is_tried_again_and_the_rest_is_an_error_of_its_class() {
    let (fake, raw) = cart().await;
    let denied = r#"{"errors":[{"code":"DENIED","message":"no access"}]}"#;
    let table: Vec<Case> = vec![
        (Fault::status("GET", PATH, 500), 2, None, None),
        (Fault::status("GET", PATH, 503).times(3), 4, None, None),
        (
            Fault::respond("GET", PATH, 503, &[("retry-after", "9")], ""),
            2,
            Some(vec![9]),
            None,
        ),
        (Fault::status("GET", PATH, 429), 2, None, None),
        (
            Fault::respond("GET", PATH, 429, &[("retry-after", "7")], ""),
            2,
            Some(vec![7]),
            None,
        ),
        (
            Fault::respond(
                "GET",
                PATH,
                429,
                &[("retry-after", "Sun, 06 Nov 1994 08:50:07 GMT")],
                "",
            ),
            2,
            Some(vec![30]),
            None,
        ),
        (
            Fault::respond(
                "GET",
                PATH,
                429,
                &[
                    ("retry-after", "1"),
                    ("ratelimit-limit", "100;w=21600"),
                    ("ratelimit-remaining", "0"),
                ],
                "",
            )
            .times(9),
            4,
            Some(vec![1, 1, 1]),
            Some((
                Class::RateLimited,
                "limits the rate of requests; it asks to wait 1 s (limit 100;w=21600, remaining 0)",
            )),
        ),
        (
            Fault::respond("GET", PATH, 429, &[("retry-after", "3600")], ""),
            1,
            Some(vec![]),
            Some((Class::RateLimited, "it asks to wait 3600 s")),
        ),
        (
            Fault::status("GET", PATH, 500).times(9),
            4,
            None,
            Some((
                Class::Transport,
                "registry refused `GET /v2/shop/cart/manifests/1.4` with status 500",
            )),
        ),
        (Fault::on("GET", PATH, Action::CutBody(10)), 2, None, None),
        (Fault::on("GET", PATH, Action::CutAnswer), 2, None, None),
        (
            Fault::on("GET", PATH, Action::CutBody(10)).times(9),
            4,
            None,
            Some((Class::Transport, "could not talk to 127.0.0.1")),
        ),
        (
            Fault::respond("GET", PATH, 403, &[], denied),
            1,
            Some(vec![]),
            Some((
                Class::Auth,
                "registry refused `GET /v2/shop/cart/manifests/1.4` with status 403: DENIED: no access",
            )),
        ),
        (
            Fault::status("GET", PATH, 404),
            1,
            Some(vec![]),
            Some((Class::NotFound, "tag `1.4` in 127.0.0.1")),
        ),
        (
            Fault::status("GET", PATH, 401),
            1,
            Some(vec![]),
            Some((
                Class::Auth,
                "for repository:shop/cart:pull: it wants credentials and none were found",
            )),
        ),
        (
            Fault::status("GET", PATH, 418),
            1,
            Some(vec![]),
            Some((Class::Content, "with status 418")),
        ),
        (
            Fault::on("GET", PATH, Action::WrongBody),
            1,
            Some(vec![]),
            Some((Class::Content, "has digest sha256:")),
        ),
    ];
    for (fault, requests, pauses, expected) in table {
        // A client of its own, so that a pooled connection that broke cannot blur the counts.
        let setup = Setup::new(None);
        let store = setup.open(&fake, "shop/cart");
        let left = fake.faults_left();
        fake.fault(fault.clone());
        let result = store.manifest(&tag("1.4")).await;
        assert_eq!(fake.take_lines().len(), requests, "{fault:?}");
        assert_eq!(store.counts().requests, requests as u64, "{fault:?}");
        match pauses {
            Some(pauses) => assert_eq!(setup.time.pauses(), pauses, "{fault:?}"),
            None => assert_eq!(
                setup.time.pauses().len(),
                requests - usize::from(expected.is_none() || requests > 1),
                "{fault:?}"
            ),
        }
        match (expected, result) {
            (None, Ok(found)) => assert_eq!(found, raw, "{fault:?}"),
            (Some((class, text)), Err(error)) => {
                assert_eq!(error.class(), class, "{fault:?}: {error}");
                assert!(error.to_string().contains(text), "{fault:?}: {error}");
            }
            (_, result) => panic!("{fault:?}: {result:?}"),
        }
        // Faults that were more than enough must not hit the next line.
        while fake.faults_left() > left {
            let _ = Setup::new(None)
                .open(&fake, "shop/cart")
                .manifest(&tag("1.4"))
                .await;
        }
        fake.take_lines();
    }
}

#[tokio::test]
async fn content_that_is_not_what_was_asked_for_is_refused() {
    let (fake, raw) = cart().await;
    let store = Setup::new(None).open(&fake, "shop/cart");
    let path = format!("/v2/shop/cart/manifests/{}", raw.digest);
    let target = Target::Digest(raw.digest.clone());
    fake.fault(Fault::on("GET", &path, Action::WrongBody));
    assert!(matches!(
        store.manifest(&target).await,
        Err(StoreError::DigestMismatch { .. })
    ));
    fake.fault(Fault::on("HEAD", &path, Action::WrongDigestHeader));
    assert!(matches!(
        store.resolve(&target).await,
        Err(StoreError::DigestMismatch { .. })
    ));

    let bytes = big();
    let wanted = digest(&fake.put_blob("shop/cart", &bytes));
    let descriptor = Descriptor::new("x", wanted.clone(), bytes.len() as u64);
    let path = format!("/v2/shop/cart/blobs/{wanted}");
    fake.fault(Fault::on("GET", &path, Action::WrongBody).times(2));
    assert!(matches!(
        store.blob(&wanted, 2_000_000).await,
        Err(StoreError::DigestMismatch { .. })
    ));
    assert!(matches!(
        read_all(&*store, &descriptor).await,
        Err(StoreError::DigestMismatch { .. })
    ));
    let longer = Descriptor {
        size: descriptor.size + 1,
        ..descriptor
    };
    assert!(matches!(
        read_all(&*store, &longer).await,
        Err(StoreError::SizeMismatch { .. })
    ));
}

#[tokio::test]
async fn nothing_larger_than_its_limit_is_read() {
    let (fake, _) = cart().await;
    let store = Setup::new(None).open(&fake, "shop/cart");
    let huge = " ".repeat(usize::try_from(MANIFEST_LIMIT).unwrap() + 1);
    fake.fault(Fault::respond(
        "GET",
        PATH,
        200,
        &[("content-type", MANIFEST)],
        &huge,
    ));
    assert!(matches!(
        store.manifest(&tag("1.4")).await,
        Err(StoreError::TooLarge {
            limit: MANIFEST_LIMIT,
            ..
        })
    ));
    let wanted = digest(&fake.put_blob("shop/cart", b"12345"));
    assert_eq!(store.blob(&wanted, 5).await.unwrap(), b"12345");
    assert!(matches!(
        store.blob(&wanted, 4).await,
        Err(StoreError::TooLarge { limit: 4, .. })
    ));
    let body = "x".repeat(1_000_000);
    fake.fault(Fault::respond("GET", PATH, 400, &[], &body));
    let error = store.manifest(&tag("1.4")).await.unwrap_err();
    assert!(
        error.to_string().len() < 500,
        "{} bytes",
        error.to_string().len()
    );
}

#[tokio::test]
async fn a_download_goes_on_where_the_connection_broke() {
    let fake = FakeRegistry::start().await;
    let setup = Setup::new(None);
    let store = setup.open(&fake, "a");
    let bytes = big();
    let descriptor = blob(&bytes);
    fake.put_blob("a", &bytes);
    let path = format!("/v2/a/blobs/{}", descriptor.digest);
    fake.fault(Fault::on("GET", &path, Action::CutBody(400_000)));
    fake.fault(Fault::on("GET", &path, Action::CutBody(300_000)));
    assert_eq!(read_all(&*store, &descriptor).await.unwrap(), bytes);
    let starts: Vec<Option<String>> = fake
        .requests()
        .iter()
        .map(|request| request.header("range").map(str::to_owned))
        .collect();
    // How much of a broken answer still arrives is up to the system, but never less than nothing and never twice.
    assert_eq!(starts.len(), 3);
    assert!(starts[0].is_none() && starts[2].is_some(), "{starts:?}");
    assert!(store.counts().bytes_in < bytes.len() as u64 + 800_000);
    assert_eq!(setup.time.pauses().len(), 2);

    fake.take_lines();
    fake.fault(Fault::on("GET", &path, Action::CutBody(1000)).times(9));
    let error = read_all(&*store, &descriptor).await.unwrap_err();
    assert_eq!(error.class(), Class::Transport);
    assert_eq!(fake.take_lines().len(), 4);
}

#[tokio::test]
async fn a_server_without_ranges_is_read_from_the_start_again() {
    let fake = FakeRegistry::start().await;
    let store = Setup::new(None).open(&fake, "a");
    let text = "0123456789".repeat(1000);
    let descriptor = blob(text.as_bytes());
    let path = format!("/v2/a/blobs/{}", descriptor.digest);
    fake.put_blob("a", text.as_bytes());
    fake.fault(Fault::on("GET", &path, Action::CutBody(5000)));
    fake.fault(Fault::respond("GET", &path, 200, &[], &text));
    assert_eq!(
        read_all(&*store, &descriptor).await.unwrap(),
        text.as_bytes()
    );
    assert_eq!(fake.take_lines().len(), 2);
}

#[tokio::test]
async fn a_silent_server_is_left_and_asked_again() {
    let (fake, raw) = cart().await;
    let bytes = big();
    let descriptor = blob(&bytes);
    fake.put_blob("shop/cart", &bytes);
    let time = TestTime {
        stalled: Some(fake.stalled()),
        ..TestTime::default()
    };
    let setup = Setup::timed(time, None, |settings| {
        settings.stall = Duration::from_secs(5);
    });
    let store = setup.open(&fake, "shop/cart");
    fake.fault(Fault::on("GET", PATH, Action::Stall));
    assert_eq!(store.manifest(&tag("1.4")).await.unwrap(), raw);
    let path = format!("/v2/shop/cart/blobs/{}", descriptor.digest);
    fake.fault(Fault::on("GET", &path, Action::StallBody(100_000)));
    assert_eq!(read_all(&*store, &descriptor).await.unwrap(), bytes);
    fake.fault(Fault::on("GET", PATH, Action::Stall).times(4));
    let error = store.manifest(&tag("1.4")).await.unwrap_err();
    assert!(
        error.to_string().ends_with("it was silent for 5 s"),
        "{error}"
    );
}

#[tokio::test]
async fn a_redirect_is_followed_without_the_login() {
    let storage = FakeRegistry::start().await;
    let user = reseal_testkit::registry::User::new("u", "p");
    let fake = FakeRegistry::start_with(Options {
        auth: reseal_testkit::registry::Auth::Basic(vec![user]),
        redirect_blobs: Some(format!("http://{}/signed", storage.host())),
        ..Options::default()
    })
    .await;
    let bytes = big();
    let descriptor = blob(&bytes);
    fake.put_blob("a", &bytes);
    storage.serve_file(&format!("/signed/{}", descriptor.digest), &bytes);
    let store = Setup::new(login(&fake, "u", "p")).open(&fake, "a");
    assert_eq!(read_all(&*store, &descriptor).await.unwrap(), bytes);
    assert_eq!(
        store.blob(&descriptor.digest, 2_000_000).await.unwrap(),
        bytes
    );
    assert!(store.has_blob(&descriptor.digest).await.unwrap());
    // The storage refuses requests with a login, so that it answered proves that it saw none.
    assert_eq!(
        storage.requests().len(),
        2,
        "a redirect of HEAD is answer enough"
    );
}

#[tokio::test]
async fn redirects_that_lead_nowhere_or_round_end() {
    let (fake, _) = cart().await;
    let store = Setup::new(None).open(&fake, "shop/cart");
    fake.fault(Fault::respond("GET", PATH, 307, &[("location", PATH)], "").times(6));
    let error = store.manifest(&tag("1.4")).await.unwrap_err();
    assert!(error.to_string().contains("too many redirects"), "{error}");
    for location in ["ftp://example.com/x", "http://[", ""] {
        fake.fault(
            Fault::respond("GET", PATH, 307, &[("location", location)], "")
                .times(if location.is_empty() { 6 } else { 1 }),
        );
        let error = store.manifest(&tag("1.4")).await.unwrap_err();
        assert!(
            matches!(error, StoreError::Protocol { .. }),
            "{location}: {error}"
        );
    }
}

#[tokio::test]
async fn a_missing_blob_is_no_error_for_has_blob_and_one_for_the_others() {
    let fake = FakeRegistry::start().await;
    let store = Setup::new(None).open(&fake, "a");
    let descriptor = blob(b"none");
    assert!(!store.has_blob(&descriptor.digest).await.unwrap());
    assert!(matches!(
        store.blob(&descriptor.digest, 10).await,
        Err(StoreError::NotFound { .. })
    ));
    assert!(matches!(
        store.blob_stream(&descriptor).await,
        Err(StoreError::NotFound { .. })
    ));
    assert_eq!(fake.take_lines().len(), 3);
}

#[tokio::test]
async fn a_registry_that_is_not_there_is_named_soon() {
    let fake = FakeRegistry::start().await;
    let host = fake.host().to_owned();
    drop(fake);
    tokio::task::yield_now().await;
    let setup = Setup::new(None);
    let store = setup.registries.open(&format!("{host}/a").parse().unwrap());
    let error = store.manifest(&tag("x")).await.unwrap_err();
    let text = error.to_string();
    let named = format!("could not talk to {host}: ");
    assert!(text.starts_with(&named), "{text}");
    assert!(error.hint().unwrap().contains(&host), "{error:?}");
    assert_eq!(
        (error.class(), setup.time.pauses().len()),
        (Class::Transport, 2)
    );
}

#[tokio::test]
async fn a_host_that_is_no_address_is_an_error_and_no_panic() {
    let store = Setup::new(None)
        .registries
        .open(&"999.1.1.1/shop/cart".parse().unwrap());
    let error = store.manifest(&tag("x")).await.unwrap_err();
    assert!(
        error.to_string().contains("`999.1.1.1` is no host"),
        "{error}"
    );
    assert_eq!(store.counts().requests, 0);
}

#[tokio::test]
async fn tls_to_a_server_without_it_gives_advice() {
    let fake = FakeRegistry::start().await;
    // A folder of certificates is what makes a loopback registry one with TLS.
    let folder = tempfile::tempdir().unwrap();
    let certificates = folder.path().join(fake.host());
    std::fs::create_dir(&certificates).unwrap();
    std::fs::write(certificates.join("client.cert"), "x").unwrap();
    std::fs::write(certificates.join("client.key"), "x").unwrap();
    let setup = Setup::with(None, |settings| {
        settings.certificate_folders = vec![folder.path().to_owned()];
    });
    let error = setup
        .open(&fake, "a")
        .manifest(&tag("x"))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("client.key"), "{error}");

    // The same socket under a name that is not known as this machine's.
    let name = fake.host().replace("127.0.0.1", "0.0.0.0");
    let setup = Setup::new(None);
    let error = setup
        .registries
        .open(&format!("{name}/a").parse().unwrap())
        .manifest(&tag("x"))
        .await
        .unwrap_err();
    assert_eq!(
        error.hint().unwrap(),
        format!("if {name} speaks plain HTTP, say so with `--plain-http {name}`")
    );
}
