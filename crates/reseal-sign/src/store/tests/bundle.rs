use reseal_oci::Descriptor;
use reseal_testkit::registry::Fault;

use super::*;

fn entry() -> BundleEntry {
    BundleEntry {
        bundle: br#"{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json"}"#.to_vec(),
        predicate_type: "https://sigstore.dev/cosign/sign/v1".to_owned(),
        created: "2024-05-01T10:00:00Z".to_owned(),
    }
}

fn image() -> Descriptor {
    let mut image = Descriptor::new(INDEX, subject(), 8);
    // What an index or a list of referrers says about it is no part of a subject.
    image.annotations.insert("a".into(), "b".into());
    image.artifact_type = Some("x".into());
    image
}

#[tokio::test]
async fn a_bundle_is_attached_in_the_bytes_of_cosign_and_found_again() {
    for referrers in [Some(1), None] {
        let fake = start(referrers).await;
        let store = open(&fake, "a");
        let made = attach_bundle(&*store, &image(), &entry()).await.unwrap();
        let expected = format!(
            r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","artifactType":"{BUNDLE}","config":{{"mediaType":"{EMPTY}","size":2,"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"}},"layers":[{}],"annotations":{{"dev.sigstore.bundle.content":"dsse-envelope","dev.sigstore.bundle.predicateType":"https://sigstore.dev/cosign/sign/v1","org.opencontainers.image.created":"2024-05-01T10:00:00Z"}},"subject":{{"mediaType":"{INDEX}","size":8,"digest":"{}"}}}}"#,
            pointer(BUNDLE, &entry().bundle),
            subject()
        );
        assert_eq!(text_of(&fake, "a", made.digest.as_str()), expected);
        assert_eq!(made.artifact_type.as_deref(), Some(BUNDLE));
        let listed = store.referrers(&subject()).await.unwrap();
        assert_eq!(listed, std::slice::from_ref(&made));
        // Once more, and then another one.
        let again = attach_bundle(&*store, &image(), &entry()).await.unwrap();
        assert_eq!(again, made);
        let other = BundleEntry {
            created: "2024-05-01T10:00:01Z".to_owned(),
            ..entry()
        };
        attach_bundle(&*store, &image(), &other).await.unwrap();
        let found = collect(&*store, &subject()).await.unwrap();
        assert_eq!(found.skipped, [""; 0]);
        assert_eq!(found.bundles.len(), 2);
        for bundle in &found.bundles {
            assert_eq!(bundle.bytes, entry().bundle);
            let kind = Some("https://sigstore.dev/cosign/sign/v1");
            assert_eq!(bundle.predicate_type.as_deref(), kind);
        }
        assert!(
            found
                .bundles
                .iter()
                .any(|bundle| bundle.descriptor.digest == made.digest)
        );
        assert_eq!(fake.tags("a").len(), usize::from(referrers.is_none()));
    }
}

#[tokio::test]
async fn a_bundle_that_nobody_would_find_is_an_error() {
    let fake = start(None).await;
    let store = open(&fake, "a");
    let place = format!("/v2/a/manifests/{}", named(&subject(), ""));
    fake.fault(Fault::status("PUT", &place, 400));
    let error = attach_bundle(&*store, &image(), &entry())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("with status 400"), "{error}");
}
