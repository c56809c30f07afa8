//! Packages whose scripts have to run: laid down by the native engine, configured by the image's own dpkg.

use std::{fs, path::Path, process::Command};

use serde_json::Value;

use super::{KNOWN, Subject, add_file, roots};
use crate::site::{Site, text};

/// A package that wants to know of every change below `/usr/bin`, which no table of scripts has ever heard of.
const POSTINST: &str = "#!/bin/sh
set -e
if [ \"$1\" = triggered ]; then
    mkdir -p /var/lib/watcher
    echo \"$2\" >/var/lib/watcher/seen
fi
";
const STANZA: &str = "Package: watcher
Status: install ok installed
Priority: optional
Section: misc
Installed-Size: 1
Maintainer: Nobody <nobody@example.com>
Architecture: all
Version: 1
Description: watches
";

/// Puts the package into an image by a layer on top of it, and returns the new image.
fn watched(site: &Site, folder: &Path) -> String {
    let base = site.get("IMAGE_BOOKWORM_MULTI");
    let root = folder.join("base");
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("integration/images/unpack.py");
    let unpacked = Command::new("python3")
        .arg(program)
        .args([&format!("http://{base}"), "arm64"])
        .arg(&root)
        .output()
        .expect("python3 starts");
    assert!(unpacked.status.success(), "{}", text(&unpacked.stderr));
    let dpkg = |path: &str| fs::read(root.join("root/var/lib/dpkg").join(path)).unwrap_or_default();
    let mut status = dpkg("status");
    status.extend_from_slice(b"\n");
    status.extend_from_slice(STANZA.as_bytes());
    let mut triggers = dpkg("triggers/File");
    triggers.extend_from_slice(b"/usr/bin watcher\n");
    let layer = folder.join("layer.tar");
    let mut tar = tar::Builder::new(fs::File::create(&layer).expect("a file"));
    for (path, mode, bytes) in [
        ("status", 0o644, status.as_slice()),
        ("triggers/File", 0o644, &triggers),
        ("info/watcher.list", 0o644, b"/.\n"),
        ("info/watcher.md5sums", 0o644, b""),
        (
            "info/watcher.triggers",
            0o644,
            b"interest-noawait /usr/bin\n",
        ),
        ("info/watcher.postinst", 0o755, POSTINST.as_bytes()),
    ] {
        let path = format!("var/lib/dpkg/{path}");
        add_file(&mut tar, &path, mode, bytes.len() as u64, bytes);
    }
    tar.into_inner().expect("it can be written");
    let image = format!("{}-watched:1", base.rsplit_once(':').expect("a tag").0);
    site.append(base, "linux/arm64", &layer, &image);
    image
}

/// Compares two results, by their packages and by every file of the images.
fn same_root(subject: &Subject<'_>, theirs: &Value, ours: &Value, folder: &Path) {
    let versions = |result: &Value| -> Vec<(Value, Value)> {
        let list = result["platforms"][0]["packages"].as_array().cloned();
        list.unwrap_or_default()
            .into_iter()
            .map(|one| (one["name"].clone(), one["to"].clone()))
            .collect()
    };
    assert!(!versions(ours).is_empty());
    assert_eq!(versions(theirs), versions(ours));
    let left = subject.unpack(theirs, &folder.join("theirs"));
    let right = subject.unpack(ours, &folder.join("ours"));
    let found = roots::compare(&left, &right).expect("both can be read");
    assert_eq!(found.different, [], "of {} paths", found.paths);
}

#[test]
fn what_has_to_be_configured_is_by_the_images_own_dpkg_and_nothing_else_runs() {
    let Some(site) = Site::open() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let image = watched(&site, folder.path());
    let subject = Subject {
        image: &image,
        architecture: "arm64",
        report: site.get("REPORT_BOOKWORM_MULTI_ARM64"),
        packages: KNOWN,
    };
    let mismatch = "--allow-report-mismatch";
    let theirs = subject.patched(&[mismatch, "--engine", "buildkit"], &site.new_daemon());
    let ours = subject.patched(&[mismatch], &site.new_daemon());
    let platform = &ours["platforms"][0];
    assert_eq!(platform["engine"], "native");
    assert_eq!(platform["emulated"], true);
    assert_eq!(platform["configured"], serde_json::json!(["watcher"]));
    let written = platform["script_written"].as_array().expect("a list");
    assert!(
        written.iter().any(|path| path == "var/lib/watcher/seen"),
        "{written:?}"
    );
    same_root(&subject, &theirs, &ours, folder.path());

    let refused = Site::run(
        &[
            "patch",
            &image,
            "--engine",
            "native",
            "--platform",
            "linux/arm64",
            "-r",
            subject.report,
            "--package",
            KNOWN,
            "--severity",
            "all",
            mismatch,
        ],
        &site.new_daemon(),
    );
    let errors = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(12), "{errors}");
    assert!(errors.contains("watcher"), "{errors}");
}
