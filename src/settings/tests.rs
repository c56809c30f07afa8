use clap::Parser as _;
use reseal_plan::Policy;
use reseal_report::Severity;

use super::*;
use crate::{
    args::{Cli, Command},
    environment::env,
};

fn parsed(arguments: &str) -> PatchArgs {
    let arguments = ["reseal", "patch"]
        .into_iter()
        .chain(arguments.split_whitespace());
    match Cli::try_parse_from(arguments).unwrap().command {
        Command::Patch(args) => args,
        other => panic!("not patch: {other:?}"),
    }
}

fn decided(arguments: &str) -> Result<PatchSettings, Failure> {
    let env = env(&[("GITHUB_RUN_ID", "42"), ("STAGE", "blue"), ("BAD", "a/b")]);
    patch(&parsed(arguments), None, &env)
}

const SHA: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

#[test]
fn tags_are_filled_in_before_any_work() {
    for (arguments, tag) in [
        ("r.io/a:1.4 -t 1.4-patched", Some("1.4-patched")),
        ("r.io/a:1.4 -t {{tag}}-patched", Some("1.4-patched")),
        (
            "r.io/a:1.4 -t {{tag}}-{{run_id}}-{{env:STAGE}}",
            Some("1.4-42-blue"),
        ),
        ("r.io/a -t {{tag}}-patched", Some("latest-patched")),
        (
            &format!("r.io/a:1@{SHA} -t {{{{sha}}}}"),
            Some("0123456789ab"),
        ),
        ("oci:in -t patched --to oci:out", Some("patched")),
        ("r.io/a:1 --to r.io:5000/b:2", Some("2")),
        ("r.io/a:1 --to oci:out:2 -t 2", Some("2")),
        ("r.io/a:1 --to r.io:5000/b", None),
        ("r.io/a:1 -t 1 --to r.io/b", Some("1")),
        ("r.io/a:1", None),
    ] {
        let settings =
            decided(arguments).unwrap_or_else(|failure| panic!("{arguments}: {failure:?}"));
        assert_eq!(
            settings.tag.map(|tag| tag.to_string()).as_deref(),
            tag,
            "{arguments}"
        );
    }
}

#[test]
fn what_cannot_be_meant_is_refused() {
    for (arguments, message) in [
        ("r.io/a:1 -t a/b", "`a/b` is not a valid tag"),
        (
            "r.io/a:1 -t {{env:BAD}}",
            "`a/b`, which `{{env:BAD}}` comes to, is not a valid tag",
        ),
        (
            "r.io/a:1 -t {{env:NO}}",
            "`{{env:NO}}` needs the variable NO, which is not set",
        ),
        (
            "r.io/a:1 -t {{date}}",
            "`{{date}}` is not a placeholder of tags",
        ),
        (
            "r.io/a:1 -t {{tag",
            "the tag `{{tag` has a `{{` without its `}}`",
        ),
        (
            "r.io/a:1 -t {{sha}}",
            "`{{sha}}` needs the digest of the source, and `r.io/a:1` has none",
        ),
        (
            "oci:in -t {{tag}}",
            "`{{tag}}` needs the tag of the source, and `oci:in` has none",
        ),
        (
            "r.io/a:1 -t 1",
            "the result would replace its own source, `r.io/a:1`",
        ),
        (
            "r.io/a -t latest",
            "the result would replace its own source, `r.io/a:latest`",
        ),
        (
            "r.io/a:1 --to r.io/a:1",
            "the result would replace its own source, `r.io/a:1`",
        ),
        (
            "oci:in:1 -t 1 --to oci:./in/",
            "the result would replace its own source, `oci:in:1`",
        ),
        (
            "r.io/a:1 -t 2 --to r.io/b:3",
            "`--tag` names the tag 2, and `--to` the tag 3",
        ),
        ("r.io/a:1 --tag-unchanged", "`--tag-unchanged` needs a tag"),
        (
            "r.io/a:1 --severity HIGH,SEVERE",
            "`--severity`: unknown severity `SEVERE`",
        ),
        (
            "r.io/a:1 --gate maybe",
            "`--gate`: unknown severity `maybe`",
        ),
        (
            "r.io/a:1 --vuln-id CVE-1,,CVE-2",
            "`--vuln-id` has an empty entry",
        ),
        ("r.io/A:1", "not an image reference"),
    ] {
        let failure = decided(arguments)
            .err()
            .unwrap_or_else(|| panic!("{arguments} passed"));
        assert_eq!(failure.reason.code(), 2, "{arguments}");
        assert!(
            failure.message.starts_with(message),
            "{arguments}: {}",
            failure.message
        );
    }
    let failure = decided(&format!("r.io/a:1 --to r.io/b@{SHA}")).unwrap_err();
    assert_eq!(
        failure.message,
        "`--to` names a digest, which only the result can give"
    );
}

#[test]
fn an_empty_reference_is_named() {
    let args = PatchArgs {
        input: InputArgs {
            image: Some(String::new()),
            ..parsed("x").input
        },
        ..parsed("x")
    };
    assert_eq!(
        patch(&args, None, &Env::default()).unwrap_err().message,
        "empty image reference"
    );
}

#[test]
fn filters_become_a_policy() {
    assert_eq!(decided("r.io/a:1").unwrap().input.policy, Policy::default());
    let policy = decided("r.io/a:1 --severity all --gate none --ignore-unfixed --vuln-id CVE-1,CVE-2 --package a --package b")
        .unwrap()
        .input
        .policy;
    assert_eq!(policy.severities, Severity::ALL.into());
    assert_eq!(policy.gate, None);
    assert!(policy.ignore_unfixed);
    assert_eq!(
        policy.ids.into_iter().collect::<Vec<_>>(),
        ["CVE-1", "CVE-2"]
    );
    assert_eq!(policy.packages.into_iter().collect::<Vec<_>>(), ["a", "b"]);
    let policy = decided("r.io/a:1 --severity low,Medium --gate high")
        .unwrap()
        .input
        .policy;
    assert_eq!(policy.severities, [Severity::Low, Severity::Medium].into());
    assert_eq!(policy.gate, Some(Severity::High));
}

#[test]
fn platforms_are_normalised_and_kept_once() {
    let platforms = decided("r.io/a:1 --platform linux/aarch64,linux/arm64,linux/amd64")
        .unwrap()
        .input
        .platforms
        .unwrap();
    assert_eq!(
        platforms
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>(),
        ["linux/arm64", "linux/amd64"]
    );
    assert!(decided("r.io/a:1").unwrap().input.platforms.is_none());
    assert!(
        decided("r.io/a:1 --platform linux")
            .unwrap_err()
            .message
            .starts_with("`--platform`: ")
    );
}

#[test]
fn the_package_managers_step_is_kept_for_an_hour_unless_told_otherwise() {
    assert_eq!(decided("r.io/a:1").unwrap().freshness, "hour-472222");
    assert_eq!(
        decided("r.io/a:1 --no-cache").unwrap().freshness,
        "run-000000000000feed"
    );
}

#[test]
fn the_environment_gives_epoch_proxy_and_temporary_folder() {
    let env = env(&[
        ("SOURCE_DATE_EPOCH", "17"),
        ("HTTPS_PROXY", "http://u:p@proxy"),
        ("TMPDIR", "/var/x"),
    ]);
    let settings = patch(&parsed("r.io/a:1"), None, &env).unwrap();
    assert_eq!(settings.epoch, Some(17));
    assert_eq!(settings.proxy.unwrap().https, "http://u:p@proxy");
    assert_eq!(settings.temp_dir.to_str(), Some("/var/x"));
    let bad = crate::environment::env(&[("SOURCE_DATE_EPOCH", "today")]);
    assert!(patch(&parsed("r.io/a:1"), None, &bad).is_err());
    assert!(decided("r.io/a:1").unwrap().proxy.is_none());
}

#[test]
fn addresses_can_belong_to_a_platform() {
    let resolve = |arguments: &str| {
        builder(
            &parsed(arguments).builder,
            &parsed(arguments).registry,
            &Env::default(),
        )
    };
    let settings =
        resolve("a --addr linux/amd64=unix:///a.sock --addr linux/arm64=tcp://arm:1234").unwrap();
    let platforms: Vec<_> = settings
        .addresses
        .iter()
        .map(|(platform, _)| platform.as_ref().unwrap().to_string())
        .collect();
    assert_eq!(platforms, ["linux/amd64", "linux/arm64"]);
    assert!(resolve("a").unwrap().addresses.is_empty());
    for (arguments, message) in [
        (
            "a --addr buildkit:///run/x.sock",
            "`--addr`: BuildKit address scheme `buildkit://` is not known",
        ),
        (
            "a --addr unix:///a --addr unix:///b",
            "`--addr` names two daemons for every platform",
        ),
        (
            "a --tls-cert c.pem",
            "`--tls-cert` and `--tls-key` belong together",
        ),
    ] {
        let failure = resolve(arguments).unwrap_err();
        assert!(
            failure.message.starts_with(message),
            "{arguments}: {}",
            failure.message
        );
    }
    assert!(
        resolve("a --addr buildkit:///run/x.sock")
            .unwrap_err()
            .hint
            .unwrap()
            .contains("unix://")
    );
}

#[test]
fn plain_http_takes_hosts_only() {
    let resolve =
        |arguments: &str| registry(&parsed(arguments).registry, std::sync::Arc::default());
    assert!(
        resolve("a --plain-http Registry.local:5000")
            .unwrap()
            .plain_http
            .contains("registry.local:5000")
    );
    assert!(resolve("a --plain-http http://registry.local").is_err());
}

#[test]
fn mirrors_belong_to_a_registry() {
    let resolve =
        |arguments: &str| registry(&parsed(arguments).registry, std::sync::Arc::default());
    let settings =
        resolve("a --registry-mirror docker.io=https://m.example/hub,docker.io=n.example").unwrap();
    assert_eq!(
        settings.mirrors["docker.io"],
        ["https://m.example/hub", "n.example"]
    );
    for text in [
        "m.example",
        "docker.io=",
        "=m.example",
        "https://docker.io=m.example",
    ] {
        let failure = resolve(&format!("a --registry-mirror {text}")).unwrap_err();
        assert_eq!(failure.reason.code(), 2, "{text}");
    }
}
