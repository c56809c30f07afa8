//! An index of several platforms: what changes, what does not, and in which order it is written.

use reseal_oci::Digest;
use reseal_pipeline::{Outcome, PatchSettings};
use reseal_testkit::buildkitd::Answer;
use serde_json::{Value, json, value::RawValue};

use crate::image::{
    BUILT, INDEX, Image, MANIFEST, NEW, NOW, Pushed, architecture, fixable, raw_layer, report,
    status, untar,
};
use crate::world::{Fakes, REPOSITORY, World};

pub(crate) const PLATFORMS: [&str; 2] = ["linux/amd64", "linux/arm/v7"];

/// Two platforms for Linux, one for Windows, and an attestation of the first.
pub(crate) struct Indexed {
    pub(crate) world: World,
    pub(crate) images: [Pushed; 2],
    pub(crate) windows: Pushed,
    pub(crate) attestation: String,
    pub(crate) digest: String,
}

impl Indexed {
    pub(crate) async fn new() -> Self {
        let world = World::new().await;
        let registry = &world.registry;
        let images =
            PLATFORMS.map(|platform| Image::new(platform).push(registry, REPOSITORY, None));
        let windows = Image {
            status: None,
            os_release: None,
            ..Image::new("windows/amd64")
        }
        .push(registry, REPOSITORY, None);
        let statement = registry.put_blob(REPOSITORY, b"{\"of\":\"amd64\"}");
        let attestation = format!(
            r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{statement}","size":14}},"layers":[]}}"#
        );
        let attestation_digest =
            registry.put_manifest(REPOSITORY, MANIFEST, attestation.as_bytes(), None);
        let entries = [
            entry(&images[0].digest, images[0].size, PLATFORMS[0]),
            attested(&attestation_digest, attestation.len(), &images[0].digest),
            entry(&images[1].digest, images[1].size, PLATFORMS[1]),
            entry(&windows.digest, windows.size, "windows/amd64"),
        ];
        let index = format!(
            "{{ \"schemaVersion\": 2, \"mediaType\": \"{INDEX}\",\n \"x-kept\": {{\"n\": 1.50, \"z\": null}},\n \"manifests\": [\n  {}\n ], \"annotations\": {{ \"org.opencontainers.image.title\": \"shop\" }} }}\n",
            entries.join(",\n  ")
        );
        let digest = registry.put_manifest(REPOSITORY, INDEX, index.as_bytes(), Some("1"));
        Self {
            world,
            images,
            windows,
            attestation: attestation_digest,
            digest,
        }
    }

    pub(crate) fn reports(&self) -> Vec<Vec<u8>> {
        [0, 1].map(|at| self.report(at)).to_vec()
    }

    pub(crate) fn report(&self, at: usize) -> Vec<u8> {
        report(PLATFORMS[at], &self.images[at], &[fixable()])
    }

    pub(crate) fn settings(&self) -> PatchSettings {
        self.world.settings(self.reports())
    }

    pub(crate) fn answers(&self) -> Vec<Answer> {
        (0..2).flat_map(|at| self.answers_of(at)).collect()
    }

    pub(crate) fn answers_of(&self, at: usize) -> Vec<Answer> {
        let raw = raw_layer(architecture(PLATFORMS[at]), &NEW);
        self.images[at].answers(Answer::layer(&raw))
    }

    pub(crate) async fn builders(&self) -> Fakes {
        Fakes::new(self.answers()).await
    }
}

fn entry(digest: &str, size: usize, platform: &str) -> String {
    let mut parts = platform.split('/');
    let (os, architecture) = (parts.next().unwrap(), parts.next().unwrap());
    let more = match (os, parts.next()) {
        ("windows", _) => r#","os.version":"10.0.20348.2227""#.to_owned(),
        (_, Some(variant)) => format!(r#","variant":"{variant}""#),
        _ => String::new(),
    };
    format!(
        "{{\"x-first\": [1, 2.0], \"mediaType\":\"{MANIFEST}\", \"digest\":\"{digest}\",\"size\":{size}, \"platform\":{{\"architecture\":\"{architecture}\",\"os\":\"{os}\"{more}}}, \"annotations\": {{\"of\":\"{platform}\"}} }}"
    )
}

fn attested(digest: &str, size: usize, subject: &str) -> String {
    format!(
        r#"{{"mediaType":"{MANIFEST}","digest":"{digest}","size":{size},"annotations":{{"vnd.docker.reference.digest":"{subject}","vnd.docker.reference.type":"attestation-manifest"}},"platform":{{"architecture":"unknown","os":"unknown"}}}}"#
    )
}

/// The texts of an index's entries.
fn entries(index: &[u8]) -> Vec<String> {
    #[derive(serde::Deserialize)]
    struct Raw<'a> {
        #[serde(borrow)]
        manifests: Vec<&'a RawValue>,
    }
    let raw: Raw<'_> = serde_json::from_slice(index).unwrap();
    raw.manifests
        .iter()
        .map(|entry| entry.get().to_owned())
        .collect()
}

#[tokio::test]
async fn only_patched_descriptors_of_an_index_change() {
    let indexed = Indexed::new().await;
    let world = &indexed.world;
    let result = world
        .patch(&indexed.settings(), &indexed.builders().await)
        .await
        .unwrap();
    assert_eq!(result.outcome, Outcome::Patched);

    let (media_type, bytes) = world.registry.manifest(REPOSITORY, "1-patched").unwrap();
    assert_eq!(media_type, INDEX);
    assert_eq!(Digest::of(&bytes), result.patched.digest);
    let new: Vec<(String, usize)> = result
        .platforms
        .iter()
        .map(|platform| {
            let digest = platform.digest.to_string();
            let (_, bytes) = world.registry.manifest(REPOSITORY, &digest).unwrap();
            (digest, bytes.len())
        })
        .collect();
    let windows = &indexed.windows;
    assert_eq!(
        entries(&bytes),
        [
            entry(&new[0].0, new[0].1, PLATFORMS[0]),
            entry(&new[1].0, new[1].1, PLATFORMS[1]),
            entry(&windows.digest, windows.size, "windows/amd64"),
        ]
    );
    let text = String::from_utf8(bytes.clone()).unwrap();
    assert!(
        text.contains("\n \"x-kept\": {\"n\": 1.50, \"z\": null},\n"),
        "{text}"
    );
    let index: Value = serde_json::from_slice(&bytes).unwrap();
    let annotations = index["annotations"].as_object().unwrap();
    assert_eq!(annotations["org.opencontainers.image.title"], "shop");
    assert_eq!(
        annotations["org.opencontainers.image.base.name"],
        format!("{}/{REPOSITORY}:1", world.registry.host())
    );
    assert_eq!(
        annotations["org.opencontainers.image.base.digest"],
        indexed.digest
    );
    assert_eq!(annotations["dev.reseal.patch.base"], indexed.digest);

    let dropped: Vec<_> = result
        .dropped_attestations
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(dropped, [indexed.attestation.as_str()]);
    assert_eq!(result.preserved.len(), 1);
    assert_eq!(result.preserved[0].digest.to_string(), windows.digest);
    assert_eq!(world.tag("1").as_deref(), Some(indexed.digest.as_str()));
}

#[tokio::test]
async fn a_patched_manifest_is_the_original_with_one_layer_more() {
    let indexed = Indexed::new().await;
    let world = &indexed.world;
    let result = world
        .patch(&indexed.settings(), &indexed.builders().await)
        .await
        .unwrap();
    for (platform, base) in result.platforms.iter().zip(&indexed.images) {
        let digest = platform.digest.to_string();
        let (media_type, bytes) = world.registry.manifest(REPOSITORY, &digest).unwrap();
        assert_eq!(media_type, MANIFEST);
        let text = String::from_utf8(bytes.clone()).unwrap();
        assert!(text.contains("\"x-kept\": [1e2, null]"), "{text}");
        let manifest: Value = serde_json::from_slice(&bytes).unwrap();
        let layers = manifest["layers"].as_array().unwrap();
        assert_eq!(layers.len(), 2);
        assert_eq!(layers[0]["digest"], base.layer);
        let layer = platform.layer.as_ref().unwrap();
        assert_eq!(layers[1]["digest"], layer.digest.to_string());
        assert_eq!(layers[1]["size"], layer.size);
        let annotations = &manifest["annotations"];
        assert_eq!(
            annotations["org.opencontainers.image.base.digest"],
            base.digest
        );
        assert_eq!(
            annotations["dev.reseal.patch.layer"],
            layer.digest.to_string()
        );

        let config = manifest["config"]["digest"].as_str().unwrap();
        let config = world.registry.blob(REPOSITORY, config).unwrap();
        let text = String::from_utf8(config.clone()).unwrap();
        assert!(text.contains("\"x-number\": 1.50"), "{text}");
        let config: Value = serde_json::from_slice(&config).unwrap();
        assert_eq!(config["config"]["User"], "app");
        assert_eq!(
            config["rootfs"]["diff_ids"],
            json!([base.layer, layer.diff_id.to_string()])
        );
        let history = config["history"].as_array().unwrap();
        assert_eq!(history.len(), 2);
        assert_eq!(
            history[1]["created_by"],
            "reseal 0.1.0 upgraded openssl 3.0.13-1~deb12u1"
        );
        // The time of what was installed, not of the run.
        assert_eq!(config["created"], "2024-01-23T08:53:20Z");
        assert_eq!(history[1]["created"], config["created"]);
    }
}

#[tokio::test]
async fn a_layer_holds_what_apt_changed_and_nothing_that_tells_when() {
    let indexed = Indexed::new().await;
    let world = &indexed.world;
    let result = world
        .patch(&indexed.settings(), &indexed.builders().await)
        .await
        .unwrap();
    let platform = &result.platforms[1];
    assert_eq!(platform.script_written, ["etc/ld.so.cache"]);
    let layer = platform.layer.as_ref().unwrap();
    let blob = world
        .registry
        .blob(REPOSITORY, layer.digest.as_str())
        .unwrap();
    let files = untar(&blob);
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "etc/ld.so.cache",
            "usr/lib/libssl.so.3",
            "var/lib/dpkg/info/libssl3:armhf.list",
            "var/lib/dpkg/info/libssl3:armhf.md5sums",
            "var/lib/dpkg/status",
        ]
    );
    assert_eq!(files["var/lib/dpkg/status"].0, status("armhf", &NEW));
    const { assert!(NOW > BUILT) };
    for (name, (_, time)) in &files {
        assert_eq!(*time, BUILT, "{name}");
    }
}

#[tokio::test]
async fn the_result_has_the_promised_keys() {
    let indexed = Indexed::new().await;
    let result = indexed
        .world
        .patch(&indexed.settings(), &indexed.builders().await)
        .await
        .unwrap();
    let json = serde_json::to_value(&result).unwrap();
    let keys =
        |value: &Value| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };
    assert_eq!(
        keys(&json),
        [
            "schema",
            "outcome",
            "source",
            "patched",
            "tag",
            "platforms",
            "preserved",
            "dropped_attestations",
            "counts",
            "warnings"
        ]
    );
    assert_eq!(
        (&json["schema"], &json["outcome"], &json["tag"]),
        (
            &json!("reseal.dev/result/v1"),
            &json!("patched"),
            &json!("1-patched")
        )
    );
    let host = indexed.world.registry.host();
    assert_eq!(
        json["source"],
        json!({"reference": format!("{host}/{REPOSITORY}:1"), "digest": indexed.digest})
    );
    assert_eq!(
        json["patched"],
        json!({"reference": format!("{host}/{REPOSITORY}:1-patched"), "digest": indexed.world.tag("1-patched")})
    );
    let platform = &json["platforms"][1];
    assert_eq!(
        keys(platform),
        [
            "platform",
            "distribution",
            "source_digest",
            "digest",
            "layer",
            "packages",
            "findings",
            "held",
            "script_written",
            "engine",
            "emulated"
        ]
    );
    assert_eq!(
        platform["platform"],
        json!({"os": "linux", "architecture": "arm", "variant": "v7"})
    );
    assert_eq!(platform["source_digest"], indexed.images[1].digest);
    assert_eq!(keys(&platform["layer"]), ["digest", "diff_id", "size"]);
    assert_eq!(
        platform["packages"],
        json!([{"name": "libssl3", "architecture": "armhf", "from": "3.0.11-1~deb12u2", "to": "3.0.13-1~deb12u1"}])
    );
    assert_eq!(
        platform["findings"],
        json!([{
            "id": "CVE-2024-0727", "package": "libssl3", "severity": "CRITICAL", "installed": "3.0.11-1~deb12u2",
            "fixed": "3.0.13-1~deb12u1", "verdict": "fixed", "now": "3.0.13-1~deb12u1", "gated": true, "planned": true,
        }])
    );
    assert_eq!(
        json["counts"],
        json!({"critical": 2, "residual_critical": 0, "fixed": 2, "unfixed": 0, "no_fix": 0, "excepted": 0, "new": 0})
    );
    assert_eq!(
        (&platform["engine"], &platform["emulated"]),
        (&json!("buildkit"), &json!(true))
    );
    let warnings = json["warnings"].as_array().unwrap();
    assert_eq!(warnings.len(), 1);
    assert!(
        warnings[0]
            .as_str()
            .unwrap()
            .starts_with("linux/arm/v7 runs under an emulator")
    );
}

#[tokio::test]
async fn the_tag_is_written_last_and_no_base_content_moves() {
    let indexed = Indexed::new().await;
    let world = &indexed.world;
    let result = world
        .patch(&indexed.settings(), &indexed.builders().await)
        .await
        .unwrap();
    let requests = world.registry.requests();
    let writes: Vec<&str> = requests
        .iter()
        .filter(|request| !matches!(request.method.as_str(), "GET" | "HEAD"))
        .map(|request| request.path.as_str())
        .collect();
    let root = format!("/v2/{REPOSITORY}/manifests/");
    let manifests: Vec<&str> = writes
        .iter()
        .filter_map(|path| path.strip_prefix(&root))
        .collect();
    let new: Vec<String> = result
        .platforms
        .iter()
        .map(|platform| platform.digest.to_string())
        .collect();
    assert_eq!(manifests.len(), 4, "{manifests:?}");
    assert!(new.iter().all(|new| manifests[..2].contains(&new.as_str())));
    assert_eq!(
        manifests[2..],
        [result.patched.digest.to_string().as_str(), "1-patched"]
    );
    assert_eq!(writes.last().unwrap().rsplit('/').next(), Some("1-patched"));
    let uploads = requests
        .iter()
        .filter(|request| request.method == "POST")
        .count();
    assert_eq!(uploads, 4, "a layer and a configuration for each platform");

    let first_write = requests
        .iter()
        .position(|request| !matches!(request.method.as_str(), "GET" | "HEAD"))
        .unwrap();
    let mut read: Vec<&str> = requests[..first_write]
        .iter()
        .filter_map(|request| {
            request
                .path
                .strip_prefix(&root)
                .filter(|_| request.method == "GET")
        })
        .collect();
    read.sort_unstable();
    let mut expected = vec![
        "1",
        indexed.images[0].digest.as_str(),
        indexed.images[1].digest.as_str(),
    ];
    expected.sort_unstable();
    assert_eq!(read, expected);
    for base in indexed.images.iter().chain([&indexed.windows]) {
        let path = format!("/v2/{REPOSITORY}/blobs/{}", base.layer);
        assert!(
            requests.iter().all(|request| request.path != path),
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_manifest_without_an_index_stays_one() {
    let single = crate::world::Single::new().await;
    let result = single.patch().await.unwrap();
    let (media_type, bytes) = single
        .world
        .registry
        .manifest(REPOSITORY, "1-patched")
        .unwrap();
    assert_eq!(media_type, MANIFEST);
    assert_eq!(Digest::of(&bytes), result.patched.digest);
    assert_eq!(result.platforms[0].digest, result.patched.digest);
    let manifests: Vec<String> = single
        .world
        .registry
        .take_lines()
        .into_iter()
        .filter(|line| line.starts_with("PUT") && line.contains("/manifests/"))
        .collect();
    assert_eq!(
        manifests,
        [
            format!(
                "PUT /v2/{REPOSITORY}/manifests/{} 201",
                result.patched.digest
            ),
            format!("PUT /v2/{REPOSITORY}/manifests/1-patched 201")
        ]
    );
}

#[tokio::test]
async fn the_daemon_is_asked_once_for_all_platforms_and_only_for_the_layers() {
    let indexed = Indexed::new().await;
    let builders = indexed.builders().await;
    indexed
        .world
        .patch(&indexed.settings(), &builders)
        .await
        .unwrap();
    let daemon = &builders.daemons[0];
    let solves = daemon.solves();
    assert_eq!(solves.len(), 1);
    assert_eq!(builders.solved(), 4);
    assert_eq!(solves[0].exporters[0].attrs["compression"], "uncompressed");
    let returned = daemon.returns().remove(0).result.unwrap();
    assert!(returned.metadata.contains_key("refs.platforms"));
}
