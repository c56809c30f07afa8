use reseal_registry::{BlobSource, Class, Layout, Target};
use reseal_testkit::registry::{Action, Fault};

use super::super::collect::{Limits, collect_within};
use super::*;

const OLD_BUNDLE: &str = "application/vnd.dev.sigstore.bundle+json;version=0.1";

/// Puts a list of signatures or attestations there, with blobs where there are bytes.
fn put_tag(fake: &FakeRegistry, suffix: &str, layers: &[String]) {
    fake.put_blob("a", b"{}");
    let text = format!(
        r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{},"layers":[{}]}}"#,
        pointer(EMPTY, b"{}"),
        layers.join(",")
    );
    fake.put_manifest(
        "a",
        MANIFEST,
        text.as_bytes(),
        Some(&named(&subject(), suffix)),
    );
}

#[tokio::test]
async fn everything_that_may_be_a_signature_is_found_and_the_rest_is_named() {
    let fake = start(None).await;
    let store = open(&fake, "a");
    assert_eq!(
        collect(&*store, &subject()).await.unwrap(),
        Collected::default()
    );

    let good = put_artifact(&fake, "a", BUNDLE, b"bundle", &subject());
    let old = put_artifact(&fake, "a", OLD_BUNDLE, b"old bundle", &subject());
    let sbom = put_artifact(&fake, "a", "application/spdx+json", b"sbom", &subject());
    let elsewhere = put_artifact(&fake, "a", BUNDLE, b"bundle", &Digest::of(b"other"));
    let hollow = put_artifact(
        &fake,
        "a",
        BUNDLE,
        b"of which only the manifest is left",
        &subject(),
    );
    let two_layers = format!(
        r#"{{"mediaType":"{MANIFEST}","config":{},"layers":[{1},{1}],"subject":{{"digest":"{2}","size":1}}}}"#,
        pointer(EMPTY, b"{}"),
        pointer(BUNDLE, b"bundle"),
        subject()
    );
    let two_layers = RawManifest::new(MANIFEST, two_layers.into_bytes());
    fake.put_manifest("a", MANIFEST, &two_layers.bytes, None);
    let garbage = RawManifest::new(MANIFEST, b"garbage".to_vec());
    fake.put_manifest("a", MANIFEST, &garbage.bytes, None);
    let gone = RawManifest::new(MANIFEST, b"gone".to_vec());
    let hollow_blob = Digest::of(b"of which only the manifest is left");
    fake.fault(Fault::status(
        "GET",
        &format!("/v2/a/blobs/{hollow_blob}"),
        404,
    ));
    let listed = [
        &good,
        &old,
        &sbom,
        &elsewhere,
        &hollow,
        &two_layers,
        &garbage,
        &gone,
    ];
    put_list(&fake, "a", &subject(), &listed);

    fake.put_blob("a", b"payload");
    let wrong_size = pointer(SIMPLE_SIGNING, b"payload").replace("\"size\":7", "\"size\":9");
    put_tag(
        &fake,
        ".sig",
        &[
            layer(SIMPLE_SIGNING, b"payload", r#"{"k":"1"}"#),
            layer(DSSE_ENVELOPE, b"payload", "{}"),
            layer(SIMPLE_SIGNING, b"missing", "{}"),
            layer(SIMPLE_SIGNING, b"payload", r#"{"k":"2"}"#),
        ],
    );
    put_tag(
        &fake,
        ".att",
        &[
            wrong_size.replace(SIMPLE_SIGNING, DSSE_ENVELOPE),
            layer(DSSE_ENVELOPE, b"payload", "{}"),
        ],
    );

    fake.take_lines();
    let found = collect(&*store, &subject()).await.unwrap();
    let bundles: Vec<_> = found
        .bundles
        .iter()
        .map(|found| (&found.descriptor.digest, &*found.bytes))
        .collect();
    assert_eq!(
        bundles,
        [(&good.digest, &b"bundle"[..]), (&old.digest, b"old bundle")]
    );
    assert_eq!(found.bundles[0].predicate_type.as_deref(), Some("p"));
    let marks: Vec<_> = found
        .signatures
        .iter()
        .map(|found| (&*found.payload, &*found.annotations["k"]))
        .collect();
    assert_eq!(marks, [(&b"payload"[..], "1"), (b"payload", "2")]);
    assert_eq!(found.attestations.len(), 1);
    let (host, tag) = (fake.host(), named(&subject(), ""));
    let expected = [
        format!(
            "referrer {}: it is no bundle, it is of type `application/spdx+json`",
            sbom.digest
        ),
        format!(
            "referrer {}: it belongs to something else",
            elsewhere.digest
        ),
        format!(
            "referrer {}: blob {hollow_blob} in {host}/a does not exist",
            hollow.digest
        ),
        format!(
            "referrer {}: it has 2 layers, and a bundle is one",
            two_layers.digest
        ),
        format!(
            "referrer {}: manifest is malformed at `$`: expected value at line 1 column 1",
            garbage.digest
        ),
        format!(
            "referrer {}: manifest {} in {host}/a does not exist",
            gone.digest, gone.digest
        ),
        format!("layer 2 of tag `{tag}.sig`: it is of type `{DSSE_ENVELOPE}`"),
        format!(
            "layer 3 of tag `{tag}.sig`: blob {} in {host}/a does not exist",
            Digest::of(b"missing")
        ),
        format!("layer 1 of tag `{tag}.att`: its size is not what its manifest says"),
    ];
    assert_eq!(found.skipped, expected);
    // The payload that all signers share is read once for each tag.
    let payload = format!("GET /v2/a/blobs/{} 200", Digest::of(b"payload"));
    let lines = fake.take_lines();
    assert_eq!(
        lines.iter().filter(|line| **line == payload).count(),
        3,
        "{lines:?}"
    );
}

#[tokio::test]
async fn only_so_much_is_read() {
    let fake = start(Some(2)).await;
    let store = open(&fake, "a");
    for content in [&b"12345"[..], b"abcde", b"123456", b"ABCDE", b"VWXYZ"] {
        put_artifact(&fake, "a", BUNDLE, content, &subject());
    }
    fake.put_blob("a", b"12345");
    put_tag(
        &fake,
        ".sig",
        &vec![layer(SIMPLE_SIGNING, b"12345", "{}"); 7],
    );
    let run = async |entries, each, total| {
        let limits = Limits {
            entries,
            each,
            total,
        };
        let found = collect_within(&*store, &subject(), limits).await.unwrap();
        (
            found.bundles.len(),
            found.signatures.len(),
            found.skipped.len(),
        )
    };
    assert_eq!(run(100, 100, 1000).await, (5, 7, 0));
    assert_eq!(run(100, 5, 1000).await, (4, 7, 1));
    assert_eq!(run(3, 100, 1000).await, (3, 3, 2));
    let (bundles, signatures, skipped) = run(100, 5, 30).await;
    assert_eq!((bundles, signatures, skipped), (4, 2, 6));
    let limits = Limits {
        entries: 2,
        each: 5,
        total: 100,
    };
    let found = collect_within(&*store, &subject(), limits).await.unwrap();
    let place = format!("the list of referrers in {}/a", fake.host());
    assert_eq!(
        found.skipped[0],
        format!("{place}: it has 5 entries, and the first 2 are read")
    );
    let tag = named(&subject(), ".sig");
    let last = found.skipped.last().unwrap();
    assert_eq!(
        *last,
        format!("tag `{tag}`: it has 7 layers, and the first 2 are read")
    );
}

#[tokio::test]
async fn garbage_where_lists_belong_hides_nothing_else() {
    let fake = start(None).await;
    let store = open(&fake, "a");
    fake.put_manifest("a", MANIFEST, b"{}", Some(&named(&subject(), "")));
    fake.put_manifest(
        "a",
        INDEX,
        br#"{"manifests":[]}"#,
        Some(&named(&subject(), ".sig")),
    );
    fake.put_blob("a", b"payload");
    put_tag(&fake, ".att", &[layer(DSSE_ENVELOPE, b"payload", "{}")]);
    let found = collect(&*store, &subject()).await.unwrap();
    assert_eq!(
        (
            found.bundles.len(),
            found.signatures.len(),
            found.attestations.len()
        ),
        (0, 0, 1)
    );
    assert_eq!(found.skipped.len(), 2, "{:?}", found.skipped);
    assert!(
        found.skipped[0].starts_with("the list of referrers in "),
        "{:?}",
        found.skipped
    );
    assert!(
        found.skipped[1].contains("it is no image manifest"),
        "{:?}",
        found.skipped
    );
}

#[tokio::test]
async fn foreign_text_stays_one_short_line() {
    let fake = start(Some(10)).await;
    let store = open(&fake, "a");
    let kind = format!("application/x\\n\\u001b[31m{}", "x".repeat(500));
    put_artifact(&fake, "a", &kind, b"x", &subject());
    let found = collect(&*store, &subject()).await.unwrap();
    let [reason] = found.skipped.as_slice() else {
        panic!("{:?}", found.skipped);
    };
    assert!(
        !reason.contains(char::is_control) && reason.chars().count() < 402,
        "{reason}"
    );
}

#[tokio::test]
async fn a_store_that_cannot_be_read_is_an_error_and_a_changed_blob_is_none() {
    let tag = named(&subject(), ".sig");
    let manifests = format!("/v2/a/manifests/{tag}");
    for (path, status, class) in [
        ("/v2/a/referrers/*", 500, Class::Transport),
        ("/v2/a/referrers/*", 403, Class::Auth),
        (&*manifests, 503, Class::Transport),
        (&*manifests, 403, Class::Auth),
        (&*manifests, 418, Class::Content),
        ("/v2/a/blobs/*", 500, Class::Transport),
        ("/v2/a/blobs/*", 429, Class::RateLimited),
    ] {
        let fake = start(Some(10)).await;
        let store = open(&fake, "a");
        fake.put_blob("a", b"payload");
        put_tag(&fake, ".sig", &[layer(SIMPLE_SIGNING, b"payload", "{}")]);
        fake.fault(Fault::status("GET", path, status));
        let error = collect(&*store, &subject()).await.unwrap_err();
        assert_eq!(
            error.store().unwrap().class(),
            class,
            "{path} {status}: {error}"
        );
    }
    let fake = start(Some(10)).await;
    let store = open(&fake, "a");
    put_artifact(&fake, "a", BUNDLE, b"bundle", &subject());
    fake.fault(Fault::on("GET", "/v2/a/blobs/*", Action::WrongBody));
    let found = collect(&*store, &subject()).await.unwrap();
    assert!(found.bundles.is_empty());
    assert!(
        found.skipped[0].contains("has digest"),
        "{:?}",
        found.skipped
    );
}

#[tokio::test]
async fn a_layout_has_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let layout = Layout::create(folder.path().join("out")).unwrap();
    let image = RawManifest::new(
        INDEX,
        format!(r#"{{"mediaType":"{INDEX}","manifests":[]}}"#).into_bytes(),
    );
    layout
        .put_manifest(&image, &Target::Tag("1.4".parse().unwrap()))
        .await
        .unwrap();
    let bundle = BundleEntry {
        bundle: b"bundle".to_vec(),
        predicate_type: "p".to_owned(),
        created: "2024-05-01T10:00:00Z".to_owned(),
    };
    let attached = attach_bundle(&layout, &image.descriptor(), &bundle)
        .await
        .unwrap();
    for text in ["one", "two"] {
        let entry = signature("payload", text);
        append_legacy(&layout, &image.digest, Suffix::Signature, &entry)
            .await
            .unwrap();
    }
    let found = collect(&layout, &image.digest).await.unwrap();
    assert_eq!(found.bundles[0].descriptor.digest, attached.digest);
    assert_eq!((found.bundles.len(), found.signatures.len()), (1, 2));
    assert_eq!(found.skipped, [""; 0]);
    assert_eq!(layout.only_image().unwrap().digest, image.digest);
    let foreign = BlobSource::Bytes(vec![0; 10].into());
    let descriptor = reseal_oci::Descriptor::new("x", Digest::of(&[0; 10]), 10);
    layout.put_blob(&descriptor, &foreign).await.unwrap();
    assert_eq!(collect(&layout, &image.digest).await.unwrap(), found);
}
