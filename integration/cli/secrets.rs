//! Secrets appear nowhere: not in what is said, in any mode; not in the graphs that a daemon gets; not in what is kept in the registry,
//! however it is packed there; and not in the arguments of reseal or of what it starts.
#![expect(
    clippy::unwrap_used,
    reason = "clippy lets tests unwrap, and does not see that their helpers are tests too"
)]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use reseal_testkit::buildkitd::{Answer, FakeBuildkitd, Script};
use reseal_testkit::registry::{self, Auth, FakeRegistry, User};
use reseal_testkit::sigstore::{self, FakeSigstore};
use serde_json::json;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::{Run, finish, reseal};

#[expect(dead_code, reason = "the tests of the pipeline use the rest")]
#[path = "../../crates/reseal-pipeline/tests/pipeline/image.rs"]
mod image;

use image::{Image, NEW, Pushed, fixable, raw_layer, report};

const KEY_PASSWORD: &str = "correct-horse-battery";
const REGISTRY_PASSWORD: &str = "tr0ub4dor-and-three";
/// What the fake of GitHub's token service asks for.
const BEARER: &str = "bearer-secret";
const REPOSITORY: &str = "shop/app";
/// As the ways to show progress, with everything else that makes reseal talk.
const MODES: [&[&str]; 5] = [
    &["--progress", "plain"],
    &["--progress", "plain", "--log-format", "json"],
    &["--progress", "rawjson", "--format", "json"],
    &["--progress", "tty"],
    &["--progress", "quiet"],
];

/// Servers, a login that a helper gives, a key, and a place where programs that reseal starts leave what they were told.
struct Bench {
    folder: TempDir,
    runtime: Runtime,
    registry: FakeRegistry,
    sigstore: FakeSigstore,
    image: Pushed,
    token: String,
    said: String,
    /// What a daemon was told.
    graphs: Vec<Vec<u8>>,
}

fn token() -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let claims = json!({
        "iss": "https://token.example", "sub": "repo:acme/app", "aud": "sigstore", "iat": 1_700_000_000, "exp": 4_000_000_000_u64,
    });
    format!(
        "{}.{}.{}",
        part(r#"{"alg":"RS256"}"#),
        part(&claims.to_string()),
        part("the signature of the token service")
    )
}

/// A program that writes down what it was started with, and what its parent was, and then answers.
fn program(folder: &Path, name: &str, answer: &str) {
    let file = folder.join("bin").join(name);
    let text = format!(
        "#!/bin/sh\nexec 3>>'{}'\nprintf '%s\\n' \"started $0 $*\" >&3\ntr '\\0' ' ' </proc/$PPID/cmdline >&3\ncat <<'END'\n{answer}\nEND\n",
        folder.join("started").display()
    );
    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
}

impl Bench {
    fn new() -> Self {
        let runtime = Runtime::new().expect("a runtime starts");
        let registry = runtime.block_on(FakeRegistry::start_with(registry::Options {
            auth: Auth::bearer(vec![User::new("robot", REGISTRY_PASSWORD)]),
            ..registry::Options::default()
        }));
        let token = token();
        let now = jiff::Timestamp::now().strftime("%Y%m%d%H%M%SZ").to_string();
        let sigstore = runtime.block_on(FakeSigstore::start(sigstore::Options {
            // As of a real authority: a certificate for now.
            validity: (now, "20891231000000Z".to_owned()),
            token: token.clone(),
            ..sigstore::Options::default()
        }));
        let image = Image::new("linux/amd64").push(&registry, REPOSITORY, Some("1"));
        let folder = tempfile::tempdir().expect("there is room for temporary files");
        for name in ["bin", "docker"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let login = json!({"Username": "robot", "Secret": REGISTRY_PASSWORD}).to_string();
        program(folder.path(), "docker-credential-recorder", &login);
        program(folder.path(), "buildkite-agent", &token);
        fs::write(
            folder.path().join("docker/config.json"),
            r#"{"credsStore":"recorder"}"#,
        )
        .unwrap();
        let report = report("linux/amd64", &image, &[fixable()]);
        fs::write(folder.path().join("report.json"), report).unwrap();
        let mut bench = Self {
            folder,
            runtime,
            registry,
            sigstore,
            image,
            token,
            said: String::new(),
            graphs: Vec::new(),
        };
        bench.run(&["key", "generate"], &[]);
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, arguments: &[&str], vars: &[(&str, &str)]) -> Command {
        let mut command = reseal(arguments);
        command
            .current_dir(self.folder.path())
            .env(
                "PATH",
                format!("{}:/usr/bin:/bin", self.path("bin").display()),
            )
            .env("DOCKER_CONFIG", self.path("docker"))
            .env("COSIGN_PASSWORD", KEY_PASSWORD)
            .env("RUST_LOG", "trace")
            .envs(vars.iter().copied());
        command
    }

    /// Runs what must go well, and keeps what it says.
    #[track_caller]
    fn run(&mut self, arguments: &[&str], vars: &[(&str, &str)]) -> Run {
        let run = finish(self.command(arguments, vars));
        assert_eq!(run.code, 0, "{arguments:?}: {}", run.stderr);
        self.said += &run.stdout;
        self.said += &run.stderr;
        run
    }

    /// Patches in one way of showing progress; returns the digest.
    fn patch(&mut self, mode: &[&str]) -> String {
        let socket = self.path("buildkitd.sock");
        let daemon = {
            let answers = self.image.answers(Answer::layer(&raw_layer("amd64", &NEW)));
            let script = Script {
                answers,
                ..Script::default()
            };
            let _ = fs::remove_file(&socket);
            self.runtime
                .block_on(FakeBuildkitd::listen(script, &socket))
                .expect("a socket")
        };
        let source = format!("{}/{REPOSITORY}:1", self.registry.host());
        let address = format!("unix://{}", socket.display());
        let arguments = [
            "patch",
            &source,
            "-r",
            "report.json",
            "-t",
            "1-patched",
            "--engine",
            "buildkit",
            "--addr",
            &address,
            "--sign-key",
            "cosign.key",
            "--tlog",
            "off",
            "--metadata-file",
            "result.json",
            "--debug",
        ];
        self.run(&[&arguments[..], mode].concat(), &[]);
        let result = fs::read_to_string(self.path("result.json")).unwrap();
        self.said += &result;
        self.graphs.extend(daemon.graphs());
        for solve in daemon.solves() {
            self.graphs.push(format!("{solve:?}").into_bytes());
        }
        let result: serde_json::Value = serde_json::from_str(&result).unwrap();
        result["patched"]["digest"].as_str().unwrap().to_owned()
    }

    /// Everything that the registry has: manifests, configurations, layers, signatures.
    fn kept(&self) -> Vec<Vec<u8>> {
        let mut kept = Vec::new();
        for repository in [REPOSITORY, "live/app"] {
            let mut waiting: Vec<String> = self
                .registry
                .tags(repository)
                .into_iter()
                .flat_map(|(tag, digest)| [tag, digest])
                .collect();
            let mut seen = BTreeSet::new();
            while let Some(name) = waiting.pop() {
                if !seen.insert(name.clone()) {
                    continue;
                }
                let found = self
                    .registry
                    .manifest(repository, &name)
                    .map(|(_, bytes)| bytes)
                    .or_else(|| self.registry.blob(repository, &name));
                let Some(bytes) = found else { continue };
                let text = String::from_utf8_lossy(&bytes).into_owned();
                waiting.extend(
                    text.split('"')
                        .filter(|word| word.starts_with("sha256:"))
                        .map(str::to_owned),
                );
                kept.push(bytes);
            }
        }
        kept
    }

    /// What nobody may see: what was given, and what servers gave for it.
    fn secrets(&self) -> Vec<String> {
        let mut secrets = BTreeSet::from([
            KEY_PASSWORD.to_owned(),
            REGISTRY_PASSWORD.to_owned(),
            BEARER.to_owned(),
        ]);
        // Of a token, each part: the first is the same for everybody.
        secrets.extend(self.token.split('.').skip(1).map(str::to_owned));
        for request in self.registry.requests() {
            if let Some(value) = request.header("authorization") {
                let secret = value.split_once(' ').expect("a kind and a secret").1;
                secrets.insert(secret.to_owned());
            }
        }
        let key = fs::read_to_string(self.path("cosign.key")).unwrap();
        let body: String = key.lines().filter(|line| !line.starts_with('-')).collect();
        secrets.insert(body[..60].to_owned());
        secrets.into_iter().collect()
    }
}

/// Appends what is packed in base64 in a text, to some depth: envelopes in bundles, bodies of log entries, logins.
fn unpacked(bytes: &[u8], depth: usize) -> String {
    let mut text = String::from_utf8_lossy(bytes).into_owned();
    if depth > 0 {
        let of_base64 = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/');
        let inner: String = text
            .split(|c| !of_base64(c))
            .filter(|word| word.len() >= 16)
            .filter_map(|word| STANDARD_NO_PAD.decode(word).ok())
            .map(|bytes| unpacked(&bytes, depth - 1))
            .collect();
        text += &inner;
    }
    text
}

#[track_caller]
fn holds_none(what: &str, bytes: &[u8], secrets: &[String]) {
    let text = unpacked(bytes, 3);
    for secret in secrets {
        let packed = STANDARD.encode(secret);
        for form in [secret.as_str(), packed.trim_end_matches('=')] {
            assert!(
                !text.contains(form),
                "{what} holds {secret}: …{}…",
                around(&text, form)
            );
        }
    }
}

fn around(text: &str, form: &str) -> String {
    let (before, after) = text.split_once(form).unwrap_or_default();
    let before: String = before.chars().rev().take(80).collect();
    let after: String = after.chars().take(80).collect();
    format!("{}[here]{after}", before.chars().rev().collect::<String>())
}

#[test]
fn secrets_appear_nowhere() {
    let mut bench = Bench::new();
    let mut digest = String::new();
    for mode in MODES {
        digest = bench.patch(mode);
    }
    let image = format!("{}/{REPOSITORY}@{digest}", bench.registry.host());
    let (fulcio, rekor) = (bench.sigstore.url("fulcio"), bench.sigstore.url("rekor"));
    let address = bench.sigstore.url("token?api-version=2.0");
    let token = bench.token.clone();
    let services = ["--fulcio-url", &fulcio, "--rekor-url", &rekor, "--debug"];
    let github = [
        ("GITHUB_ACTIONS", "true"),
        ("ACTIONS_ID_TOKEN_REQUEST_URL", address.as_str()),
        ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", BEARER),
    ];
    for mode in MODES {
        for vars in [
            &github[..],
            &[("SIGSTORE_ID_TOKEN", token.as_str())],
            &[("BUILDKITE", "true")],
            &[("RESEAL_IDENTITY_TOKEN", token.as_str())],
        ] {
            let sign = ["sign", &image, "--keyless"];
            bench.run(&[&sign[..], &services, mode].concat(), vars);
        }
        let live = format!("{}/live/app:1", bench.registry.host());
        let promote = [
            "promote",
            &image,
            &live,
            "--key",
            "cosign.pub",
            "--tlog=off",
        ];
        bench.run(&[&promote[..], &["--debug"], mode].concat(), &[]);
    }
    // What fails tells more.
    let mut wrong = bench.command(
        &[
            "sign",
            &image,
            "--sign-key",
            "cosign.key",
            "--tlog=off",
            "--debug",
        ],
        &[("COSIGN_PASSWORD", "a-wrong-guess")],
    );
    wrong.env("RUST_BACKTRACE", "1");
    let wrong = finish(wrong);
    assert_eq!(wrong.code, 2);
    bench.said += &wrong.stderr;

    let secrets = bench.secrets();
    assert!(secrets.len() > 6, "logins were used: {secrets:?}");
    holds_none("what was said", bench.said.as_bytes(), &secrets);
    holds_none(
        "what was said",
        bench.said.as_bytes(),
        &["a-wrong-guess".to_owned()],
    );

    assert!(
        bench.graphs.len() >= 3 * MODES.len(),
        "{}",
        bench.graphs.len()
    );
    for graph in &bench.graphs {
        holds_none("a graph", graph, &secrets);
    }
    let kept = bench.kept();
    let all: String = kept.iter().map(|bytes| unpacked(bytes, 3)).collect();
    for part in [
        "\"history\"",
        "https://slsa.dev/provenance/v1",
        "https://reseal.dev/attestation/verification/v1",
        "docker-manifest-digest",
        "BEGIN CERTIFICATE",
    ] {
        assert!(all.contains(part), "{part} was not looked at");
    }
    for bytes in &kept {
        holds_none("the registry", bytes, &secrets);
    }
    let started = fs::read(bench.path("started")).unwrap();
    let told = String::from_utf8_lossy(&started);
    for part in [
        "docker-credential-recorder get",
        "buildkite-agent oidc",
        " patch ",
        " promote ",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    holds_none("the arguments of a program", &started, &secrets);
}

#[test]
fn what_is_packed_is_found() {
    let secret = "a secret of some length";
    let inner = STANDARD.encode(json!({"deep": secret}).to_string());
    let outer = STANDARD.encode(json!({"payload": inner}).to_string());
    for text in [secret.to_owned(), inner, outer] {
        assert!(unpacked(text.as_bytes(), 3).contains(secret), "{text}");
    }
}
