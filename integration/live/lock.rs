//! Locks: the same packages give the same digest, from repositories, from a folder, and from what the image carries.

use std::path::Path;
use std::process::Output;

use serde_json::Value;

use super::site::{Site, digest, text};

/// Packages without maintainer scripts, so that nothing but the files decides.
const PACKAGES: &str = "libexpat1,libpng16-16";
/// No builder may be asked for.
const NOBODY: (&str, &str) = ("BUILDKIT_HOST", "unix:///nonexistent/buildkitd.sock");

fn json(args: &[&str], cache: &Path) -> Value {
    let output = run(args, cache);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{args:?}: {}",
        text(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).expect("JSON on standard output")
}

fn run(args: &[&str], cache: &Path) -> Output {
    let mut all = vec!["--format", "json"];
    all.extend(args);
    let cache = cache.display().to_string();
    Site::run(&all, &[NOBODY, ("RESEAL_CACHE_DIR", cache.as_str())])
}

#[test]
fn a_lock_gives_the_same_digest_from_repositories_a_folder_and_the_image_itself() {
    let Some(site) = Site::open() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (lock, packages) = (path("patch.lock"), path("packages"));
    let cache = folder.path().join("cache");
    let image = site.get("IMAGE_BOOKWORM_LARGER");
    let report = site.get("REPORT_BOOKWORM_LARGER_AMD64");
    let choice = [
        image,
        "-r",
        report,
        "--package",
        PACKAGES,
        "--severity",
        "all",
        "--gate",
        "none",
    ];
    let with = |command: &'static str, more: &[&'static str]| {
        let mut args = vec![command];
        args.extend(choice);
        args.extend(more);
        args
    };
    let first = json(
        &with("patch", &["--engine", "native", "-t", "live-native"]),
        &cache,
    );
    assert_eq!(first["outcome"], "patched");
    let platform = &first["platforms"][0];
    assert_eq!(
        (&platform["engine"], &platform["emulated"]),
        (&"native".into(), &false.into())
    );
    for package in platform["packages"].as_array().expect("packages") {
        let files = package["source"]["files"].as_u64().expect("a count");
        assert!(files > 0, "its files were compared: {package}");
    }

    let mut args = with("plan", &[]);
    args.extend(["--lock", &lock]);
    json(&args, &cache);
    let locked = json(&["patch", "--lock", &lock], &cache);
    assert_eq!(digest(&first), digest(&locked), "by the lock alone");

    let fetched = json(&["fetch", "--lock", &lock, "--to", &packages], &cache);
    assert_eq!(fetched["packages"], 2);
    let other = folder.path().join("other-cache");
    let args = ["patch", image, "--lock", &lock, "--packages", &packages];
    assert_eq!(digest(&first), digest(&json(&args, &other)), "by a folder");

    let repository = image.rsplit_once(':').expect("a tag").0;
    let pinned = format!("{repository}@{}", digest(&first));
    let again = json(&["reproduce", &pinned], &other);
    assert_eq!(again["digest"], first["patched"]["digest"]);

    let mut args = with("verify", &["--against-packages", "--allow-report-mismatch"]);
    args[1] = &pinned;
    args.extend(["--packages", &packages]);
    let verified = json(&args, &other);
    assert_eq!(
        verified["platforms"][0]["packages"], first["platforms"][0]["packages"],
        "found by another way"
    );
}

#[test]
fn what_is_not_the_locks_is_refused() {
    let Some(site) = Site::open() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (lock, packages) = (path("patch.lock"), path("packages"));
    let cache = folder.path().join("cache");
    let image = site.get("IMAGE_BOOKWORM_LARGER");
    let report = site.get("REPORT_BOOKWORM_LARGER_AMD64");
    json(
        &[
            "plan",
            image,
            "-r",
            report,
            "--package",
            "libexpat1",
            "--severity",
            "all",
            "--lock",
            &lock,
        ],
        &cache,
    );
    json(&["fetch", "--lock", &lock, "--to", &packages], &cache);

    // One byte of the package, and one digit of its digest.
    let file = std::fs::read_dir(&packages)
        .expect("a folder")
        .next()
        .expect("a package")
        .expect("readable")
        .path();
    let mut bytes = std::fs::read(&file).expect("readable");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).expect("written");
    let text_of = std::fs::read_to_string(&lock).expect("readable");
    let mut value: Value = serde_json::from_str(&text_of).expect("JSON");
    value["platforms"][0]["packages"][0]["digest"] = format!("sha256:{:064}", 7).into();
    let forged = path("forged.lock");
    std::fs::write(&forged, value.to_string()).expect("written");
    value = serde_json::from_str(&text_of).expect("JSON");
    value["platforms"][0]["platform"]["architecture"] = "arm64".into();
    let foreign = path("foreign.lock");
    std::fs::write(&foreign, value.to_string()).expect("written");
    let empty = folder.path().join("empty");
    for (args, code) in [
        // The mirror has the package, and is not asked.
        (
            vec!["patch", image, "--lock", &lock, "--packages", &packages],
            12,
        ),
        (vec!["patch", image, "--lock", &forged], 12),
        (
            vec![
                "patch",
                image,
                "--lock",
                &foreign,
                "--tag-unchanged",
                "-t",
                "live-foreign",
            ],
            41,
        ),
    ] {
        let output = run(&args, &empty);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{args:?}: {}",
            text(&output.stderr)
        );
    }
    let other = run(
        &["patch", site.get("IMAGE_BOOKWORM"), "--lock", &lock],
        &cache,
    );
    assert_ne!(other.status.code(), Some(0), "a lock of another image");
    let packages_alone = run(&["patch", image, "--packages", &packages], &cache);
    assert_eq!(packages_alone.status.code(), Some(2));
    let foreign = run(&["reproduce", image], &cache);
    assert_eq!(foreign.status.code(), Some(12), "it was never patched");
}
