//! Keys, signatures and promotion as users meet them, against a registry that speaks the real protocol.

use std::path::Path;
use std::process::Command;

use reseal_testkit::registry::{Action, FakeRegistry, Fault};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::{Run, finish, reseal};

const PASSWORD: &str = "correct-horse";
const NO_LOG: [&str; 2] = ["--tlog", "off"];

/// A registry with an image, and a folder with two keys.
struct Bench {
    folder: TempDir,
    registry: FakeRegistry,
    digest: String,
    runtime: Runtime,
}

impl Bench {
    fn new() -> Self {
        let runtime = Runtime::new().expect("a runtime starts");
        let registry = runtime.block_on(FakeRegistry::start());
        let config = json!({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}});
        let config = config.to_string();
        let digest = registry.put_blob("shop/cart", config.as_bytes());
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest, "size": config.len()},
            "layers": [],
        });
        let digest = registry.put_manifest(
            "shop/cart",
            "application/vnd.oci.image.manifest.v1+json",
            manifest.to_string().as_bytes(),
            Some("1"),
        );
        let bench = Self {
            folder: tempfile::tempdir().expect("there is room for temporary files"),
            registry,
            digest,
            runtime,
        };
        for prefix in ["cosign", "other"] {
            let made = bench.run(&["key", "generate", "--output-key-prefix", prefix]);
            assert_eq!(made.code, 0, "{}", made.stderr);
            assert_eq!(made.stdout, format!("{prefix}.key\n{prefix}.pub\n"));
        }
        bench
    }

    fn image(&self) -> String {
        format!("{}/shop/cart@{}", self.registry.host(), self.digest)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = reseal(arguments);
        command
            .current_dir(self.folder.path())
            .env("COSIGN_PASSWORD", PASSWORD);
        command
    }

    fn run(&self, arguments: &[&str]) -> Run {
        finish(self.command(arguments))
    }

    #[track_caller]
    fn ok(&self, arguments: &[&str]) -> Run {
        let run = self.run(arguments);
        assert_eq!(run.code, 0, "{arguments:?}: {}", run.stderr);
        run
    }

    fn sign(&self) {
        let image = self.image();
        self.ok(&[&["sign", &image, "--sign-key", "cosign.key"][..], &NO_LOG].concat());
    }

    fn verify(&self, more: &[&str]) -> Run {
        let image = self.image();
        self.run(&[&["verify-signature", &image][..], &NO_LOG, more].concat())
    }
}

#[test]
fn requests_that_cannot_be_meant_end_with_2() {
    let bench = Bench::new();
    let image = bench.image();
    let tagged = format!("{}/shop/cart:1", bench.registry.host());
    let untagged = format!("{}/live/cart", bench.registry.host());
    let image = image.as_str();
    for (arguments, message) in [
        (
            &["sign", image][..],
            "error: nothing is there to sign with\n",
        ),
        (
            &["sign", &tagged, "--sign-key", "cosign.key", "--tlog", "off"],
            "error: `",
        ),
        (
            &["sign", image, "--sign-key", "none.key"],
            "error: Could not use the key\n  Caused by: could not read the key from none.key",
        ),
        (
            &["sign", image, "--sign-key", "awskms:///x"],
            "error: Could not use the key\n  Caused by: keys of awskms cannot be used\n",
        ),
        (
            &["sign", image, "--sign-key", "cosign.key", "--keyless"],
            "error: the argument '--sign-key <KEY>' cannot be used with '--keyless'\n",
        ),
        (
            &["sign", image, "--identity-token", "x", "--tlog", "off"],
            "error: Could not sign\n  Caused by: signing without a key needs the transparency log",
        ),
        (
            &["sign", image, "--key", "cosign.key", "-a", "nothing"],
            "error: `--annotations` is `nothing`, not KEY=VALUE\n",
        ),
        (
            &[
                "sign",
                image,
                "--key",
                "cosign.key",
                "--signing-config",
                "cosign.pub",
            ],
            "error: Could not use the signing configuration\n",
        ),
        (
            &["verify-signature", image],
            "error: nobody is named whose signature counts\n",
        ),
        (
            &["verify-signature", image, "--key", "cosign.key"],
            "error: Could not use the public key `cosign.key`\n",
        ),
        (
            &[
                "verify-signature",
                image,
                "--key",
                "cosign.pub",
                "--type",
                "nope",
            ],
            "error: `nope` is no proof that is known\n",
        ),
        (
            &[
                "verify-signature",
                image,
                "--certificate-identity-regexp",
                "(",
                "--certificate-oidc-issuer",
                "https://issuer.example",
            ],
            "error: Could not tell whose signatures count\n",
        ),
        (
            &[
                "attest",
                image,
                "--type",
                "nope",
                "--predicate",
                "cosign.pub",
            ],
            "error: `cosign.pub` is no JSON\n",
        ),
        (
            &[
                "promote",
                image,
                &untagged,
                "--key",
                "cosign.pub",
                "--tlog",
                "off",
            ],
            "error: the destination `",
        ),
        (
            &["rollback", "--record", "cosign.pub", "--key", "cosign.pub"],
            "error: `cosign.pub` is no record of a promotion",
        ),
        (&["key", "generate"], "error: `cosign.key` exists\n"),
        (
            &["verify", &tagged, "-r", "report.json", "--attest"],
            "error: `--attest` needs the image by digest\n",
        ),
        (
            &["patch", &tagged, "--sign-key", "none.key"],
            "error: Could not use the key\n",
        ),
    ] {
        bench.run(arguments).failed(arguments, 2, message);
    }
}

#[test]
fn a_wrong_password_is_told_apart_from_none() {
    let bench = Bench::new();
    let image = bench.image();
    let arguments = ["sign", &image, "--sign-key", "cosign.key", "--tlog", "off"];
    let mut wrong = bench.command(&arguments);
    wrong.env("COSIGN_PASSWORD", "guess");
    let wrong = finish(wrong);
    assert_eq!(wrong.code, 2);
    assert!(
        wrong.stderr.contains("the password does not open the key")
            && wrong.stderr.contains("hint: check COSIGN_PASSWORD"),
        "{}",
        wrong.stderr
    );
}

#[test]
fn a_signature_is_made_checked_and_told_to_cosign() {
    let bench = Bench::new();
    let image = bench.image();
    let missing = bench.verify(&["--key", "cosign.pub"]);
    assert_eq!(missing.code, 51, "{}", missing.stderr);
    assert!(
        missing.stderr.contains("has no signature"),
        "{}",
        missing.stderr
    );

    let mut command = bench.command(&["sign", &image, "--sign-key", "cosign.key", "--tlog=off"]);
    command.env("RESEAL_PROGRESS", "plain");
    let signed = finish(command);
    assert_eq!(signed.code, 0, "{}", signed.stderr);
    assert_eq!(
        signed.stdout.lines().count(),
        2,
        "a tag and a bundle: {}",
        signed.stdout
    );
    assert!(
        signed.stderr.contains(&format!(
            "Check it with: cosign verify --key cosign.pub --insecure-ignore-tlog {image}\n"
        )),
        "{}",
        signed.stderr
    );
    assert_eq!(bench.verify(&["--key", "cosign.pub"]).code, 0);
    let json = bench.verify(&["--key", "cosign.pub", "--format", "json"]);
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json["schema"], "reseal.dev/proofs/v1");
    assert_eq!(json["proofs"][0]["requirement"], "signature");

    for (more, part) in [
        (
            &["--key", "other.pub"][..],
            "the key that was given did not make it",
        ),
        (&["--key", "cosign.pub", "-a", "env=prod"], "env"),
        (
            &["--key", "cosign.pub", "--type", "openvex"],
            "no attestation of type `https://openvex.dev/ns`",
        ),
    ] {
        let refused = bench.verify(more);
        assert_eq!(
            (refused.code, refused.stdout.as_str()),
            (51, ""),
            "{more:?}"
        );
        assert!(
            refused.stderr.contains(part),
            "{more:?}: {}",
            refused.stderr
        );
    }

    let predicate = bench.folder.path().join("vex.json");
    std::fs::write(&predicate, r#"{"author": "me"}"#).unwrap();
    let arguments = [
        "attest",
        &image,
        "--type",
        "openvex",
        "--predicate",
        "vex.json",
    ];
    bench.ok(&[&arguments[..], &["--key", "cosign.key"], &NO_LOG].concat());
    let both = ["--key", "cosign.pub", "--require", "signature,openvex"];
    assert_eq!(bench.verify(&both).code, 0);

    // A condition that could not be kept is not dropped.
    let env = ["-a", "env=prod"];
    let attest = bench.run(&[&arguments[..], &["--key", "cosign.key"], &NO_LOG, &env].concat());
    let required = ["--key", "cosign.pub", "--require", "openvex"];
    for refused in [attest, bench.verify(&[&required[..], &env].concat())] {
        assert_eq!(refused.code, 2, "{}", refused.stderr);
        let part = "`--annotations` belong to signatures";
        assert!(refused.stderr.contains(part), "{}", refused.stderr);
    }
}

#[test]
fn signing_that_fails_ends_with_50_and_names_the_remedy() {
    let bench = Bench::new();
    let image = bench.image();
    let nobody = "http://127.0.0.1:1";
    for (arguments, variables, parts) in [
        (
            &["--sign-key", "cosign.key", "--rekor-url", nobody][..],
            &[][..],
            &["could not reach Rekor", "`--tlog=off`"][..],
        ),
        (
            &["--keyless"],
            &[("GITHUB_ACTIONS", "true")],
            &["ACTIONS_ID_TOKEN_REQUEST_URL", "id-token: write"],
        ),
        (
            &["--keyless"],
            &[("GITLAB_CI", "true")],
            &["SIGSTORE_ID_TOKEN", "id_tokens"],
        ),
        (
            &["--keyless", "--fulcio-url", nobody, "--rekor-url", nobody],
            &[("SIGSTORE_ID_TOKEN", "a.secret-of-a-job.c")],
            &["SIGSTORE_ID_TOKEN", "sign with a key"],
        ),
    ] {
        let mut command = bench.command(&[&["sign", &image][..], arguments].concat());
        command.envs(variables.iter().copied());
        let run = finish(command);
        assert_eq!((run.code, run.stdout.as_str()), (50, ""), "{}", run.stderr);
        for part in parts {
            assert!(run.stderr.contains(part), "{part}: {}", run.stderr);
        }
        assert!(!run.stderr.contains("secret-of-a-job"), "{}", run.stderr);
    }
    let tags = bench.registry.tags("shop/cart");
    assert_eq!(tags.len(), 1, "nothing was written: {tags:?}");
}

#[test]
fn promotion_refuses_with_60_what_is_not_proved() {
    let bench = Bench::new();
    let (image, live) = (
        bench.image(),
        format!("{}/live/cart:1", bench.registry.host()),
    );
    let promote = |more: &[&str]| {
        let arguments = ["promote", &image, &live, "--key", "cosign.pub"];
        bench.run(&[&arguments[..], &NO_LOG, more].concat())
    };
    for (part, prepare) in [
        ("a signature is missing", None),
        (
            "an attestation that the patch was verified is missing",
            Some(()),
        ),
    ] {
        if prepare.is_some() {
            bench.sign();
        }
        let refused = promote(&[]);
        assert_eq!(
            (refused.code, refused.stdout.as_str()),
            (60, ""),
            "{}",
            refused.stderr
        );
        assert!(refused.stderr.contains(part), "{}", refused.stderr);
        assert!(bench.registry.tags("live/cart").is_empty());
    }
    let record = ["--require", "signature", "--record", "record.json"];
    let done = promote(&[&record[..], &["--also-tag", "latest"]].concat());
    assert_eq!(done.code, 0, "{}", done.stderr);
    let (place, _) = live.rsplit_once(':').unwrap();
    assert_eq!(done.stdout, format!("{place}@{}\n", bench.digest));
    let read = || std::fs::read(bench.folder.path().join("record.json")).unwrap();
    let kept = read();
    assert_eq!(promote(&record).code, 0, "again changes nothing");
    assert_eq!(read(), kept, "the record of what was moved stays");
    let more = ["--also-tag", "latest,newest,newest"];
    assert_eq!(promote(&[&record[..], &more].concat()).code, 0);
    let going_on: Value = serde_json::from_slice(&read()).unwrap();
    let moved = going_on["tags"].as_array().unwrap();
    let moved: Vec<_> = moved
        .iter()
        .map(|one| (&one["tag"], &one["moved"]))
        .collect();
    let wanted = ["1", "latest", "newest"].map(|tag| (json!(tag), json!(true)));
    let wanted: Vec<_> = wanted.iter().map(|(tag, moved)| (tag, moved)).collect();
    assert_eq!(moved, wanted, "what was moved before is in the record too");
    let rollback = ["rollback", "--record", "record.json", "--key", "cosign.pub"];
    let refused = bench.run(&[&rollback[..], &NO_LOG].concat());
    assert_eq!(refused.code, 60, "{}", refused.stderr);
    assert!(
        refused.stderr.contains("did not exist before"),
        "{}",
        refused.stderr
    );
}

#[test]
fn promotion_refuses_with_60_what_is_not_what_its_digest_says() {
    let bench = Bench::new();
    bench.sign();
    let image = bench.image();
    let other = bench.runtime.block_on(FakeRegistry::start());
    let live = format!("{}/live/cart:1", other.host());
    let arguments = ["promote", &image, &live, "--require", "signature"];
    let promote = || bench.run(&[&arguments[..], &NO_LOG, &["--key", "cosign.pub"]].concat());
    let tag = bench.digest.replace(':', "-") + ".sig";
    let (_, list) = bench.registry.manifest("shop/cart", &tag).unwrap();
    let list: Value = serde_json::from_slice(&list).unwrap();
    let (_, manifest) = bench.registry.manifest("shop/cart", &bench.digest).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    for (what, blob) in [
        ("the config", &manifest["config"]["digest"]),
        ("the signature", &list["layers"][0]["digest"]),
    ] {
        let path = format!("/v2/shop/cart/blobs/{}", blob.as_str().unwrap());
        bench
            .registry
            .fault(Fault::on("GET", &path, Action::WrongBody).times(100));
        let refused = promote();
        assert_eq!(
            (refused.code, refused.stdout.as_str()),
            (60, ""),
            "{what}: {}",
            refused.stderr
        );
        assert!(
            refused
                .stderr
                .contains("something of it is not what its digest says"),
            "{what}: {}",
            refused.stderr
        );
        let tags = other.tags("live/cart");
        assert!(tags.iter().all(|(tag, _)| tag != "1"), "{what}: {tags:?}");
        bench.registry.mend();
    }
    assert_eq!(promote().code, 0);
}

#[test]
fn no_secret_appears_in_what_is_said_or_kept() {
    let bench = Bench::new();
    let image = bench.image();
    let key = std::fs::read_to_string(bench.folder.path().join("cosign.key")).unwrap();
    let body: String = key.lines().filter(|line| !line.starts_with('-')).collect();
    let token = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ4In0.c2VjcmV0";
    let mut said = String::new();
    for (arguments, variables) in [
        (
            &["--sign-key", "env://KEY", "--tlog", "off"][..],
            &[("KEY", key.as_str())][..],
        ),
        (
            &["--sign-key", "env://BAD", "--tlog", "off"],
            &[("BAD", &key[..key.len() / 2])],
        ),
        (
            &[
                "--identity-token",
                token,
                "--fulcio-url",
                "http://127.0.0.1:1",
                "--rekor-url",
                "http://127.0.0.1:1",
            ],
            &[],
        ),
        (&["--keyless", "--nope"], &[("SIGSTORE_ID_TOKEN", token)]),
    ] {
        for form in [
            &["--debug", "--progress", "plain"][..],
            &["--format", "json", "--progress", "rawjson"],
        ] {
            let mut command = bench.command(&[&["sign", &image][..], arguments, form].concat());
            command.envs(variables.iter().copied());
            let run = finish(command);
            said += &run.stdout;
            said += &run.stderr;
        }
    }
    for (reference, _) in bench.registry.tags("shop/cart") {
        let (_, bytes) = bench.registry.manifest("shop/cart", &reference).unwrap();
        said += &String::from_utf8_lossy(&bytes);
    }
    for secret in [PASSWORD, &body[..40], token, "eyJpc3MiOiJ4In0"] {
        assert!(!said.contains(secret), "{secret} is in: {said}");
    }
    assert_eq!(mode(&bench.folder.path().join("cosign.key")), 0o600);
}

#[cfg(unix)]
fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata()
        .expect("the key was written")
        .permissions()
        .mode()
        & 0o777
}

#[cfg(not(unix))]
fn mode(_: &Path) -> u32 {
    0o600
}
