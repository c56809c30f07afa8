//! Manifests that belong to others are found from there, whatever the registry does for it.

use futures_util::future::join_all;
use reseal_oci::{Descriptor, Digest, Index, RawManifest};
use reseal_registry::{Class, StoreError, Target};
use reseal_testkit::registry::{FakeRegistry, Fault, Options};

use crate::common::{INDEX, MANIFEST, Setup};

const SUBJECT: &[u8] = b"subject";

fn fallback() -> String {
    Digest::of(SUBJECT).as_str().replace(':', "-")
}

/// A manifest that belongs to [`SUBJECT`], with the entry that lists of referrers must have for it.
fn referrer(fake: &FakeRegistry, number: u32) -> (RawManifest, Descriptor) {
    let config = fake.put_blob("a", b"{}");
    let text = format!(
        r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","artifactType":"application/x","config":{{"mediaType":"application/vnd.oci.empty.v1+json","digest":"{config}","size":2}},"layers":[],"annotations":{{"number":"{number}"}},"subject":{{"mediaType":"{MANIFEST}","digest":"{}","size":7}}}}"#,
        Digest::of(SUBJECT)
    );
    let raw = RawManifest::new(MANIFEST, text.into_bytes());
    let mut entry = raw.descriptor();
    entry.artifact_type = Some("application/x".into());
    entry
        .annotations
        .insert("number".into(), number.to_string());
    (raw, entry)
}

fn by_digest(raw: &RawManifest) -> Target {
    Target::Digest(raw.digest.clone())
}

async fn start(referrers: Option<usize>, oci_subject: bool) -> FakeRegistry {
    FakeRegistry::start_with(Options {
        referrers,
        oci_subject,
        ..Options::default()
    })
    .await
}

#[tokio::test]
async fn a_registry_with_the_api_is_asked_at_most_once() {
    for oci_subject in [true, false] {
        let fake = start(Some(100), oci_subject).await;
        let store = Setup::new(None).open(&fake, "a");
        let mut expected = Vec::new();
        for number in 0..2 {
            let (raw, entry) = referrer(&fake, number);
            store.put_manifest(&raw, &by_digest(&raw)).await.unwrap();
            expected.push(entry);
        }
        let requests = fake.take_lines();
        assert_eq!(
            requests.len(),
            if oci_subject { 2 } else { 3 },
            "{requests:?}"
        );
        expected.sort_by(|a, b| a.digest.cmp(&b.digest));
        let found = store.referrers(&Digest::of(SUBJECT)).await.unwrap();
        assert_eq!(found, expected);
        assert_eq!(fake.tags("a"), []);
    }
}

#[tokio::test]
async fn a_registry_without_the_api_gets_an_index_with_what_each_entry_is() {
    let fake = start(None, true).await;
    let store = Setup::new(None).open(&fake, "a");
    let (first, first_entry) = referrer(&fake, 1);
    store
        .put_manifest(&first, &by_digest(&first))
        .await
        .unwrap();
    let (subject, tag) = (Digest::of(SUBJECT), fallback());
    assert_eq!(
        fake.take_lines(),
        [
            format!("PUT /v2/a/manifests/{} 201", first.digest),
            format!("GET /v2/a/referrers/{subject} 404"),
            format!("GET /v2/a/manifests/{tag} 404"),
            format!("PUT /v2/a/manifests/{tag} 201"),
            format!("GET /v2/a/manifests/{tag} 200"),
        ]
    );
    let text = |entries: &str| {
        format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{entries}]}}"#)
    };
    assert_eq!(
        fake.manifest("a", &tag),
        Some((INDEX.to_owned(), text(&first_entry.to_json()).into_bytes()))
    );
    // Again: nothing changes.
    store
        .put_manifest(&first, &by_digest(&first))
        .await
        .unwrap();
    assert_eq!(
        fake.take_lines(),
        [
            format!("PUT /v2/a/manifests/{} 201", first.digest),
            format!("GET /v2/a/manifests/{tag} 200"),
        ]
    );
    // What another tool wrote stays as it is: cosign's wrong type, unknown fields, white space.
    let (foreign, _) = referrer(&fake, 2);
    fake.put_manifest("a", MANIFEST, &foreign.bytes, None);
    let foreign = format!(
        r#"{{ "size": {}, "x-unknown": [1.0], "mediaType": "{MANIFEST}", "digest": "{}", "artifactType": "application/vnd.oci.empty.v1+json" }}"#,
        foreign.bytes.len(),
        foreign.digest
    );
    fake.put_manifest("a", INDEX, text(&foreign).as_bytes(), Some(&tag));
    let (third, third_entry) = referrer(&fake, 3);
    store
        .put_manifest(&third, &by_digest(&third))
        .await
        .unwrap();
    let (_, bytes) = fake.manifest("a", &tag).unwrap();
    assert_eq!(
        String::from_utf8(bytes).unwrap(),
        text(&format!("{foreign},{}", third_entry.to_json()))
    );
    assert_eq!(store.referrers(&subject).await.unwrap().len(), 2);
}

#[tokio::test]
async fn an_index_that_another_writer_replaced_is_written_again() {
    let fake = start(None, true).await;
    let setup = Setup::new(None);
    let store = setup.open(&fake, "a");
    let place = format!("/v2/a/manifests/{}", fallback());
    let (raw, entry) = referrer(&fake, 1);
    // As if it had been replaced at once.
    fake.fault(Fault::status("PUT", &place, 201).times(2));
    store.put_manifest(&raw, &by_digest(&raw)).await.unwrap();
    let subject = Digest::of(SUBJECT);
    assert_eq!(store.referrers(&subject).await.unwrap(), [entry]);
    assert_eq!(setup.time.pauses().len(), 2);

    let (raw, _) = referrer(&fake, 2);
    fake.fault(Fault::status("PUT", &place, 201).times(100));
    let error = store
        .put_manifest(&raw, &by_digest(&raw))
        .await
        .unwrap_err();
    let text = format!(
        "could not add to tag `{}` in {}/a: others replaced it 8 times meanwhile",
        fallback(),
        fake.host()
    );
    assert_eq!(error.to_string(), text);
    assert_eq!(error.class(), Class::Transport);
    assert!(error.hint().unwrap().contains("run it again"));
}

#[tokio::test]
async fn one_run_does_not_race_with_itself() {
    let fake = start(None, true).await;
    let store = Setup::new(None).open(&fake, "a");
    let all: Vec<RawManifest> = (0..6).map(|number| referrer(&fake, number).0).collect();
    let results = join_all(all.iter().map(|raw| {
        let store = &store;
        async move { store.put_manifest(raw, &by_digest(raw)).await }
    }))
    .await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    let (media_type, bytes) = fake.manifest("a", &fallback()).unwrap();
    let index = Index::parse(&RawManifest::new(media_type, bytes)).unwrap();
    assert_eq!(index.children.len(), 6);
    let written = fake
        .take_lines()
        .into_iter()
        .filter(|line| line.starts_with(&format!("PUT /v2/a/manifests/{}", fallback())))
        .count();
    assert_eq!(written, 6);
}

#[tokio::test]
async fn what_is_no_index_under_that_tag_is_not_replaced() {
    let fake = start(None, true).await;
    let store = Setup::new(None).open(&fake, "a");
    let image = crate::common::image(&fake, "a", "image");
    fake.put_manifest("a", MANIFEST, &image.bytes, Some(&fallback()));
    let (raw, _) = referrer(&fake, 1);
    let error = store
        .put_manifest(&raw, &by_digest(&raw))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, StoreError::BadManifest { what, .. } if what.starts_with(&format!("tag `{}`", fallback()))),
        "{error}"
    );
    assert_eq!(
        fake.tags("a"),
        [(fallback(), image.digest.as_str().to_owned())]
    );
    assert!(matches!(
        store.referrers(&Digest::of(SUBJECT)).await,
        Err(StoreError::BadManifest { .. })
    ));
}

#[tokio::test]
async fn an_image_that_cosign_copied_to_that_tag_is_no_list() {
    let fake = start(None, true).await;
    let store = Setup::new(None).open(&fake, "a");
    let child = crate::common::image(&fake, "a", "child");
    let index = format!(
        r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{}]}}"#,
        child.descriptor().to_json()
    );
    let index = RawManifest::new(INDEX, index.into_bytes());
    for image in [&child, &index] {
        let name = image.digest.as_str().replace(':', "-");
        fake.put_manifest("a", &image.media_type, &image.bytes, Some(&name));
        assert_eq!(store.referrers(&image.digest).await.unwrap(), []);
        let (raw, _) = referrer(&fake, 1);
        let text = String::from_utf8(raw.bytes).unwrap();
        let text = text.replace(Digest::of(SUBJECT).as_str(), image.digest.as_str());
        let raw = RawManifest::new(MANIFEST, text.into_bytes());
        store.put_manifest(&raw, &by_digest(&raw)).await.unwrap();
        let found = store.referrers(&image.digest).await.unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].digest, raw.digest);
        assert!(fake.manifest("a", image.digest.as_str()).is_some());
    }
}

#[tokio::test]
async fn an_answer_that_is_no_list_means_that_there_is_no_api() {
    let subject = Digest::of(SUBJECT);
    let html = [("content-type", "text/html; charset=utf-8")];
    for (status, headers) in [
        (200, &html[..]),
        (404, &[]),
        (400, &[]),
        (405, &[]),
        (501, &[]),
    ] {
        let fake = start(None, true).await;
        let store = Setup::new(None).open(&fake, "a");
        let fault = Fault::respond("GET", "/v2/a/referrers/*", status, headers, "<html>");
        fake.fault(fault.times(2));
        let (raw, entry) = referrer(&fake, 1);
        store.put_manifest(&raw, &by_digest(&raw)).await.unwrap();
        assert_eq!(
            store.referrers(&subject).await.unwrap(),
            [entry],
            "{status}"
        );
        assert_eq!(fake.tags("a").len(), 1);
    }
    let fake = start(None, true).await;
    let store = Setup::new(None).open(&fake, "a");
    fake.fault(Fault::status("GET", "/v2/a/referrers/*", 403));
    let (raw, _) = referrer(&fake, 1);
    let error = store
        .put_manifest(&raw, &by_digest(&raw))
        .await
        .unwrap_err();
    assert_eq!(error.class(), Class::Auth, "{error}");
}

#[tokio::test]
async fn a_subject_in_a_manifest_of_any_kind_counts_and_none_costs_nothing() {
    let fake = start(None, true).await;
    let store = Setup::new(None).open(&fake, "a");
    let subject = Digest::of(SUBJECT);
    let text = format!(
        r#"{{"schemaVersion":2,"mediaType":"{INDEX}","artifactType":"application/y","manifests":[],"subject":{{"mediaType":"{MANIFEST}","digest":"{subject}","size":7}}}}"#
    );
    let raw = RawManifest::new(INDEX, text.into_bytes());
    store
        .put_manifest(&raw, &crate::common::tag("named"))
        .await
        .unwrap();
    let found = store.referrers(&subject).await.unwrap();
    assert_eq!(found[0].artifact_type.as_deref(), Some("application/y"));
    fake.take_lines();
    let image = crate::common::image(&fake, "a", "plain");
    store
        .put_manifest(&image, &by_digest(&image))
        .await
        .unwrap();
    assert_eq!(fake.take_lines().len(), 1);
}
