//! Small Debian images, the layers that a builder makes of them, and reports about them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read as _;

use reseal_oci::{Digest, layer};
use reseal_testkit::{buildkitd::Answer, registry::FakeRegistry};
use serde_json::{Value, json};

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// What is installed before a patch, as `name, source, version`.
pub(crate) const OLD: [(&str, &str, &str); 2] = [
    ("libssl3", "openssl", "3.0.11-1~deb12u2"),
    ("zlib1g", "zlib", "1:1.2.13.dfsg-1"),
];
/// What is installed after it.
pub(crate) const NEW: [(&str, &str, &str); 2] = [
    ("libssl3", "openssl", "3.0.13-1~deb12u1"),
    ("zlib1g", "zlib", "1:1.2.13.dfsg-1"),
];
/// The time of the file that the new libssl3 carries.
pub(crate) const BUILT: u64 = 1_706_000_000;
/// A time at which a patch was made: nothing of it may show.
pub(crate) const NOW: u64 = 1_760_000_000;

pub(crate) fn status(architecture: &str, packages: &[(&str, &str, &str)]) -> Vec<u8> {
    let mut text = String::new();
    for (name, source, version) in packages {
        let _ = write!(
            text,
            "Package: {name}\nStatus: install ok installed\nPriority: optional\nSource: {source}\nArchitecture: {architecture}\nMulti-Arch: same\nVersion: {version}\nDescription: a library\n of some use\n\n"
        );
    }
    text.into_bytes()
}

/// A tar of regular files, with their times.
pub(crate) fn tar(files: &[(&str, &[u8], u64)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, bytes, time) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(*time);
        builder.append_data(&mut header, path, *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

/// Contents of a layer blob by path, and the times.
pub(crate) fn untar(blob: &[u8]) -> BTreeMap<String, (Vec<u8>, u64)> {
    let mut bytes = Vec::new();
    layer::decompress(blob)
        .unwrap()
        .read_to_end(&mut bytes)
        .unwrap();
    let mut archive = tar::Archive::new(bytes.as_slice());
    let mut found = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let path = entry.path().unwrap().display().to_string();
        let time = entry.header().mtime().unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        found.insert(path, (content, time));
    }
    found
}

/// What apt leaves behind when it has upgraded libssl3: what belongs into a layer, and what does not.
pub(crate) fn raw_layer(architecture: &str, after: &[(&str, &str, &str)]) -> Vec<u8> {
    let list = format!("var/lib/dpkg/info/libssl3:{architecture}.list");
    let sums = format!("var/lib/dpkg/info/libssl3:{architecture}.md5sums");
    tar(&[
        ("etc/ld.so.cache", b"cache", NOW),
        ("usr/lib/libssl.so.3", b"new library", BUILT),
        ("var/cache/apt/pkgcache.bin", b"junk", NOW),
        ("var/cache/ldconfig/aux-cache", b"junk", NOW),
        (&list, b"/.\n/usr\n/usr/lib\n/usr/lib/libssl.so.3\n", NOW),
        (
            &sums,
            b"d41d8cd98f00b204e9800998ecf8427e  usr/lib/libssl.so.3\n",
            NOW,
        ),
        ("var/lib/dpkg/status", &status(architecture, after), NOW),
        ("var/lib/dpkg/status-old", b"junk", NOW),
        ("var/log/dpkg.log", b"junk", NOW),
    ])
}

/// An image of one layer, before it is put anywhere.
pub(crate) struct Image {
    pub(crate) platform: &'static str,
    pub(crate) os_release: Option<Vec<u8>>,
    pub(crate) status: Option<Vec<u8>>,
    /// Replaces the configuration's text.
    pub(crate) config: Option<Vec<u8>>,
    /// Leaves the configuration out of the registry.
    pub(crate) config_is_lost: bool,
}

/// Where a pushed image is.
#[derive(Clone)]
pub(crate) struct Pushed {
    pub(crate) digest: String,
    pub(crate) size: usize,
    pub(crate) manifest: Vec<u8>,
    pub(crate) config: String,
    pub(crate) layer: String,
    /// Blobs by digest, for layouts.
    pub(crate) blobs: BTreeMap<String, Vec<u8>>,
    /// Readable files by absolute path.
    pub(crate) files: BTreeMap<String, Vec<u8>>,
}

impl Image {
    pub(crate) fn new(platform: &'static str) -> Self {
        Self {
            platform,
            os_release: Some(
                b"PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\nVERSION_ID=\"12\"\n"
                    .to_vec(),
            ),
            status: Some(status(architecture(platform), &OLD)),
            config: None,
            config_is_lost: false,
        }
    }

    pub(crate) fn build(&self) -> Pushed {
        let mut files = BTreeMap::new();
        if let Some(os_release) = &self.os_release {
            files.insert("/etc/os-release".to_owned(), os_release.clone());
        }
        if let Some(status) = &self.status {
            files.insert("/var/lib/dpkg/status".to_owned(), status.clone());
        }
        let entries: Vec<(&str, &[u8], u64)> = files
            .iter()
            .map(|(path, bytes)| (&path[1..], bytes.as_slice(), BUILT - 1))
            .collect();
        let layer = tar(&entries);
        let layer_digest = Digest::of(&layer).to_string();
        let mut parts = self.platform.split('/');
        let (os, architecture) = (parts.next().unwrap(), parts.next().unwrap());
        let variant = parts
            .next()
            .map(|variant| format!(", \"variant\": \"{variant}\""))
            .unwrap_or_default();
        // Spaces, numbers and members that nobody knows: they have to come through as they are.
        let config = self.config.clone().unwrap_or_else(|| {
            format!(
                "{{ \"architecture\":\"{architecture}\",\"os\":\"{os}\"{variant},\n  \"x-number\": 1.50, \"created\": \"2023-01-02T03:04:05Z\", \"config\": {{\"User\":\"app\"}}, \"rootfs\": {{\"type\":\"layers\",\"diff_ids\":[\"{layer_digest}\"]}}, \"history\": [{{\"created_by\":\"make {architecture}\"}}] }}"
            )
            .into_bytes()
        });
        let config_digest = Digest::of(&config).to_string();
        let manifest = format!(
            "{{ \"schemaVersion\": 2,\n \"mediaType\": \"{MANIFEST}\", \"x-kept\": [1e2, null],\n \"config\": {{\"mediaType\":\"{CONFIG}\",\"digest\":\"{config_digest}\",\"size\":{}}},\n \"layers\": [{{\"mediaType\":\"{LAYER}\",\"digest\":\"{layer_digest}\",\"size\":{}}}] }}",
            config.len(),
            layer.len(),
        )
        .into_bytes();
        let mut blobs = BTreeMap::from([(layer_digest.clone(), layer)]);
        if !self.config_is_lost {
            blobs.insert(config_digest.clone(), config);
        }
        Pushed {
            digest: Digest::of(&manifest).to_string(),
            size: manifest.len(),
            manifest,
            config: config_digest,
            layer: layer_digest,
            blobs,
            files,
        }
    }

    pub(crate) fn push(
        &self,
        registry: &FakeRegistry,
        repository: &str,
        tag: Option<&str>,
    ) -> Pushed {
        let pushed = self.build();
        for blob in pushed.blobs.values() {
            registry.put_blob(repository, blob);
        }
        registry.put_manifest(repository, MANIFEST, &pushed.manifest, tag);
        pushed
    }
}

pub(crate) fn architecture(platform: &str) -> &'static str {
    match platform {
        "linux/arm/v7" => "armhf",
        _ => "amd64",
    }
}

impl Pushed {
    /// The daemon's answers to the two graphs of this platform: its files, then what the patch comes to.
    pub(crate) fn answers(&self, patch: Answer) -> Vec<Answer> {
        vec![self.answer(self.base()), self.answer(patch)]
    }

    pub(crate) fn answer(&self, answer: Answer) -> Answer {
        Answer::For(self.digest.clone(), Box::new(answer))
    }

    fn base(&self) -> Answer {
        Answer::Layer {
            layer: Vec::new(),
            files: self.files.clone(),
        }
    }
}

/// One vulnerability of a report.
pub(crate) fn finding(id: &str, package: &str, fixed: &str, severity: &str) -> Value {
    let (_, source, installed) = OLD
        .into_iter()
        .find(|(name, ..)| *name == package)
        .unwrap_or((package, package, "1.0"));
    json!({
        "VulnerabilityID": id, "PkgName": package, "InstalledVersion": installed, "FixedVersion": fixed,
        "Severity": severity, "SrcName": source, "SrcVersion": installed,
    })
}

/// The finding that [`NEW`] fixes.
pub(crate) fn fixable() -> Value {
    finding("CVE-2024-0727", "libssl3", "3.0.13-1~deb12u1", "CRITICAL")
}

/// A report of Trivy.
pub(crate) fn report(platform: &str, image: &Pushed, findings: &[Value]) -> Vec<u8> {
    let mut parts = platform.split('/');
    let (os, architecture, variant) = (parts.next(), parts.next(), parts.next());
    json!({
        "SchemaVersion": 2, "ArtifactName": "shop/app:1", "ArtifactType": "container_image",
        "Metadata": {
            "OS": {"Family": "debian", "Name": "12.5"}, "ImageID": image.config, "DiffIDs": [image.layer],
            "ImageConfig": {"architecture": architecture, "os": os, "variant": variant.unwrap_or_default()},
        },
        "Results": [{"Target": "shop/app:1 (debian 12.5)", "Class": "os-pkgs", "Type": "debian", "Vulnerabilities": findings}],
    })
    .to_string()
    .into_bytes()
}
