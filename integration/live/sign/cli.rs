//! Patching, signing and promoting by the built binary; what it leaves is judged by the cosigns.

use std::path::PathBuf;
use std::process::Output;
use std::sync::LazyLock;

use reseal_sign::statement::predicate_type;
use serde_json::{Value, json};

use super::judges::{Judge, Proofs, Trust};
use super::relay::Relay;
use super::signers::Signatory;
use super::support::{self, Image, Services, Site, site};
use crate::site::{Site as Servers, digest, text};

const PASSWORD: &str = "horse-battery-staple";
const EXIT_SIGNING: i32 = 50;
const EXIT_SIGNATURE: i32 = 51;
const EXIT_PROMOTION: i32 = 60;

/// A key, and an image that was patched and signed with it in one run.
struct Signed {
    folder: tempfile::TempDir,
    repository: String,
    /// Of the index.
    digest: String,
    /// Of the one manifest that was patched, and of the one that was not.
    children: [String; 2],
    output: Output,
}

/// The image that all tests share: patching is slow, and none of them changes it.
fn signed(servers: &Servers) -> &'static Signed {
    static SIGNED: LazyLock<Signed> = LazyLock::new(|| {
        let servers = Servers::open().expect("the tests have asked");
        Signed::make(&servers)
    });
    let _ = servers;
    &SIGNED
}

impl Signed {
    fn make(servers: &Servers) -> Self {
        // Nothing drops a static: the folder goes with the servers'.
        let folder = tempfile::tempdir_in(servers.get("RUN")).expect("a folder");
        let prefix = folder.path().join("cosign");
        let prefix = prefix.to_str().expect("a path in UTF-8");
        let made = reseal(&["key", "generate", "--output-key-prefix", prefix], &[]);
        assert!(made.status.success(), "{}", text(&made.stderr));

        let image = servers.get("IMAGE_BULLSEYE_MULTI");
        let repository = image.rsplit_once(':').expect("a tag").0.to_owned();
        let key = format!("{prefix}.key");
        let args = [
            "patch",
            image,
            "-r",
            servers.get("REPORT_BULLSEYE_MULTI_AMD64"),
            "--platform",
            "linux/amd64",
            "--package",
            "libssl1.1",
            "-t",
            "live-signed",
            "--sign-key",
            &key,
            "--signing-config",
            servers.get("SIGNING_CONFIG_REKOR1"),
            "--trusted-root",
            servers.get("TRUSTED_ROOT"),
            "--format",
            "json",
            "--debug",
        ];
        let output = reseal(&args, &servers.new_daemon());
        assert!(output.status.success(), "{}", text(&output.stderr));
        let result: Value = serde_json::from_slice(&output.stdout).expect("a result");
        let digest = digest(&result).to_owned();
        let index = servers.json(&["manifest", &format!("{repository}@{digest}")]);
        let child = |architecture: &str| {
            index["manifests"]
                .as_array()
                .expect("manifests")
                .iter()
                .find(|entry| entry["platform"]["architecture"] == architecture)
                .and_then(|entry| entry["digest"].as_str())
                .expect("the platform is there")
                .to_owned()
        };
        Self {
            children: [child("amd64"), child("arm64")],
            folder,
            repository,
            digest,
            output,
        }
    }

    fn reference(&self) -> String {
        format!("{}@{}", self.repository, self.digest)
    }

    fn key(&self) -> String {
        format!("{}.key", self.prefix())
    }

    fn public_key(&self) -> String {
        format!("{}.pub", self.prefix())
    }

    fn prefix(&self) -> String {
        self.folder.path().join("cosign").display().to_string()
    }

    fn trust(&self) -> Trust {
        Trust::Key(PathBuf::from(self.public_key()))
    }

    /// What makes reseal trust this key and the private log.
    fn trusting<'a>(&self, site: &'a Site, args: &[&'a str]) -> Vec<String> {
        let root = site.trusted_root.display().to_string();
        args.iter()
            .map(|&arg| arg.to_owned())
            .chain([
                "--key".to_owned(),
                self.public_key(),
                "--trusted-root".to_owned(),
                root,
            ])
            .collect()
    }

    fn promote(&self, site: &Site, source: &str, destination: &str, more: &[&str]) -> Output {
        let mut args = vec!["promote", source, destination, "--format", "json"];
        args.extend(more);
        let args = self.trusting(site, &args);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        reseal(&args, &[])
    }
}

/// Runs reseal with the password of the key and the logins of the registries.
fn reseal(args: &[&str], vars: &[(&str, &str)]) -> Output {
    let home = site().expect("the tests have asked").home();
    let home = home.to_str().expect("a path in UTF-8");
    let mut all = vec![("COSIGN_PASSWORD", PASSWORD), ("DOCKER_CONFIG", home)];
    all.extend(vars);
    Servers::run(args, &all)
}

fn both() -> Option<(Servers, &'static Site)> {
    Some((Servers::open()?, site()?))
}

#[test]
fn one_run_patches_signs_attests_and_tags() {
    let Some((servers, _)) = both() else { return };
    let signed = signed(&servers);
    let result: Value = serde_json::from_slice(&signed.output.stdout).expect("a result");
    let tagged = servers.crane(&["digest", &format!("{}:live-signed", signed.repository)]);
    assert_eq!(text(&tagged).trim(), signed.digest);

    let [patched, untouched] = &signed.children;
    let about: Vec<&str> = result["signatures"]
        .as_array()
        .expect("signatures")
        .iter()
        .filter_map(|signature| signature["digest"].as_str())
        .collect();
    assert!(about.contains(&signed.digest.as_str()) && about.contains(&patched.as_str()));
    assert!(!about.contains(&untouched.as_str()), "{about:?}");

    let (trust, proofs) = (signed.trust(), Proofs::of(Services::Rekor1));
    for subject in [&signed.digest, patched] {
        let reference = format!("{}@{subject}", signed.repository);
        Judge::OldCosign.accepts_signature("in one run", &reference, &trust, proofs);
        Judge::NewCosign.accepts_signature("in one run", &reference, &trust, proofs);
        for kind in [
            predicate_type::PROVENANCE,
            predicate_type::VULN,
            predicate_type::OPENVEX,
            predicate_type::VERIFICATION,
        ] {
            Judge::OldCosign.accepts_attestation("in one run", &reference, kind, &trust, proofs);
            Judge::NewCosign.accepts_bundle("in one run", &reference, kind, &trust, proofs);
        }
    }
    let reference = format!("{}@{untouched}", signed.repository);
    for judge in [Judge::OldCosign, Judge::NewCosign] {
        judge.refuses_signature(&reference, &trust, proofs);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_told() {
    let Some((servers, site)) = both() else {
        return;
    };
    let signed = signed(&servers);
    let image = Image::found(site, &signed.repository, &signed.digest).await;
    let mut told = text(&signed.output.stdout) + &text(&signed.output.stderr);
    for kind in [
        predicate_type::PROVENANCE,
        predicate_type::VULN,
        predicate_type::OPENVEX,
        predicate_type::VERIFICATION,
    ] {
        let predicate = support::verify_attestation(
            kind,
            &image,
            &image.index,
            kind,
            &signed.trust(),
            Proofs::of(Services::Rekor1),
        )
        .await;
        told += &predicate.to_string();
    }
    let token = site.token("gitlab");
    let keyless = reseal(
        &[
            "sign",
            &signed.reference(),
            "--keyless",
            "--signing-config",
            servers.get("SIGNING_CONFIG_REKOR2"),
            "--debug",
        ],
        &[("SIGSTORE_ID_TOKEN", &token)],
    );
    assert!(keyless.status.success(), "{}", text(&keyless.stderr));
    told += &(text(&keyless.stdout) + &text(&keyless.stderr));
    let signature = token.rsplit('.').next().expect("a token has three parts");
    let login = servers.get("REGISTRY_AUTH_PASSWORD");
    for secret in [PASSWORD, signature, login] {
        assert!(!told.contains(secret), "{secret} was told");
    }
}

#[test]
fn a_ci_job_signs_without_a_key() {
    let Some((servers, site)) = both() else {
        return;
    };
    let signed = signed(&servers);
    let address = format!("{}/github/request?api-version=2.0", site.oidc);
    let github = [
        ("GITHUB_ACTIONS", "true"),
        ("ACTIONS_ID_TOKEN_REQUEST_URL", address.as_str()),
        ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "request"),
    ];
    let reference = signed.reference();
    let args = [
        "sign",
        reference.as_str(),
        "--keyless",
        "--signing-config",
        servers.get("SIGNING_CONFIG_REKOR2"),
    ];
    let output = reseal(&args, &github);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let who = Signatory::identity(site, "github");
    let proofs = Proofs::of(Services::Rekor2);
    Judge::NewCosign.accepts_signature("github", &reference, &who.trust(), proofs);

    let root = site.trusted_root.display().to_string();
    let issuer = format!("{}/github", site.oidc);
    let verify = |pattern: &str| {
        reseal(
            &[
                "verify-signature",
                &reference,
                "--certificate-identity-regexp",
                pattern,
                "--certificate-oidc-issuer",
                &issuer,
                "--trusted-root",
                &root,
            ],
            &[],
        )
    };
    let workflow = "https://github.com/acme/app/.github/workflows/patch.yml@refs/heads/.*";
    let verified = verify(workflow);
    assert!(verified.status.success(), "{}", text(&verified.stderr));
    // A pattern has to cover the whole identity.
    let refused = verify("acme/app");
    assert_eq!(refused.status.code(), Some(EXIT_SIGNATURE));

    // What GitHub does when the job lacks the permission: it sets neither of the two.
    let output = reseal(&args, &github[..1]);
    assert_eq!(output.status.code(), Some(EXIT_SIGNING));
    let told = text(&output.stderr);
    assert!(told.contains("id-token: write"), "{told}");
}

#[test]
fn a_blocked_log_ends_the_run_and_names_the_way_without_one() {
    let Some((servers, _)) = both() else { return };
    let signed = signed(&servers);
    // Nobody listens there.
    let address = "http://127.0.0.1:9";
    let output = reseal(
        &[
            "sign",
            &signed.reference(),
            "--sign-key",
            &signed.key(),
            "--rekor-url",
            address,
        ],
        &[],
    );
    assert_eq!(
        output.status.code(),
        Some(EXIT_SIGNING),
        "{}",
        text(&output.stderr)
    );
    let told = text(&output.stderr);
    assert!(
        told.contains("--tlog off") || told.contains("--tlog=off"),
        "{told}"
    );
}

#[test]
fn a_wrong_password_is_named() {
    let Some((servers, _)) = both() else { return };
    let signed = signed(&servers);
    let (reference, key) = (signed.reference(), signed.key());
    let args = ["sign", &reference, "--sign-key", &key, "--tlog", "off"];
    let output = reseal(&args, &[("COSIGN_PASSWORD", "another")]);
    assert_eq!(output.status.code(), Some(2));
    let told = text(&output.stderr);
    assert!(told.contains("COSIGN_PASSWORD"), "{told}");
    assert!(!told.contains("another"), "{told}");
}

#[test]
fn a_digest_goes_from_login_to_login_and_back() {
    let Some((servers, site)) = both() else {
        return;
    };
    let signed = signed(&servers);
    let unique = support::unique();
    let staging = format!("{}/staging/{unique}", servers.get("REGISTRY_AUTH"));
    let production = format!("{}/production/{unique}", servers.get("REGISTRY_AUTH2"));
    let record = signed.folder.path().join(&unique).display().to_string();

    let first = signed.promote(site, &signed.reference(), &format!("{staging}:1.4"), &[]);
    assert!(first.status.success(), "{}", text(&first.stderr));
    let source = format!("{staging}@{}", signed.digest);
    let destination = format!("{production}:1.4");
    let floating = ["--also-tag", "latest", "--record", &record];
    let second = signed.promote(site, &source, &destination, &floating);
    assert!(second.status.success(), "{}", text(&second.stderr));
    let (trust, proofs) = (signed.trust(), Proofs::of(Services::Rekor1));
    for subject in [&signed.digest, &signed.children[0]] {
        let reference = format!("{production}@{subject}");
        for judge in [Judge::OldCosign, Judge::NewCosign] {
            judge.accepts_signature("promoted", &reference, &trust, proofs);
        }
        let kind = predicate_type::VERIFICATION;
        Judge::OldCosign.accepts_attestation("promoted", &reference, kind, &trust, proofs);
        Judge::NewCosign.accepts_bundle("promoted", &reference, kind, &trust, proofs);
    }

    let again = signed.promote(site, &source, &destination, &floating[..2]);
    assert!(again.status.success(), "{}", text(&again.stderr));
    let again: Value = serde_json::from_slice(&again.stdout).expect("a result");
    for tag in again["tags"].as_array().expect("tags") {
        assert_eq!(tag["moved"], json!(false), "{tag}");
    }

    // Nothing was there before, so there is nothing to go back to.
    let args = signed.trusting(site, &["rollback", "--record", &record]);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let back = reseal(&args, &[]);
    assert_eq!(
        back.status.code(),
        Some(EXIT_PROMOTION),
        "{}",
        text(&back.stderr)
    );
}

#[test]
fn what_lacks_a_proof_is_not_promoted() {
    let Some((servers, site)) = both() else {
        return;
    };
    let signed = signed(&servers);
    let unique = support::unique();
    let destination = format!("{}/refused/{unique}:1.4", servers.get("REGISTRY_AUTH2"));
    let image = servers.get("IMAGE_BULLSEYE");
    let unsigned = format!("{image}@{}", servers.get("DIGEST_BULLSEYE"));
    // Its tag means something else.
    let moved = format!("{}:1.4@{}", signed.repository, signed.digest);
    // Signed, but nobody has verified it.
    let [_, untouched] = &signed.children;
    // The signature is made at a copy: other tests want this manifest to be unsigned.
    let copy = format!("{}/refused/{unique}", servers.get("REGISTRY_PLAIN"));
    let from = format!("{}@{untouched}", signed.repository);
    servers.crane(&["copy", &from, &format!("{copy}:copy")]);
    let unverified = format!("{copy}@{untouched}");
    let key = signed.key();
    let config = servers.get("SIGNING_CONFIG_REKOR1");
    let args = [
        "sign",
        &unverified,
        "--sign-key",
        &key,
        "--signing-config",
        config,
    ];
    let output = reseal(&args, &[]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    for (source, why) in [
        (unsigned.as_str(), "signature"),
        (&moved, "tag"),
        (&unverified, "verif"),
    ] {
        let output = signed.promote(site, source, &destination, &[]);
        let told = text(&output.stderr);
        assert_eq!(
            output.status.code(),
            Some(EXIT_PROMOTION),
            "{source}: {told}"
        );
        assert!(told.contains(why), "{source}: {told}");
    }
}

#[test]
fn a_promotion_that_was_cut_off_goes_on() {
    let Some((servers, site)) = both() else {
        return;
    };
    let signed = signed(&servers);
    // This registry knows blobs by repository, so all of them are sent.
    let relay = Relay::start(servers.get("REGISTRY_PLAIN").to_owned());
    let destination = format!("{}/resumed/{}", relay.address, support::unique());
    // Somewhere in the middle of the image's layers.
    relay.cut_after(20 << 20);
    let cut = signed.promote(
        site,
        &signed.reference(),
        &format!("{destination}:1.4"),
        &["--timeout", "20s"],
    );
    assert!(!cut.status.success(), "it was not cut off");
    let destination_there = destination.replace(&relay.address, servers.get("REGISTRY_PLAIN"));
    assert!(
        !servers.has(&format!("{destination_there}:1.4")),
        "the tag moved"
    );

    relay.cut_after(i64::MAX);
    let resumed = signed.promote(
        site,
        &signed.reference(),
        &format!("{destination}:1.4"),
        &[],
    );
    assert!(resumed.status.success(), "{}", text(&resumed.stderr));
    let reference = format!("{destination_there}@{}", signed.digest);
    for judge in [Judge::OldCosign, Judge::NewCosign] {
        judge.accepts_signature(
            "resumed",
            &reference,
            &signed.trust(),
            Proofs::of(Services::Rekor1),
        );
    }
}

#[test]
fn both_cosigns_accept_a_layout() {
    let Some((servers, site)) = both() else {
        return;
    };
    let signed = signed(&servers);
    let folder = signed.folder.path().join("layout").display().to_string();
    let output = signed.promote(site, &signed.reference(), &format!("oci:{folder}:1.4"), &[]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let (trust, proofs) = (signed.trust(), Proofs::of(Services::Rekor1));
    for judge in [Judge::OldCosign, Judge::NewCosign] {
        judge.accepts_layout(&folder, &trust, proofs);
    }
}

#[test]
fn what_verify_attests_is_promoted_and_taken_back() {
    let Some((servers, site)) = both() else {
        return;
    };
    let signed = signed(&servers);
    // A copy that nobody has signed or verified yet.
    let place = format!(
        "{}/again/{}",
        servers.get("REGISTRY_PLAIN"),
        support::unique()
    );
    servers.crane(&["copy", &signed.reference(), &format!("{place}:copy")]);
    let (source, key) = (format!("{place}@{}", signed.digest), signed.key());
    let by_key = [
        "--sign-key",
        &key,
        "--signing-config",
        servers.get("SIGNING_CONFIG_REKOR1"),
    ];
    let verify = [
        "verify",
        &source,
        "-r",
        servers.get("REPORT_BULLSEYE_MULTI_AMD64"),
        "--platform",
        "linux/amd64",
        "--package",
        "libssl1.1",
        "--attest",
    ];
    for args in [&verify[..], &["sign", &source]] {
        let output = reseal(&[args, &by_key].concat(), &[]);
        assert!(
            output.status.success(),
            "{args:?}: {}",
            text(&output.stderr)
        );
    }
    // What ran before: the image as it was, which somebody signed.
    let live = format!("{place}/live");
    let before = servers.get("DIGEST_BULLSEYE_MULTI");
    let image = servers.get("IMAGE_BULLSEYE_MULTI");
    servers.crane(&["copy", image, &format!("{live}:latest")]);
    let old = format!("{live}@{before}");
    let output = reseal(&[&["sign", old.as_str()][..], &by_key].concat(), &[]);
    assert!(output.status.success(), "{}", text(&output.stderr));

    let record = signed.folder.path().join("back.json").display().to_string();
    let more = ["--also-tag", "latest", "--record", record.as_str()];
    let done = signed.promote(site, &source, &format!("{live}:1.4"), &more);
    assert!(done.status.success(), "{}", text(&done.stderr));
    let latest = || text(&servers.crane(&["digest", &format!("{live}:latest")]));
    assert_eq!(latest().trim(), signed.digest);

    let args = signed.trusting(site, &["rollback", "--record", &record]);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let back = reseal(&args, &[]);
    assert!(back.status.success(), "{}", text(&back.stderr));
    assert_eq!(latest().trim(), before);
    assert!(
        servers.has(&format!("{live}:1.4")),
        "a tag that was new stays"
    );
}
