//! Logging in.

use bytes::Bytes;
use reseal_registry::{BlobSource, Class, StoreError};
use reseal_testkit::registry::{Auth, FakeRegistry, Fault, Options, User};

use crate::common::*;

async fn start(auth: Auth) -> FakeRegistry {
    let fake = FakeRegistry::start_with(Options {
        auth,
        ..Options::default()
    })
    .await;
    let raw = image(&fake, "shop/cart", "cart");
    fake.put_manifest("shop/cart", MANIFEST, &raw.bytes, Some("1.4"));
    fake
}

fn scopes(fake: &FakeRegistry) -> Vec<String> {
    let tokens = fake
        .requests()
        .into_iter()
        .filter(|request| request.path == "/token");
    tokens.map(|request| request.query).collect()
}

#[tokio::test]
async fn basic_is_asked_once_and_then_sent_at_once() {
    let fake = start(Auth::Basic(vec![User::new("u", "p")])).await;
    let store = Setup::new(login(&fake, "u", "p")).open(&fake, "shop/cart");
    store.manifest(&tag("1.4")).await.unwrap();
    store.manifest(&tag("1.4")).await.unwrap();
    store
        .put_blob(&blob(b"x"), &BlobSource::Bytes(Bytes::from_static(b"x")))
        .await
        .unwrap();
    let statuses: Vec<_> = fake
        .requests()
        .iter()
        .filter_map(|request| request.status)
        .collect();
    assert_eq!(statuses, [401, 200, 200, 202, 201]);
}

#[tokio::test]
async fn a_token_is_fetched_once_for_each_right_and_no_right_is_asked_for_early() {
    let fake = start(Auth::bearer(vec![User::new("u", "p")])).await;
    let setup = Setup::new(login(&fake, "u", "p"));
    let store = setup.open(&fake, "shop/cart");
    store.manifest(&tag("1.4")).await.unwrap();
    store.resolve(&tag("1.4")).await.unwrap();
    assert_eq!(
        scopes(&fake),
        ["service=fake&scope=repository%3Ashop%2Fcart%3Apull&account=u"]
    );
    assert_eq!(fake.take_lines().len(), 4, "401, token, GET, HEAD");
    store
        .put_blob(&blob(b"x"), &BlobSource::Bytes(Bytes::from_static(b"x")))
        .await
        .unwrap();
    assert_eq!(
        scopes(&fake),
        ["service=fake&scope=repository%3Ashop%2Fcart%3Apull%2Cpush&account=u"]
    );
    assert_eq!(fake.take_lines().len(), 3, "token, POST, PUT");
    // Another store of the same run uses what is there.
    setup
        .open(&fake, "shop/cart")
        .manifest(&tag("1.4"))
        .await
        .unwrap();
    assert_eq!(fake.take_lines().len(), 1);
    // Another repository needs a token, but no challenge.
    setup.open(&fake, "other").resolve(&tag("x")).await.unwrap();
    assert_eq!(
        fake.take_lines(),
        ["GET /token 200", "HEAD /v2/other/manifests/x 404"]
    );
}

#[tokio::test]
async fn many_requests_at_once_fetch_one_token() {
    let fake = start(Auth::bearer(vec![User::new("u", "p")])).await;
    let store = Setup::new(login(&fake, "u", "p")).open(&fake, "shop/cart");
    let (target, others) = (tag("1.4"), tag("1.4"));
    let all = futures_util::future::join_all(
        (0..8).map(|number| store.manifest(if number % 2 == 0 { &target } else { &others })),
    );
    assert!(all.await.into_iter().all(|result| result.is_ok()));
    assert_eq!(scopes(&fake).len(), 1);
}

#[tokio::test]
async fn a_public_image_needs_no_login() {
    let auth = Auth::Bearer {
        users: vec![],
        anonymous_pull: true,
        get: true,
        expires_in: None,
    };
    let fake = start(auth).await;
    let store = Setup::new(None).open(&fake, "shop/cart");
    store.manifest(&tag("1.4")).await.unwrap();
    let error = store
        .put_blob(&blob(b"x"), &BlobSource::Bytes(Bytes::from_static(b"x")))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, StoreError::Unauthorized { scope, used: None, .. } if scope == "repository:shop/cart:pull,push"),
        "{error}"
    );
    assert!(error.hint().unwrap().contains("docker login"));
}

#[tokio::test]
async fn the_oauth2_form_is_used_for_identity_tokens_and_where_there_is_no_other() {
    let user = || User::new("u", "p").identity_token("refresh-me");
    let auth = |get| Auth::Bearer {
        users: vec![user()],
        anonymous_pull: false,
        get,
        expires_in: Some(300),
    };
    let fake = start(auth(true)).await;
    let json = format!(
        r#"{{"auths": {{"{}": {{"identitytoken": "refresh-me"}}}}}}"#,
        fake.host()
    );
    Setup::new(Some(json))
        .open(&fake, "shop/cart")
        .manifest(&tag("1.4"))
        .await
        .unwrap();
    assert_eq!(
        fake.take_lines(),
        [
            "GET /v2/shop/cart/manifests/1.4 401",
            "POST /token 200",
            "GET /v2/shop/cart/manifests/1.4 200"
        ]
    );
    let fake = start(auth(false)).await;
    Setup::new(login(&fake, "u", "p"))
        .open(&fake, "shop/cart")
        .manifest(&tag("1.4"))
        .await
        .unwrap();
    assert_eq!(
        fake.take_lines()[1..3],
        ["GET /token 405", "POST /token 200"]
    );
    let fake = start(auth(true)).await;
    let json = format!(
        r#"{{"auths": {{"{}": {{"identitytoken": "stale"}}}}}}"#,
        fake.host()
    );
    let error = Setup::new(Some(json))
        .open(&fake, "shop/cart")
        .manifest(&tag("1.4"))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("(invalid_grant: unknown login)"),
        "{error}"
    );
    assert!(!format!("{error:?}").contains("stale"));
}

#[tokio::test]
async fn a_refused_login_names_registry_scope_and_places() {
    for (auth, requests) in [
        (Auth::Basic(vec![User::new("u", "other")]), 2),
        (Auth::bearer(vec![User::new("u", "other")]), 2),
        // The token is given, with fewer rights than asked for.
        (
            Auth::bearer(vec![
                User::new("u", "hunter2").only(&[("elsewhere", "pull")]),
            ]),
            3,
        ),
    ] {
        let fake = start(auth).await;
        let store = Setup::new(login(&fake, "u", "hunter2")).open(&fake, "shop/cart");
        let error = store.manifest(&tag("1.4")).await.unwrap_err();
        let text = error.to_string();
        assert_eq!(error.class(), Class::Auth);
        let start = format!(
            "registry {0} refused to log in for repository:shop/cart:pull: the credentials from DOCKER_AUTH_CONFIG (entry `{0}`) were not accepted",
            fake.host()
        );
        assert!(text.starts_with(&start), "{text}");
        assert!(
            text.ends_with("; looked for credentials in DOCKER_AUTH_CONFIG"),
            "{text}"
        );
        assert!(!format!("{error:?} {text}").contains("hunter2"));
        assert_eq!(fake.take_lines().len(), requests, "{text}");
    }
}

#[tokio::test]
async fn a_registry_that_knows_the_user_and_says_no_is_forbidden() {
    let reader = User::new("u", "p").only(&[("shop/cart", "pull")]);
    let fake = start(Auth::Basic(vec![reader])).await;
    let store = Setup::new(login(&fake, "u", "p")).open(&fake, "shop/cart");
    let error = store
        .put_blob(&blob(b"x"), &BlobSource::Bytes(Bytes::from_static(b"x")))
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::Forbidden { .. }), "{error}");
    assert!(
        error
            .hint()
            .unwrap()
            .contains("must have the right `repository:shop/cart:pull,push`")
    );
}

#[tokio::test]
async fn tokens_that_end_are_replaced() {
    let fake = start(Auth::bearer(vec![User::new("u", "p")])).await;
    let setup = Setup::new(login(&fake, "u", "p"));
    let store = setup.open(&fake, "shop/cart");
    store.manifest(&tag("1.4")).await.unwrap();
    // By the clock, before the registry refuses: 300 s less a tenth.
    fake.take_lines();
    setup.time.pass(269);
    store.manifest(&tag("1.4")).await.unwrap();
    assert_eq!(fake.take_lines().len(), 1);
    setup.time.pass(1);
    store.manifest(&tag("1.4")).await.unwrap();
    assert_eq!(
        fake.take_lines(),
        ["GET /token 200", "GET /v2/shop/cart/manifests/1.4 200"]
    );
    // By the registry.
    fake.revoke_tokens();
    store.manifest(&tag("1.4")).await.unwrap();
    assert_eq!(
        fake.take_lines(),
        [
            "GET /v2/shop/cart/manifests/1.4 401",
            "GET /token 200",
            "GET /v2/shop/cart/manifests/1.4 200"
        ]
    );
}

#[tokio::test]
async fn a_tired_token_service_is_asked_again() {
    let fake = start(Auth::bearer(vec![User::new("u", "p")])).await;
    let setup = Setup::new(login(&fake, "u", "p"));
    fake.fault(Fault::status("GET", "/token", 503));
    fake.fault(Fault::respond(
        "GET",
        "/token",
        429,
        &[("retry-after", "4")],
        "",
    ));
    setup
        .open(&fake, "shop/cart")
        .manifest(&tag("1.4"))
        .await
        .unwrap();
    assert_eq!(setup.time.pauses()[1], 4);
    fake.take_lines();
    for body in ["", "{}", r#"{"token": ""}"#, r#"{"token": "line\nbreak"}"#] {
        let store = Setup::new(login(&fake, "u", "p")).open(&fake, "shop/cart");
        fake.fault(Fault::respond("GET", "/token", 200, &[], body));
        assert!(
            matches!(
                store.manifest(&tag("1.4")).await,
                Err(StoreError::Protocol { .. })
            ),
            "{body}"
        );
    }
}

#[tokio::test]
async fn a_login_never_goes_to_a_service_without_encryption() {
    let fake = start(Auth::None).await;
    let path = "/v2/shop/cart/manifests/1.4";
    for (realm, expected) in [
        (
            "http://token.example/x",
            "it wants the login sent to token.example without encryption",
        ),
        ("/relative", "no web address"),
        ("file:///etc/passwd", "no web address"),
    ] {
        let challenge = format!("Bearer realm=\"{realm}\",service=\"x\"");
        fake.fault(Fault::respond(
            "GET",
            path,
            401,
            &[("www-authenticate", &challenge)],
            "",
        ));
        let store = Setup::new(login(&fake, "u", "p")).open(&fake, "shop/cart");
        let error = store.manifest(&tag("1.4")).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{realm}: {error}");
    }
}

#[tokio::test]
async fn a_right_that_only_the_challenge_names_is_asked_for_too() {
    let fake = start(Auth::bearer(vec![User::new("u", "p")])).await;
    let store = Setup::new(login(&fake, "u", "p")).open(&fake, "shop/cart");
    let challenge = format!(
        "Bearer realm=\"http://{}/token\",service=\"fake\",scope=\"repository:shop/cart:pull repository:shop/base:pull\"",
        fake.host()
    );
    fake.fault(
        Fault::respond(
            "GET",
            "/v2/shop/cart/manifests/1.4",
            401,
            &[("www-authenticate", &challenge)],
            "",
        )
        .nth(2),
    );
    store.manifest(&tag("1.4")).await.unwrap();
    let asked = scopes(&fake);
    assert_eq!(asked.len(), 2);
    assert!(
        asked[1].contains(
            "scope=repository%3Ashop%2Fbase%3Apull&scope=repository%3Ashop%2Fcart%3Apull"
        ),
        "{asked:?}"
    );
}

#[tokio::test]
async fn a_registry_token_is_sent_as_it_is() {
    let fake = start(Auth::None).await;
    let json = format!(
        r#"{{"auths": {{"{}": {{"registrytoken": "ready-made"}}}}}}"#,
        fake.host()
    );
    let store = Setup::new(Some(json)).open(&fake, "shop/cart");
    let challenge = [(
        "www-authenticate",
        "Bearer realm=\"http://127.0.0.1:1/none\"",
    )];
    fake.fault(Fault::respond(
        "GET",
        "/v2/shop/cart/manifests/1.4",
        401,
        &challenge,
        "",
    ));
    store.manifest(&tag("1.4")).await.unwrap();
    assert_eq!(
        fake.requests()[1].header("authorization"),
        Some("Bearer ready-made")
    );
}

#[tokio::test]
async fn tokens_are_fetched_for_others() {
    let fake = start(Auth::bearer(vec![User::new("u", "p")])).await;
    let setup = Setup::new(login(&fake, "u", "p"));
    let realm = format!("http://{}/token", fake.host());
    let scopes = ["repository:shop/cart:pull,push".to_owned()];
    let (token, seconds) = setup
        .registries
        .fetch_token(fake.host(), &realm, "fake", &scopes)
        .await
        .unwrap();
    assert_eq!((token.expose(), seconds), ("token-1", 300));
    assert_eq!(setup.registries.counts().requests, 1);
    let error = Setup::new(None)
        .registries
        .fetch_token(fake.host(), &realm, "fake", &scopes)
        .await
        .unwrap_err();
    assert_eq!(error.class(), Class::Auth);
}
