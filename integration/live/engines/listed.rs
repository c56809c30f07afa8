//! The files of a large image from a daemon that has it unpacked, instead of from its layers.

use std::{
    fs,
    io::{Read as _, Write as _},
    path::Path,
};

use flate2::{Compression, write::GzEncoder};
use serde_json::Value;

use super::{KNOWN, NOBODY, add_file};
use crate::site::{Site, digest, text};

/// More than the size from which on a daemon is asked.
const LARGE: u64 = 129 << 20;
/// What only the second image has: a file whose directory no layer lists.
const UNLISTED: &str = "srv/models/readme";

/// Puts a large layer onto an image, and returns the new image and the digest of the layer.
fn enlarged(site: &Site, folder: &Path, name: &str, files: &[(&str, u64)]) -> (String, String) {
    let base = site.get("IMAGE_BOOKWORM");
    let layer = folder.join(name);
    let out = fs::File::create(&layer).expect("a file");
    let mut tar = tar::Builder::new(GzEncoder::new(out, Compression::none()));
    for &(path, size) in files {
        add_file(&mut tar, path, 0o644, size, std::io::repeat(7).take(size));
    }
    let done = tar.into_inner().and_then(GzEncoder::finish);
    done.and_then(|mut file| file.flush())
        .expect("it can be written");
    let image = format!("{}-large:{name}", base.rsplit_once(':').expect("a tag").0);
    site.append(base, "linux/amd64", &layer, &image);
    fs::remove_file(&layer).expect("the layer file is there");
    let manifest = site.json(&["manifest", &image]);
    let layers = manifest["layers"].as_array().expect("layers");
    let top = layers.last().expect("a layer")["digest"].as_str();
    (image, top.expect("a digest").to_owned())
}

/// A run of reseal.
struct Run {
    result: Value,
    /// What it told meanwhile.
    told: String,
    /// Whether it fetched the large layer.
    fetched: bool,
}

fn patch(site: &Site, image: &(String, String), engine: &str, vars: &[(&str, &str)]) -> Run {
    let log = || fs::read_to_string(site.get("REGISTRY_LOG")).expect("the registry keeps a log");
    let before = log().len();
    let report = site.get("REPORT_BOOKWORM_AMD64");
    let args = [
        "patch",
        &image.0,
        "-r",
        report,
        "--allow-report-mismatch",
        "--package",
        KNOWN,
        "--severity",
        "all",
        "--gate",
        "none",
        "--format",
        "json",
        "--engine",
        engine,
    ];
    let output = Site::run(&args, vars);
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{told}");
    let asked = log().split_off(before);
    Run {
        result: serde_json::from_slice(&output.stdout).expect("a result"),
        fetched: asked
            .lines()
            .any(|line| line.contains("GET") && line.contains(&format!("blobs/{}", image.1))),
        told,
    }
}

#[test]
fn a_daemon_that_has_a_large_image_unpacked_tells_what_is_in_it() {
    let Some(site) = Site::open() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let cache = |name: &str| folder.path().join(name).display().to_string();
    let (alone, with) = (cache("alone"), cache("with"));
    // No daemon has seen this one, however often the test runs.
    let model = format!("model-{}", std::process::id());
    let image = enlarged(&site, folder.path(), "listed", &[(&model, LARGE)]);
    let daemon = site.new_daemon()[0];

    let plain = patch(
        &site,
        &image,
        "native",
        &[NOBODY, ("RESEAL_CACHE_DIR", &alone)],
    );
    assert!(plain.fetched, "without a daemon the layers are read");
    assert!(plain.told.contains("its layers are read"), "{}", plain.told);

    // A daemon that would have to pull the image first is no help.
    let vars = [daemon, ("RESEAL_CACHE_DIR", &with)];
    let fresh = patch(&site, &image, "native", &vars);
    assert!(fresh.fetched && digest(&fresh.result) == digest(&plain.result));
    fs::remove_dir_all(&with).expect("a cache");

    patch(&site, &image, "buildkit", &[daemon]);
    let told = patch(&site, &image, "native", &vars);
    assert!(!told.fetched, "{}", told.told);
    assert!(told.told.contains("need not be fetched"), "{}", told.told);
    assert_eq!(digest(&told.result), digest(&plain.result));

    // Once is enough.
    let again = patch(&site, &image, "native", &vars);
    assert!(!again.fetched && !again.told.contains("need not be fetched"));
    assert_eq!(digest(&again.result), digest(&plain.result));
}

#[test]
fn an_image_that_only_its_layers_tell_exactly_is_read_from_them() {
    let Some(site) = Site::open() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let cache = folder.path().join("cache").display().to_string();
    let files = [("model", LARGE), (UNLISTED, 1)];
    let image = enlarged(&site, folder.path(), "unlisted", &files);
    let daemon = site.new_daemon()[0];
    patch(&site, &image, "buildkit", &[daemon]);
    let run = patch(
        &site,
        &image,
        "native",
        &[daemon, ("RESEAL_CACHE_DIR", &cache)],
    );
    assert!(run.fetched && run.told.contains("`srv"), "{}", run.told);
}
