//! Real layouts of many tools, where the shared fixtures are at hand.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![expect(clippy::print_stderr, reason = "a skipped test says so")]

mod common;

use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::path::PathBuf;
use std::process::Command;

use common::gunzip;
use reseal_oci::layer::{Keep, decompress, normalise, scan};
use reseal_oci::{
    AppendMeta, Descriptor, Digest, ImageConfig, ImageManifest, Index, Kind, PatchLayer,
    RawManifest, append, assemble,
};

/// All regular files of all fixture archives, by archive and digest; `None` where there are no fixtures.
fn blobs() -> Option<BTreeMap<String, BTreeMap<Digest, Vec<u8>>>> {
    let shared = std::env::var_os("RESEAL_SHARED").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")),
        PathBuf::from,
    );
    let Ok(folder) = std::fs::read_dir(shared.join("data/fixtures/oci")) else {
        eprintln!("skipped: there are no fixtures in {}", shared.display());
        return None;
    };
    let mut all = BTreeMap::new();
    for path in folder.map(|entry| entry.unwrap().path()) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let bytes = if path.extension() == Some("xz".as_ref()) {
            match Command::new("xz").arg("-dc").arg(&path).output() {
                Ok(output) if output.status.success() => output.stdout,
                _ => {
                    eprintln!("skipped: xz cannot unpack {name}");
                    return None;
                }
            }
        } else if name.contains(".tar") {
            std::fs::read(&path).unwrap()
        } else {
            continue;
        };
        let mut files = BTreeMap::new();
        let mut archive = tar::Archive::new(decompress(&bytes[..]).unwrap());
        for entry in archive.entries().unwrap() {
            let mut contents = Vec::new();
            entry.unwrap().read_to_end(&mut contents).unwrap();
            files.insert(Digest::of(&contents), contents);
        }
        all.insert(name, files);
    }
    Some(all)
}

/// The members of a document that an edit does not touch.
fn untouched(bytes: &[u8], edited: &[&str]) -> serde_json::Value {
    let mut value: serde_json::Value = serde_json::from_slice(bytes).unwrap();
    value
        .as_object_mut()
        .unwrap()
        .retain(|key, _| !edited.contains(&key.as_str()));
    value
}

#[test]
fn real_images_take_a_layer() {
    let Some(all) = blobs() else { return };
    let layer = PatchLayer {
        digest: Digest::of(b"l"),
        size: 3,
        diff_id: Digest::of(b"d"),
    };
    let meta = AppendMeta {
        created: "2026-01-01T00:00:00Z".into(),
        ..AppendMeta::default()
    };
    let (mut manifests, mut patched) = (0, 0);
    for (name, files) in &all {
        for bytes in files.values() {
            let raw = RawManifest::new("", bytes.clone());
            if raw.kind() != Kind::Image {
                continue;
            }
            let manifest = ImageManifest::parse(&raw)
                .unwrap_or_else(|error| panic!("{name} {}: {error}", raw.digest));
            manifests += 1;
            let Some(config) = files
                .get(&manifest.config.digest)
                .filter(|_| manifest.is_container_image())
            else {
                continue;
            };
            let Ok(config) = ImageConfig::parse(config.clone()) else {
                continue;
            };
            if config.diff_ids.len() != manifest.layers.len() {
                continue;
            }
            let out = append(&manifest, &config, &layer, &meta)
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            let edited = ["config", "layers"];
            assert_eq!(
                untouched(&out.manifest.bytes, &edited),
                untouched(bytes, &edited),
                "{name}"
            );
            let edited = ["rootfs", "history", "created"];
            assert_eq!(
                untouched(&out.config, &edited),
                untouched(&config.bytes, &edited),
                "{name}"
            );
            let read = ImageManifest::parse(&out.manifest).unwrap();
            assert_eq!(read.layers.len(), manifest.layers.len() + 1);
            assert_eq!(
                ImageConfig::parse(out.config).unwrap().diff_ids.len(),
                read.layers.len()
            );
            patched += 1;
        }
    }
    assert!(
        manifests >= 20 && patched >= 10,
        "{manifests} manifests, {patched} patched"
    );
}

#[test]
fn real_indexes_are_rebuilt() {
    let Some(all) = blobs() else { return };
    let (mut indexes, mut dropped) = (0, 0);
    for (name, files) in &all {
        for bytes in files.values() {
            let raw = RawManifest::new("", bytes.clone());
            if raw.kind() != Kind::Index {
                continue;
            }
            let index =
                Index::parse(&raw).unwrap_or_else(|error| panic!("{name} {}: {error}", raw.digest));
            indexes += 1;
            let same = assemble(&index, &BTreeMap::new(), &BTreeMap::new()).unwrap();
            assert_eq!(same.index, raw, "{name}");
            for child in &index.children {
                let new = Descriptor::new(child.media_type.clone(), Digest::of(b"new"), 1);
                let out = assemble(
                    &index,
                    &[(child.digest.clone(), new)].into(),
                    &BTreeMap::new(),
                )
                .unwrap();
                let read = Index::parse(&out.index).unwrap();
                assert_eq!(
                    read.children.len(),
                    index.children.len() - out.dropped.len(),
                    "{name}"
                );
                assert!(
                    out.kept.iter().all(|kept| read.children.contains(kept)),
                    "{name}"
                );
                dropped += out.dropped.len();
            }
        }
    }
    assert!(
        indexes >= 15 && dropped >= 1,
        "{indexes} indexes, {dropped} attestations dropped"
    );
}

#[test]
fn real_layers_are_read_as_an_independent_reader_does() {
    let Some(all) = blobs() else { return };
    let mut layers = 0;
    for (name, files) in &all {
        for bytes in files.values() {
            let mut plain = Vec::new();
            if bytes.len() < 512
                || decompress(&bytes[..])
                    .unwrap()
                    .read_to_end(&mut plain)
                    .is_err()
            {
                continue;
            }
            if plain.len() < 512 || &plain[257..262] != b"ustar" {
                continue;
            }
            let expected = tar::Archive::new(&plain[..]).entries().unwrap().count();
            let mut tar = Cursor::new(plain);
            let table = scan(&mut tar).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(table.entries.len(), expected, "{name}");
            let keep = |_: &str| Keep::Package;
            let mut once = Vec::new();
            let done = normalise(&mut tar, &table, &keep, 1_700_000_000, &mut once).unwrap();
            assert_eq!(done.kept + done.dropped, expected as u64, "{name}");
            let mut tar = Cursor::new(gunzip(&once));
            let table = scan(&mut tar).unwrap();
            let mut twice = Vec::new();
            normalise(&mut tar, &table, &keep, 1_700_000_000, &mut twice).unwrap();
            assert_eq!(once, twice, "{name}");
            layers += 1;
        }
    }
    assert!(layers >= 4, "{layers} layers");
}
