//! The command of cosign that reseal tells at the end is run as it stands: by a shell, with nothing filled in.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

use super::judges::said;
use super::signers::Keys;
use super::support::{Image, Site, places, site};
use crate::site::{Site as Servers, text};

/// A folder with a key whose password is empty, and programs by the names that commands have for them.
pub(super) struct Bench {
    pub(super) site: &'static Site,
    pub(super) servers: Servers,
    folder: tempfile::TempDir,
}

impl Bench {
    pub(super) fn open() -> Option<Self> {
        let bench = Self {
            site: site()?,
            servers: Servers::open()?,
            folder: tempfile::tempdir().expect("a folder"),
        };
        let keys = Keys::make(bench.site);
        for (name, file) in [
            ("my.key", keys.p256.private.as_path()),
            ("my.pub", keys.p256.public()),
            ("alone.key", keys.rsa.private.as_path()),
        ] {
            fs::copy(file, bench.path(name)).expect("a copy");
        }
        fs::create_dir(bench.path("bin")).expect("a folder");
        for (name, program) in [
            ("cosign", bench.site.cosign_new.as_path()),
            ("reseal", Path::new(env!("CARGO_BIN_EXE_reseal"))),
        ] {
            symlink(program, bench.path("bin").join(name)).expect("a link");
        }
        Some(bench)
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn command(&self, program: &str, vars: &[(&str, &str)]) -> Command {
        let mut command = Command::new(program);
        let path = std::env::var("PATH").expect("there is a PATH");
        command
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", format!("{}:{path}", self.path("bin").display()))
            .env("HOME", self.site.home())
            .env("COSIGN_PASSWORD", "")
            .envs(vars.iter().copied());
        command
    }

    /// Runs reseal, and then what it tells.
    fn follow(&self, args: &[&str], vars: &[(&str, &str)]) -> (String, Output) {
        let output = self.command("reseal", vars).args(args).output();
        let output = output.expect("reseal starts");
        let told = text(&output.stderr);
        assert!(output.status.success(), "{args:?}: {told}");
        let command = told
            .lines()
            .find_map(|line| line.strip_prefix("Check it with: "))
            .unwrap_or_else(|| panic!("{args:?} tells no command: {told}"))
            .to_owned();
        let output = self.command("sh", vars).args(["-c", &command]).output();
        (command, output.expect("a shell"))
    }

    pub(super) fn accepts(&self, args: &[&str], vars: &[(&str, &str)]) -> String {
        let (command, output) = self.follow(args, vars);
        assert!(output.status.success(), "{command}: {}", said(&output));
        command
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cosign_accepts_by_the_command_that_is_told() {
    let Some(bench) = Bench::open() else { return };
    let of = |name: &str| bench.servers.get(name).to_owned();
    let (log1, log2, root) = (
        of("SIGNING_CONFIG_REKOR1_TSA"),
        of("SIGNING_CONFIG_REKOR2"),
        of("TRUSTED_ROOT"),
    );
    let spaced = bench.path("our root.json");
    fs::copy(&root, &spaced).expect("a copy");
    let spaced = spaced.display().to_string();
    let token = bench.site.token("gitlab");
    let key = fs::read_to_string(bench.path("my.key")).expect("a key");
    let by_key = ["--sign-key", "my.key"];
    let by_env = ["--sign-key", "env://THE_KEY"];
    let without = ["--tlog", "off"];
    let configs = [["--signing-config", &log1], ["--signing-config", &log2]];
    let trusting = ["--trusted-root", &root];
    let trusting_spaced = ["--trusted-root", &spaced];
    for place in places(bench.site) {
        for (more, vars) in [
            ([&by_key[..], &without].concat(), &[][..]),
            (
                ["--sign-key", "alone.key"]
                    .into_iter()
                    .chain(without)
                    .collect(),
                &[],
            ),
            (
                [&by_env[..], &without].concat(),
                &[("THE_KEY", key.as_str())],
            ),
            ([&by_key[..], &configs[0], &trusting].concat(), &[]),
            ([&by_key[..], &configs[1], &trusting_spaced].concat(), &[]),
            ([&by_key[..], &configs[0]].concat(), &[]),
            ([&by_key[..], &configs[1]].concat(), &[]),
            (
                [&["--keyless"][..], &configs[0], &trusting].concat(),
                &[("SIGSTORE_ID_TOKEN", token.as_str())],
            ),
            (
                [&["--keyless"][..], &configs[1], &trusting].concat(),
                &[("SIGSTORE_ID_TOKEN", token.as_str())],
            ),
            (
                [&by_key[..], &without, &["--signature-format", "legacy"]].concat(),
                &[],
            ),
        ] {
            let image = Image::push(&place).await;
            let reference = image.reference(&image.index);
            bench.accepts(&[&["sign", &reference][..], &more].concat(), vars);
            // Its predicate is of no type that cosign knows the form of.
            let attest = ["attest", &reference, "--predicate", &spaced];
            let kind = ["--type", "https://example.com/what/v1"];
            bench.accepts(&[&attest[..], &kind, &more].concat(), vars);
        }
    }
    assert!(
        !bench.path("cosign.pub").exists(),
        "nothing was written over"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cosign_cannot_check_is_said_instead() {
    let Some(bench) = Bench::open() else { return };
    let image = Image::push(&places(bench.site)[0]).await;
    let reference = image.reference(&image.index);
    let token = bench.site.token("gitlab");
    let config = bench.servers.get("SIGNING_CONFIG_REKOR2");
    let args = ["sign", &reference, "--keyless", "--signing-config", config];
    let output = bench
        .command("reseal", &[("SIGSTORE_ID_TOKEN", &token)])
        .args(args)
        .output()
        .expect("reseal starts");
    let told = text(&output.stderr);
    assert!(output.status.success(), "{told}");
    assert!(told.contains("with `--trusted-root FILE`"), "{told}");
    assert!(!told.contains("Check it with"), "{told}");
}
