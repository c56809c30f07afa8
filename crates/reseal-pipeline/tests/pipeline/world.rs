//! A registry, builders, and the settings of a run between them.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use reseal_buildkit::Client;
use reseal_pipeline::{
    Builder, Builders, Class, EngineChoice, Event, Events, Input, NamedReport, NativeSettings,
    PatchSettings, PipelineError, RunResult, Scripts, Unreported, patch,
};
use reseal_plan::Policy;
use reseal_registry::{Registries, RegistrySettings, Sleeper, Wait};
use reseal_testkit::buildkitd::{Answer, FakeBuildkitd, Script};
use reseal_testkit::registry::FakeRegistry;
use tempfile::TempDir;

use crate::image::{Image, NEW, Pushed, fixable, raw_layer, report};

/// The repository of the image.
pub(crate) const REPOSITORY: &str = "shop/app";

/// Time in which pauses are noted and over at once.
#[derive(Default)]
pub(crate) struct TestTime(Mutex<Vec<u64>>);

#[async_trait]
impl Sleeper for TestTime {
    async fn sleep(&self, why: Wait, duration: Duration) {
        match why {
            Wait::Retry => self.0.lock().unwrap().push(duration.as_secs()),
            Wait::Stall => std::future::pending().await,
        }
    }

    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }
}

pub(crate) struct World {
    pub(crate) registry: FakeRegistry,
    pub(crate) registries: Registries,
    pub(crate) time: Arc<TestTime>,
    pub(crate) temp: TempDir,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::of(FakeRegistry::start().await)
    }

    pub(crate) fn of(registry: FakeRegistry) -> Self {
        let time = Arc::new(TestTime::default());
        let settings = RegistrySettings {
            retries: 2,
            certificate_folders: Vec::new(),
            sleeper: Arc::clone(&time) as Arc<dyn Sleeper>,
            ..RegistrySettings::default()
        };
        Self {
            registry,
            registries: Registries::new(settings).unwrap(),
            time,
            temp: tempfile::tempdir().unwrap(),
        }
    }

    /// The pauses before tries that were repeated, in seconds.
    pub(crate) fn pauses(&self) -> Vec<u64> {
        self.time.0.lock().unwrap().clone()
    }

    /// Settings that patch `shop/app:1` by these reports into `shop/app:1-patched`.
    pub(crate) fn settings(&self, reports: Vec<Vec<u8>>) -> PatchSettings {
        self.settings_of(&format!("{}/{REPOSITORY}:1", self.registry.host()), reports)
    }

    pub(crate) fn settings_of(&self, source: &str, reports: Vec<Vec<u8>>) -> PatchSettings {
        PatchSettings {
            input: Input {
                source: source.parse().unwrap(),
                reports: reports
                    .into_iter()
                    .enumerate()
                    .map(|(index, bytes)| NamedReport {
                        name: format!("report-{index}.json"),
                        bytes,
                    })
                    .collect(),
                platforms: None,
                unreported: Unreported::default(),
                allow_report_mismatch: false,
                policy: Policy::default(),
            },
            to: None,
            tag: Some("1-patched".parse().unwrap()),
            tag_unchanged: false,
            allow_platform_failure: BTreeSet::new(),
            engine: EngineChoice::Buildkit,
            native: NativeSettings {
                cache: self.temp.path().join("cache"),
                cache_limit: 1 << 30,
                packages: None,
                mirrors: Vec::new(),
                ca: Vec::new(),
                auth: None,
                lock: None,
                now: 1_707_000_000,
                scripts: Scripts::Refuse,
            },
            seal: None,
            strict_layer: false,
            epoch: None,
            freshness: "2024-02-01".to_owned(),
            proxy: None,
            temp_dir: self.temp.path().to_owned(),
            generator: "reseal 0.1.0".to_owned(),
        }
    }

    pub(crate) async fn patch(
        &self,
        settings: &PatchSettings,
        builders: &Fakes,
    ) -> Result<RunResult, PipelineError> {
        patch(settings, &self.registries, builders, &Events::channel().0).await
    }

    /// Patches, and returns the events as well.
    pub(crate) async fn watch(
        &self,
        settings: &PatchSettings,
        builders: &Fakes,
    ) -> (Result<RunResult, PipelineError>, Vec<Event>) {
        let (events, mut receiver) = Events::channel();
        let result = patch(settings, &self.registries, builders, &events).await;
        drop(events);
        let mut seen = Vec::new();
        while let Some(event) = receiver.recv().await {
            seen.push(event);
        }
        (result, seen)
    }

    pub(crate) fn tag(&self, name: &str) -> Option<String> {
        self.tag_of(REPOSITORY, name)
    }

    pub(crate) fn tag_of(&self, repository: &str, name: &str) -> Option<String> {
        let tags = self.registry.tags(repository);
        tags.into_iter()
            .find_map(|(tag, digest)| (tag == name).then_some(digest))
    }

    /// A run that fails leaves no tag, and nothing in the folder for temporary files.
    #[track_caller]
    pub(crate) fn check_nothing_promoted(&self) {
        assert_eq!(self.tag("1-patched"), None);
        let left: Vec<_> = std::fs::read_dir(self.temp.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

/// A world with one image of one platform, its report with one finding, and a builder that fixes it.
pub(crate) struct Single {
    pub(crate) world: World,
    pub(crate) image: Pushed,
}

impl Single {
    pub(crate) async fn new() -> Self {
        Self::with(Image::new("linux/amd64")).await
    }

    pub(crate) async fn with(image: Image) -> Self {
        let world = World::new().await;
        let image = image.push(&world.registry, REPOSITORY, Some("1"));
        Self { world, image }
    }

    pub(crate) fn report(&self) -> Vec<u8> {
        report("linux/amd64", &self.image, &[fixable()])
    }

    pub(crate) fn settings(&self) -> PatchSettings {
        self.world.settings(vec![self.report()])
    }

    /// A builder whose patch comes to this.
    pub(crate) async fn builder(&self, patch: Answer) -> Fakes {
        Fakes::new(self.image.answers(patch)).await
    }

    /// A builder that fixes the finding.
    pub(crate) async fn good_builder(&self) -> Fakes {
        self.builder(good_patch()).await
    }

    pub(crate) async fn patch(&self) -> Result<RunResult, PipelineError> {
        let builder = self.good_builder().await;
        self.world.patch(&self.settings(), &builder).await
    }
}

pub(crate) fn good_patch() -> Answer {
    Answer::layer(&raw_layer("amd64", &NEW))
}

/// Builders on pipes.
pub(crate) struct Fakes {
    pub(crate) daemons: Vec<FakeBuildkitd>,
    pub(crate) connected: AtomicUsize,
    /// Runs when the builders are asked for, which is after the image was resolved.
    pub(crate) meanwhile: Option<Box<dyn Fn() + Send + Sync>>,
}

impl Fakes {
    pub(crate) async fn new(answers: Vec<Answer>) -> Self {
        Self::scripted(Script {
            answers,
            ..Script::default()
        })
        .await
    }

    pub(crate) async fn scripted(script: Script) -> Self {
        Self {
            daemons: vec![FakeBuildkitd::start(script).await],
            connected: AtomicUsize::new(0),
            meanwhile: None,
        }
    }

    /// No builder is expected to be asked for.
    pub(crate) fn none() -> Self {
        Self {
            daemons: Vec::new(),
            connected: AtomicUsize::new(0),
            meanwhile: None,
        }
    }

    pub(crate) fn connects(&self) -> usize {
        self.connected.load(Ordering::Relaxed)
    }

    /// How many graphs were solved.
    pub(crate) fn solved(&self) -> usize {
        self.daemons
            .iter()
            .flat_map(FakeBuildkitd::calls)
            .filter(|call| call == "gateway.Solve")
            .count()
    }
}

#[async_trait]
impl Builders for Fakes {
    async fn connect(&self) -> Result<Vec<Builder>, PipelineError> {
        self.connected.fetch_add(1, Ordering::Relaxed);
        if let Some(meanwhile) = &self.meanwhile {
            meanwhile();
        }
        Ok(self
            .daemons
            .iter()
            .map(|daemon| Builder {
                address: "pipe://".to_owned(),
                why: "the test has no other".to_owned(),
                platform: None,
                client: Client::over(daemon.channel()),
            })
            .collect())
    }

    fn named(&self) -> bool {
        true
    }

    async fn close(&self) {}
}

/// The error's class, and all that it says.
#[track_caller]
pub(crate) fn failed(
    result: Result<RunResult, PipelineError>,
    class: Class,
) -> (PipelineError, String) {
    let error = result.map(|result| result.outcome).unwrap_err();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    assert_eq!(error.class(), class, "{text}");
    (error, text)
}
