//! OCI layouts, and ways between places.

use std::path::Path;

use reseal_oci::{Descriptor, RawManifest};
use reseal_pipeline::{Class, Outcome, PatchSettings};
use reseal_registry::{BlobSource, Layout, Store as _, Target};
use reseal_testkit::buildkitd::Answer;
use reseal_testkit::registry::{FakeRegistry, Options};
use serde_json::Value;
use tempfile::TempDir;

use crate::image::{Image, MANIFEST, NEW, Pushed, fixable, raw_layer, report};
use crate::index::Indexed;
use crate::world::{Fakes, REPOSITORY, Single, World, failed, good_patch};

/// A layout with one image, its report with one finding, and no socket anywhere: time can stand still.
pub(crate) struct Offline {
    pub(crate) world: World,
    pub(crate) image: Pushed,
    pub(crate) folder: TempDir,
}

impl Offline {
    pub(crate) async fn new() -> Self {
        let world = World::new().await;
        let folder = tempfile::tempdir().unwrap();
        let image = Image::new("linux/amd64").build();
        let layout = Layout::create(folder.path()).unwrap();
        for (digest, bytes) in &image.blobs {
            let descriptor = Descriptor::new(
                "application/octet-stream",
                digest.parse().unwrap(),
                bytes.len() as u64,
            );
            let source = BlobSource::Bytes(bytes.clone().into());
            layout.put_blob(&descriptor, &source).await.unwrap();
        }
        let raw = RawManifest::new(MANIFEST, image.manifest.clone());
        layout
            .put_manifest(&raw, &Target::Tag("1".parse().unwrap()))
            .await
            .unwrap();
        Self {
            world,
            image,
            folder,
        }
    }

    pub(crate) fn settings(&self) -> PatchSettings {
        self.settings_of(&format!("oci:{}:1", self.folder.path().display()))
    }

    fn settings_of(&self, source: &str) -> PatchSettings {
        let report = report("linux/amd64", &self.image, &[fixable()]);
        self.world.settings_of(source, vec![report])
    }

    pub(crate) async fn builder(&self, patch: Answer) -> Fakes {
        Fakes::new(self.image.answers(patch)).await
    }

    pub(crate) fn check_nothing_promoted(&self) {
        let only = [("1".to_owned(), self.image.digest.clone())];
        assert_eq!(names(self.folder.path()), only);
        self.world.check_nothing_promoted();
    }
}

fn names(folder: &Path) -> Vec<(String, String)> {
    let entries = Layout::open(folder).unwrap().entries().unwrap();
    entries
        .into_iter()
        .map(|(name, entry)| (name.unwrap_or_default(), entry.digest.to_string()))
        .collect()
}

#[tokio::test]
async fn a_layout_is_patched_into_another_without_any_registry() {
    let offline = Offline::new().await;
    let target = tempfile::tempdir().unwrap();
    let mut settings = offline.settings();
    settings.to = Some(format!("oci:{}", target.path().display()).parse().unwrap());
    let builder = offline.builder(good_patch()).await;
    let result = offline.world.patch(&settings, &builder).await.unwrap();
    assert_eq!(result.outcome, Outcome::Patched);
    assert_eq!(
        names(target.path()),
        [("1-patched".to_owned(), result.patched.digest.to_string())]
    );
    offline.check_nothing_promoted();
    assert!(offline.world.registry.requests().is_empty());
    let layout = Layout::open(target.path()).unwrap();
    let manifest = layout
        .manifest(&Target::Digest(result.patched.digest.clone()))
        .await
        .unwrap();
    let manifest: Value = serde_json::from_slice(&manifest.bytes).unwrap();
    let layers = manifest["layers"].as_array().unwrap();
    for blob in layers.iter().chain([&manifest["config"]]) {
        let digest = blob["digest"].as_str().unwrap().parse().unwrap();
        assert!(layout.has_blob(&digest).await.unwrap(), "{digest}");
    }
}

#[tokio::test]
async fn a_layout_is_patched_in_place_under_a_name_of_its_own() {
    let offline = Offline::new().await;
    let mut settings = offline.settings();
    settings.tag = None;
    let builder = offline.builder(good_patch()).await;
    let result = offline.world.patch(&settings, &builder).await.unwrap();
    assert_eq!(
        names(offline.folder.path()),
        [
            ("1".to_owned(), offline.image.digest.clone()),
            ("patched".to_owned(), result.patched.digest.to_string())
        ]
    );
}

#[tokio::test]
async fn a_layout_that_was_patched_is_patched_from_its_base_elsewhere_too() {
    let offline = Offline::new().await;
    let target = tempfile::tempdir().unwrap();
    let place = format!("oci:{}", target.path().display());
    let mut settings = offline.settings();
    settings.to = Some(place.parse().unwrap());
    let builder = offline.builder(good_patch()).await;
    let first = offline.world.patch(&settings, &builder).await.unwrap();
    let mut settings = offline.settings_of(&format!("{place}:1-patched"));
    settings.tag = Some("again".parse().unwrap());
    let builder = offline.builder(good_patch()).await;
    let second = offline.world.patch(&settings, &builder).await.unwrap();
    let base = second.platforms[0].source_digest.to_string();
    assert_eq!(base, offline.image.digest);
    assert_eq!(first.patched.digest, second.patched.digest);
}

#[tokio::test]
async fn a_layout_goes_to_a_registry() {
    let offline = Offline::new().await;
    let registry = &offline.world.registry;
    let mut settings = offline.settings();
    settings.to = Some(format!("{}/{REPOSITORY}", registry.host()).parse().unwrap());
    let builder = offline.builder(good_patch()).await;
    let result = offline.world.patch(&settings, &builder).await.unwrap();
    assert_eq!(
        registry.tags(REPOSITORY),
        [("1-patched".to_owned(), result.patched.digest.to_string())]
    );
    assert!(registry.blob(REPOSITORY, &offline.image.layer).is_some());
}

#[tokio::test]
async fn a_folder_that_is_no_layout_is_named() {
    let world = World::new().await;
    let folder = tempfile::tempdir().unwrap();
    let source = format!("oci:{}:1", folder.path().display());
    let settings = world.settings_of(&source, vec![]);
    let (_, text) = failed(
        world.patch(&settings, &Fakes::none()).await,
        Class::RegistryTransport,
    );
    assert!(
        text.contains(&folder.path().display().to_string()),
        "{text}"
    );
}

#[tokio::test]
async fn another_repository_of_the_same_registry_gets_its_base_by_mounts() {
    let indexed = Indexed::new().await;
    let world = &indexed.world;
    let mut settings = indexed.settings();
    settings.to = Some(
        format!("{}/other/place", world.registry.host())
            .parse()
            .unwrap(),
    );
    let result = world
        .patch(&settings, &indexed.builders().await)
        .await
        .unwrap();
    assert_eq!(
        world.tag_of("other/place", "1-patched"),
        Some(result.patched.digest.to_string())
    );
    assert!(result.patched.reference.contains("/other/place"));
    let requests = world.registry.requests();
    for base in indexed.images.iter().chain([&indexed.windows]) {
        let mount = requests.iter().find(|request| {
            request.method == "POST" && request.query.contains(&base.layer.replace(':', "%3A"))
                || request.query.contains(&base.layer)
        });
        assert_eq!(mount.unwrap().status, Some(201));
        let path = format!("/v2/{REPOSITORY}/blobs/{}", base.layer);
        assert!(requests.iter().all(|request| request.path != path));
        assert!(world.registry.blob("other/place", &base.layer).is_some());
    }
    let uploads = requests
        .iter()
        .filter(|request| request.method == "POST" && request.status == Some(202))
        .count();
    assert_eq!(uploads, 4, "a layer and a configuration for each platform");
}

#[tokio::test]
async fn another_registry_gets_everything() {
    let source = Indexed::new().await;
    let destination = FakeRegistry::start_with(Options {
        mounts: false,
        ..Options::default()
    })
    .await;
    let mut settings = source.settings();
    settings.to = Some(
        format!("{}/{REPOSITORY}", destination.host())
            .parse()
            .unwrap(),
    );
    let result = source
        .world
        .patch(&settings, &source.builders().await)
        .await
        .unwrap();
    let tags = destination.tags(REPOSITORY);
    assert_eq!(
        tags,
        [("1-patched".to_owned(), result.patched.digest.to_string())]
    );
    assert!(
        destination
            .blob(REPOSITORY, &source.windows.layer)
            .is_some()
    );
    assert!(
        source
            .world
            .registry
            .requests()
            .iter()
            .all(|request| matches!(request.method.as_str(), "GET" | "HEAD"))
    );
}

#[tokio::test]
async fn what_was_patched_into_another_repository_is_patched_there_again() {
    let indexed = Indexed::new().await;
    let world = &indexed.world;
    let place = format!("{}/other/place", world.registry.host());
    let mut settings = indexed.settings();
    settings.to = Some(place.parse().unwrap());
    let first = world
        .patch(&settings, &indexed.builders().await)
        .await
        .unwrap();
    let mut settings = world.settings_of(&format!("{place}:1-patched"), indexed.reports());
    settings.tag = Some("again".parse().unwrap());
    let second = world
        .patch(&settings, &indexed.builders().await)
        .await
        .unwrap();
    assert_eq!(first.patched.digest, second.patched.digest);
}

#[tokio::test]
async fn a_destination_that_refuses_keeps_the_source_as_it_was() {
    let single = Single::new().await;
    let destination = FakeRegistry::start().await;
    destination.fault(
        reseal_testkit::registry::Fault::status("POST", "/v2/*/blobs/uploads/*", 403).times(100),
    );
    let mut settings = single.settings();
    settings.to = Some(
        format!("{}/{REPOSITORY}", destination.host())
            .parse()
            .unwrap(),
    );
    let builder = single
        .builder(Answer::layer(&raw_layer("amd64", &NEW)))
        .await;
    let (_, text) = failed(
        single.world.patch(&settings, &builder).await,
        Class::RegistryAuth,
    );
    assert!(text.contains(destination.host()), "{text}");
    assert!(destination.tags(REPOSITORY).is_empty());
    single.world.check_nothing_promoted();
}
