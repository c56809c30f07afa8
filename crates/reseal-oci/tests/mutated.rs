//! The bodies of the fuzz targets `layer_tar` and `oci_manifest`, on mutated samples.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::collections::BTreeMap;
use std::io::Cursor;

use common::{archive, dir, file, gunzip, hardlink, symlink};
use proptest::prelude::*;
use reseal_oci::layer::{Keep, Wanted, decompress, normalise, read, scan};
use reseal_oci::{Family, ImageConfig, ImageManifest, Index, RawManifest, assemble};

/// Puts a byte somewhere, takes bytes away, or copies some to another place.
#[derive(Debug, Clone)]
enum Mutation {
    Replace(usize, u8),
    Remove(usize, usize),
    Copy(usize, usize, usize),
}

fn mutations() -> impl Strategy<Value = Vec<Mutation>> {
    let one = prop_oneof![
        4 => (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| Mutation::Replace(at, byte)),
        1 => (any::<usize>(), 1..600_usize).prop_map(|(at, count)| Mutation::Remove(at, count)),
        1 => (any::<usize>(), any::<usize>(), 1..600_usize)
            .prop_map(|(from, to, count)| Mutation::Copy(from, to, count)),
    ];
    prop::collection::vec(one, 1..6)
}

fn mutated(sample: &[u8], mutations: &[Mutation]) -> Vec<u8> {
    let mut bytes = sample.to_vec();
    for mutation in mutations {
        let length = bytes.len().max(1);
        let end = |from: usize, count: usize| (from % length + count).min(bytes.len());
        match *mutation {
            Mutation::Replace(at, byte) => {
                if let Some(place) = bytes.get_mut(at % length) {
                    *place = byte;
                }
            }
            Mutation::Remove(at, count) => {
                let end = end(at, count);
                drop(bytes.drain((at % length).min(end)..end));
            }
            Mutation::Copy(from, to, count) => {
                let end = end(from, count);
                let piece = bytes[(from % length).min(end)..end].to_vec();
                let to = (to % length).min(bytes.len());
                drop(bytes.splice(to..to, piece));
            }
        }
    }
    bytes
}

fn layer() -> Vec<u8> {
    archive(&[
        dir("etc/"),
        file("etc/one", "some text"),
        hardlink("etc/two", "etc/one"),
        symlink("bin", "usr/bin"),
        file("usr/.wh.gone", ""),
        file("usr/big", "x".repeat(2000)).pax("mtime", "1700000000.5"),
        file(format!("{}/deep", "long".repeat(40)), "deep"),
    ])
}

const INDEX: &str = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[
 {"mediaType":"application/vnd.oci.image.manifest.v1+json","size":7,"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","platform":{"os":"linux","architecture":"amd64"}},
 {"mediaType":"application/vnd.oci.image.manifest.v1+json","size":7,"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8b","platform":{"os":"unknown","architecture":"unknown"},"annotations":{"vnd.docker.reference.type":"attestation-manifest"}}],
 "annotations":{"a":"b"}}"#;
const MANIFEST: &str = r#"{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","size":2,"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","size":9,"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8c"}]}"#;
const CONFIG: &str = r#"{"os":"linux","architecture":"arm64","variant":"v8","created":"2024-01-01T00:00:00Z","rootfs":{"type":"layers","diff_ids":["sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"]},"history":[{"created_by":"x"}]}"#;

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_mutated_layer_is_read_or_refused_and_what_is_written_can_be_read(mutations in mutations()) {
        let bytes = mutated(&layer(), &mutations);
        let wanted = Wanted {
            exact: vec!["etc/one".to_owned()],
            prefixes: vec!["usr/".to_owned()],
            limit: 1 << 16,
        };
        if let Ok(tar) = decompress(bytes.as_slice()) {
            let _ = read(tar, &wanted);
        }
        let mut tar = Cursor::new(&bytes);
        if let Ok(found) = scan(&mut tar) {
            let mut out = Vec::new();
            if normalise(&mut tar, &found, &|_: &str| Keep::Package, 1_700_000_000, &mut out).is_ok() {
                scan(&mut Cursor::new(gunzip(&out))).unwrap();
            }
        }
    }

    #[test]
    fn a_mutated_document_is_read_or_refused_and_a_rebuilt_index_keeps_its_children(mutations in mutations()) {
        for family in [Family::Oci, Family::Docker] {
            let raw = RawManifest::new(family.index_type(), mutated(INDEX.as_bytes(), &mutations));
            if let Ok(index) = Index::parse(&raw)
                && let Ok(rebuilt) = assemble(&index, &BTreeMap::new(), &BTreeMap::new())
            {
                prop_assert_eq!(Index::parse(&rebuilt.index).unwrap().children, index.children);
            }
            let raw = RawManifest::new(family.manifest_type(), mutated(MANIFEST.as_bytes(), &mutations));
            let _ = ImageManifest::parse(&raw);
        }
        let _ = ImageConfig::parse(mutated(CONFIG.as_bytes(), &mutations));
    }
}
