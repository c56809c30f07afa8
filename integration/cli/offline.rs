//! Commands that need no server.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::Value;

use super::{reseal, run, testdata};

#[test]
fn report_shows_what_was_read() {
    let run = run(&["report", "trivy-amd64.json"]);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    let expected = "\
report        trivy-amd64.json
scanner       Trivy 0.74.0, schema 2
image         registry.example/shop/cart:1.4
platform      linux/amd64
distribution  debian 12.5
repo digest   registry.example/shop/cart@sha256:3333333333333333333333333333333333333333333333333333333333333333
diff ID       sha256:2222222222222222222222222222222222222222222222222222222222222222
findings      2 (CRITICAL 1, LOW 1), 1 with a fix
not ours      1 finding of language packages
  SEVERITY  ID                      PACKAGE  INSTALLED         FIXED
  CRITICAL  CVE-2026-0001           libssl3  3.0.11-1~deb12u2  3.0.13-1~deb12u1
  LOW       CVE-2026-0002\\u{1b}[2J  zlib1g   1:1.2.13.dfsg-1   no fix
";
    assert_eq!(run.stdout, expected);
}

#[test]
fn report_as_json_carries_everything_once_and_reads_standard_input() {
    let mut child = reseal(&["report", "-", "--format", "json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary was built for this test");
    let bytes = std::fs::read(testdata().join("trivy-amd64.json")).unwrap();
    child.stdin.take().unwrap().write_all(&bytes).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["schema"], "reseal.dev/report/v1");
    let report = &value["reports"][0];
    assert_eq!(report["name"], "standard input");
    assert_eq!(report["findings"].as_array().unwrap().len(), 2);
    assert_eq!(report["findings"][0]["severity"], "CRITICAL");
}

#[test]
fn version_is_text_or_json() {
    assert_eq!(
        run(&["version"]).stdout,
        concat!("reseal ", env!("CARGO_PKG_VERSION"), "\n")
    );
    let json: Value = serde_json::from_str(&run(&["version", "--format", "json"]).stdout).unwrap();
    assert_eq!(json["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn completions_exist_for_every_usual_shell() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let run = run(&["completions", shell]);
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{shell}");
        assert!(
            run.stdout.contains("reseal") && run.stdout.contains("doctor"),
            "{shell}"
        );
    }
}

#[test]
fn doctor_without_a_daemon_says_what_it_looked_at() {
    let run = run(&["doctor", "--format", "json"]);
    let value: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(value["schema"], "reseal.dev/doctor/v1");
    let names: Vec<&str> = value["checks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|check| check["name"].as_str().unwrap())
        .collect();
    for name in ["builder", "credentials", "temporary files"] {
        assert!(names.contains(&name), "{names:?}");
    }
    assert!(run.time.as_secs() < 6, "{:?}", run.time);
}

#[cfg(unix)]
#[test]
fn ctrl_c_and_sigterm_end_a_run_with_their_own_codes() {
    for (signal, code) in [
        (rustix::process::Signal::INT, 130),
        (rustix::process::Signal::TERM, 143),
    ] {
        // Standard input that never ends keeps the run waiting.
        let mut command = reseal(&["report", "-"]);
        let mut child = command
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // `wait` would close it.
        let held = child.stdin.take();
        // The handlers are in place a few milliseconds after the start; the loop covers a slow machine.
        std::thread::sleep(std::time::Duration::from_millis(400));
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, signal).unwrap();
        let status = child.wait().unwrap();
        drop(held);
        assert_eq!(status.code(), Some(code));
    }
}

#[test]
fn a_run_that_takes_too_long_ends_with_124() {
    // Nobody writes into the pipe: reading the report never ends.
    let mut child = reseal(&["plan", "oci:nowhere", "-r", "-", "--timeout", "1s"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let held = child.stdin.take();
    let status = child.wait().unwrap();
    drop(held);
    assert_eq!(status.code(), Some(124));
}
