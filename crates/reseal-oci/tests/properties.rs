//! What holds for any input.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::collections::BTreeMap;
use std::io::{Cursor, Read};

use common::{Entry, archive, dir, file, gunzip, hardlink, symlink};
use proptest::prelude::*;
use reseal_oci::layer::{Keep, Wanted, decompress, normalise, read, scan};
use reseal_oci::{
    AppendMeta, Descriptor, Digest, ImageConfig, ImageManifest, Index, Location, PatchLayer,
    Platform, RawManifest, Reference, append, assemble,
};

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Any JSON, with numbers that no common type holds exactly.
fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("1.50e+3".to_owned()),
        Just("123456789012345678901234567890".to_owned()),
        any::<bool>().prop_map(|b| b.to_string()),
        ".{0,8}".prop_map(|text| serde_json::Value::from(text).to_string()),
    ];
    leaf.prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4)
                .prop_map(|items| format!("[ {} ]", items.join(" ,"))),
            prop::collection::btree_map("[a-z]{1,4}", inner, 0..4).prop_map(|members| {
                let members: Vec<_> = members
                    .iter()
                    .map(|(key, value)| format!("\"{key}\" : {value}"))
                    .collect();
                format!("{{{}}}", members.join("\n, "))
            }),
        ]
    })
}

/// Members that a document does not know, by names it does not use.
fn extras() -> impl Strategy<Value = Vec<(String, String)>> {
    prop::collection::btree_map("x-[a-z]{1,5}", json(), 0..4)
        .prop_map(|map| map.into_iter().collect())
}

/// An object of these members, shuffled by the seed.
fn object(mut members: Vec<(String, String)>, seed: u64) -> String {
    let mut state = seed;
    for i in (1..members.len()).rev() {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        members.swap(i, usize::try_from(state >> 33).unwrap() % (i + 1));
    }
    let members: Vec<_> = members
        .iter()
        .map(|(key, value)| format!("\"{key}\": {value}"))
        .collect();
    format!("{{ {} }}", members.join(" ,\n\t"))
}

fn pairs<const N: usize>(
    members: [(&str, String); N],
    extras: &[(String, String)],
) -> Vec<(String, String)> {
    members
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .chain(extras.iter().cloned())
        .collect()
}

/// What every tar in the properties is made of: unique paths, files and links.
fn entries() -> impl Strategy<Value = Vec<Entry>> {
    let name = "[a-d](/[a-e]{1,3}){0,2}";
    let contents = prop::collection::vec(any::<u8>(), 0..700);
    prop::collection::btree_map(
        name,
        (0..7_u8, contents, 0..10_000_u64, 0..0o7777_u32),
        0..12,
    )
    .prop_map(|map| {
        let names: Vec<String> = map.keys().cloned().collect();
        let parent = |name: &str| {
            names
                .iter()
                .any(|other| other.starts_with(&format!("{name}/")))
        };
        let files: Vec<&String> = map
            .iter()
            .filter(|(name, value)| value.0 < 3 && !parent(name))
            .map(|(name, _)| name)
            .collect();
        map.iter()
            .map(|(name, (kind, data, mtime, mode))| {
                let (folder, last) = name
                    .rsplit_once('/')
                    .map_or(("", &**name), |(folder, last)| (folder, last));
                let entry = match kind {
                    _ if parent(name) => dir(name),
                    0..3 => file(name, data)
                        .pax("SCHILY.xattr.user.a", data.get(..3).unwrap_or_default()),
                    3 => symlink(name, "../x"),
                    4 if !files.is_empty() => hardlink(name, files[data.len() % files.len()]),
                    5 => file(format!("{folder}/.wh.{last}"), ""),
                    _ => dir(name),
                };
                entry.mtime(*mtime).mode(*mode)
            })
            .collect()
    })
}

fn classify(path: &str) -> Keep {
    match path.as_bytes().last() {
        Some(b'a') => Keep::Junk,
        Some(b'b') => Keep::Script,
        _ => Keep::Package,
    }
}

fn normal(bytes: Vec<u8>) -> Vec<u8> {
    let mut tar = Cursor::new(bytes);
    let table = scan(&mut tar).unwrap();
    let mut out = Vec::new();
    let done = normalise(&mut tar, &table, &classify, 5000, &mut out).unwrap();
    assert_eq!(done.layer.digest, Digest::of(&out));
    assert_eq!(done.kept + done.dropped, table.entries.len() as u64);
    out
}

proptest! {
    #[test]
    fn no_text_makes_a_parser_panic(text in ".*", bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = text.parse::<Digest>();
        let _ = text.parse::<Platform>();
        if let Ok(reference) = text.parse::<Reference>() {
            prop_assert_eq!(reference.to_string().parse::<Reference>().unwrap(), reference);
        }
        if let Ok(location) = format!("oci:{text}").parse::<Location>() {
            prop_assert_eq!(location.to_string().parse::<Location>().unwrap(), location);
        }
        for bytes in [text.into_bytes(), bytes] {
            let _ = ImageConfig::parse(bytes.clone());
            let _ = Index::parse(&RawManifest::new(INDEX, bytes.clone()));
            let _ = ImageManifest::parse(&RawManifest::new("", bytes));
        }
    }

    #[test]
    fn no_json_makes_a_parser_panic(a in json(), b in json(), c in json(), seed: u64) {
        let members = |keys: [&str; 3]| {
            object(keys.iter().map(ToString::to_string).zip([a.clone(), b.clone(), c.clone()]).collect(), seed)
        };
        let _ = ImageConfig::parse(members(["rootfs", "history", "config"]));
        let _ = ImageConfig::parse(format!(r#"{{"rootfs":{}}}"#, members(["diff_ids", "type", "x"])));
        let _ = ImageManifest::parse(&RawManifest::new(OCI, members(["config", "layers", "annotations"]).into_bytes()));
        let child = members(["digest", "size", "platform"]);
        let _ = Index::parse(&RawManifest::new(INDEX, format!(r#"{{"manifests":[{child},{a}]}}"#).into_bytes()));
    }

    #[test]
    fn appending_keeps_what_it_does_not_know(
        top in extras(), inner in extras(), layers in 0..3_usize, seed: u64, history in any::<bool>(),
    ) {
        let ids: Vec<_> = (0..layers).map(|i| format!("\"{}\"", Digest::of(&[u8::try_from(i).unwrap()]))).collect();
        let rootfs = object(pairs([("diff_ids", format!("[{}]", ids.join(", ")))], &inner), seed);
        let mut members = pairs([("rootfs", rootfs), ("os", "\"linux\"".into()), ("architecture", "\"amd64\"".into())], &top);
        if history {
            members.push(("history".into(), "[ ]".into()));
        }
        let config = object(members, seed);
        let descriptor = |digest: &str, size: usize| {
            object(pairs([("mediaType", "\"m\"".into()), ("digest", digest.into()), ("size", size.to_string())], &inner), seed)
        };
        let config_digest = format!("\"{}\"", Digest::of(config.as_bytes()));
        let list: Vec<_> = ids.iter().map(|id| descriptor(id, 1)).collect();
        let manifest = object(
            pairs([("config", descriptor(&config_digest, config.len())), ("layers", format!("[{}]", list.join(",")))], &top),
            seed,
        );
        let manifest = ImageManifest::parse(&RawManifest::new(OCI, manifest.into_bytes())).unwrap();
        let config = ImageConfig::parse(config).unwrap();
        let layer = PatchLayer { digest: Digest::of(b"l"), size: 3, diff_id: Digest::of(b"d") };
        let meta = AppendMeta { created: "2026-01-01T00:00:00Z".into(), annotations: [("k".into(), "v".into())].into(), ..AppendMeta::default() };
        let out = append(&manifest, &config, &layer, &meta).unwrap();
        let read = ImageManifest::parse(&out.manifest).unwrap();
        prop_assert_eq!(&read.layers[..layers], &manifest.layers[..]);
        prop_assert_eq!(&read.layers[layers], &out.layer_descriptor);
        prop_assert_eq!(&read.config, &out.config_descriptor);
        prop_assert!(read.config.digest.matches(&out.config));
        let new_config = ImageConfig::parse(out.config.clone()).unwrap();
        prop_assert_eq!(new_config.diff_ids.len(), layers + 1);
        let (text, new_text) = (String::from_utf8(out.manifest.bytes).unwrap(), String::from_utf8(out.config).unwrap());
        for (key, value) in &top {
            let member = format!("\"{key}\": {value}");
            prop_assert!(text.contains(&member) && new_text.contains(&member), "{}", member);
        }
        for (key, value) in &inner {
            let member = format!("\"{key}\": {value}");
            prop_assert!(text.matches(&member).count() > layers);
            prop_assert!(new_text.contains(&member));
        }
    }

    #[test]
    fn assembling_keeps_what_it_does_not_know(top in extras(), inner in prop::collection::vec(extras(), 1..5), seed: u64, replaced: u8) {
        let digest = |i: usize| Digest::of(&[u8::try_from(i).unwrap()]);
        let children: Vec<_> = inner.iter().enumerate().map(|(i, extras)| {
            object(pairs([("mediaType", format!("\"{OCI}\"")), ("digest", format!("\"{}\"", digest(i))), ("size", "10".into())], extras), seed)
        }).collect();
        let list = |children: &[String]| object(pairs([("manifests", format!("[\n{} ]", children.join(" , ")))], &top), seed);
        let index = Index::parse(&RawManifest::new(INDEX, list(&children).into_bytes())).unwrap();
        let chosen = usize::from(replaced) % children.len();
        let new = Descriptor::new(OCI, Digest::of(b"new"), 999);
        let out = assemble(&index, &[(digest(chosen), new)].into(), &BTreeMap::new()).unwrap();
        let mut expected = children.clone();
        expected[chosen] = expected[chosen].replace(digest(chosen).as_str(), Digest::of(b"new").as_str()).replace("\"size\": 10", "\"size\": 999");
        prop_assert_eq!(String::from_utf8(out.index.bytes).unwrap(), list(&expected));
        prop_assert_eq!(out.kept.len() + 1, children.len());
    }

    #[test]
    fn no_bytes_make_the_layer_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..3000), entries in entries(), at: usize, value: u8) {
        let mut changed = archive(&entries);
        let at = at % changed.len();
        changed[at] = value;
        let wanted = Wanted { exact: vec!["a".into()], prefixes: vec!["b/".into()], limit: 1 << 16 };
        for bytes in [bytes, changed] {
            let _ = read(&bytes[..], &wanted);
            let mut tar = Cursor::new(&bytes);
            if let Ok(table) = scan(&mut tar) {
                let _ = normalise(&mut tar, &table, &classify, 0, std::io::sink());
            }
            if let Ok(mut reader) = decompress(&bytes[..]) {
                let _ = reader.read_to_end(&mut Vec::new());
            }
        }
    }

    #[test]
    fn normalising_again_changes_nothing(entries in entries()) {
        let once = normal(archive(&entries));
        prop_assert_eq!(&normal(gunzip(&once)), &once);
    }

    #[test]
    fn the_order_of_the_entries_does_not_matter(
        (entries, shuffled) in entries().prop_flat_map(|entries| (Just(entries.clone()), Just(entries).prop_shuffle())),
    ) {
        prop_assert_eq!(normal(archive(&entries)), normal(archive(&shuffled)));
    }
}
