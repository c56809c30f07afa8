//! Writing, and every way in which it fails.

use bytes::Bytes;
use reseal_oci::RawManifest;
use reseal_registry::{BlobSource, Class, StoreError, Target};
use reseal_testkit::registry::{Action, FakeRegistry, Fault, Options};

use crate::common::*;

const START: &str = "/v2/shop/cart/blobs/uploads/";
const SESSION: &str = "/v2/shop/cart/blobs/uploads/upload-*";

fn file(bytes: &[u8]) -> (tempfile::TempDir, BlobSource<'static>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("blob");
    std::fs::write(&path, bytes).unwrap();
    (folder, BlobSource::File(path))
}

#[tokio::test]
async fn a_blob_takes_two_requests_from_every_source() {
    for absolute_locations in [false, true] {
        let fake = FakeRegistry::start_with(Options {
            absolute_locations,
            ..Options::default()
        })
        .await;
        let store = Setup::new(None).open(&fake, "shop/cart");
        let bytes = big();
        let descriptor = blob(&bytes);
        let (_folder, from_file) = file(&bytes);
        let copy = bytes.clone();
        let sources = [
            from_file,
            BlobSource::Bytes(Bytes::from(bytes.clone())),
            BlobSource::Stream(Box::new(move || {
                let reader = std::io::Cursor::new(copy.clone());
                Box::pin(async move { Ok(Box::pin(reader) as reseal_registry::BlobReader) })
            })),
        ];
        for source in sources {
            store.put_blob(&descriptor, &source).await.unwrap();
            assert_eq!(
                fake.blob("shop/cart", descriptor.digest.as_str()).unwrap(),
                bytes,
                "{source:?}"
            );
            let requests = fake.requests();
            let statuses: Vec<_> = requests
                .iter()
                .map(|request| (request.method.as_str(), request.status))
                .collect();
            assert_eq!(
                statuses,
                [("POST", Some(202)), ("PUT", Some(201))],
                "{source:?}"
            );
            assert_eq!(
                requests[1].header("content-length"),
                Some(bytes.len().to_string().as_str())
            );
            fake.take_lines();
        }
        assert_eq!(store.counts().bytes_out, 3 * bytes.len() as u64);
    }
}

#[tokio::test]
async fn an_empty_blob_can_be_stored() {
    let fake = FakeRegistry::start().await;
    let store = Setup::new(None).open(&fake, "a");
    store
        .put_blob(&blob(b""), &BlobSource::Bytes(Bytes::new()))
        .await
        .unwrap();
    assert_eq!(fake.blob("a", blob(b"").digest.as_str()).unwrap(), b"");
}

#[tokio::test]
async fn content_that_is_not_what_its_descriptor_says_is_not_stored() {
    let fake = FakeRegistry::start().await;
    let store = Setup::new(None).open(&fake, "shop/cart");
    let (_folder, longer) = file(b"123456");
    let descriptor = blob(b"12345");
    assert!(matches!(
        store.put_blob(&descriptor, &longer).await,
        Err(StoreError::SizeMismatch { .. })
    ));
    assert_eq!(
        fake.take_lines().len(),
        0,
        "found out before the first request"
    );
    let (_folder, other) = file(b"54321");
    let error = store.put_blob(&descriptor, &other).await.unwrap_err();
    assert!(
        matches!(error, StoreError::DigestMismatch { .. }),
        "{error}"
    );
    assert!(
        error
            .to_string()
            .starts_with("the content to upload as blob sha256:"),
        "{error}"
    );
    assert!(fake.blob("shop/cart", descriptor.digest.as_str()).is_none());
    let missing = BlobSource::File("/nonexistent/blob".into());
    assert!(matches!(
        store.put_blob(&descriptor, &missing).await,
        Err(StoreError::File { .. })
    ));
}

/// Faults, the requests with their statuses, class and text of the error if it is one.
type Case = (Vec<Fault>, &'static str, Option<(Class, &'static str)>);

#[tokio::test]
async fn every_fault_of_an_upload_is_survived_or_told() {
    let bytes = big();
    let descriptor = blob(&bytes);
    let denied = r#"{"errors":[{"code":"DENIED","message":"no access"}]}"#;
    let table: Vec<Case> = vec![
        (
            vec![Fault::status("POST", START, 500)],
            "POST 500, POST 202, PUT 201",
            None,
        ),
        (
            vec![Fault::status("POST", START, 429)],
            "POST 429, POST 202, PUT 201",
            None,
        ),
        (
            vec![Fault::on("POST", START, Action::CutAnswer)],
            "POST cut, POST 202, PUT 201",
            None,
        ),
        // The session is asked what it has: nothing, so a new one is begun.
        (
            vec![Fault::status("PUT", SESSION, 503)],
            "POST 202, PUT 503, GET 204, HEAD 404, POST 202, PUT 201",
            None,
        ),
        (
            vec![Fault::respond(
                "PUT",
                SESSION,
                429,
                &[("retry-after", "2")],
                "",
            )],
            "POST 202, PUT 429, GET 204, HEAD 404, POST 202, PUT 201",
            None,
        ),
        // It has a part: only the rest is sent.
        (
            vec![Fault::on("PUT", SESSION, Action::CutRequest(700_000))],
            "POST 202, PUT cut, GET 204, PATCH 202, PUT 201",
            None,
        ),
        (
            vec![
                Fault::on("PUT", SESSION, Action::CutRequest(700_000)),
                Fault::on("PATCH", SESSION, Action::CutRequest(100_000)),
            ],
            "POST 202, PUT cut, GET 204, PATCH cut, GET 204, PATCH 202, PUT 201",
            None,
        ),
        // It ended well, and only the answer was lost.
        (
            vec![Fault::on("PUT", SESSION, Action::CutAnswer)],
            "POST 202, PUT cut, GET 404, HEAD 200",
            None,
        ),
        // A registry that refuses to go on.
        (
            vec![
                Fault::on("PUT", SESSION, Action::CutRequest(700_000)),
                Fault::status("PATCH", SESSION, 416),
            ],
            "POST 202, PUT cut, GET 204, PATCH 416, POST 202, PUT 201",
            None,
        ),
        (
            vec![
                Fault::on("PUT", SESSION, Action::CutRequest(700_000)),
                Fault::status("GET", SESSION, 405),
            ],
            "POST 202, PUT cut, GET 405, HEAD 404, POST 202, PUT 201",
            None,
        ),
        (
            vec![Fault::status("POST", START, 500).times(9)],
            "POST 500, POST 500, POST 500, POST 500",
            Some((
                Class::Transport,
                "`POST /v2/shop/cart/blobs/uploads/` with status 500",
            )),
        ),
        (
            vec![Fault::respond("POST", START, 403, &[], denied)],
            "POST 403",
            Some((
                Class::Auth,
                "registry refused `POST /v2/shop/cart/blobs/uploads/` with status 403: DENIED: no access",
            )),
        ),
        (
            vec![Fault::status("POST", START, 401)],
            "POST 401",
            Some((
                Class::Auth,
                "for repository:shop/cart:pull,push: it wants credentials",
            )),
        ),
        (
            vec![Fault::status("POST", START, 404)],
            "POST 404",
            Some((Class::Content, "with status 404")),
        ),
        (
            vec![Fault::status("PUT", SESSION, 413)],
            "POST 202, PUT 413",
            Some((Class::Content, "with status 413")),
        ),
        (
            vec![Fault::status("PUT", SESSION, 400)],
            "POST 202, PUT 400",
            Some((Class::Content, "with status 400")),
        ),
        (
            vec![Fault::on("PUT", SESSION, Action::WrongDigestHeader)],
            "POST 202, PUT 201",
            Some((Class::Content, "as stored, has digest")),
        ),
        (
            vec![Fault::on(
                "POST",
                START,
                Action::WithoutHeaders(&["location"]),
            )],
            "POST 202",
            Some((Class::Transport, "an upload without a valid location")),
        ),
    ];
    for (faults, expected, failure) in table {
        let fake = FakeRegistry::start().await;
        let setup = Setup::new(None);
        let store = setup.open(&fake, "shop/cart");
        for fault in &faults {
            fake.fault(fault.clone());
        }
        let (_folder, source) = file(&bytes);
        let result = store.put_blob(&descriptor, &source).await;
        let shown: Vec<String> = fake
            .requests()
            .iter()
            .map(|request| {
                format!(
                    "{} {}",
                    request.method,
                    request
                        .status
                        .map_or("cut".into(), |status| status.to_string())
                )
            })
            .collect();
        assert_eq!(shown.join(", "), expected, "{faults:?}: {result:?}");
        match (failure, result) {
            (None, Ok(())) => {
                assert_eq!(
                    fake.blob("shop/cart", descriptor.digest.as_str()).unwrap(),
                    bytes,
                    "{faults:?}"
                );
                assert_eq!(fake.faults_left(), 0, "{faults:?}");
            }
            (Some((class, text)), Err(error)) => {
                assert_eq!(error.class(), class, "{faults:?}: {error}");
                assert!(error.to_string().contains(text), "{faults:?}: {error}");
            }
            (_, result) => panic!("{faults:?}: {result:?}"),
        }
    }
}

#[tokio::test]
async fn a_resumed_upload_sends_only_the_rest() {
    let fake = FakeRegistry::start().await;
    let store = Setup::new(None).open(&fake, "shop/cart");
    let bytes = big();
    let descriptor = blob(&bytes);
    fake.fault(Fault::on("PUT", SESSION, Action::CutRequest(1_000_000)));
    let copy = bytes.clone();
    // A stream has no seek: what the registry has is read and dropped.
    let source = BlobSource::Stream(Box::new(move || {
        let reader = std::io::Cursor::new(copy.clone());
        Box::pin(async move { Ok(Box::pin(reader) as reseal_registry::BlobReader) })
    }));
    store.put_blob(&descriptor, &source).await.unwrap();
    let patch = fake
        .requests()
        .into_iter()
        .find(|request| request.method == "PATCH")
        .unwrap();
    assert_eq!(patch.body, bytes.len() - 1_000_000);
    assert_eq!(
        patch.header("content-range"),
        Some(format!("1000000-{}", bytes.len() - 1).as_str())
    );
    assert_eq!(
        fake.blob("shop/cart", descriptor.digest.as_str()).unwrap(),
        bytes
    );
}

#[tokio::test]
async fn a_stalled_upload_is_taken_up_again() {
    let fake = FakeRegistry::start().await;
    let time = TestTime {
        stalled: Some(fake.stalled()),
        ..TestTime::default()
    };
    let setup = Setup::timed(time, None, |_| {});
    let store = setup.open(&fake, "shop/cart");
    fake.fault(Fault::on("PUT", SESSION, Action::Stall));
    let descriptor = blob(b"small");
    store
        .put_blob(
            &descriptor,
            &BlobSource::Bytes(Bytes::from_static(b"small")),
        )
        .await
        .unwrap();
    assert_eq!(
        fake.blob("shop/cart", descriptor.digest.as_str()).unwrap(),
        b"small"
    );
}

#[tokio::test]
async fn a_source_that_breaks_is_the_error_and_not_the_registry() {
    let fake = FakeRegistry::start().await;
    let setup = Setup::new(None);
    let store = setup.open(&fake, "shop/cart");
    let source = BlobSource::Stream(Box::new(|| {
        Box::pin(async {
            Err(StoreError::NotFound {
                what: "the source".into(),
            })
        })
    }));
    assert!(matches!(
        store.put_blob(&blob(b"x"), &source).await,
        Err(StoreError::NotFound { .. })
    ));
    assert_eq!(setup.time.pauses().len(), 0);
}

#[tokio::test]
async fn a_manifest_takes_one_request_and_its_stored_digest_is_checked() {
    let fake = FakeRegistry::start().await;
    let store = Setup::new(None).open(&fake, "shop/cart");
    let raw = image(&fake, "shop/cart", "cart");
    let by_digest = Target::Digest(raw.digest.clone());
    store.put_manifest(&raw, &by_digest).await.unwrap();
    assert_eq!(fake.tags("shop/cart"), []);
    store.put_manifest(&raw, &tag("1.4")).await.unwrap();
    assert_eq!(
        fake.tags("shop/cart"),
        [("1.4".to_owned(), raw.digest.to_string())]
    );
    assert_eq!(
        fake.manifest("shop/cart", "1.4").unwrap(),
        (MANIFEST.to_owned(), raw.bytes.clone())
    );
    assert_eq!(fake.take_lines().len(), 2);

    fake.fault(Fault::on(
        "PUT",
        "/v2/shop/cart/manifests/1.4",
        Action::WrongDigestHeader,
    ));
    assert!(matches!(
        store.put_manifest(&raw, &tag("1.4")).await,
        Err(StoreError::DigestMismatch { .. })
    ));
    let other = Target::Digest(blob(b"other").digest);
    assert!(matches!(
        store.put_manifest(&raw, &other).await,
        Err(StoreError::DigestMismatch { .. })
    ));
    let dangling = RawManifest::new(
        MANIFEST,
        raw.bytes
            .iter()
            .map(|&byte| if byte == b'2' { b'3' } else { byte })
            .collect(),
    );
    let error = store.put_manifest(&dangling, &tag("2")).await.unwrap_err();
    assert!(
        error.to_string().contains("with status 400: MANIFEST_"),
        "{error}"
    );
}

#[tokio::test]
async fn a_manifest_survives_what_may_pass() {
    let path = "/v2/shop/cart/manifests/1.4";
    for fault in [
        Fault::status("PUT", path, 500),
        Fault::status("PUT", path, 429),
        Fault::on("PUT", path, Action::CutAnswer),
        Fault::on("PUT", path, Action::CutRequest(5)),
    ] {
        let fake = FakeRegistry::start().await;
        let store = Setup::new(None).open(&fake, "shop/cart");
        let raw = image(&fake, "shop/cart", "cart");
        fake.fault(fault.clone());
        store.put_manifest(&raw, &tag("1.4")).await.unwrap();
        assert_eq!(fake.tags("shop/cart").len(), 1, "{fault:?}");
        assert_eq!(fake.take_lines().len(), 2, "{fault:?}");
    }
}
