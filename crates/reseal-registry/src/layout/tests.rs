use std::collections::BTreeMap;

use bytes::Bytes;
use reseal_oci::Platform;
use tempfile::TempDir;

use super::*;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn layout() -> (TempDir, Layout) {
    let folder = tempfile::tempdir().unwrap();
    let layout = Layout::create(folder.path().join("out")).unwrap();
    (folder, layout)
}

fn tag(name: &str) -> Target {
    Target::Tag(name.parse().unwrap())
}

fn manifest(name: &str) -> RawManifest {
    let text = format!(
        r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","annotations":{{"name":"{name}"}}}}"#
    );
    RawManifest::new(MANIFEST, text.into_bytes())
}

fn descriptor(bytes: &[u8]) -> Descriptor {
    Descriptor::new(
        "application/octet-stream",
        Digest::of(bytes),
        bytes.len() as u64,
    )
}

fn index_text(layout: &Layout) -> String {
    std::fs::read_to_string(layout.path().join("index.json")).unwrap()
}

#[tokio::test]
async fn what_is_written_is_read_back_by_tag_and_by_digest() {
    let (_folder, layout) = layout();
    let raw = manifest("a");
    layout
        .put_blob(
            &descriptor(b"layer"),
            &BlobSource::Bytes(Bytes::from_static(b"layer")),
        )
        .await
        .unwrap();
    layout.put_manifest(&raw, &tag("1.4")).await.unwrap();
    let again = Layout::open(layout.path()).unwrap();
    assert_eq!(again.manifest(&tag("1.4")).await.unwrap(), raw);
    assert_eq!(
        again
            .manifest(&Target::Digest(raw.digest.clone()))
            .await
            .unwrap(),
        raw
    );
    assert_eq!(
        again.resolve(&tag("1.4")).await.unwrap(),
        Some(raw.descriptor())
    );
    assert_eq!(again.resolve(&tag("1.5")).await.unwrap(), None);
    assert!(matches!(
        again.manifest(&tag("1.5")).await,
        Err(StoreError::NotFound { .. })
    ));
    assert_eq!(
        again.blob(&Digest::of(b"layer"), 5).await.unwrap(),
        b"layer"
    );
    assert!(matches!(
        again.blob(&Digest::of(b"layer"), 4).await,
        Err(StoreError::TooLarge { limit: 4, .. })
    ));
    assert!(
        again.has_blob(&Digest::of(b"layer")).await.unwrap()
            && !again.has_blob(&Digest::of(b"x")).await.unwrap()
    );
    assert_eq!(again.only_image().unwrap().digest, raw.digest);
    assert_eq!(again.counts().requests, 0);
    let left: Vec<_> = std::fs::read_dir(layout.path().join("blobs/sha256"))
        .unwrap()
        .collect();
    assert_eq!(left.len(), 2, "no temporary file stays");
}

#[tokio::test]
async fn a_digest_target_adds_no_entry_and_a_tag_moves_its_own() {
    let (_folder, layout) = layout();
    let (a, b) = (manifest("a"), manifest("b"));
    layout
        .put_manifest(&a, &Target::Digest(a.digest.clone()))
        .await
        .unwrap();
    assert_eq!(layout.entries().unwrap(), []);
    layout.put_manifest(&a, &tag("one")).await.unwrap();
    layout.put_manifest(&a, &tag("two")).await.unwrap();
    layout.put_manifest(&b, &tag("one")).await.unwrap();
    let shown: Vec<_> = layout
        .entries()
        .unwrap()
        .into_iter()
        .map(|(name, entry)| (name.unwrap(), entry.digest))
        .collect();
    assert_eq!(
        shown,
        [
            ("one".to_owned(), b.digest.clone()),
            ("two".to_owned(), a.digest.clone())
        ]
    );
    let error = layout.only_image().unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("it holds several images, name one of them: one, two"),
        "{error}"
    );
    let other = Target::Digest(b.digest);
    assert!(matches!(
        layout.put_manifest(&a, &other).await,
        Err(StoreError::DigestMismatch { .. })
    ));
}

#[tokio::test]
async fn entries_of_others_keep_every_byte() {
    let (_folder, layout) = layout();
    let foreign = format!(
        "{{ \"mediaType\" : \"{MANIFEST}\",\n  \"digest\": \"{}\", \"size\": 2,\"x\\u002dy\": 1.50e3, \"annotations\": {{\"org.opencontainers.image.ref.name\": \"kept\"}} }}",
        Digest::of(b"{}")
    );
    let text = format!(
        "{{\"x-first\": [1,  2],\n\"manifests\": [ {foreign} ],\"schemaVersion\": 2, \"annotations\": {{\"a\": \"\\u00e9\"}}}}\n"
    );
    std::fs::write(layout.path().join("index.json"), text).unwrap();
    let raw = manifest("new");
    layout.put_manifest(&raw, &tag("new")).await.unwrap();
    let mut entry = raw.descriptor();
    entry.annotations = BTreeMap::from([
        (
            "kind".to_owned(),
            "dev.cosignproject.cosign/image".to_owned(),
        ),
        (
            "org.opencontainers.image.ref.name".to_owned(),
            "new".to_owned(),
        ),
    ]);
    assert_eq!(
        index_text(&layout),
        format!(
            "{{\"x-first\":[1,  2],\"manifests\":[{foreign},{}],\"schemaVersion\":2,\"annotations\":{{\"a\": \"\\u00e9\"}}}}",
            entry.to_json()
        )
    );
}

#[tokio::test]
async fn a_media_type_comes_from_the_document_its_shape_or_whoever_points_to_it() {
    let (_folder, layout) = layout();
    let write = |bytes: &[u8]| {
        let digest = Digest::of(bytes);
        std::fs::write(layout.blob_path(&digest), bytes).unwrap();
        digest
    };
    let bare = write(br#"{"schemaVersion":2}"#);
    let shaped = write(br#"{"schemaVersion":2,"manifests":[]}"#);
    let inner = write(
        format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{{"mediaType":"{MANIFEST}","digest":"{bare}","size":19}}]}}"#)
            .as_bytes(),
    );
    let inner_size = layout.blob(&inner, 1000).await.unwrap().len();
    let outer = write(
        format!(r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"{INDEX}","digest":"{inner}","size":{inner_size}}}]}}"#).as_bytes(),
    );
    let text = format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"{INDEX}","digest":"{outer}","size":1,"annotations":{{"org.opencontainers.image.ref.name":"x"}}}}]}}"#
    );
    std::fs::write(layout.path().join("index.json"), text).unwrap();
    for (digest, expected) in [
        (&outer, INDEX),
        (&inner, INDEX),
        (&shaped, INDEX),
        (&bare, MANIFEST),
    ] {
        let raw = layout
            .manifest(&Target::Digest(digest.clone()))
            .await
            .unwrap();
        assert_eq!(raw.media_type, expected, "{digest}");
    }
    let layer = write(b"\x1f\x8b no manifest");
    assert!(matches!(
        layout.manifest(&Target::Digest(layer)).await,
        Err(StoreError::BadManifest { .. })
    ));
}

#[tokio::test]
async fn blobs_may_be_symbolic_links_and_are_checked_all_the_same() {
    let (folder, layout) = layout();
    let place = folder.path().join("cache");
    std::fs::write(&place, b"layer").unwrap();
    let wanted = descriptor(b"layer");
    std::os::unix::fs::symlink(&place, layout.blob_path(&wanted.digest)).unwrap();
    assert!(layout.has_blob(&wanted.digest).await.unwrap());
    assert_eq!(layout.blob(&wanted.digest, 10).await.unwrap(), b"layer");
    std::fs::write(&place, b"liar!").unwrap();
    assert!(matches!(
        layout.blob(&wanted.digest, 10).await,
        Err(StoreError::DigestMismatch { .. })
    ));
    let mut reader = layout.blob_stream(&wanted).await.unwrap();
    let error = tokio::io::AsyncReadExt::read_to_end(&mut reader, &mut Vec::new())
        .await
        .unwrap_err();
    assert!(matches!(
        StoreError::from_read("x", error),
        StoreError::DigestMismatch { .. }
    ));
    std::fs::write(&place, b"longer").unwrap();
    assert!(matches!(
        layout.blob_stream(&wanted).await,
        Err(StoreError::SizeMismatch { .. })
    ));
}

#[tokio::test]
async fn a_blob_that_is_not_what_it_should_be_leaves_nothing() {
    let (_folder, layout) = layout();
    let wanted = descriptor(b"12345");
    for wrong in [&b"54321"[..], b"1234", b"123456"] {
        let source = BlobSource::Bytes(Bytes::from_static(wrong));
        assert!(
            layout.put_blob(&wanted, &source).await.is_err(),
            "{wrong:?}"
        );
    }
    assert_eq!(
        std::fs::read_dir(layout.path().join("blobs/sha256"))
            .unwrap()
            .count(),
        0
    );
    let sha512: Digest = format!("sha512:{}", "0".repeat(128)).parse().unwrap();
    let source = BlobSource::Bytes(Bytes::from_static(b"x"));
    let error = layout
        .put_blob(&Descriptor::new("x", sha512, 1), &source)
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::DigestMismatch { .. }));
}

#[test]
fn two_runs_at_once_lose_no_entry() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out");
    std::thread::scope(|scope| {
        for run in 0..4 {
            let path = path.clone();
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .build()
                    .unwrap();
                let layout = Layout::create(path).unwrap();
                for number in 0..10 {
                    let name = format!("run{run}-{number}");
                    runtime
                        .block_on(layout.put_manifest(&manifest(&name), &tag(&name)))
                        .unwrap();
                }
            });
        }
    });
    let layout = Layout::open(&path).unwrap();
    assert_eq!(layout.entries().unwrap().len(), 40);
    let names: Vec<_> = std::fs::read_dir(&path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(
        names.len(),
        3,
        "no lock and no temporary file stays: {names:?}"
    );
}

#[test]
fn a_folder_that_is_no_layout_is_left_alone_and_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    assert!(matches!(
        Layout::open(path.join("none")),
        Err(StoreError::NotFound { .. })
    ));
    let told = |expected: &str| {
        for result in [Layout::open(path), Layout::create(path)] {
            let text = result.unwrap_err().to_string();
            assert!(text.contains(expected), "{text}");
        }
    };
    std::fs::write(path.join("notes.txt"), "mine").unwrap();
    assert!(
        Layout::create(path)
            .unwrap_err()
            .to_string()
            .ends_with("it is no layout and not empty: it holds `notes.txt`")
    );
    std::fs::remove_file(path.join("notes.txt")).unwrap();
    Layout::create(path).unwrap();
    std::fs::write(path.join("oci-layout"), r#"{"imageLayoutVersion":"2.0.0"}"#).unwrap();
    told("its layout version is `2.0.0`, not 1.x");
    std::fs::write(path.join("oci-layout"), "{").unwrap();
    told("malformed");
    std::fs::write(path.join("oci-layout"), r#"{"imageLayoutVersion":"1.1.0"}"#).unwrap();
    for (index, expected) in [
        ("", "EOF"),
        ("[]", "expected an object"),
        ("{}", "it has no `manifests`"),
        (r#"{"manifests":[],"manifests":[]}"#, "twice"),
        (r#"{"manifests":{}}"#, "`manifests`"),
    ] {
        std::fs::write(path.join("index.json"), index).unwrap();
        told(expected);
    }
    std::fs::write(
        path.join("index.json"),
        r#"{"manifests":[{"digest":"../../etc/passwd","size":1,"mediaType":"x"}]}"#,
    )
    .unwrap();
    assert!(matches!(
        Layout::open(path).unwrap().entries(),
        Err(StoreError::Layout { .. })
    ));
}

#[tokio::test]
async fn an_entry_whose_blob_is_gone_is_a_broken_layout() {
    let (_folder, layout) = layout();
    let raw = manifest("a");
    layout.put_manifest(&raw, &tag("x")).await.unwrap();
    std::fs::remove_file(layout.blob_path(&raw.digest)).unwrap();
    let error = layout.manifest(&tag("x")).await.unwrap_err();
    assert!(
        error.to_string().ends_with("and there is no such blob"),
        "{error}"
    );
    assert_eq!(
        layout.resolve(&Target::Digest(raw.digest)).await.unwrap(),
        None
    );
}

#[test]
fn an_entry_keeps_the_platform_it_was_written_with() {
    let platform: Platform = "linux/arm64/v8".parse().unwrap();
    let text = format!(
        r#"{{"manifests":[{{"mediaType":"{MANIFEST}","digest":"{}","size":2,"platform":{{"os":"linux","architecture":"arm64","variant":"v8"}}}}]}}"#,
        Digest::of(b"{}")
    );
    let index = IndexFile::parse("index.json".into(), text.as_bytes()).unwrap();
    assert_eq!(index.descriptors().unwrap()[0].platform, Some(platform));
}
