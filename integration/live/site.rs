//! What the tests of the built binary share: where everything is, and how to run it and its judges.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// What `integration/up.sh` started.
pub(super) struct Site(BTreeMap<String, String>);

impl Site {
    /// Tells when a test is skipped for want of it.
    #[expect(clippy::print_stderr, reason = "a skipped test says why")]
    pub(super) fn open() -> Option<Self> {
        let vars: BTreeMap<String, String> = std::env::vars()
            .filter_map(|(name, value)| Some((name.strip_prefix("RESEAL_IT_")?.to_owned(), value)))
            .collect();
        if vars.contains_key("REGISTRY") {
            return Some(Self(vars));
        }
        eprintln!("skipped: RESEAL_IT_REGISTRY is not set");
        None
    }

    pub(super) fn get(&self, name: &str) -> &str {
        self.0
            .get(name)
            .unwrap_or_else(|| panic!("RESEAL_IT_{name} is not set"))
    }

    /// Runs reseal against the newest daemon.
    pub(super) fn reseal(&self, args: &[&str]) -> Output {
        Self::run(args, &[("BUILDKIT_HOST", self.get("BUILDKIT_NEW"))])
    }

    pub(super) fn run(args: &[&str], vars: &[(&str, &str)]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_reseal"))
            .args(args)
            .env_remove("DOCKER_CONFIG")
            .env("RESEAL_PROGRESS", "plain")
            .envs(vars.iter().copied())
            .output()
            .expect("reseal starts")
    }

    /// Runs a patch that must go well and returns its result.
    pub(super) fn patched(args: &[&str], vars: &[(&str, &str)]) -> Value {
        let mut all = vec!["patch", "--format", "json"];
        all.extend(args);
        let output = Self::run(&all, vars);
        assert_eq!(
            output.status.code(),
            Some(0),
            "{args:?}: {}",
            text(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).expect("a result on standard output")
    }

    pub(super) fn new_daemon(&self) -> [(&'static str, &str); 1] {
        [("BUILDKIT_HOST", self.get("BUILDKIT_NEW"))]
    }

    /// Whether there is such an image, as crane sees it.
    pub(super) fn has(&self, reference: &str) -> bool {
        let crane = Path::new(self.get("TOOLS")).join("crane");
        let output = Command::new(crane).args(["digest", reference]).output();
        output.expect("crane starts").status.success()
    }

    /// Asks crane, an independent client.
    pub(super) fn crane(&self, args: &[&str]) -> Vec<u8> {
        let crane = Path::new(self.get("TOOLS")).join("crane");
        let output = Command::new(crane)
            .args(args)
            .output()
            .expect("crane starts");
        assert!(
            output.status.success(),
            "crane {args:?}: {}",
            text(&output.stderr)
        );
        output.stdout
    }

    /// Puts a layer onto one platform of an image, and that under a name of its own.
    pub(super) fn append(&self, image: &str, platform: &str, layer: &Path, target: &str) {
        let layer = layer.display().to_string();
        self.crane(&[
            "append",
            "--platform",
            platform,
            "-b",
            image,
            "-f",
            &layer,
            "-t",
            target,
        ]);
    }

    pub(super) fn json(&self, args: &[&str]) -> Value {
        serde_json::from_slice(&self.crane(args)).expect("crane writes JSON")
    }
}

pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(super) fn digest(result: &Value) -> &str {
    result["patched"]["digest"].as_str().expect("a digest")
}
