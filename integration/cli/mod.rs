//! Runs the binary in an empty environment and compares what it says.

mod docs;
mod failures;
mod offline;
mod secrets;
mod signing;

use std::{
    path::PathBuf,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

/// What a run gave.
struct Run {
    code: i32,
    stdout: String,
    stderr: String,
    time: Duration,
}

impl Run {
    /// Holds when the run failed with this code, said nothing on standard output, and began its error so.
    #[track_caller]
    fn failed(&self, arguments: &[&str], code: i32, message: &str) {
        assert_eq!(
            (self.code, self.stdout.as_str()),
            (code, ""),
            "{arguments:?}: {}",
            self.stderr
        );
        assert!(
            self.stderr.starts_with(message),
            "{arguments:?}: {}",
            self.stderr
        );
    }
}

/// Returns the binary in an environment of its own: no credentials, no daemon, no CI.
fn reseal(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reseal"));
    command
        .args(arguments)
        .env_clear()
        .env("HOME", "/nonexistent")
        .env("TMPDIR", std::env::temp_dir())
        .current_dir(testdata())
        .stdin(Stdio::null());
    command
}

fn testdata() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata/cli")
}

fn finish(mut command: Command) -> Run {
    let begin = Instant::now();
    let Output {
        status,
        stdout,
        stderr,
    } = command
        .output()
        .expect("the binary was built for this test");
    Run {
        code: status.code().expect("the process was not killed"),
        stdout: String::from_utf8(stdout).expect("text"),
        stderr: String::from_utf8(stderr).expect("text"),
        time: begin.elapsed(),
    }
}

fn run(arguments: &[&str]) -> Run {
    finish(reseal(arguments))
}
