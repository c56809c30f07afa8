//! Appending to images and rebuilding indexes, byte for byte.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::BTreeMap;

use reseal_oci::{
    AppendMeta, Descriptor, Digest, ImageConfig, ImageManifest, Index, OciError, PatchLayer,
    PatchedImage, RawManifest, annotation, append, assemble,
};

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
const DOCKER: &str = "application/vnd.docker.distribution.manifest.v2+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

fn layer() -> PatchLayer {
    PatchLayer {
        digest: Digest::of(b"layer"),
        size: 4321,
        diff_id: Digest::of(b"diff"),
    }
}

fn meta() -> AppendMeta {
    AppendMeta {
        created: "2026-01-02T03:04:05Z".into(),
        created_by: "reseal \"patch\"".into(),
        comment: String::new(),
        annotations: [(annotation::PATCH_LAYER.to_owned(), "x".to_owned())].into(),
    }
}

/// A manifest around a config; `{config}` stands for its digest and size.
fn image(media_type: &str, manifest: &str, config: &str) -> (ImageManifest, ImageConfig) {
    let pointer = format!(
        "\"digest\": \"{}\",\"size\": {}",
        Digest::of(config.as_bytes()),
        config.len()
    );
    let raw = RawManifest::new(
        media_type,
        manifest.replace("{config}", &pointer).into_bytes(),
    );
    (
        ImageManifest::parse(&raw).unwrap(),
        ImageConfig::parse(config).unwrap(),
    )
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn one_layer(id: &Digest) -> String {
    format!(r#"{{"mediaType":"l","digest":"{id}","size":1}}"#)
}

fn patched(media_type: &str, manifest: &str, config: &str) -> PatchedImage {
    let (manifest, config) = image(media_type, manifest, config);
    append(&manifest, &config, &layer(), &meta()).unwrap()
}

#[test]
fn only_what_the_patch_means_changes() {
    let id = Digest::of(b"1");
    let config = format!(
        concat!(
            "{{\n \"zeta\" : [1.0e2,  \"\\u00e9\"],\n \"created\": \"2020-01-01T00:00:00Z\", \"architecture\":\"arm64\",",
            "\"os\":\"linux\",\"container_config\": {{ \"Cmd\" :null}},\n",
            " \"rootfs\": {{\"type\":\"layers\",\"diff_ids\":[\n  \"{}\"\n ]}},\n",
            " \"history\": [{{\"created_by\":\"base\",\"extra\":12345678901234567890}}]\n}}\n"
        ),
        id
    );
    let manifest = format!(
        concat!(
            "{{\n  \"schemaVersion\": 2,\n  \"subject\": {{ \"size\" : 1.0 }},\n",
            "  \"config\": {{\"data\":\"e30=\", \"mediaType\":\"application/vnd.oci.image.config.v1+json\", {{config}} }},\n",
            "  \"layers\": [\n    {}\n  ],\n  \"annotations\": {{\"a\": \"b\"}}\n}}"
        ),
        one_layer(&id)
    );
    let out = patched(OCI, &manifest, &config);
    let expected_config = config
        .replace("2020-01-01T00:00:00Z", "2026-01-02T03:04:05Z")
        .replace(&format!("\"{id}\"\n"), &format!("\"{id}\",\n  \"{}\"\n", Digest::of(b"diff")))
        .replace(
            "12345678901234567890}]",
            "12345678901234567890},{\"created\":\"2026-01-02T03:04:05Z\",\"created_by\":\"reseal \\\"patch\\\"\"}]",
        );
    assert_eq!(text(&out.config), expected_config);
    let pointer = format!(
        "\"digest\": \"{}\",\"size\": {}",
        Digest::of(&out.config),
        out.config.len()
    );
    let new_layer = format!(
        r#"{{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"{}","size":4321}}"#,
        Digest::of(b"layer")
    );
    let expected = manifest
        .replace("{config}", &pointer)
        .replace("\"data\":\"e30=\", ", "")
        .replace(
            &one_layer(&id),
            &format!("{},\n    {new_layer}", one_layer(&id)),
        )
        .replace(
            "\"a\": \"b\"",
            "\"a\": \"b\",\"dev.reseal.patch.layer\":\"x\"",
        );
    assert_eq!(text(&out.manifest.bytes), expected);
    assert_eq!(out.manifest.digest, Digest::of(&out.manifest.bytes));
    assert_eq!(out.descriptor.digest, out.manifest.digest);
    assert_eq!(out.descriptor.size, out.manifest.bytes.len() as u64);
    assert_eq!(
        out.descriptor.platform.as_ref().unwrap().to_string(),
        "linux/arm64"
    );
    assert_eq!(out.config_descriptor.digest, Digest::of(&out.config));
}

#[test]
fn the_layer_has_the_media_type_of_the_manifests_family() {
    for (media_type, layer_type) in [
        (OCI, "application/vnd.oci.image.layer.v1.tar+gzip"),
        (DOCKER, "application/vnd.docker.image.rootfs.diff.tar.gzip"),
    ] {
        let id = Digest::of(b"1");
        let zstd = format!(
            r#"{{"mediaType":"application/vnd.oci.image.layer.v1.tar+zstd","digest":"{id}","size":1}}"#
        );
        let config =
            format!(r#"{{"os":"linux","architecture":"amd64","rootfs":{{"diff_ids":["{id}"]}}}}"#);
        let manifest = format!(
            r#"{{"mediaType":"{media_type}","config":{{"mediaType":"application/vnd.custom+json",{{config}}}},"layers":[{zstd}]}}"#
        );
        let out = patched(media_type, &manifest, &config);
        let read = ImageManifest::parse(&out.manifest).unwrap();
        assert_eq!(read.raw.media_type, media_type);
        assert_eq!(
            read.layers[0].media_type,
            "application/vnd.oci.image.layer.v1.tar+zstd"
        );
        assert_eq!(read.layers[1].media_type, layer_type);
        assert_eq!(read.config.media_type, "application/vnd.custom+json");
        assert_eq!(read.annotations[annotation::PATCH_LAYER], "x");
    }
}

#[test]
fn a_config_without_history_stays_without_one_unless_the_entry_counts_right() {
    let id = Digest::of(b"1");
    for (config, layers, entries) in [
        (
            format!(r#"{{"rootfs":{{"diff_ids":["{id}"]}}}}"#),
            one_layer(&id),
            None,
        ),
        (
            format!(r#"{{"history":null,"rootfs":{{"diff_ids":["{id}"]}}}}"#),
            one_layer(&id),
            None,
        ),
        (
            format!(r#"{{"history":[],"rootfs":{{"diff_ids":["{id}"]}}}}"#),
            one_layer(&id),
            Some(1),
        ),
        (
            format!(r#"{{"history":[{{}},{{}}],"rootfs":{{"diff_ids":["{id}"]}}}}"#),
            one_layer(&id),
            Some(3),
        ),
        (
            r#"{"rootfs":{"diff_ids":null}}"#.to_owned(),
            String::new(),
            Some(1),
        ),
        (r#"{"rootfs":{}}"#.to_owned(), String::new(), Some(1)),
    ] {
        let manifest =
            format!(r#"{{"config":{{"mediaType":"c",{{config}}}},"layers":[{layers}]}}"#);
        let out = patched(OCI, &manifest, &config);
        let json: serde_json::Value = serde_json::from_slice(&out.config).unwrap();
        assert_eq!(
            json.get("history").and_then(|h| h.as_array()).map(Vec::len),
            entries,
            "{config}"
        );
        assert_eq!(json["created"], "2026-01-02T03:04:05Z");
        let read = ImageConfig::parse(out.config).unwrap();
        assert_eq!(read.diff_ids.last(), Some(&Digest::of(b"diff")));
    }
}

#[test]
fn a_config_that_is_not_the_manifests_is_refused() {
    let (manifest, _) = image(
        OCI,
        r#"{"config":{"mediaType":"c",{config}},"layers":[]}"#,
        r#"{"rootfs":{}}"#,
    );
    let other = ImageConfig::parse(r#"{"rootfs": {}}"#).unwrap();
    let error = append(&manifest, &other, &layer(), &meta()).unwrap_err();
    assert!(matches!(error, OciError::ConfigDigest { .. }), "{error}");
}

#[test]
fn layers_that_do_not_agree_with_diff_ids_are_refused() {
    let manifest = format!(
        r#"{{"config":{{"mediaType":"c",{{config}}}},"layers":[{}]}}"#,
        one_layer(&Digest::of(b"1"))
    );
    let (manifest, config) = image(OCI, &manifest, r#"{"rootfs":{"diff_ids":[]}}"#);
    let error = append(&manifest, &config, &layer(), &meta()).unwrap_err();
    assert_eq!(
        error,
        OciError::LayerCount {
            layers: 1,
            diff_ids: 0
        }
    );
}

/// An index with every kind of neighbour: an image with embedded data, an attestation, one of another image, Windows.
fn sample_index(media_type: &str) -> String {
    let d = |name: &str| Digest::of(name.as_bytes());
    format!(
        concat!(
            "{{ \"schemaVersion\": 2, \"mediaType\": \"{ty}\",\n \"unknown\": 1e3,\n \"manifests\": [\n",
            "  {{ \"mediaType\":\"{oci}\", \"data\":\"QQ==\", \"digest\" : \"{amd}\", \"size\": 7, \"x-y\": [ 1 ],",
            " \"artifactType\":\"t\", \"annotations\": {{\"k\":\"v\"}}, \"platform\": {{\"os\":\"linux\",\"architecture\":\"amd64\"}}, \"urls\":[] }},\n",
            "  {{\"mediaType\":\"{oci}\",\"digest\":\"{att}\",\"size\":8,\"annotations\":{{\"vnd.docker.reference.digest\":\"{amd}\",",
            "\"vnd.docker.reference.type\":\"attestation-manifest\"}},\"platform\":{{\"architecture\":\"unknown\",\"os\":\"unknown\"}}}},\n",
            "  {{\"size\":9.0e0 ,\"mediaType\":\"{oci}\",\"digest\":\"{win}\"}}"
        ),
        ty = media_type,
        oci = OCI,
        amd = d("amd"),
        att = d("att"),
        win = d("win"),
    ) + "\n ]\n}"
}

#[test]
fn a_replaced_descriptor_changes_in_digest_and_size_only() {
    for media_type in [OCI_INDEX, DOCKER_LIST] {
        let source = sample_index(media_type).replace("9.0e0", "9");
        let index =
            Index::parse(&RawManifest::new(media_type, source.clone().into_bytes())).unwrap();
        assert_eq!(index.attestation_of(1), Some(Digest::of(b"amd")));
        assert_eq!(
            (index.attestation_of(0), index.attestation_of(9)),
            (None, None)
        );
        let new = Descriptor::new(OCI, Digest::of(b"new"), 77);
        let out = assemble(
            &index,
            &[(Digest::of(b"amd"), new)].into(),
            &[("dev.reseal.patch.base".to_owned(), "b".to_owned())].into(),
        )
        .unwrap();
        let start = source.find(",\n  {\"mediaType\"").unwrap();
        let end = source.find(",\n  {\"size\"").unwrap();
        let expected = format!("{}{}", &source[..start], &source[end..])
            .replace("\"data\":\"QQ==\", ", "")
            .replace(Digest::of(b"amd").as_str(), Digest::of(b"new").as_str())
            .replace("\"size\": 7", "\"size\": 77")
            .replace(
                "\n ]\n}",
                "\n ],\n \"annotations\":{\"dev.reseal.patch.base\":\"b\"}\n}",
            );
        assert_eq!(text(&out.index.bytes), expected);
        assert_eq!(out.index.media_type, media_type);
        assert_eq!(
            out.dropped.iter().map(|d| &d.digest).collect::<Vec<_>>(),
            [&Digest::of(b"att")]
        );
        assert_eq!(
            out.kept.iter().map(|d| &d.digest).collect::<Vec<_>>(),
            [&Digest::of(b"win")]
        );
    }
}

#[test]
fn without_replacements_and_annotations_the_index_is_the_same() {
    let source = sample_index(OCI_INDEX).replace("9.0e0", "9");
    let index = Index::parse(&RawManifest::new(OCI_INDEX, source.into_bytes())).unwrap();
    let out = assemble(&index, &BTreeMap::new(), &BTreeMap::new()).unwrap();
    assert_eq!(out.index, index.raw);
    assert_eq!(out.kept, index.children);
}

#[test]
fn a_manifest_listed_for_two_platforms_is_replaced_in_both() {
    let old = Digest::of(b"old");
    let entry = |v: &str| {
        format!(
            r#"{{"mediaType":"{OCI}","digest":"{old}","size":1,"platform":{{"os":"linux","architecture":"arm","variant":"{v}"}}}}"#
        )
    };
    let source = format!(r#"{{"manifests":[{},{}]}}"#, entry("v6"), entry("v7"));
    let index = Index::parse(&RawManifest::new(OCI_INDEX, source.clone().into_bytes())).unwrap();
    let new = Descriptor::new(OCI, Digest::of(b"new"), 1);
    let out = assemble(&index, &[(old.clone(), new)].into(), &BTreeMap::new()).unwrap();
    assert_eq!(
        text(&out.index.bytes),
        source.replace(old.as_str(), Digest::of(b"new").as_str())
    );
}

#[test]
fn replacements_that_do_not_fit_the_index_are_refused() {
    let source = sample_index(OCI_INDEX).replace("9.0e0", "9");
    let index = Index::parse(&RawManifest::new(OCI_INDEX, source.into_bytes())).unwrap();
    let new = Descriptor::new(DOCKER, Digest::of(b"new"), 1);
    let error = assemble(
        &index,
        &[(Digest::of(b"no"), new.clone())].into(),
        &BTreeMap::new(),
    )
    .unwrap_err();
    assert_eq!(
        error,
        OciError::NotInIndex {
            digest: Digest::of(b"no")
        }
    );
    let error = assemble(
        &index,
        &[(Digest::of(b"amd"), new)].into(),
        &BTreeMap::new(),
    )
    .unwrap_err();
    assert!(matches!(error, OciError::ReplacementType { .. }), "{error}");
}

#[test]
fn annotations_that_are_there_get_the_new_value_in_place() {
    let source = r#"{"annotations": {"dev.reseal.patch.base" : "old", "z":"1"}, "manifests":[]}"#;
    let index = Index::parse(&RawManifest::new(OCI_INDEX, source.into())).unwrap();
    let annotations =
        [("a", "2"), ("dev.reseal.patch.base", "new")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    let out = assemble(&index, &BTreeMap::new(), &annotations.into()).unwrap();
    assert_eq!(
        text(&out.index.bytes),
        r#"{"annotations": {"dev.reseal.patch.base" : "new", "z":"1", "a":"2"}, "manifests":[]}"#
    );
}

#[test]
fn documents_of_two_meanings_or_the_wrong_kind_are_refused() {
    let index = |media_type: &str, json: &str| {
        Index::parse(&RawManifest::new(media_type, json.into()))
            .unwrap_err()
            .to_string()
    };
    let image = |media_type: &str, json: &str| {
        ImageManifest::parse(&RawManifest::new(media_type, json.into()))
            .unwrap_err()
            .to_string()
    };
    let config = format!(
        r#""config":{{"mediaType":"c","digest":"{}","size":1}}"#,
        Digest::of(b"")
    );
    for (found, expected) in [
        (
            index(OCI_INDEX, r#"{"manifests":[],"layers":[]}"#),
            "`$.layers`: it does not belong into an image index",
        ),
        (
            image(OCI, &format!(r#"{{{config},"layers":[],"manifests":[]}}"#)),
            "`$.manifests`: it does not belong",
        ),
        (
            image(OCI, &format!(r#"{{{config},"layers":[],"Layers":[]}}"#)),
            "`$.Layers`: the name occurs twice",
        ),
        (
            image(OCI, &format!(r#"{{"mediaType":"{DOCKER}",{config}}}"#)),
            "`$.mediaType`: it does not agree with",
        ),
        (
            index(OCI, r#"{"manifests":[]}"#),
            "media type `application/vnd.oci.image.manifest.v1+json`",
        ),
        (
            image(
                "application/vnd.docker.distribution.manifest.v1+prettyjws",
                "{}",
            ),
            "v1+prettyjws`, which is not supported",
        ),
        (image(OCI, r#"{"layers":[]}"#), "`$.config`: it is missing"),
        (
            image(OCI, r#"{"config":{"digest":"sha256:x","size":1}}"#),
            "`$.config.digest`: not a digest",
        ),
        (
            index(OCI_INDEX, r#"{"manifests":[{"digest":1}]}"#),
            "`$.manifests[0].digest`: invalid type: integer `1`",
        ),
        (
            index(OCI_INDEX, r#"{"manifests":{}}"#),
            "`$.manifests`: invalid type: map",
        ),
        (
            index(OCI_INDEX, "[]"),
            "`$`: invalid type: sequence, expected an object",
        ),
        (index(OCI_INDEX, "{"), "`$`: EOF while parsing"),
        (
            index(OCI_INDEX, &" ".repeat(5 << 20)),
            "more than the 4194304",
        ),
        (index(OCI_INDEX, &"[".repeat(100_000)), "`$`: "),
    ] {
        assert!(found.contains(expected), "{found}\n{expected}");
    }
}

#[test]
fn a_missing_media_type_is_read_from_the_document() {
    for (given, json, expected) in [
        (
            "application/json",
            format!(r#"{{"mediaType":"{DOCKER_LIST}"}}"#),
            DOCKER_LIST,
        ),
        ("", r#"{"manifests":[]}"#.to_owned(), OCI_INDEX),
        (
            "text/plain; charset=utf-8",
            r#"{"config":{},"layers":[]}"#.to_owned(),
            OCI,
        ),
        (
            "application/vnd.oci.image.index.v1+json; charset=utf-8",
            "{}".to_owned(),
            OCI_INDEX,
        ),
        (
            "application/octet-stream",
            "garbage".to_owned(),
            "application/octet-stream",
        ),
        // An image config has a `config` too.
        ("", r#"{"config":{},"rootfs":{}}"#.to_owned(), ""),
    ] {
        assert_eq!(
            RawManifest::new(given, json.into_bytes()).media_type,
            expected
        );
    }
}
