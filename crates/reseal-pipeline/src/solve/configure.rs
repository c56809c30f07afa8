//! `dpkg --configure` on top of packages that were laid down: one exec a platform.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{self, BufRead as _, BufReader, BufWriter, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;
use reseal_buildkit::{ContentSource, Ref};
use reseal_oci::{
    Digest, Hasher, Platform,
    layer::{self, LayerError},
};
use reseal_plan::{Proxy, configure_capabilities};
use serde_json::json;

use super::{
    Building, Failed, Job, Solved,
    build::{Built, Images, Step, build},
    classify::classify,
    proxy,
};
use crate::{
    error::PipelineError,
    layout_source::{LayoutSource, read_part},
    settings::PatchSettings,
};

/// Configures what the native engine left unpacked, all platforms of one builder in one solve, and puts the result into
/// their raw layers. Those that fail and may fail come back as the second list.
pub(crate) async fn configure(
    building: Building<'_>,
    laid: Vec<(Job, Solved)>,
    settings: &PatchSettings,
) -> Result<(Vec<Solved>, Vec<Failed>), PipelineError> {
    let mut content = Content {
        layout: building.source.layout.clone().map(LayoutSource),
        blobs: BTreeMap::new(),
    };
    let mut images = BTreeMap::new();
    for (job, solved) in &laid {
        if let Some(raw) = &solved.raw {
            let image = content.add(&job.platform.platform, raw).await?;
            images.insert(job.place, image);
        }
    }
    let jobs: Vec<Job> = laid.iter().map(|(job, _)| job.clone()).collect();
    let step = Configure {
        images,
        proxy: settings.proxy.as_ref().map(proxy),
    };
    let (built, failed) = build(building, &jobs, Some(Arc::new(content)), step).await?;
    let mut layers: BTreeMap<usize, Option<PathBuf>> = built
        .into_iter()
        .map(|Built { place, layer, .. }| (place, layer))
        .collect();
    let mut done = Vec::new();
    for (job, mut solved) in laid {
        let Some(layer) = layers.remove(&job.place) else {
            continue;
        };
        if let (Some(raw), Some(layer)) = (solved.raw.clone(), layer) {
            let (whole, replaced) = squash(raw, layer, &job.platform.platform).await?;
            solved.raw = Some(whole);
            if let Some(native) = &mut solved.native {
                native.replaced.extend(replaced);
            }
        }
        done.push(solved);
    }
    Ok((done, failed))
}

struct Configure {
    /// The images with what was laid down, by the places of their platforms.
    images: BTreeMap<usize, Digest>,
    proxy: Option<Proxy>,
}

#[async_trait]
impl Step for Configure {
    type Made = ();

    fn needs(&self) -> BTreeSet<&'static str> {
        configure_capabilities()
    }

    async fn make(
        &self,
        images: &Images<'_>,
        job: &Job,
    ) -> Result<((), Option<Ref>), PipelineError> {
        let platform = &job.platform.platform;
        let graph = self.images.get(&job.place).and_then(|laid| {
            let laid = images.session(laid.as_str());
            reseal_plan::configure(platform, &images.base(job), &laid, self.proxy.clone())
        });
        let Some(graph) = graph else {
            return Ok(((), None));
        };
        let layer = images
            .gateway
            .solve(&graph, true)
            .await
            .map_err(|error| classify(error, &platform.to_string()))?;
        Ok(((), Some(layer)))
    }
}

/// Images of one uncompressed layer each, and the image that is patched if it lies in a layout.
struct Content {
    layout: Option<LayoutSource>,
    blobs: BTreeMap<String, Blob>,
}

enum Blob {
    Bytes(Bytes),
    File(PathBuf, u64),
}

impl Content {
    /// Makes an image of a layer, and returns the digest of its manifest.
    async fn add(&mut self, platform: &Platform, raw: &Path) -> Result<Digest, PipelineError> {
        let (digest, size) = digest_of(raw.to_owned()).await?;
        let config = json!({
            "architecture": platform.architecture,
            "os": platform.os,
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [digest]},
        })
        .to_string();
        let config_digest = Digest::of(config.as_bytes());
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": config_digest,
                "size": config.len(),
            },
            "layers": [{
                "mediaType": "application/vnd.oci.image.layer.v1.tar",
                "digest": digest,
                "size": size,
            }],
        })
        .to_string();
        let manifest_digest = Digest::of(manifest.as_bytes());
        self.blobs
            .insert(digest.to_string(), Blob::File(raw.to_owned(), size));
        for (digest, text) in [(&config_digest, config), (&manifest_digest, manifest)] {
            self.blobs
                .insert(digest.to_string(), Blob::Bytes(text.into()));
        }
        Ok(manifest_digest)
    }
}

#[async_trait]
impl ContentSource for Content {
    async fn size(&self, digest: &str) -> Option<u64> {
        match (self.blobs.get(digest), &self.layout) {
            (Some(Blob::Bytes(bytes)), _) => Some(bytes.len() as u64),
            (Some(Blob::File(_, size)), _) => Some(*size),
            (None, Some(layout)) => layout.size(digest).await,
            (None, None) => None,
        }
    }

    async fn read(&self, digest: &str, offset: u64, len: u64) -> Result<Bytes, io::Error> {
        match (self.blobs.get(digest), &self.layout) {
            (Some(Blob::Bytes(bytes)), _) => {
                let size = bytes.len() as u64;
                let start = offset.min(size);
                let end = offset.saturating_add(len).min(size);
                // Both are within the length, which is a `usize`.
                #[expect(clippy::cast_possible_truncation)]
                Ok(bytes.slice(start as usize..end as usize))
            }
            (Some(Blob::File(path, _)), _) => read_part(path.clone(), offset, len).await,
            (None, Some(layout)) => layout.read(digest, offset, len).await,
            (None, None) => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

async fn digest_of(path: PathBuf) -> Result<(Digest, u64), PipelineError> {
    let name = path.display().to_string();
    tokio::task::spawn_blocking(move || {
        let mut file = BufReader::with_capacity(1 << 16, File::open(path)?);
        let (mut hasher, mut size) = (Hasher::new(), 0);
        loop {
            let piece = file.fill_buf()?;
            if piece.is_empty() {
                return Ok((hasher.finish(), size));
            }
            hasher.update(piece);
            let length = piece.len();
            size += length as u64;
            file.consume(length);
        }
    })
    .await
    .expect("hashing a file does not panic")
    .map_err(|source| PipelineError::Io {
        action: format!("read the layer file `{name}`"),
        source,
    })
}

/// Lays what configuring changed over a raw layer, and returns the file and the paths that it replaced.
async fn squash(
    raw: PathBuf,
    configured: PathBuf,
    platform: &Platform,
) -> Result<(PathBuf, Vec<String>), PipelineError> {
    let platform = platform.to_string();
    tokio::task::spawn_blocking(move || {
        let whole = raw.with_extension("configured.tar");
        let io = |path: &Path| {
            let action = format!("use the layer file `{}`", path.display());
            move |source| PipelineError::Io { action, source }
        };
        let open = |path: &Path| File::open(path).map(BufReader::new).map_err(io(path));
        let (mut lower, mut upper) = (open(&raw)?, open(&configured)?);
        let mut out = BufWriter::new(File::create(&whole).map_err(io(&whole))?);
        let squashed = layer::squash(&mut lower, &mut upper, &mut out);
        let replaced = squashed.map_err(|source| match source {
            LayerError::Conflict { path, why } => PipelineError::Refused {
                platform,
                reason: format!("configuring changed `{path}`: {why}"),
                hint: "Let the image's own package manager do all of it with `--engine buildkit`"
                    .to_owned(),
            },
            source => PipelineError::Layer { platform, source },
        })?;
        out.flush().map_err(io(&whole))?;
        // Nobody needs the pieces any more, and both may be large.
        let _ = std::fs::remove_file(&raw);
        let _ = std::fs::remove_file(&configured);
        Ok((whole, replaced))
    })
    .await
    .expect("squashing layers does not panic")
}
