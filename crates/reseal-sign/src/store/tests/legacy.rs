use reseal_registry::StoreError;

use super::racing::Racing;
use super::*;

const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

fn manifest(config: &str, layers: &[String]) -> String {
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{},"layers":[{}]}}"#,
        pointer(CONFIG, config.as_bytes()),
        layers.join(",")
    )
}

fn config(payloads: &[&str]) -> String {
    let times = vec![r#"{"created":"0001-01-01T00:00:00Z"}"#; payloads.len()].join(",");
    let ids: Vec<String> = payloads
        .iter()
        .map(|payload| format!("\"{}\"", Digest::of(payload.as_bytes())))
        .collect();
    format!(
        r#"{{"architecture":"","created":"0001-01-01T00:00:00Z","history":[{times}],"os":"","rootfs":{{"type":"layers","diff_ids":[{}]}},"config":{{}}}}"#,
        ids.join(",")
    )
}

fn signed(payload: &str, signature: &str) -> String {
    layer(
        SIMPLE_SIGNING,
        payload.as_bytes(),
        &format!(r#"{{"{SIGNATURE_ANNOTATION}":"{signature}"}}"#),
    )
}

/// Puts a list there as another signer would.
fn put_signatures(
    fake: &reseal_testkit::registry::Handle,
    blobs: &FakeRegistry,
    signatures: &[(&str, &str)],
) -> String {
    let payloads: Vec<&str> = signatures.iter().map(|(payload, _)| *payload).collect();
    for payload in &payloads {
        blobs.put_blob("a", payload.as_bytes());
    }
    blobs.put_blob("a", config(&payloads).as_bytes());
    let layers: Vec<String> = signatures.iter().map(|(p, s)| signed(p, s)).collect();
    let text = manifest(&config(&payloads), &layers);
    fake.put_manifest(
        "a",
        MANIFEST,
        text.as_bytes(),
        Some(&named(&subject(), ".sig")),
    );
    text
}

#[tokio::test]
async fn the_first_entry_makes_the_manifest_and_config_that_cosign_makes() {
    let fake = start(None).await;
    let store = open(&fake, "a");
    let appended = append_legacy(
        &*store,
        &subject(),
        Suffix::Signature,
        &signature("p1", "c2ln"),
    )
    .await
    .unwrap();
    let tag = named(&subject(), ".sig");
    assert_eq!(
        (appended.tag.as_str(), appended.added),
        (tag.as_str(), true)
    );
    let expected = manifest(&config(&["p1"]), &[signed("p1", "c2ln")]);
    // The size of the config of one signature is known from cosign's own.
    assert!(expected.contains(r#""size":233"#));
    assert_eq!(text_of(&fake, "a", &tag), expected);
    assert_eq!(appended.manifest.digest, Digest::of(expected.as_bytes()));
    let stored = fake.blob("a", Digest::of(config(&["p1"]).as_bytes()).as_str());
    assert_eq!(stored.unwrap(), config(&["p1"]).into_bytes());

    let attestation = LegacyEntry {
        media_type: DSSE_ENVELOPE,
        payload: b"{}".to_vec(),
        annotations: BTreeMap::from([
            (SIGNATURE_ANNOTATION.to_owned(), String::new()),
            (
                PREDICATE_TYPE_ANNOTATION.to_owned(),
                "https://x.example/?a=1&b=<2>".to_owned(),
            ),
        ]),
    };
    append_legacy(&*store, &subject(), Suffix::Attestation, &attestation)
        .await
        .unwrap();
    let annotations = format!(
        r#"{{"{SIGNATURE_ANNOTATION}":"","predicateType":"https://x.example/?a=1\u0026b=\u003c2\u003e"}}"#
    );
    assert_eq!(
        text_of(&fake, "a", &named(&subject(), ".att")),
        manifest(
            &config(&["{}"]),
            &[layer(DSSE_ENVELOPE, b"{}", &annotations)]
        )
    );
    let found = collect(&*store, &subject()).await.unwrap();
    assert_eq!(found.attestations[0].annotations, attestation.annotations);
}

#[tokio::test]
async fn a_second_signer_adds_to_the_first_whose_bytes_stay() {
    let fake = start(None).await;
    let store = open(&fake, "a");
    // Made with `--record-creation-timestamp`, by a tool with its own ideas of white space and fields.
    let theirs = format!(
        r#"{{ "size": 2, "x": 1.50, "digest":"{}", "mediaType":"{SIMPLE_SIGNING}", "annotations": {{"{SIGNATURE_ANNOTATION}":"\u0061"}} }}"#,
        Digest::of(b"p1")
    );
    let theirs = [theirs, layer("text/foreign", b"note", "{}")];
    let old_config = format!(
        r#"{{"created":"2024-05-01T10:00:00Z","history":[{{"created":"2024-05-01T10:00:00Z"}},{{}}],"rootfs":{{"type":"layers","diff_ids":["{}","{}"]}}, "y":1}}"#,
        Digest::of(b"p1"),
        Digest::of(b"note")
    );
    for blob in [&b"p1"[..], b"note", old_config.as_bytes()] {
        fake.put_blob("a", blob);
    }
    let tag = named(&subject(), ".sig");
    let before = manifest(&old_config, &theirs);
    fake.put_manifest("a", MANIFEST, before.as_bytes(), Some(&tag));
    let mine = signature("p1", "bWluZQ==");
    let appended = append_legacy(&*store, &subject(), Suffix::Signature, &mine)
        .await
        .unwrap();
    assert!(appended.added);
    let new_config = format!(
        r#"{{"created":"2024-05-01T10:00:00Z","history":[{{"created":"2024-05-01T10:00:00Z"}},{{}},{{"created":"0001-01-01T00:00:00Z"}}],"rootfs":{{"type":"layers","diff_ids":["{0}","{1}","{0}"]}}, "y":1}}"#,
        Digest::of(b"p1"),
        Digest::of(b"note")
    );
    let [first, second] = theirs;
    let all = [first, second, signed("p1", "bWluZQ==")];
    assert_eq!(text_of(&fake, "a", &tag), manifest(&new_config, &all));
}

#[tokio::test]
async fn a_config_that_knows_too_little_is_made_anew() {
    for old in [Some("{}"), Some("nonsense"), None] {
        let fake = start(None).await;
        let store = open(&fake, "a");
        fake.put_blob("a", b"p1");
        let named_config = old.unwrap_or("what is not there");
        if let Some(old) = old {
            fake.put_blob("a", old.as_bytes());
        }
        let tag = named(&subject(), ".sig");
        let before = manifest(named_config, &[signed("p1", "one")]);
        fake.put_manifest("a", MANIFEST, before.as_bytes(), Some(&tag));
        append_legacy(
            &*store,
            &subject(),
            Suffix::Signature,
            &signature("p2", "two"),
        )
        .await
        .unwrap();
        let layers = [signed("p1", "one"), signed("p2", "two")];
        let expected = manifest(&config(&["p1", "p2"]), &layers);
        assert_eq!(text_of(&fake, "a", &tag), expected, "{old:?}");
    }
}

#[tokio::test]
async fn the_same_entry_is_not_added_twice() {
    let fake = start(None).await;
    let store = open(&fake, "a");
    let entry = |payload, text, more: &[(&str, &str)]| {
        let mut entry = signature(payload, text);
        let more = more
            .iter()
            .map(|&(key, value)| (key.to_owned(), value.to_owned()));
        entry.annotations.extend(more);
        entry
    };
    for (new, added, why) in [
        (entry("p", "s", &[]), true, "the first"),
        (entry("p", "s", &[]), false, "the same"),
        (
            entry("p", "s", &[(LOG_ANNOTATION, "1")]),
            true,
            "the log is new",
        ),
        (
            entry("p", "s", &[(LOG_ANNOTATION, "2")]),
            false,
            "another promise of the log",
        ),
        (
            entry(
                "p",
                "s",
                &[(LOG_ANNOTATION, "2"), (TIMESTAMP_ANNOTATION, "t")],
            ),
            true,
            "the time is new",
        ),
        (
            entry("p", "s", &[(TIMESTAMP_ANNOTATION, "u")]),
            false,
            "less than what is there",
        ),
        (
            entry("p", "s", &[(CERTIFICATE_ANNOTATION, "c")]),
            true,
            "another certificate",
        ),
        (entry("p", "other", &[]), true, "another signature"),
        (entry("q", "s", &[]), true, "another payload"),
    ] {
        let before = fake.tags("a");
        let appended = append_legacy(&*store, &subject(), Suffix::Signature, &new)
            .await
            .unwrap();
        assert_eq!(appended.added, added, "{why}");
        assert_eq!(before != fake.tags("a"), added, "{why}");
        let now = store
            .resolve(&reseal_registry::Target::Tag(appended.tag))
            .await
            .unwrap();
        assert_eq!(now.unwrap().digest, appended.manifest.digest, "{why}");
    }
}

#[tokio::test]
async fn what_others_write_meanwhile_is_kept() {
    let tag = named(&subject(), ".sig");
    let mine = signature("p", "mine");
    for existed in [false, true] {
        let fake = std::sync::Arc::new(start(None).await);
        let store = open(&fake, "a");
        if existed {
            put_signatures(&fake.handle(), &fake, &[("p", "old")]);
        }
        let old = existed.then_some(("p", "old"));
        let others = {
            let fake = std::sync::Arc::clone(&fake);
            move |more: (&'static str, &'static str)| {
                let all: Vec<_> = old.into_iter().chain([more]).collect();
                put_signatures(&fake.handle(), &fake, &all);
            }
        };
        let (before, after) = (others.clone(), others);
        // One writes while this one makes its list; then another, who has read before, replaces all.
        let racing = Racing::new(
            &*store,
            Some(Box::new(move || before(("q", "before")))),
            1,
            Box::new(move || after(("r", "after"))),
        );
        let appended = append_legacy(&racing, &subject(), Suffix::Signature, &mine)
            .await
            .unwrap();
        assert!(appended.added);
        let found = collect(&*store, &subject()).await.unwrap();
        let texts: Vec<_> = found
            .signatures
            .iter()
            .map(|found| found.annotations[SIGNATURE_ANNOTATION].as_str())
            .collect();
        // `before` was lost by the other writer, not by this one.
        let expected: &[&str] = if existed {
            &["old", "after", "mine"]
        } else {
            &["after", "mine"]
        };
        assert_eq!(texts, expected);
        let lines = fake.take_lines();
        let writes = lines
            .iter()
            .filter(|line| **line == format!("PUT /v2/a/manifests/{tag} 201"));
        assert_eq!(writes.count(), 2, "{lines:?}");
    }
}

#[tokio::test]
async fn a_list_that_is_written_between_reading_and_writing_is_read_again() {
    let fake = std::sync::Arc::new(start(None).await);
    let store = open(&fake, "a");
    let others = std::sync::Arc::clone(&fake);
    let racing = Racing::new(
        &*store,
        Some(Box::new(move || {
            put_signatures(&others.handle(), &others, &[("q", "theirs")]);
        })),
        0,
        Box::new(|| {}),
    );
    append_legacy(
        &racing,
        &subject(),
        Suffix::Signature,
        &signature("p", "mine"),
    )
    .await
    .unwrap();
    let expected = manifest(
        &config(&["q", "p"]),
        &[signed("q", "theirs"), signed("p", "mine")],
    );
    assert_eq!(text_of(&fake, "a", &named(&subject(), ".sig")), expected);
}

#[tokio::test]
async fn a_tag_that_others_replace_all_the_time_is_an_error() {
    let fake = std::sync::Arc::new(start(None).await);
    let store = open(&fake, "a");
    let others = std::sync::Arc::clone(&fake);
    let racing = Racing::new(
        &*store,
        None,
        100,
        Box::new(move || {
            put_signatures(&others.handle(), &others, &[("q", "theirs")]);
        }),
    );
    let error = append_legacy(
        &racing,
        &subject(),
        Suffix::Signature,
        &signature("p", "mine"),
    )
    .await
    .unwrap_err();
    assert!(
        matches!(error.store(), Some(StoreError::Contended { tries: 8, .. })),
        "{error}"
    );
    assert!(error.hint().is_some());
}

#[tokio::test]
async fn what_is_no_list_of_signatures_is_not_replaced() {
    let tag = named(&subject(), ".sig");
    for (media_type, text) in [
        (INDEX, r#"{"schemaVersion":2,"manifests":[]}"#),
        (MANIFEST, r#"{"schemaVersion":2}"#),
        (MANIFEST, r#"{"layers":7,"config":{"digest":"x"}}"#),
        ("application/json", "garbage"),
    ] {
        let fake = start(None).await;
        let store = open(&fake, "a");
        fake.put_manifest("a", media_type, text.as_bytes(), Some(&tag));
        let error = append_legacy(&*store, &subject(), Suffix::Signature, &signature("p", "s"))
            .await
            .unwrap_err();
        let start = format!(
            "tag `{tag}` in {}/a holds something else than signatures: ",
            fake.host()
        );
        assert!(error.to_string().starts_with(&start), "{error}");
        assert!(error.hint().is_some());
        assert_eq!(text_of(&fake, "a", &tag), text);
    }
}

#[tokio::test]
async fn a_digest_too_long_for_a_tag_is_named() {
    let fake = start(None).await;
    let long: Digest = format!("sha512:{}", "a".repeat(128)).parse().unwrap();
    let store = open(&fake, "a");
    let error = append_legacy(&*store, &long, Suffix::Signature, &signature("p", "s"))
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("no tag can hold the signatures of sha512:aaa"),
        "{error}"
    );
    assert!(fake.take_lines().is_empty());
    assert_eq!(collect(&*store, &long).await.unwrap(), Collected::default());
}
