use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::*;

fn vars(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

fn from_json(json: &str) -> CredentialStore {
    CredentialStore::from_environment(&vars(&[("DOCKER_AUTH_CONFIG", json)]), None).unwrap()
}

fn helper(folder: &Path, name: &str, script: &str) {
    let file = folder.join(format!("docker-credential-{name}"));
    std::fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// `user:secret` as a word, `-` for nothing.
async fn look_up(store: &CredentialStore, registry: &str) -> String {
    store
        .get(registry)
        .await
        .unwrap()
        .map_or("-".to_owned(), |found| {
            let kind = match (found.identity_token, found.registry_token) {
                (true, _) => "identity ",
                (_, true) => "registry ",
                _ => "",
            };
            format!("{kind}{}:{}", found.username, found.secret.expose())
        })
}

#[tokio::test]
async fn a_login_is_found_under_every_spelling_of_its_registry() {
    // u:p, hub:h, org:o, app:a, with a colon in the secret p:q
    let store = from_json(
        r#"{"auths": {
            "registry.example:5000": {"auth": "dTpw"},
            "https://index.docker.io/v1/": {"auth": "aHViOmg="},
            "quay.io/org": {"auth": "b3JnOm8="},
            "quay.io/org/app": {"username": "app", "password": "a"},
            "https://old.example/v2/": {"auth": "dTpwOnE"},
            "id.example": {"auth": "dTo=", "identitytoken": "refresh"},
            "bearer.example": {"registrytoken": "jwt"},
            "empty.example": {},
            "null.example": null
        }}"#,
    );
    let table = [
        ("registry.example:5000", "u:p"),
        ("registry.example:5000/shop/cart", "u:p"),
        ("registry.example", "-"),
        ("docker.io", "hub:h"),
        ("registry-1.docker.io", "hub:h"),
        ("index.docker.io/library/debian", "hub:h"),
        ("quay.io", "-"),
        ("quay.io/org/other", "org:o"),
        ("quay.io/organ", "-"),
        ("quay.io/org/app", "app:a"),
        ("quay.io/org/app/sub", "app:a"),
        ("old.example", "u:p:q"),
        ("id.example", "identity u:refresh"),
        ("bearer.example", "registry :jwt"),
        ("empty.example", "-"),
        ("null.example", "-"),
    ];
    for (registry, expected) in table {
        assert_eq!(look_up(&store, registry).await, expected, "{registry}");
    }
}

#[tokio::test]
async fn the_places_are_read_in_order_and_all_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str, user: &str, hosts: &[&str]| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let logins: Vec<String> = hosts
            .iter()
            .map(|host| format!(r#""{host}": {{"username": "{user}", "password": "x"}}"#))
            .collect();
        std::fs::write(&path, format!(r#"{{"auths": {{{}}}}}"#, logins.join(","))).unwrap();
        path.display().to_string()
    };
    let auth_file = place("auth-file.json", "file", &["a", "b"]);
    let home = place("home/.docker/config.json", "home", &["a", "b", "c", "d"]);
    let docker = place("docker/config.json", "docker", &["b", "c"]);
    let runtime = place("run/containers/auth.json", "run", &["a", "b", "c", "d"]);
    let base = [
        (
            "DOCKER_AUTH_CONFIG",
            r#"{"auths": {"a": {"username": "env", "password": "x"}}}"#.to_owned(),
        ),
        ("REGISTRY_AUTH_FILE", auth_file.clone()),
        (
            "XDG_RUNTIME_DIR",
            folder.path().join("run").display().to_string(),
        ),
    ];
    let mut environment: BTreeMap<String, String> = base
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect();
    let home_folder = Some(folder.path().join("home"));

    let store = CredentialStore::from_environment(&environment, home_folder.clone()).unwrap();
    for (registry, expected) in [
        ("a", "env:x"),
        ("b", "file:x"),
        ("c", "home:x"),
        ("d", "home:x"),
        ("e", "-"),
    ] {
        assert_eq!(look_up(&store, registry).await, expected, "{registry}");
    }
    let other = folder
        .path()
        .join("home/.config/containers/auth.json")
        .display()
        .to_string();
    assert_eq!(
        store.looked_in(),
        ["DOCKER_AUTH_CONFIG", &auth_file, &home, &runtime, &other]
    );

    environment.insert(
        "DOCKER_CONFIG".into(),
        folder.path().join("docker").display().to_string(),
    );
    let store = CredentialStore::from_environment(&environment, home_folder).unwrap();
    for (registry, expected) in [
        ("a", "env:x"),
        ("b", "file:x"),
        ("c", "docker:x"),
        ("d", "run:x"),
    ] {
        assert_eq!(look_up(&store, registry).await, expected, "{registry}");
    }
    assert!(store.looked_in().contains(&docker) && !store.looked_in().contains(&home));
}

#[tokio::test]
async fn an_explicit_login_goes_before_all_others() {
    let mut store = from_json(r#"{"auths": {"a": {"username": "env", "password": "x"}}}"#);
    store.insert(
        "https://a/",
        Credential {
            username: "flag".into(),
            secret: Secret::new("y"),
            identity_token: false,
            registry_token: false,
            source: "--registry-login".into(),
        },
    );
    assert_eq!(look_up(&store, "a/any/where").await, "flag:y");
    assert_eq!(
        store.looked_in(),
        ["--registry-login", "DOCKER_AUTH_CONFIG"]
    );
}

#[tokio::test]
async fn helpers_answer_over_stdin_and_are_asked_once() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let say = |name: &str, answer: &str| {
        helper(
            folder.path(),
            name,
            &format!(
                "echo \"$* $(cat)\" >>{}\nprintf '%s' '{answer}'",
                log.display()
            ),
        );
    };
    say("plain", r#"{"ServerURL":"x","Username":"u","Secret":"p"}"#);
    say("token", r#"{"Username":"<token>","Secret":"refresh"}"#);
    helper(
        folder.path(),
        "none",
        "cat >/dev/null; echo 'credentials not found in native keychain'; exit 1",
    );
    let json = r#"{"credsStore": "none", "credHelpers": {"plain.example": "plain", "docker.io": "token"},
                   "auths": {"stored.example": {"auth": "dTpw"}, "plain.example": {}}}"#;
    let environment = vars(&[
        ("DOCKER_AUTH_CONFIG", json),
        (
            "PATH",
            &format!("{}:/usr/bin:/bin", folder.path().display()),
        ),
    ]);
    let store = CredentialStore::from_environment(&environment, None).unwrap();
    for (registry, expected) in [
        ("plain.example", "u:p"),
        ("plain.example", "u:p"),
        ("docker.io", "identity :refresh"),
        ("stored.example", "u:p"),
        ("unknown.example", "-"),
    ] {
        assert_eq!(look_up(&store, registry).await, expected, "{registry}");
    }
    assert_eq!(
        std::fs::read_to_string(log).unwrap(),
        "get plain.example\nget https://index.docker.io/v1/\n"
    );
}

#[tokio::test]
async fn a_broken_helper_is_named_and_its_secrets_are_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    helper(folder.path(), "sick", "echo 'keychain is locked'; exit 3");
    helper(
        folder.path(),
        "leaky",
        r#"echo '{"Username":"u","Secret":"hunter2"}'; exit 1"#,
    );
    helper(folder.path(), "odd", "echo 'hunter2'");
    helper(folder.path(), "mute", "exit 1");
    let json = r#"{"credHelpers": {"sick": "sick", "leaky": "leaky", "odd": "odd", "mute": "mute", "gone": "gone", "evil": "../../bin/sh"}}"#;
    let environment = vars(&[
        ("DOCKER_AUTH_CONFIG", json),
        ("PATH", &folder.path().display().to_string()),
    ]);
    let store = CredentialStore::from_environment(&environment, None).unwrap();
    for (registry, expected) in [
        (
            "sick",
            "credential helper `docker-credential-sick`, which DOCKER_AUTH_CONFIG names, failed for sick: keychain is locked",
        ),
        (
            "leaky",
            "credential helper `docker-credential-leaky`, which DOCKER_AUTH_CONFIG names, failed for leaky: it ended with an error",
        ),
        (
            "odd",
            "credential helper `docker-credential-odd`, which DOCKER_AUTH_CONFIG names, failed for odd: its answer is not the expected JSON",
        ),
        (
            "mute",
            "credential helper `docker-credential-mute`, which DOCKER_AUTH_CONFIG names, failed for mute: it ended with an error",
        ),
        (
            "gone",
            "credential helper `docker-credential-gone`, which DOCKER_AUTH_CONFIG names, is not on PATH",
        ),
        (
            "evil",
            "credential helper `docker-credential-../../bin/sh`, which DOCKER_AUTH_CONFIG names, is not on PATH",
        ),
    ] {
        let error = store.get(registry).await.unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert!(error.hint().is_some());
    }
}

#[tokio::test]
async fn a_helper_that_never_answers_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    helper(folder.path(), "slow", "exec sleep 600");
    let path = format!("{}:/usr/bin:/bin", folder.path().display());
    let helper = helper::Helper {
        name: "slow",
        named_in: "test",
        path: Some(&path),
        timeout: Duration::from_millis(50),
    };
    let error = helper.get("a").await.unwrap_err();
    assert!(error.to_string().contains("no answer within"), "{error}");
}

#[test]
fn a_malformed_file_is_named_without_its_content() {
    for (json, expected) in [
        (
            r#"{"auths": {"a": {"auth": 12345}}}"#,
            "a field of an unexpected type at line 1",
        ),
        (
            r#"{"auths": {"a": "hunter2"}}"#,
            "a field of an unexpected type at line 1",
        ),
        (
            r#"{"auths": {"a": {"auth": "hunter2!"}}}"#,
            "entry `a` has an `auth` that is not base64",
        ),
        (
            r#"{"auths": {"a": {"auth": "aHVudGVyMg=="}}}"#,
            "entry `a` has an `auth` without a colon",
        ),
        (r#"{"auths": "#, "the JSON ends too early at line 1"),
        ("hunter2", "no valid JSON at line 1"),
    ] {
        let error = CredentialStore::from_environment(&vars(&[("DOCKER_AUTH_CONFIG", json)]), None)
            .unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(text.contains(expected), "{text}");
        assert!(
            !text.contains("hunter2") && !text.contains("12345"),
            "{text}"
        );
    }
}
