//! Stage 1: a reference becomes pinned manifests and configurations, each fetched once.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use futures_util::future::try_join_all;
use reseal_oci::{
    CONFIG_LIMIT, Descriptor, Digest, ImageConfig, ImageManifest, Index, Kind, Location, Platform,
    RawManifest, Tag, annotation,
};
use reseal_pkg::{OsRelease, dpkg::Database};
use reseal_plan::Facts;
use reseal_registry::{Layout, Registries, Store, StoreError, Target};

use crate::{
    error::PipelineError,
    event::{Event, Events, Stage},
    outcome::{Pinned, Preserved},
    settings::Input,
};

/// An image, pinned.
pub(crate) struct Source {
    /// Where it is.
    pub store: Arc<dyn Store>,
    /// The folder, when it is a layout.
    pub layout: Option<Arc<Layout>>,
    /// What the user named, without a digest.
    pub name: String,
    /// The name of what is patched: the recorded one where the image was patched before.
    pub base_name: String,
    /// The tag that was resolved.
    pub tag: Option<Tag>,
    /// What the reference means.
    pub pinned: RawManifest,
    /// What is patched: the recorded base where the image was patched before, else the same as `pinned`.
    pub root: RawManifest,
    /// The index, when `root` is one.
    pub index: Option<Index>,
    /// The platforms that the run works on.
    pub platforms: Vec<SourcePlatform>,
    /// The others.
    pub preserved: Vec<Preserved>,
    /// Children of `pinned` that are earlier patches, by the child of `root` that each was made from. What a run does
    /// not make again stays as it is.
    pub earlier: BTreeMap<Digest, Descriptor>,
}

/// One platform of the image.
#[derive(Clone)]
pub(crate) struct SourcePlatform {
    /// As the index, or else the configuration, names it.
    pub platform: Platform,
    /// The manifest that is patched.
    pub manifest: ImageManifest,
    /// Its configuration.
    pub config: ImageConfig,
    /// The earlier patch of it that is replaced.
    pub previous: Option<Box<Image>>,
}

impl SourcePlatform {
    /// Returns what a plan is made from; `previous` is the database of the patch that is replaced.
    pub(crate) fn facts(
        &self,
        os: OsRelease,
        database: impl Into<Arc<Database>>,
        previous: Option<Database>,
    ) -> Facts {
        Facts {
            platform: self.platform.clone(),
            source_digest: self.manifest.raw.digest.clone(),
            os,
            database: database.into(),
            previous,
        }
    }

    /// Returns the manifest that the user's image has for this platform now: an earlier patch, or what is patched.
    pub(crate) fn current(&self) -> &Digest {
        let image = self.previous.as_ref().map(|previous| &previous.manifest);
        &image.unwrap_or(&self.manifest).raw.digest
    }
}

/// A manifest and its configuration.
#[derive(Clone)]
pub(crate) struct Image {
    /// The manifest.
    pub manifest: ImageManifest,
    /// Its configuration.
    pub config: ImageConfig,
}

impl Image {
    /// Returns the digest of the manifest that this one says it was patched from.
    fn patched_from(&self) -> Option<&str> {
        let annotations = &self.manifest.annotations;
        annotations.get(annotation::PATCH_BASE).map(String::as_str)
    }
}

impl Source {
    /// Returns the source as results name it.
    pub(crate) fn as_pinned(&self) -> Pinned {
        Pinned {
            reference: self.name.clone(),
            digest: self.pinned.digest.clone(),
        }
    }
}

/// Wraps a store's error with what was tried.
pub(crate) fn store_error(action: impl Into<String>) -> impl FnOnce(StoreError) -> PipelineError {
    let action = action.into();
    move |source| PipelineError::Store { action, source }
}

/// A place, and the layout where it is one.
pub(crate) type Opened = (Arc<dyn Store>, Option<Arc<Layout>>);

/// Opens the place that `location` names.
pub(crate) fn open(
    location: &Location,
    registries: &Registries,
    create: bool,
) -> Result<Opened, PipelineError> {
    match location {
        Location::Registry(reference) => Ok((registries.open(&reference.repository), None)),
        Location::Layout { path, .. } => {
            let open = if create { Layout::create } else { Layout::open };
            let layout = Arc::new(open(Path::new(path)).map_err(store_error(format!(
                "open the OCI layout `{}`",
                path.display()
            )))?);
            Ok((layout.clone(), Some(layout)))
        }
    }
}

/// What an image that was patched before stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patched {
    /// The base that it records: patches are replaced, never stacked.
    Base,
    /// Itself.
    Itself,
}

/// Resolves an image: one manifest GET for the reference, one a platform.
pub(crate) async fn resolve(
    input: &Input,
    patched: Patched,
    registries: &Registries,
    events: &Events,
) -> Result<Source, PipelineError> {
    events.send(Event::Started(Stage::Resolve, None));
    let (store, layout) = open(&input.source, registries, false)?;
    let (target, name, tag) = target(&input.source, layout.as_deref())?;
    let pinned = store.manifest(&target).await.map_err(store_error(format!(
        "fetch the manifest of `{}`",
        input.source
    )))?;
    let base = match patched {
        Patched::Base => recorded_base(store.as_ref(), &pinned).await?,
        Patched::Itself => None,
    };
    let (root, base_name) = match base {
        Some(base) => (base.manifest, base.name.unwrap_or_else(|| name.clone())),
        None => (pinned.clone(), name.clone()),
    };
    let mut source = Source {
        store,
        layout,
        name,
        base_name,
        tag,
        pinned,
        root,
        index: None,
        platforms: Vec::new(),
        preserved: Vec::new(),
        earlier: BTreeMap::new(),
    };
    match source.root.kind() {
        Kind::Index => platforms_of_index(&mut source, input.platforms.as_deref()).await?,
        Kind::Image => single(&mut source, input.platforms.as_deref()).await?,
        Kind::Other => {
            return Err(PipelineError::Image {
                image: source.name.clone(),
                message: format!(
                    "its media type `{}` is neither an image nor an index",
                    source.root.media_type
                ),
                hint: Some("Only OCI and Docker schema 2 images can be patched".into()),
            });
        }
    }
    if source.root.digest != source.pinned.digest {
        add_previous(&mut source).await?;
    }
    events.send(Event::Resolved {
        reference: source.name.clone(),
        digest: source.pinned.digest.clone(),
        platforms: source
            .platforms
            .iter()
            .map(|platform| platform.platform.clone())
            .collect(),
    });
    events.send(Event::Finished(Stage::Resolve, None));
    Ok(source)
}

/// Returns what to ask for, the name without a digest, and the tag.
fn target(
    source: &Location,
    layout: Option<&Layout>,
) -> Result<(Target, String, Option<Tag>), PipelineError> {
    let (tag, digest, name) = match source {
        Location::Registry(reference) => {
            let name = match &reference.tag {
                Some(tag) => format!("{}:{tag}", reference.repository),
                None => reference.repository.to_string(),
            };
            (reference.tag.clone(), reference.digest.clone(), name)
        }
        Location::Layout { path, tag, digest } => {
            let name = match tag {
                Some(tag) => format!("oci:{}:{tag}", path.display()),
                None => format!("oci:{}", path.display()),
            };
            (tag.clone(), digest.clone(), name)
        }
    };
    let target = match (digest, &tag, layout) {
        (Some(digest), ..) => Target::Digest(digest),
        (None, Some(tag), _) => Target::Tag(tag.clone()),
        (None, None, Some(layout)) => Target::Digest(
            layout
                .only_image()
                .map_err(store_error(format!("choose an image of `{name}`")))?
                .digest,
        ),
        (None, None, None) => {
            return Err(PipelineError::Usage {
                message: "empty image reference".into(),
                hint: None,
            });
        }
    };
    Ok((target, name, tag))
}

/// What a patched image records of its base.
struct Recorded {
    manifest: RawManifest,
    name: Option<String>,
}

/// Layers never stack up: an image that was patched before is patched from its recorded base.
async fn recorded_base(
    store: &dyn Store,
    pinned: &RawManifest,
) -> Result<Option<Recorded>, PipelineError> {
    let annotations = match pinned.kind() {
        Kind::Index => Index::parse(pinned)?.annotations,
        Kind::Image => ImageManifest::parse(pinned)?.annotations,
        Kind::Other => return Ok(None),
    };
    let Some(base) = annotations.get(annotation::PATCH_BASE) else {
        return Ok(None);
    };
    let digest: Digest = base.parse().map_err(|_| PipelineError::Image {
        image: pinned.digest.to_string(),
        message: format!("its annotation `{}` is no digest", annotation::PATCH_BASE),
        hint: None,
    })?;
    let manifest = store
        .manifest(&Target::Digest(digest))
        .await
        .map_err(store_error(format!(
            "fetch the base that {} was patched from",
            pinned.digest
        )))?;
    Ok(Some(Recorded {
        manifest,
        name: annotations.get(annotation::BASE_NAME).cloned(),
    }))
}

async fn platforms_of_index(
    source: &mut Source,
    wanted: Option<&[Platform]>,
) -> Result<(), PipelineError> {
    let index = Index::parse(&source.root)?;
    let mut chosen: Vec<&Descriptor> = Vec::new();
    for (position, child) in index.children.iter().enumerate() {
        let Some(platform) = &child.platform else {
            continue;
        };
        if platform.is_unknown() || index.attestation_of(position).is_some() {
            continue;
        }
        let asked =
            wanted.is_none_or(|wanted| wanted.iter().any(|wanted| platform.matches(wanted)));
        if asked && platform.is_linux() {
            chosen.push(child);
        } else {
            let reason = if platform.is_linux() {
                "not asked for"
            } else {
                "not a Linux platform"
            };
            source.preserved.push(Preserved {
                platform: platform.clone(),
                digest: child.digest.clone(),
                reason: reason.to_owned(),
            });
        }
    }
    let listed: Vec<&Platform> = index
        .children
        .iter()
        .filter_map(|child| child.platform.as_ref())
        .collect();
    every_wanted_exists(source, wanted, &listed)?;
    if chosen.is_empty() {
        return Err(PipelineError::Image {
            image: source.name.clone(),
            message: "its index lists no Linux platform".into(),
            hint: None,
        });
    }
    let store = source.store.as_ref();
    source.platforms = try_join_all(chosen.into_iter().map(|child| async move {
        let image = fetch_image(store, child).await?;
        let platform = child
            .platform
            .clone()
            .unwrap_or_else(|| image.config.platform.clone());
        Ok::<_, PipelineError>(SourcePlatform {
            platform,
            manifest: image.manifest,
            config: image.config,
            previous: None,
        })
    }))
    .await?;
    source.index = Some(index);
    Ok(())
}

fn every_wanted_exists(
    source: &Source,
    wanted: Option<&[Platform]>,
    listed: &[&Platform],
) -> Result<(), PipelineError> {
    for wanted in wanted.unwrap_or_default() {
        if !listed.iter().any(|platform| platform.matches(wanted)) {
            let names: Vec<String> = listed
                .iter()
                .filter(|p| !p.is_unknown())
                .map(ToString::to_string)
                .collect();
            return Err(PipelineError::Usage {
                message: format!("`{}` has no platform {wanted}", source.name),
                hint: Some(format!("It has: {}", names.join(", "))),
            });
        }
    }
    Ok(())
}

async fn single(source: &mut Source, wanted: Option<&[Platform]>) -> Result<(), PipelineError> {
    let manifest = ImageManifest::parse(&source.root)?;
    let config = fetch_config(source.store.as_ref(), &manifest).await?;
    let platform = config.platform.clone();
    every_wanted_exists(source, wanted, &[&platform])?;
    if !platform.is_linux() {
        return Err(PipelineError::Image {
            image: source.name.clone(),
            message: format!("its platform {platform} is not Linux"),
            hint: None,
        });
    }
    source.platforms.push(SourcePlatform {
        platform,
        manifest,
        config,
        previous: None,
    });
    Ok(())
}

/// Finds, for each platform of the base, the earlier patch: that of a platform which the run works on is replaced, that
/// of another stays.
async fn add_previous(source: &mut Source) -> Result<(), PipelineError> {
    let images = if source.pinned.kind() == Kind::Index {
        let index = Index::parse(&source.pinned)?;
        let store = source.store.as_ref();
        let bases: Vec<&Digest> = source
            .index
            .iter()
            .flat_map(|base| &base.children)
            .map(|child| &child.digest)
            .collect();
        let children = index
            .children
            .iter()
            .enumerate()
            .filter(|(position, child)| {
                index.attestation_of(*position).is_none()
                    && child.platform.as_ref().is_some_and(Platform::is_linux)
                    && !bases.contains(&&child.digest)
            });
        let images: Vec<Image> =
            try_join_all(children.map(|(_, child)| fetch_image(store, child))).await?;
        for image in &images {
            if let Some(base) = bases
                .iter()
                .find(|base| image.patched_from() == Some(base.as_str()))
            {
                let descriptor = image.manifest.raw.descriptor();
                source.earlier.insert((*base).clone(), descriptor);
            }
        }
        images
    } else {
        let manifest = ImageManifest::parse(&source.pinned)?;
        let config = fetch_config(source.store.as_ref(), &manifest).await?;
        vec![Image { manifest, config }]
    };
    for image in images {
        let platform = source
            .platforms
            .iter_mut()
            .find(|p| image.patched_from() == Some(p.manifest.raw.digest.as_str()));
        if let Some(platform) = platform {
            platform.previous = Some(Box::new(image));
        }
    }
    for preserved in &mut source.preserved {
        if let Some(earlier) = source.earlier.get(&preserved.digest) {
            preserved.digest = earlier.digest.clone();
        }
    }
    Ok(())
}

async fn fetch_image(store: &dyn Store, child: &Descriptor) -> Result<Image, PipelineError> {
    let raw = store
        .manifest(&Target::Digest(child.digest.clone()))
        .await
        .map_err(store_error(format!("fetch the manifest {}", child.digest)))?;
    let manifest = ImageManifest::parse(&raw)?;
    let config = fetch_config(store, &manifest).await?;
    Ok(Image { manifest, config })
}

async fn fetch_config(
    store: &dyn Store,
    manifest: &ImageManifest,
) -> Result<ImageConfig, PipelineError> {
    let bytes = store
        .blob(&manifest.config.digest, CONFIG_LIMIT as u64)
        .await
        .map_err(store_error(format!(
            "fetch the configuration {}",
            manifest.config.digest
        )))?;
    Ok(ImageConfig::parse(bytes)?)
}
