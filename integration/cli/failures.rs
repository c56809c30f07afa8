//! Bad input: exit codes, messages and error objects.

use reseal_testkit::registry::{FakeRegistry, Fault};
use serde_json::Value;

use super::{finish, reseal, run, testdata};

/// An address where nobody listens: port 1 is reserved and never used on test machines.
const NOBODY: &str = "127.0.0.1:1";

#[test]
fn bad_requests_are_refused_with_2_before_any_work() {
    for (arguments, message) in [
        (&["patch", ""][..], "error: empty image reference\n"),
        (
            &["patch", "r.io/a:1", "-t", "a/b"],
            "error: `a/b` is not a valid tag\n",
        ),
        (
            &["patch", "r.io/a:1", "-t", "1"],
            "error: the result would replace its own source, `r.io/a:1`\n",
        ),
        (
            &["patch", "r.io/a:1", "-t", "{{nope}}"],
            "error: `{{nope}}` is not a placeholder of tags\n",
        ),
        (
            &["patch", "r.io/a:1", "--timeout", "10"],
            "error: `--timeout` is `10`, not a time\n",
        ),
        (
            &["patch", "r.io/a:1", "--severity", "WORST"],
            "error: `--severity`: unknown severity `WORST`",
        ),
        (
            &["patch", "r.io/a:1", "--platform", "linux"],
            "error: `--platform`: ",
        ),
        (
            &["patch", "r.io/a:1", "--addr", "buildkit:///run/b.sock"],
            "error: `--addr`: BuildKit address scheme `buildkit://`",
        ),
        (
            &["patch", "r.io/a:1", "--metadata-file", "/no/such/folder/x"],
            "error: the folder `/no/such/folder` does not exist\n",
        ),
        (
            &["verify", "r.io/a:1"],
            "error: `verify` needs the reports that the image was patched by\n",
        ),
        (
            &["verify", "r.io/a:1", "-r", "-", "--rescan-report", "-"],
            "error: standard input can be read once only\n",
        ),
        (
            &["patch"],
            "error: the following required arguments were not provided",
        ),
        (
            &["patch", "r.io/a:1", "--nope"],
            "error: unexpected argument '--nope' found",
        ),
        (&["nope"], "error: unrecognized subcommand 'nope'"),
    ] {
        run(arguments).failed(arguments, 2, message);
    }
}

#[test]
fn reports_that_cannot_be_used_end_with_40() {
    for (arguments, message) in [
        (
            &["report", "sarif.json"][..],
            "error: Could not read the report `sarif.json`\n  Caused by: this is a SARIF log",
        ),
        (
            &["report", "missing.json"],
            "error: Could not read the report `missing.json`\n  Caused by: No such file",
        ),
        (
            &["report", "-"],
            "error: Could not read the report `standard input`\n  Caused by: the report is empty\n",
        ),
        (
            &["plan", "oci:nowhere", "-r", "missing.json"],
            "error: Could not read the report `missing.json`\n",
        ),
    ] {
        run(arguments).failed(arguments, 40, message);
    }
    let empty = tempfile::tempdir().unwrap();
    let run = run(&["report", &empty.path().display().to_string()]);
    assert_eq!(run.code, 40);
    assert!(run.stderr.contains("has no reports"), "{}", run.stderr);
}

#[test]
fn a_registry_that_does_not_answer_ends_with_31() {
    let image = format!("{NOBODY}/shop/cart:1.4");
    let run = run(&["plan", &image, "-r", "trivy-amd64.json", "--timeout", "5m"]);
    assert_eq!(run.code, 31, "{}", run.stderr);
    assert!(
        run.stderr.contains("error: ") && run.stderr.contains("Caused by: "),
        "{}",
        run.stderr
    );
}

#[test]
fn with_json_standard_output_is_one_error_object() {
    for (arguments, class, code) in [
        (
            &["--format", "json", "report", "sarif.json"][..],
            "report",
            40,
        ),
        (&["patch", "", "--format=json"], "usage", 2),
        (&["patch", "--nope", "--format", "json"], "usage", 2),
    ] {
        let run = run(arguments);
        let value: Value = serde_json::from_str(&run.stdout)
            .unwrap_or_else(|error| panic!("{arguments:?}: {error}: {}", run.stdout));
        assert_eq!(value["schema"], "reseal.dev/error/v1");
        assert_eq!(
            (&value["class"], &value["exit_code"]),
            (&class.into(), &code.into()),
            "{arguments:?}"
        );
        assert_eq!(run.code, code);
        assert!(
            run.stderr.starts_with("error: "),
            "people still read standard error: {}",
            run.stderr
        );
    }
}

#[test]
fn a_failed_run_leaves_its_class_in_the_metadata_file_and_no_digest() {
    let folder = tempfile::tempdir().unwrap();
    let (metadata, digest) = (folder.path().join("m.json"), folder.path().join("digest"));
    std::fs::write(&digest, "sha256:stale").unwrap();
    let mut command = reseal(&["patch", "oci:nowhere:1", "-r", "missing.json"]);
    command
        .arg("--metadata-file")
        .arg(&metadata)
        .arg("--digest-file")
        .arg(&digest);
    let run = finish(command);
    assert_eq!(run.code, 40, "{}", run.stderr);
    let value: Value = serde_json::from_slice(&std::fs::read(&metadata).unwrap()).unwrap();
    assert_eq!(value["class"], "report");
    assert!(!digest.exists());
}

#[test]
fn a_flag_wins_over_its_twin_and_an_empty_twin_is_none() {
    let tagged = |tag: &str, arguments: &[&str]| {
        let mut command = reseal(&["patch", "r.io/a:1"]);
        command.args(arguments).env("RESEAL_TAG", tag);
        finish(command).stderr
    };
    assert!(tagged("bad/env", &[]).starts_with("error: `bad/env` is not a valid tag"));
    assert!(
        tagged("bad/env", &["-t", "bad/flag"]).starts_with("error: `bad/flag` is not a valid tag")
    );
    assert!(tagged("", &["--tag-unchanged"]).starts_with("error: `--tag-unchanged` needs a tag"));
}

#[test]
fn text_from_a_report_cannot_steer_the_terminal() {
    let run = run(&["report", "trivy-amd64.json"]);
    assert_eq!(run.code, 0);
    assert!(
        run.stdout.contains("CVE-2026-0002\\u{1b}[2J") && !run.stdout.contains('\u{1b}'),
        "{}",
        run.stdout
    );
}

#[test]
fn a_daemon_that_does_not_answer_is_named_with_20_in_time() {
    let mut command = reseal(&["doctor", "--addr", &format!("tcp://{NOBODY}")]);
    command.current_dir(testdata());
    let run = finish(command);
    assert_eq!(run.code, 20, "{}{}", run.stdout, run.stderr);
    assert!(run.stdout.contains(NOBODY), "{}", run.stdout);
    assert!(run.time.as_secs() < 6, "{:?}", run.time);
}

#[test]
fn a_registry_that_asks_to_come_back_later_ends_with_32() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let registry = runtime.block_on(FakeRegistry::start());
    registry.fault(
        Fault::respond(
            "GET",
            "/v2/shop/cart/manifests/*",
            429,
            &[("retry-after", "3600")],
            "",
        )
        .times(100),
    );
    let image = format!("{}/shop/cart:1.4", registry.host());
    let run = run(&["plan", &image]);
    assert_eq!(run.code, 32, "{}", run.stderr);
    assert!(
        run.stderr.contains("hint") || run.stderr.contains("wait"),
        "{}",
        run.stderr
    );
}
