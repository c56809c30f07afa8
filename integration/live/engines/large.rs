//! An image of which so much is known that its platforms are laid down one after the other.

use std::{fs, io::Read as _, path::Path};

use serde_json::Value;

use super::{NOBODY, add_file};
use crate::site::Site;

/// Bytes that are kept of the image: the file lies where keyrings do.
const PADDING: u64 = 4_000_000;

/// Puts a file onto both platforms of an image, and returns the new image.
fn padded(site: &Site, folder: &Path) -> String {
    let base = site.get("IMAGE_BOOKWORM_MULTI");
    let layer = folder.join("layer.tar");
    let mut tar = tar::Builder::new(fs::File::create(&layer).expect("a file"));
    let padding = std::io::repeat(7).take(PADDING);
    add_file(
        &mut tar,
        "usr/share/keyrings/padding",
        0o644,
        PADDING,
        padding,
    );
    tar.finish().expect("it can be written");
    let repository = format!("{}-padded", base.rsplit_once(':').expect("a tag").0);
    let parts = ["amd64", "arm64"].map(|architecture| {
        let part = format!("{repository}:{architecture}");
        site.append(base, &format!("linux/{architecture}"), &layer, &part);
        part
    });
    let image = format!("{repository}:1");
    site.crane(&[
        "index", "append", "-t", &image, "-m", &parts[0], "-m", &parts[1],
    ]);
    image
}

/// The digests of the patched platforms, by architecture.
fn patched(image: &str, cache: &Path, more: &[&str]) -> Vec<(String, String)> {
    // What the repositories got since the table of scripts was written is not the point here.
    let args = [image, "--engine", "native", "--assume-scripts-inert"];
    let cache = cache.display().to_string();
    let result = Site::patched(
        &[&args[..], more].concat(),
        &[NOBODY, ("RESEAL_CACHE_DIR", &cache)],
    );
    let platforms = result["platforms"].as_array().expect("platforms");
    let word = |of: &Value| of.as_str().map(str::to_owned);
    platforms
        .iter()
        .filter(|one| one["digest"] != one["source_digest"])
        .filter_map(|one| {
            Some((
                word(&one["platform"]["architecture"])?,
                word(&one["digest"])?,
            ))
        })
        .collect()
}

#[test]
fn platforms_of_a_large_image_are_the_same_one_after_the_other() {
    let Some(site) = Site::open() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let image = padded(&site, folder.path());
    let cache = folder.path().join("cache");
    // Nothing is known of its layers at first.
    let both = patched(&image, &cache, &[]);
    assert_eq!(both.len(), 2, "{both:?}");
    for (architecture, digest) in &both {
        let platform = format!("linux/{architecture}");
        let alone = patched(&image, &cache, &["--platform", &platform]);
        assert_eq!(alone, [(architecture.clone(), digest.clone())]);
    }
    assert_eq!(patched(&image, &cache, &[]), both);
}
