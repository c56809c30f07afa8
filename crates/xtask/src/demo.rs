//! `cargo xtask demo`: patches a real Debian image on this machine and shows what changed.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    thread,
    time::Instant,
};

use serde_json::Value;

use crate::shell::{Servers, TakeDown, built, cargo, command, output, root, run, say};

/// Builds reseal while the servers come up, patches the image, and looks at the result with other tools than reseal's.
pub(crate) fn run_all(args: &[String]) -> Result<(), String> {
    let (mut release, mut keep) = (false, false);
    for flag in args {
        match flag.as_str() {
            "--release" => release = true,
            "--keep" => keep = true,
            _ => return Err("usage: cargo xtask demo [--release] [--keep]".to_owned()),
        }
    }
    let started = Instant::now();
    say(
        "== 1. Build reseal; start buildkitd and a registry; make a Debian 11 image of its last point release",
    );
    let _down = TakeDown::unless(keep);
    let servers = thread::spawn(|| Servers::up("demo"));
    let reseal = build(release);
    let servers = servers
        .join()
        .map_err(|_| "the thread of integration/up.sh panicked".to_owned())??;
    let reseal = reseal?;
    say(&format!("   ready after {} s", started.elapsed().as_secs()));

    let image = servers.get("IMAGE_BULLSEYE")?;
    let report = servers.get("REPORT_BULLSEYE_AMD64")?;
    let place = Path::new(servers.get("RUN")?).join("demo");

    say(&format!("\n== 2. Before: {image}"));
    let before = Unpacked::pull(image, place.join("before"))?;
    say(&format!(
        "   {} packages; its program says: {}",
        before.versions.len(),
        before.program
    ));
    say(&format!("   the scanner found: {}", findings(report)?));

    say("\n== 3. What would be done");
    run(&mut command(&reseal, ["plan", image, "--report", report]))?;

    say("\n== 4. Patch, push by digest, verify, sign and attest, then move the tag");
    let key = SigningKey::make(&reseal, &place)?;
    let patching = Instant::now();
    let patched = output(
        command(
            &reseal,
            [
                "patch",
                image,
                "--report",
                report,
                "--tag",
                "{{tag}}-patched",
                "--addr",
                servers.get("BUILDKIT_NEW")?,
                "--sign-key",
                &key.private,
                "--tlog",
                "off",
            ],
        )
        .env("COSIGN_PASSWORD", PASSWORD),
    )?;
    let patched = patched.trim();
    say(&format!(
        "   {patched}\n   took {:.1} s",
        patching.elapsed().as_secs_f64()
    ));

    say("\n== 5. Check the pushed digest against the report once more");
    run(&mut command(
        &reseal,
        ["verify", patched, "--report", report],
    ))?;

    say("\n== 6. What cosign says about its signature and about the verification");
    let cosign = format!("{}/cosign-new", servers.get("TOOLS")?);
    // A root that trusts nobody: a key needs none, and cosign would ask for one on the internet.
    let root = place.join("trusted_root.json").display().to_string();
    fs::write(&root, NOBODY).map_err(|error| format!("{root}: {error}"))?;
    let trust = [
        "--key",
        &key.public,
        "--insecure-ignore-tlog",
        "--trusted-root",
        &root,
    ];
    output(command(&cosign, ["verify", patched]).args(trust))?;
    let attestation = [
        "verify-attestation",
        "--type",
        "https://reseal.dev/attestation/verification/v1",
        patched,
    ];
    output(command(&cosign, attestation).args(trust))?;
    say("   cosign accepts both");

    say(
        "\n== 7. After, as another program sees it: the image unpacked, its package manager asked, its program started",
    );
    let after = Unpacked::pull(patched, place.join("after"))?;
    let changes = changes(&before.versions, &after.versions);
    for (package, from, to) in &changes {
        say(&format!("   {package:24} {from} -> {to}"));
    }
    say(&format!("   its program says: {}", after.program));
    if changes.is_empty() {
        return Err("no package changed".to_owned());
    }
    if before.program != after.program {
        return Err("the image's program says something else than before".to_owned());
    }
    if before.versions.keys().ne(after.versions.keys()) {
        return Err("packages came or went".to_owned());
    }
    fs::remove_dir_all(&place)
        .map_err(|error| format!("could not remove {}: {error}", place.display()))?;
    say(&format!(
        "\nDone in {} s: {} packages patched.",
        started.elapsed().as_secs(),
        changes.len()
    ));
    Ok(())
}

/// A key for this run alone protects nothing; neither has its password to.
const PASSWORD: &str = "demo";

/// Authorities for cosign: none.
const NOBODY: &str = r#"{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}"#;

/// The files of a key.
struct SigningKey {
    private: String,
    public: String,
}

impl SigningKey {
    fn make(reseal: &str, folder: &Path) -> Result<Self, String> {
        let prefix = folder.join("cosign");
        let path = |extension: &str| prefix.with_extension(extension).display().to_string();
        let key = Self {
            private: path("key"),
            public: path("pub"),
        };
        for file in [&key.private, &key.public] {
            if Path::new(file).exists() {
                fs::remove_file(file).map_err(|error| format!("{file}: {error}"))?;
            }
        }
        let prefix = prefix.display().to_string();
        run(
            command(reseal, ["key", "generate", "--output-key-prefix", &prefix])
                .env("COSIGN_PASSWORD", PASSWORD),
        )?;
        Ok(key)
    }
}

/// Builds the program and returns its path. Not optimised by default, and with the C library's allocator: all else would take
/// most of the demo's time.
pub(crate) fn build(release: bool) -> Result<String, String> {
    built(
        cargo(["build", "--locked", "--package", "reseal"]).arg(if release {
            "--release"
        } else {
            "--no-default-features"
        }),
    )
}

/// An image laid out as a file system by `integration/images/unpack.py`, which shares no code with reseal.
struct Unpacked {
    versions: BTreeMap<String, String>,
    program: String,
}

impl Unpacked {
    fn pull(image: &str, folder: PathBuf) -> Result<Self, String> {
        let folder = folder
            .into_os_string()
            .into_string()
            .map_err(|_| "the run folder's name is not text")?;
        let unpack = root().join("integration/images/unpack.py");
        let url = format!("http://{image}");
        output(command("python3", [unpack.as_os_str()]).args([&url, "amd64", &folder]))?;
        let root = format!("{folder}/root");
        let list = output(&mut command(
            "chroot",
            [
                root.as_str(),
                "dpkg-query",
                "--show",
                "--showformat",
                "${Package} ${Version}\n",
            ],
        ))?;
        let audit = output(&mut command("chroot", [root.as_str(), "dpkg", "--audit"]))?;
        if !audit.is_empty() {
            return Err(format!("dpkg finds faults in {image}:\n{audit}"));
        }
        let versions = list
            .lines()
            .filter_map(|line| line.split_once(' '))
            .map(|(name, version)| (name.to_owned(), version.to_owned()))
            .collect();
        Ok(Self {
            versions,
            program: start(&folder, &root)?,
        })
    }
}

/// Runs the entry point of the image as its user, and returns the first line of what it says.
fn start(folder: &str, root: &str) -> Result<String, String> {
    let text = fs::read(format!("{folder}/config.json"))
        .map_err(|error| format!("{folder}/config.json: {error}"))?;
    let config: Value =
        serde_json::from_slice(&text).map_err(|error| format!("{folder}/config.json: {error}"))?;
    let words = |field: &str| {
        let list = config["config"][field]
            .as_array()
            .cloned()
            .unwrap_or_default();
        list.iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let user = config["config"]["User"].as_str().unwrap_or("root");
    let mut program = command(
        "chroot",
        [&format!("--userspec={user}"), root, "/usr/bin/env", "-i"],
    );
    let said = output(
        program
            .args(words("Env"))
            .args(words("Entrypoint"))
            .args(words("Cmd")),
    )?;
    Ok(said.lines().next().unwrap_or_default().to_owned())
}

/// Returns `38 HIGH, 61 MEDIUM …` for a report.
fn findings(report: &str) -> Result<String, String> {
    let text = fs::read(report).map_err(|error| format!("{report}: {error}"))?;
    let value: Value =
        serde_json::from_slice(&text).map_err(|error| format!("{report}: {error}"))?;
    let found = value["Results"][0]["Vulnerabilities"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let count = |severity: &str| {
        found
            .iter()
            .filter(|one| one["Severity"] == severity)
            .count()
    };
    let parts: Vec<String> = ["CRITICAL", "HIGH", "MEDIUM", "LOW", "UNKNOWN"]
        .iter()
        .map(|severity| format!("{} {severity}", count(severity)))
        .collect();
    Ok(parts.join(", "))
}

/// Returns package, old and new version of every package whose version differs.
fn changes<'a>(
    before: &'a BTreeMap<String, String>,
    after: &'a BTreeMap<String, String>,
) -> Vec<(&'a str, &'a str, &'a str)> {
    before
        .iter()
        .filter_map(|(name, old)| Some((name.as_str(), old.as_str(), after.get(name)?.as_str())))
        .filter(|(_, old, new)| old != new)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_packages_that_are_in_both_and_differ_are_changes() {
        let of = |list: &[(&str, &str)]| {
            list.iter()
                .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
                .collect()
        };
        let before: BTreeMap<String, String> = of(&[("a", "1"), ("b", "1"), ("gone", "1")]);
        let after: BTreeMap<String, String> = of(&[("a", "2"), ("b", "1"), ("new", "1")]);
        assert_eq!(changes(&before, &after), [("a", "1", "2")]);
    }
}
