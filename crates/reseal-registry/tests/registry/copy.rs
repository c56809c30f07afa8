//! Between stores: mounts, copies, mirrors, referrers.

use std::sync::Arc;

use reseal_oci::Descriptor;
use reseal_registry::{BlobSource, Copied, Layout, Store, StoreError, copy_blob};
use reseal_testkit::registry::{Action, Auth, FakeRegistry, Fault, Options, User};

use crate::common::*;

#[tokio::test]
async fn a_blob_of_the_same_registry_is_mounted_with_one_request() {
    let fake = FakeRegistry::start_with(Options {
        auth: Auth::bearer(vec![User::new("u", "p")]),
        ..Options::default()
    })
    .await;
    let setup = Setup::new(login(&fake, "u", "p"));
    let bytes = big();
    fake.put_blob("base", &bytes);
    let (from, to) = (setup.open(&fake, "base"), setup.open(&fake, "patched"));
    assert_eq!(
        copy_blob(&*from, &*to, &blob(&bytes)).await.unwrap(),
        Copied::Mounted
    );
    let requests = fake.requests();
    assert_eq!(requests.len(), 3, "challenge, token, mount");
    assert!(
        requests[1]
            .query
            .contains("scope=repository%3Abase%3Apull&scope=repository%3Apatched%3Apull%2Cpush"),
        "{}",
        requests[1].query
    );
    assert_eq!(
        requests[2].query,
        format!(
            "mount={}&from=base",
            blob(&bytes).digest.as_str().replace(':', "%3A")
        )
    );
    assert_eq!(to.counts().bytes_out, 0);
    assert_eq!(
        copy_blob(&*to, &*setup.open(&fake, "patched"), &blob(&bytes))
            .await
            .unwrap(),
        Copied::Present
    );
    assert_eq!(fake.requests().len(), 3);
}

#[tokio::test]
async fn a_declined_mount_leaves_its_session_for_the_upload() {
    let fake = FakeRegistry::start_with(Options {
        mounts: false,
        ..Options::default()
    })
    .await;
    let setup = Setup::new(None);
    let bytes = big();
    let descriptor = blob(&bytes);
    fake.put_blob("base", &bytes);
    let to = setup.open(&fake, "patched");
    assert!(
        !to.mount(&descriptor.digest, &repository(&fake, "base"))
            .await
            .unwrap()
    );
    to.put_blob(&descriptor, &BlobSource::Bytes(bytes.clone().into()))
        .await
        .unwrap();
    let methods: Vec<_> = fake
        .requests()
        .into_iter()
        .map(|request| request.method)
        .collect();
    assert_eq!(methods, ["POST", "PUT"]);
    fake.take_lines();

    // A session that has gone meanwhile is replaced.
    let other = blob(b"other");
    fake.put_blob("base", b"other");
    assert!(
        !to.mount(&other.digest, &repository(&fake, "base"))
            .await
            .unwrap()
    );
    fake.fault(Fault::status("PUT", "/v2/patched/blobs/uploads/*", 404));
    to.put_blob(
        &other,
        &BlobSource::Bytes(bytes::Bytes::from_static(b"other")),
    )
    .await
    .unwrap();
    let methods: Vec<_> = fake
        .requests()
        .into_iter()
        .map(|request| request.method)
        .collect();
    assert_eq!(methods, ["POST", "PUT", "POST", "PUT"]);
    fake.take_lines();

    let from = setup.open(&fake, "base");
    assert_eq!(
        copy_blob(&*from, &*setup.open(&fake, "third"), &descriptor)
            .await
            .unwrap(),
        Copied::Streamed
    );
    let methods: Vec<_> = fake
        .requests()
        .into_iter()
        .map(|request| request.method)
        .collect();
    assert_eq!(
        methods,
        ["POST", "HEAD", "GET", "PUT"].map(str::to_owned).to_vec(),
        "the stream opens before the PUT is sent"
    );
}

#[tokio::test]
async fn a_mount_that_is_not_allowed_is_no_error_and_one_to_another_registry_is_not_tried() {
    let (fake, other) = (FakeRegistry::start().await, FakeRegistry::start().await);
    let store = Setup::new(None).open(&fake, "a");
    let wanted = blob(b"x").digest;
    for status in [401, 403, 404, 405] {
        fake.fault(Fault::status("POST", "/v2/a/blobs/uploads/", status));
        assert!(
            !store.mount(&wanted, &repository(&fake, "b")).await.unwrap(),
            "{status}"
        );
    }
    fake.take_lines();
    assert!(
        !store
            .mount(&wanted, &repository(&other, "b"))
            .await
            .unwrap()
    );
    assert_eq!(fake.take_lines().len() + other.take_lines().len(), 0);
    fake.fault(Fault::status("POST", "/v2/a/blobs/uploads/", 500).times(9));
    assert!(store.mount(&wanted, &repository(&fake, "b")).await.is_err());
}

#[tokio::test]
async fn a_copy_moves_bytes_only_where_they_are_missing() {
    let (one, two) = (FakeRegistry::start().await, FakeRegistry::start().await);
    let setup = Setup::new(None);
    let folder = tempfile::tempdir().unwrap();
    let bytes = big();
    let descriptor = blob(&bytes);
    one.put_blob("a", &bytes);
    let stores: [Arc<dyn Store>; 3] = [
        setup.open(&one, "a"),
        setup.open(&two, "a"),
        Arc::new(Layout::create(folder.path().join("layout")).unwrap()),
    ];
    for (from, to, expected) in [
        (0, 1, Copied::Streamed),
        (0, 1, Copied::Present),
        (1, 2, Copied::Streamed),
        (0, 2, Copied::Present),
    ] {
        assert_eq!(
            copy_blob(&*stores[from], &*stores[to], &descriptor)
                .await
                .unwrap(),
            expected
        );
    }
    assert_eq!(two.blob("a", descriptor.digest.as_str()).unwrap(), bytes);
    assert_eq!(
        stores[2].blob(&descriptor.digest, 2_000_000).await.unwrap(),
        bytes
    );
    let three = FakeRegistry::start().await;
    let to = setup.open(&three, "b");
    assert_eq!(
        copy_blob(&*stores[2], &*to, &descriptor).await.unwrap(),
        Copied::Streamed
    );
    assert_eq!(three.blob("b", descriptor.digest.as_str()).unwrap(), bytes);
}

#[tokio::test]
async fn a_copy_survives_both_ends_and_never_stores_wrong_bytes() {
    let (one, two) = (FakeRegistry::start().await, FakeRegistry::start().await);
    let setup = Setup::new(None);
    let bytes = big();
    let descriptor = blob(&bytes);
    one.put_blob("a", &bytes);
    let (from, to) = (setup.open(&one, "a"), setup.open(&two, "a"));
    one.fault(Fault::on("GET", "/v2/a/blobs/*", Action::CutBody(200_000)));
    two.fault(Fault::on(
        "PUT",
        "/v2/a/blobs/uploads/*",
        Action::CutRequest(600_000),
    ));
    copy_blob(&*from, &*to, &descriptor).await.unwrap();
    assert_eq!(two.blob("a", descriptor.digest.as_str()).unwrap(), bytes);

    let to = setup.open(&two, "b");
    one.fault(Fault::on("GET", "/v2/a/blobs/*", Action::WrongBody));
    let error = copy_blob(&*from, &*to, &descriptor).await.unwrap_err();
    assert!(
        matches!(error, StoreError::DigestMismatch { .. }),
        "{error}"
    );
    assert!(two.blob("b", descriptor.digest.as_str()).is_none());
}

#[tokio::test]
async fn reads_go_to_the_mirror_first_and_writes_never() {
    let (origin, mirror) = (FakeRegistry::start().await, FakeRegistry::start().await);
    let setup = Setup::with(None, |settings| {
        settings.mirrors.insert(
            origin.host().to_owned(),
            vec![format!("http://{}/cache/", mirror.host())],
        );
    });
    let store = setup.open(&origin, "shop/cart");
    let cached = image(&mirror, "cache/shop/cart", "cached");
    mirror.put_manifest("cache/shop/cart", MANIFEST, &cached.bytes, Some("1.4"));
    let fresh = image(&origin, "shop/cart", "fresh");
    origin.put_manifest("shop/cart", MANIFEST, &fresh.bytes, Some("1.5"));
    assert_eq!(store.manifest(&tag("1.4")).await.unwrap(), cached);
    assert_eq!(
        store.resolve(&tag("1.4")).await.unwrap(),
        Some(cached.descriptor())
    );
    assert_eq!(origin.take_lines().len(), 0);
    assert_eq!(store.manifest(&tag("1.5")).await.unwrap(), fresh);
    assert_eq!(
        store.resolve(&tag("1.5")).await.unwrap(),
        Some(fresh.descriptor())
    );
    mirror.fault(Fault::status("GET", "/v2/cache/*", 403).times(2));
    assert!(
        matches!(store.manifest(&tag("1.4")).await, Err(StoreError::NotFound { what }) if what.contains("in 127.0.0.1"))
    );
    mirror.take_lines();
    store.put_manifest(&fresh, &tag("1.6")).await.unwrap();
    assert_eq!(mirror.take_lines().len(), 0);
    assert_eq!(store.describe(), format!("{}/shop/cart", origin.host()));
    assert!(store.counts().requests >= 7);
    for bad in [
        "https://",
        "mirror",
        "https://mirror.example/UP",
        "ftp://mirror.example",
    ] {
        let mut settings = reseal_registry::RegistrySettings::default();
        settings
            .mirrors
            .insert("docker.io".into(), vec![bad.into()]);
        assert!(reseal_registry::Registries::new(settings).is_err(), "{bad}");
    }
}

#[tokio::test]
async fn lists_that_are_added_to_are_not_read_from_a_mirror_while_the_registry_answers() {
    let (origin, mirror) = (FakeRegistry::start().await, FakeRegistry::start().await);
    let setup = Setup::with(None, |settings| {
        settings.retries = 0;
        settings.mirrors.insert(
            origin.host().to_owned(),
            vec![format!("http://{}", mirror.host())],
        );
    });
    let store = setup.open(&origin, "a");
    let subject = blob(b"subject").digest;
    let old = image(&mirror, "a", "old");
    let new = image(&origin, "a", "new");
    let fallback = subject.as_str().replace(':', "-");
    for suffix in ["", ".sig", ".att"] {
        let name = format!("{fallback}{suffix}");
        mirror.put_manifest("a", MANIFEST, &old.bytes, Some(&name));
        assert_eq!(store.resolve(&tag(&name)).await.unwrap(), None);
        let missing = store.manifest(&tag(&name)).await;
        assert!(matches!(missing, Err(StoreError::NotFound { .. })));
        origin.put_manifest("a", MANIFEST, &new.bytes, Some(&name));
        assert_eq!(store.manifest(&tag(&name)).await.unwrap(), new);
        let found = store.resolve(&tag(&name)).await.unwrap();
        assert_eq!(found, Some(new.descriptor()));
    }
    let list = format!(
        r#"{{"schemaVersion":2,"manifests":[{}]}}"#,
        old.descriptor().to_json()
    );
    mirror.put_manifest("a", INDEX, list.as_bytes(), Some(&fallback));
    origin.put_manifest("a", INDEX, br#"{"manifests":[]}"#, Some(&fallback));
    assert_eq!(store.referrers(&subject).await.unwrap(), []);
    // Where only the mirror can be reached, it must do.
    origin.fault(Fault::status("GET", "*", 503).times(100));
    origin.fault(Fault::status("HEAD", "*", 503).times(100));
    let name = format!("{fallback}.sig");
    assert_eq!(store.manifest(&tag(&name)).await.unwrap(), old);
    let found = store.resolve(&tag(&name)).await.unwrap();
    assert_eq!(found, Some(old.descriptor()));
    assert_eq!(store.referrers(&subject).await.unwrap(), [old.descriptor()]);
}

#[tokio::test]
async fn referrers_come_from_the_api_page_by_page_or_from_the_fallback_tag() {
    for referrers in [Some(2), Some(100), None] {
        let fake = FakeRegistry::start_with(Options {
            referrers,
            ..Options::default()
        })
        .await;
        let store = Setup::new(None).open(&fake, "a");
        let subject = blob(b"subject").digest;
        let mut expected: Vec<Descriptor> = Vec::new();
        for number in 0..5 {
            let text = format!(
                r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","artifactType":"application/x","number":{number},"subject":{{"mediaType":"{MANIFEST}","digest":"{subject}","size":7}}}}"#
            );
            let found = digest(&fake.put_manifest("a", MANIFEST, text.as_bytes(), None));
            let mut descriptor = Descriptor::new(MANIFEST, found, text.len() as u64);
            descriptor.artifact_type = Some("application/x".into());
            expected.push(descriptor);
        }
        expected.sort_by(|a, b| a.digest.cmp(&b.digest));
        if referrers.is_none() {
            assert_eq!(store.referrers(&subject).await.unwrap(), []);
            let entries: Vec<String> = expected.iter().map(Descriptor::to_json).collect();
            let index = format!(
                r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{}]}}"#,
                entries.join(",")
            );
            fake.put_manifest(
                "a",
                INDEX,
                index.as_bytes(),
                Some(&subject.as_str().replace(':', "-")),
            );
        }
        fake.take_lines();
        assert_eq!(
            store.referrers(&subject).await.unwrap(),
            expected,
            "{referrers:?}"
        );
        assert_eq!(
            fake.take_lines().len(),
            match referrers {
                Some(2) => 3,
                Some(_) => 1,
                None => 2,
            }
        );
    }
}
