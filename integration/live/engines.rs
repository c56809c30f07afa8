//! What the native engine leaves: a root that is whole, made by somebody who may do nothing. That it is the root that the
//! image's own package manager leaves, `cargo xtask compare-engines` shows on more images.

#[path = "../../crates/xtask/src/compare/roots.rs"]
mod roots;

mod configure;
mod island;
mod large;
mod listed;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::site::{Site, digest, text};
use island::Island;

/// Sources of the larger image whose packages are known by the table of maintainer scripts, all but ca-certificates.
const KNOWN: &str =
    "apt,brotli,cyrus-sasl2,expat,libpng1.6,libssh2,nginx,openssl,pcre2,perl,python3.11,xz-utils";
/// No builder may be asked for.
const NOBODY: (&str, &str) = ("BUILDKIT_HOST", "unix:///nonexistent/buildkitd.sock");

/// An image with its report.
struct Subject<'s> {
    image: &'s str,
    architecture: &'static str,
    report: &'s str,
    packages: &'static str,
}

impl<'s> Subject<'s> {
    fn larger(site: &'s Site) -> Self {
        Self {
            image: site.get("IMAGE_BOOKWORM_LARGER"),
            architecture: "amd64",
            report: site.get("REPORT_BOOKWORM_LARGER_AMD64"),
            packages: KNOWN,
        }
    }

    fn foreign(site: &'s Site) -> Self {
        Self {
            image: site.get("IMAGE_BOOKWORM_MULTI"),
            architecture: "arm64",
            report: site.get("REPORT_BOOKWORM_MULTI_ARM64"),
            packages: KNOWN,
        }
    }

    fn patched(&self, engine: &[&str], vars: &[(&str, &str)]) -> Value {
        let platform = format!("linux/{}", self.architecture);
        let args = [
            self.image,
            "--platform",
            &platform,
            "-r",
            self.report,
            "--package",
            self.packages,
            "--severity",
            "all",
            "--gate",
            "none",
        ];
        Site::patched(&[&args[..], engine].concat(), vars)
    }

    /// Patches with the native engine, without a daemon.
    fn native(&self, cache: &Path) -> Value {
        let cache = cache.display().to_string();
        self.patched(
            &["--engine", "native"],
            &[NOBODY, ("RESEAL_CACHE_DIR", &cache)],
        )
    }

    /// Lays the result out as a file system, by a program that shares no code with reseal.
    fn unpack(&self, result: &Value, folder: &Path) -> PathBuf {
        let repository = self.image.rsplit_once(':').expect("a tag").0;
        let url = format!("http://{repository}@{}", digest(result));
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("integration/images/unpack.py");
        let output = Command::new("python3")
            .arg(program)
            .args([&url, self.architecture])
            .arg(folder)
            .output()
            .expect("python3 starts");
        assert!(output.status.success(), "{}", text(&output.stderr));
        folder.join("root")
    }
}

/// Adds a file to a layer that a test makes, always with the same time.
fn add_file(
    tar: &mut tar::Builder<impl Write>,
    path: &str,
    mode: u32,
    size: u64,
    contents: impl Read,
) {
    let mut header = tar::Header::new_gnu();
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(1_700_000_000);
    tar.append_data(&mut header, path, contents)
        .expect("it can be written");
}

#[test]
fn the_root_is_whole_and_its_programs_start() {
    let Some(site) = Site::open() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let programs: [(Subject<'_>, &[&[&str]]); 2] = [
        (
            Subject::larger(&site),
            &[
                &["openssl", "version"],
                &["perl", "-e", "use POSIX; print 6*7"],
                &["python3", "-c", "import ssl, xml.parsers.expat"],
                &["nginx", "-v"],
                &["curl", "--version"],
            ],
        ),
        (Subject::foreign(&site), &[&["perl", "-e", "print 6*7"]]),
    ];
    for (subject, programs) in programs {
        let result = subject.native(&folder.path().join("cache"));
        let root = subject.unpack(&result, &folder.path().join(subject.architecture));
        let run = |args: &[&str]| {
            let output = Command::new("chroot")
                .arg(&root)
                .args(args)
                .env("LC_ALL", "C")
                .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
                .output()
                .expect("chroot starts");
            let errors = text(&output.stderr);
            assert!(output.status.success(), "{args:?}: {errors}");
            text(&output.stdout)
        };
        assert_eq!(run(&["dpkg", "--audit"]), "");
        assert_eq!(run(&["dpkg", "--verify"]), "");
        assert!(run(&["apt-get", "check"]).contains("Building dependency tree"));
        // What is not configured, or has the linker's cache of before, shows here.
        assert_eq!(run(&["dpkg", "--configure", "--pending"]), "");
        for program in programs {
            run(program);
        }
    }
}

/// Returns the host of an address, with its port.
fn host(address: &str) -> String {
    let rest = address.strip_prefix("http://").expect("a plain address");
    let host = rest.split('/').next().unwrap_or(rest);
    if host.contains(':') {
        host.to_owned()
    } else {
        format!("{host}:80")
    }
}

#[test]
fn two_platforms_are_patched_by_a_user_without_rights_who_reaches_a_registry_and_a_mirror_alone() {
    let Some(site) = Site::open() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let reports = ["AMD64", "ARM64"]
        .map(|platform| Path::new(site.get(&format!("REPORT_BOOKWORM_MULTI_{platform}"))));
    let args = |image: &str, reports: [String; 2]| {
        let [first, second] = &reports;
        let words = [
            "patch",
            image,
            "-r",
            first,
            "-r",
            second,
            "--package",
            KNOWN,
            "--severity",
            "all",
            "--gate",
            "none",
            "--format",
            "json",
        ];
        words.map(str::to_owned).to_vec()
    };
    let mirrors: BTreeSet<String> = ["MIRROR", "MIRROR_SECURITY"]
        .map(|name| host(site.get(name)))
        .into();
    let island = Island::new(site.get("REGISTRY"), &Vec::from_iter(mirrors));
    let image =
        site.get("IMAGE_BOOKWORM_MULTI")
            .replacen(site.get("REGISTRY"), &island.registry, 1);
    let there = reports.map(|path| path.file_name().expect("a name").display().to_string());
    let mut words = args(&image, there);
    words.extend(["--plain-http".to_owned(), island.registry.clone()]);
    for (mirror, way) in &island.mirrors {
        let name = mirror.trim_end_matches(":80");
        words.push("--package-mirror".to_owned());
        words.push(format!("http://{name}/=http://{way}/"));
    }
    let program = Path::new(env!("CARGO_BIN_EXE_reseal"));
    let output = island.run(program, &reports, &words);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let result: Value = serde_json::from_slice(&output.stdout).expect("a result");
    let platforms = result["platforms"].as_array().expect("platforms");
    assert_eq!(platforms.len(), 2);
    for platform in platforms {
        assert_eq!(platform["engine"], "native");
        assert_ne!(platform["digest"], platform["source_digest"]);
    }
    assert!(
        !island.reaches("203.0.113.1:80"),
        "nothing else can be reached"
    );

    let image = site.get("IMAGE_BOOKWORM_MULTI");
    let mut words = args(image, reports.map(|path| path.display().to_string()));
    words.extend(["--engine".to_owned(), "native".to_owned()]);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let cache = folder.path().display().to_string();
    let ashore = Site::run(&words, &[NOBODY, ("RESEAL_CACHE_DIR", &cache)]);
    assert_eq!(ashore.status.code(), Some(0), "{}", text(&ashore.stderr));
    let ashore: Value = serde_json::from_slice(&ashore.stdout).expect("a result");
    // The index names the registry that its base is from, the layers do not.
    let layers = |result: &Value| -> Vec<Value> {
        let platforms = result["platforms"].as_array().expect("platforms");
        let layer = |platform: &Value| platform["layer"]["digest"].clone();
        platforms.iter().map(layer).collect()
    };
    assert_eq!(
        layers(&result),
        layers(&ashore),
        "where it was made does not show"
    );
}
