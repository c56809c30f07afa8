use std::collections::BTreeSet;

use reseal_registry::{Layout, Target};
use reseal_testkit::registry::{Action, Fault};

use super::*;

/// What the tests copy: manifests and tags that must arrive.
struct World {
    digests: BTreeSet<Digest>,
    tags: BTreeSet<String>,
}

/// Fills a repository as several tools would: both forms of signatures, an SBOM tag, an SBOM that is signed itself, an index as
/// artifact, an artifact manifest of old.
async fn fill(fake: &FakeRegistry, path: &str) -> World {
    let store = open(fake, path);
    let mut digests = BTreeSet::new();
    let mut tags = BTreeSet::new();
    let add = async |subject: &Digest, mark: &str| {
        let bundle = BundleEntry {
            bundle: mark.as_bytes().to_vec(),
            predicate_type: "p".to_owned(),
            created: "2024-05-01T10:00:00Z".to_owned(),
        };
        let descriptor = reseal_oci::Descriptor::new(MANIFEST, subject.clone(), 8);
        let bundle = attach_bundle(&*store, &descriptor, &bundle).await.unwrap();
        let entry = signature("payload", mark);
        let tag = append_legacy(&*store, subject, Suffix::Signature, &entry)
            .await
            .unwrap();
        (bundle.digest, tag)
    };
    let (bundle, signatures) = add(&subject(), "image's").await;
    digests.extend([bundle, signatures.manifest.digest]);
    tags.insert(signatures.tag.to_string());
    let attestation = LegacyEntry {
        media_type: DSSE_ENVELOPE,
        ..signature("{}", "")
    };
    let attestation = append_legacy(&*store, &subject(), Suffix::Attestation, &attestation)
        .await
        .unwrap();
    digests.insert(attestation.manifest.digest);
    tags.insert(attestation.tag.to_string());

    let sbom = put_artifact(fake, path, "text/spdx", b"sbom tag", &Digest::of(b"nobody"));
    tags.insert(named(&subject(), ".sbom"));
    fake.put_manifest(
        path,
        MANIFEST,
        &sbom.bytes,
        Some(&named(&subject(), ".sbom")),
    );
    digests.insert(sbom.digest);

    let sbom = put_artifact(fake, path, "application/spdx+json", b"sbom", &subject());
    store
        .put_manifest(&sbom, &Target::Digest(sbom.digest.clone()))
        .await
        .unwrap();
    let (bundle, signatures) = add(&sbom.digest, "SBOM's").await;
    digests.extend([sbom.digest, bundle, signatures.manifest.digest]);
    tags.insert(signatures.tag.to_string());

    let child = put_artifact(
        fake,
        path,
        "application/child",
        b"child",
        &Digest::of(b"nobody"),
    );
    let index = format!(
        r#"{{"schemaVersion":2,"mediaType":"{INDEX}","artifactType":"application/set","manifests":[{}],"subject":{{"mediaType":"{MANIFEST}","digest":"{}","size":8}}}}"#,
        child.descriptor().to_json(),
        subject()
    );
    let index = RawManifest::new(INDEX, index.into_bytes());
    store
        .put_manifest(&index, &Target::Digest(index.digest.clone()))
        .await
        .unwrap();
    digests.extend([child.digest, index.digest]);

    let old = "application/vnd.oci.artifact.manifest.v1+json";
    fake.put_blob(path, b"old blob");
    let old_text = format!(
        r#"{{"mediaType":"{old}","artifactType":"application/old","blobs":[{}],"subject":{{"mediaType":"{MANIFEST}","digest":"{}","size":8}}}}"#,
        pointer("x", b"old blob"),
        subject()
    );
    let old = RawManifest::new(old, old_text.into_bytes());
    store
        .put_manifest(&old, &Target::Digest(old.digest.clone()))
        .await
        .unwrap();
    digests.insert(old.digest);

    World { digests, tags }
}

fn sbom_digest() -> Digest {
    let text = format!(
        r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","artifactType":"application/spdx+json","config":{},"layers":[{}],"annotations":{{"dev.sigstore.bundle.predicateType":"p"}},"subject":{{"mediaType":"{MANIFEST}","digest":"{}","size":8}}}}"#,
        pointer(EMPTY, b"{}"),
        pointer("application/spdx+json", b"sbom"),
        subject()
    );
    Digest::of(text.as_bytes())
}

async fn listed(store: &dyn Store, digest: &Digest) -> BTreeSet<Digest> {
    let found = store.referrers(digest).await.unwrap();
    found.into_iter().map(|entry| entry.digest).collect()
}

fn writes(fake: &FakeRegistry) -> Vec<String> {
    let mut lines = fake.take_lines();
    lines.retain(|line| !line.starts_with("GET") && !line.starts_with("HEAD"));
    lines
}

#[tokio::test]
async fn everything_that_belongs_to_an_image_arrives_with_its_digest() {
    for (source_api, target_api) in [(Some(1), None), (None, Some(1)), (None, None)] {
        let (one, two) = (start(source_api).await, start(target_api).await);
        let world = fill(&one, "a").await;
        let (from, to) = (open(&one, "a"), open(&two, "b"));
        let copied = copy_artifacts(&*from, &*to, &subject()).await.unwrap();
        assert!(
            copied.iter().all(|one| one.outcome == Outcome::Copied),
            "{copied:?}"
        );
        // 3 tags, 4 referrers; of the SBOM a tag and a referrer.
        assert_eq!(copied.len(), 9);
        assert_eq!(
            copied
                .iter()
                .filter(|one| one.subject == sbom_digest())
                .count(),
            2
        );
        for digest in &world.digests {
            let found = two.manifest("b", digest.as_str());
            assert_eq!(found, one.manifest("a", digest.as_str()), "{digest}");
            assert!(found.is_some());
        }
        let tags: BTreeSet<String> = two.tags("b").into_iter().map(|(tag, _)| tag).collect();
        let mut expected = world.tags.clone();
        if target_api.is_none() {
            // The index's child belongs to something as well, and is found from there.
            let subjects = [subject(), sbom_digest(), Digest::of(b"nobody")];
            expected.extend(subjects.iter().map(|digest| named(digest, "")));
        }
        assert_eq!(tags, expected);
        for digest in [subject(), sbom_digest()] {
            assert_eq!(listed(&*to, &digest).await, listed(&*from, &digest).await);
        }
        writes(&two);
        let again = copy_artifacts(&*from, &*to, &subject()).await.unwrap();
        assert!(
            again.iter().all(|one| one.outcome == Outcome::Present),
            "{again:?}"
        );
        assert_eq!((again.len(), writes(&two)), (9, vec![]));
    }
}

#[tokio::test]
async fn within_one_registry_no_bytes_move() {
    let fake = start(Some(100)).await;
    fill(&fake, "a").await;
    let (from, to) = (open(&fake, "a"), open(&fake, "b"));
    fake.take_lines();
    copy_artifacts(&*from, &*to, &subject()).await.unwrap();
    let uploads = fake
        .take_lines()
        .into_iter()
        .filter(|line| line.starts_with("PUT /v2/b/blobs/"))
        .count();
    assert_eq!(uploads, 0);
    let same = copy_artifacts(&*from, &*from, &subject()).await.unwrap();
    assert!(
        same.iter().all(|one| one.outcome == Outcome::Present),
        "{same:?}"
    );
}

#[tokio::test]
async fn a_copy_that_was_cut_off_anywhere_is_completed_by_the_next() {
    let one = start(None).await;
    fill(&one, "a").await;
    let from = open(&one, "a");
    let whole = start(None).await;
    copy_artifacts(&*from, &*open(&whole, "b"), &subject())
        .await
        .unwrap();
    let mut cuts = 0;
    for number in 1.. {
        let two = start(None).await;
        let to = open(&two, "b");
        // Whether the registry got the last request is not known to the one who sent it.
        let lost = number % 2 == 0;
        let action = if lost {
            Action::CutAnswer
        } else {
            Action::CutRequest(0)
        };
        two.fault(Fault::on("PUT", "*", action).nth(number));
        let result = copy_artifacts(&*from, &*to, &subject()).await;
        if two.faults_left() > 0 {
            assert!(result.is_ok());
            break;
        }
        assert!(result.is_err(), "cut {number}");
        cuts += 1;
        // What is there by name is whole.
        for (tag, _) in two
            .tags("b")
            .into_iter()
            .filter(|(tag, _)| tag.contains('.'))
        {
            assert_eq!(two.manifest("b", &tag), one.manifest("a", &tag));
        }
        copy_artifacts(&*from, &*to, &subject()).await.unwrap();
        assert_eq!(
            two.tags("b").iter().map(|(tag, _)| tag).collect::<Vec<_>>(),
            whole
                .tags("b")
                .iter()
                .map(|(tag, _)| tag)
                .collect::<Vec<_>>()
        );
        for digest in [subject(), sbom_digest()] {
            assert_eq!(
                listed(&*to, &digest).await,
                listed(&*from, &digest).await,
                "cut {number}"
            );
        }
        writes(&two);
        copy_artifacts(&*from, &*to, &subject()).await.unwrap();
        assert_eq!(writes(&two), [""; 0]);
    }
    assert!(cuts > 15, "{cuts}");
}

#[tokio::test]
async fn signatures_that_are_there_stay_and_come_first() {
    let (one, two) = (start(None).await, start(None).await);
    let (from, to) = (open(&one, "a"), open(&two, "b"));
    for (store, marks) in [(&from, ["theirs", "shared"]), (&to, ["shared", "mine"])] {
        for mark in marks {
            let entry = signature("payload", mark);
            append_legacy(&**store, &subject(), Suffix::Signature, &entry)
                .await
                .unwrap();
        }
    }
    let copied = copy_artifacts(&*from, &*to, &subject()).await.unwrap();
    assert_eq!(copied.len(), 1);
    assert_eq!(copied[0].outcome, Outcome::Merged);
    let marks = async |store: &dyn Store| -> Vec<String> {
        let found = collect(store, &subject()).await.unwrap();
        let marks = found
            .signatures
            .iter()
            .map(|found| found.annotations[SIGNATURE_ANNOTATION].clone());
        marks.collect()
    };
    assert_eq!(marks(&*to).await, ["shared", "mine", "theirs"]);
    assert_eq!(marks(&*from).await, ["theirs", "shared"]);
    let again = copy_artifacts(&*from, &*to, &subject()).await.unwrap();
    assert_eq!(again[0].outcome, Outcome::Present);
    // The other way round there is something to take as well.
    let back = copy_artifacts(&*to, &*from, &subject()).await.unwrap();
    assert_eq!(back[0].outcome, Outcome::Merged);
    assert_eq!(marks(&*from).await, ["theirs", "shared", "mine"]);
}

#[tokio::test]
async fn an_sbom_tag_that_differs_stays_as_it_is() {
    let (one, two) = (start(None).await, start(None).await);
    let name = named(&subject(), ".sbom");
    for (fake, path, content) in [(&one, "a", "new"), (&two, "b", "old")] {
        let raw = put_artifact(
            fake,
            path,
            "text/spdx",
            content.as_bytes(),
            &Digest::of(b"nobody"),
        );
        fake.put_manifest(path, MANIFEST, &raw.bytes, Some(&name));
    }
    let before = two.tags("b");
    let copied = copy_artifacts(&*open(&one, "a"), &*open(&two, "b"), &subject())
        .await
        .unwrap();
    let [only] = copied.as_slice() else {
        panic!("{copied:?}");
    };
    assert!(
        matches!(&only.outcome, Outcome::Skipped(why) if why.contains("stays")),
        "{only:?}"
    );
    assert_eq!(two.tags("b"), before);
}

#[tokio::test]
async fn broken_referrers_are_left_out_and_changed_content_is_an_error() {
    let (one, two) = (start(None).await, start(None).await);
    let hollow = put_artifact(&one, "a", BUNDLE, b"hollow", &subject());
    let elsewhere = put_artifact(&one, "a", BUNDLE, b"bundle", &Digest::of(b"other"));
    let gone = RawManifest::new(MANIFEST, b"gone".to_vec());
    let good = put_artifact(&one, "a", BUNDLE, b"good", &subject());
    put_list(&one, "a", &subject(), &[&hollow, &elsewhere, &gone, &good]);
    one.put_manifest(
        "a",
        INDEX,
        br#"{"manifests":[]}"#,
        Some(&named(&subject(), ".sig")),
    );
    let hollow_blob = format!("/v2/a/blobs/{}", Digest::of(b"hollow"));
    one.fault(Fault::status("GET", &hollow_blob, 404).times(2));
    let (from, to) = (open(&one, "a"), open(&two, "b"));
    let copied = copy_artifacts(&*from, &*to, &subject()).await.unwrap();
    let skipped: Vec<bool> = copied
        .iter()
        .map(|one| matches!(one.outcome, Outcome::Skipped(_)))
        .collect();
    assert_eq!(skipped, [true, true, true, true, false], "{copied:?}");
    assert_eq!(
        listed(&*to, &subject()).await,
        BTreeSet::from([good.digest])
    );

    let two = start(None).await;
    let good_blob = format!("/v2/a/blobs/{}", Digest::of(b"good"));
    one.fault(Fault::on("GET", &good_blob, Action::WrongBody));
    let error = copy_artifacts(&*from, &*open(&two, "b"), &subject())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("has digest"), "{error}");
}

#[tokio::test]
async fn a_flood_is_refused_before_anything_is_copied() {
    let (one, two) = (start(None).await, start(None).await);
    let many: Vec<RawManifest> = (0..1001)
        .map(|number: u32| RawManifest::new(MANIFEST, number.to_string().into_bytes()))
        .collect();
    put_list(&one, "a", &subject(), &many.iter().collect::<Vec<_>>());
    let error = copy_artifacts(&*open(&one, "a"), &*open(&two, "b"), &subject())
        .await
        .unwrap_err();
    let expected = format!(
        "more than 1000 artifacts belong to {} in {}/a",
        subject(),
        one.host()
    );
    assert_eq!(error.to_string(), expected);
    assert!(error.hint().is_some());
    assert!(one.take_lines().len() < 10);
}

#[tokio::test]
async fn a_list_in_a_circle_ends() {
    let (one, two) = (start(None).await, start(None).await);
    let a = put_artifact(&one, "a", BUNDLE, b"a", &subject());
    let b = put_artifact(&one, "a", BUNDLE, b"b", &a.digest);
    put_list(&one, "a", &subject(), &[&a]);
    put_list(&one, "a", &a.digest, &[&b, &a]);
    put_list(&one, "a", &b.digest, &[&a, &b]);
    let copied = copy_artifacts(&*open(&one, "a"), &*open(&two, "b"), &subject())
        .await
        .unwrap();
    let what: Vec<_> = copied.iter().map(|one| one.what.to_string()).collect();
    assert_eq!(what, [a.digest.to_string(), b.digest.to_string()]);
}

#[tokio::test]
async fn layouts_are_places_like_others() {
    let (one, two) = (start(Some(100)).await, start(None).await);
    let world = fill(&one, "a").await;
    let folder = tempfile::tempdir().unwrap();
    let layout = Layout::create(folder.path().join("out")).unwrap();
    let (from, to) = (open(&one, "a"), open(&two, "b"));
    let inward = copy_artifacts(&*from, &layout, &subject()).await.unwrap();
    let outward = copy_artifacts(&layout, &*to, &subject()).await.unwrap();
    for copied in [&inward, &outward] {
        assert_eq!(copied.len(), 9);
        assert!(
            copied.iter().all(|one| one.outcome == Outcome::Copied),
            "{copied:?}"
        );
    }
    for digest in &world.digests {
        assert_eq!(
            two.manifest("b", digest.as_str()),
            one.manifest("a", digest.as_str())
        );
    }
    assert_eq!(
        listed(&*to, &subject()).await,
        listed(&*from, &subject()).await
    );
    let again = copy_artifacts(&*from, &layout, &subject()).await.unwrap();
    assert!(
        again.iter().all(|one| one.outcome == Outcome::Present),
        "{again:?}"
    );
}
