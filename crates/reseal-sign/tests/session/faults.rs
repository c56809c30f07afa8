//! Services that are blocked, broken, slow, or answer another question.

use std::time::Duration;

use reseal_sign::{Session, SignatureFormat};
use reseal_testkit::sigstore::{FakeSigstore, Options, Reply};
use serde_json::json;

use crate::support::{
    Clock, NOW, REKOR1, REKOR1_TSA, REKOR2_TSA, Uses, http, key_settings, keyed, keyless,
    keyless_settings, services, subject, token, words,
};

const LOG: &str = "/rekor/api/v1/log/entries";
const CERTIFICATE: &str = "/fulcio/api/v2/signingCert";

/// What an error must say, and what it must advise.
#[track_caller]
fn says(error: &reseal_sign::SignError, message: &str, hint: &str) {
    let (found, advice) = words(error);
    assert!(found.contains(message), "{found}");
    assert!(advice.contains(hint), "{found}: {advice}");
}

#[tokio::test]
async fn a_service_that_is_busy_is_asked_again_after_a_pause() {
    let (fake, clock, session, _) = keyed(REKOR1, SignatureFormat::Bundle).await;
    fake.answer(LOG, 1, Reply::refuse(503, "busy"));
    fake.answer(
        LOG,
        1,
        Reply::refuse(429, "slow down").with("retry-after", "7"),
    );
    fake.cut(LOG, 1);
    session.sign_image(&subject()).await.unwrap();
    let pauses = clock.pauses();
    assert_eq!(pauses, [500, 7000, 2000].map(Duration::from_millis));
    // The log had it already when the answer was cut off: the fourth request learns that, the fifth fetches it.
    let asked = fake.asked(LOG);
    let methods: Vec<&str> = asked.iter().map(|asked| asked.method.as_str()).collect();
    assert_eq!(methods, ["POST", "POST", "POST", "POST", "GET"]);
}

#[tokio::test]
async fn a_service_that_stays_broken_is_given_up_with_advice() {
    for (service, status, said, hint) in [
        (LOG, 503, "Rekor at", "--tlog=off"),
        (LOG, 404, "Rekor at", "first or the second protocol"),
        (
            LOG,
            400,
            "with status 400: bad entry",
            "does not take this kind of entry",
        ),
        ("/tsa", 500, "the timestamp authority at", ""),
    ] {
        let (fake, clock, session, _) = keyed(REKOR1_TSA, SignatureFormat::Bundle).await;
        fake.answer(service, 99, Reply::refuse(status, "bad entry"));
        let error = session.sign_image(&subject()).await.unwrap_err();
        says(&error, said, hint);
        let again = if status >= 500 { 4 } else { 0 };
        assert_eq!(clock.pauses().len(), again, "{status}");
    }
}

#[tokio::test]
async fn a_pause_that_nobody_waits_for_ends_the_run_at_once() {
    let (fake, clock, session, _) = keyed(REKOR1, SignatureFormat::Bundle).await;
    fake.answer(
        LOG,
        1,
        Reply::refuse(429, "later").with("retry-after", "3600"),
    );
    let error = session.sign_image(&subject()).await.unwrap_err();
    says(&error, "with status 429: later", "try again later");
    assert!(clock.pauses().is_empty());
}

#[tokio::test]
async fn blocked_services_are_named_and_the_key_route_is_shown() {
    let gone = FakeSigstore::start(Options::default()).await;
    let blocked = services(&gone, REKOR1);
    drop(gone);
    let clock = Clock::at(NOW);
    let text = token(&json!({}));
    let session = Session::open(keyless_settings(blocked.clone(), &text), http(&clock)).unwrap();
    let error = session.sign_image(&subject()).await.unwrap_err();
    says(
        &error,
        "could not reach Fulcio at http://127.0.0.1",
        "--sign-key cosign.key",
    );

    let key = std::sync::Arc::new(reseal_sign::key::FileKey::generate().unwrap());
    let settings = key_settings(&key, blocked, SignatureFormat::Both);
    let session = Session::open(settings, http(&clock)).unwrap();
    let error = session.sign_image(&subject()).await.unwrap_err();
    says(
        &error,
        "could not reach Rekor at http://127.0.0.1",
        "--tlog=off",
    );
}

#[tokio::test]
async fn an_entry_that_the_log_has_is_fetched_from_the_log_alone() {
    let (fake, _, session, _) = keyed(REKOR1, SignatureFormat::Bundle).await;
    let elsewhere = "https://elsewhere.example/api/v1/log/entries/x";
    for (location, part) in [
        (Some(elsewhere), "does not say where"),
        (None, "does not say where"),
    ] {
        let mut reply = Reply::refuse(409, "an equivalent entry already exists");
        if let Some(location) = location {
            reply = reply.with("location", location);
        }
        fake.answer(LOG, 1, reply);
        let error = session.sign_image(&subject()).await.unwrap_err();
        says(&error, part, "");
    }
}

#[tokio::test]
async fn a_second_log_that_has_the_signature_already_is_told_apart() {
    let (fake, _, session, _) = keyed(REKOR2_TSA, SignatureFormat::Bundle).await;
    let place = "/rekor2/api/v2/log/entries";
    let reply = Reply::refuse(409, "an equivalent entry already exists with index 71");
    fake.answer(place, 1, reply);
    let error = session.sign_image(&subject()).await.unwrap_err();
    says(&error, "with status 409", "sign it with an annotation");
}

#[tokio::test]
async fn answers_that_belong_to_another_question_are_refused() {
    let (fake, _, session, _) = keyed(REKOR1, SignatureFormat::Bundle).await;
    session.sign_image(&subject()).await.unwrap();
    for (reply, part) in [
        (Reply::json(201, &json!({})), "not one entry"),
        (Reply::json(200, &json!({"x": 1})), "invalid type"),
        (
            Reply {
                status: 302,
                headers: vec![("location".into(), "/other".into())],
                body: Vec::new(),
            },
            "with status 302",
        ),
        (
            Reply {
                status: 201,
                headers: Vec::new(),
                body: vec![b' '; (4 << 20) + 1],
            },
            "longer than",
        ),
    ] {
        fake.answer(LOG, 1, reply);
        let error = session.sign_image(&subject()).await.unwrap_err();
        says(&error, part, "");
    }
    assert!(
        fake.asked("/other").is_empty(),
        "redirects are not followed"
    );

    let (_fake, _, session) = keyless(
        Options {
            other_key: true,
            ..Options::default()
        },
        &token(&json!({})),
    )
    .await;
    let error = session.sign_image(&subject()).await.unwrap_err();
    says(&error, "for another key", "");
}

#[tokio::test]
async fn a_token_that_fulcio_does_not_take_is_explained() {
    let issuers = json!([
        {"issuerUrl": "https://token.example", "audience": "private", "challengeClaim": "sub"},
        {"wildcardIssuerUrl": "https://oidc.*.example/id/*", "audience": "sigstore"},
    ]);
    let known = || Options {
        issuers: issuers.clone(),
        ..Options::default()
    };
    for (options, claims, message, hint) in [
        (
            known(),
            json!({}),
            "is for the audience `sigstore`, and Fulcio wants `private`",
            "audience `private`",
        ),
        (
            known(),
            json!({"iss": "https://other.example"}),
            "no tokens of `https://other.example`; it takes those of https://token.example, https://oidc.*.example/id/*",
            "--fulcio-url",
        ),
        (
            known(),
            json!({"aud": "private"}),
            "with status 400: There was an error",
            "issuer, audience and age",
        ),
        (
            Options::default(),
            json!({}),
            "with status 400: There was an error",
            "--sign-key",
        ),
    ] {
        let text = token(&claims);
        let (fake, _, session) = keyless(options, &text).await;
        fake.answer(
            CERTIFICATE,
            1,
            Reply::refuse(400, "There was an error processing the identity token"),
        );
        let error = session.sign_image(&subject()).await.unwrap_err();
        says(&error, message, hint);
        let (message, hint) = words(&error);
        let shown = format!("{message} {hint} {error:?}");
        assert!(!shown.contains(&text), "{shown}");
    }
}

#[tokio::test]
async fn a_wrong_clock_is_named() {
    for (claims, options, message, hint) in [
        (
            json!({"exp": NOW - 60}),
            Options::default(),
            "ended 60 seconds ago",
            "correct the clock",
        ),
        (
            json!({"iat": NOW + 3600, "exp": NOW + 4200}),
            Options::default(),
            "3600 seconds behind",
            "correct the clock",
        ),
        (
            json!({}),
            Options {
                validity: ("20250615130000Z".into(), "20250615131000Z".into()),
                ..Options::default()
            },
            "3600 seconds behind that of Fulcio",
            "correct the clock",
        ),
        (
            json!({}),
            Options {
                validity: ("20250615110000Z".into(), "20250615111000Z".into()),
                ..Options::default()
            },
            "3600 seconds ahead of that of Fulcio",
            "correct the clock",
        ),
    ] {
        let (_fake, _, session) = keyless(options, &token(&claims)).await;
        let error = session.sign_image(&subject()).await.unwrap_err();
        says(&error, message, hint);
    }
}

#[tokio::test]
async fn a_token_service_that_refuses_points_at_the_permission() {
    let fake = FakeSigstore::start(Options::default()).await;
    let clock = Clock::at(NOW);
    for (status, times, hint) in [(403, 1, "id-token: write"), (500, 5, "token service")] {
        let address = fake.url("token");
        let environment = |name: &str| match name {
            "GITHUB_ACTIONS" => Some("true".to_owned()),
            "ACTIONS_ID_TOKEN_REQUEST_URL" => Some(address.clone()),
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN" => Some("bearer-secret".to_owned()),
            _ => None,
        };
        let tokens =
            reseal_sign::oidc::TokenSource::detect(&environment, "/nonexistent".as_ref()).unwrap();
        let mut settings = keyless_settings(services(&fake, REKOR1), "");
        settings.identity = reseal_sign::Identity::Keyless {
            tokens,
            audience: "sigstore".into(),
        };
        let session = Session::open(settings, http(&clock)).unwrap();
        fake.answer("/token", times, Reply::refuse(status, "no"));
        let error = session.sign_image(&subject()).await.unwrap_err();
        says(&error, "the token service at", hint);
        assert!(words(&error).1.contains("--sign-key"));
        assert!(!format!("{error:?}").contains("bearer-secret"));
    }
}

#[tokio::test]
async fn without_services_nothing_can_fail() {
    let (fake, clock, session, _) = keyed(Uses::default(), SignatureFormat::Both).await;
    fake.answer(LOG, 99, Reply::refuse(500, "down"));
    session.sign_image(&subject()).await.unwrap();
    assert!(clock.pauses().is_empty());
}
