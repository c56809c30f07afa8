//! The native engine on the platforms of an image: what `crates/reseal-native` needs is fetched, and its raw layer goes
//! where a builder's would.
//!
//! What belongs to one family of distributions is in a module of its own ([`deb`]).

mod against;
mod base;
mod deb;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use reseal_native::Scripts;
use reseal_oci::Platform;
use reseal_pkg::OsRelease;
use reseal_plan::PlatformPlan;
use reseal_repo::{Cache, RepoError};
use reseal_rootfs::{LayerFacts, Tree};

use crate::{
    error::PipelineError,
    event::{Event, Events},
    facts::{self, OS_RELEASE},
    lock::{LockedPackage, LockedPlatform},
    outcome::{PackageSource, PlatformResult},
    planning::{plan, planned},
    settings::{Input, NativeSettings},
    solve::{Job, Solved},
    source::Source,
};

/// From how many bytes of facts on an image is large: then one platform is laid down after the other, on two processors. What is
/// in memory meanwhile grows with the image, and is there once. 11,000 paths of Debian have 2.5 MB.
const LARGE: u64 = 3_000_000;

/// What a raw layer was laid down from.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ingredients {
    /// Every package, sorted.
    pub packages: Vec<LockedPackage>,
    /// The files that came from packages.
    pub files: Vec<FileProof>,
    /// Packages that are left for the image's dpkg to configure, or that it has configured.
    pub unconfigured: Vec<String>,
    /// Paths that configuring wrote again.
    pub replaced: BTreeSet<String>,
}

/// A file as it is in its package.
#[derive(Debug, Clone)]
pub(crate) struct FileProof {
    /// Its path in the image.
    pub path: String,
    /// The package's name and architecture.
    pub package: (String, String),
    /// SHA-256.
    pub sha256: [u8; 32],
}

impl Ingredients {
    /// Compares the files of the pushed layer with those of the signed packages, and says so in the result. What the
    /// packages' own scripts wrote again when they were configured does not count.
    pub(crate) fn prove(
        &self,
        pushed: &BTreeMap<String, [u8; 32]>,
        result: &mut PlatformResult,
    ) -> Result<(), PipelineError> {
        let mut counts: BTreeMap<&(String, String), usize> = BTreeMap::new();
        for file in &self.files {
            if pushed.get(&file.path) != Some(&file.sha256) {
                if self.replaced.contains(&file.path) {
                    continue;
                }
                return Err(PipelineError::Verification(format!(
                    "`{}` in the layer of {} is not the file of the package {}",
                    file.path, result.platform, file.package.0
                )));
            }
            *counts.entry(&file.package).or_default() += 1;
        }
        for package in &self.packages {
            let key = (package.name.clone(), package.architecture.clone());
            let of = result
                .packages
                .iter_mut()
                .find(|one| (&one.name, &one.architecture) == (&key.0, &key.1));
            if let Some(of) = of {
                of.source = Some(PackageSource {
                    digest: package.digest.clone(),
                    files: counts.get(&key).copied().unwrap_or(0),
                });
            }
        }
        Ok(())
    }
}

/// Why a platform was not patched.
pub(crate) enum Failure {
    /// The image or a package needs its own package manager.
    Refused(String),
    /// Everything else.
    Error(PipelineError),
}

impl From<PipelineError> for Failure {
    fn from(error: PipelineError) -> Self {
        Self::Error(error)
    }
}

impl Failure {
    /// Returns the error of a platform that has no other engine; `why` it has the native one.
    pub(crate) fn into_error(self, platform: &Platform, why: &str) -> PipelineError {
        match self {
            Self::Error(error) => error,
            Self::Refused(reason) => PipelineError::Refused {
                platform: platform.to_string(),
                reason,
                hint: format!(
                    "The native engine was taken because {why}. Let the image's own package manager do it with `--engine buildkit` and a BuildKit daemon that runs {platform} (`--addr`, BUILDKIT_HOST, or `buildkitd` on PATH)"
                ),
            },
        }
    }
}

/// The engine of one run.
pub(crate) struct Native<'a> {
    source: &'a Source,
    input: &'a Input,
    settings: &'a NativeSettings,
    events: &'a Events,
    cache: Cache,
    /// Whose turn it is among large images.
    turn: tokio::sync::Mutex<()>,
}

/// How a platform is laid down.
#[derive(Clone, Copy)]
pub(crate) struct Way<'a> {
    /// Where the raw layer goes.
    pub(crate) folder: &'a Path,
    /// Packages with unknown scripts are left unpacked where that is enough, for [`Ingredients::unconfigured`] to be
    /// configured on a builder.
    pub(crate) may_configure: bool,
    /// No other platform is laid down meanwhile: a second processor and the memory of a second one are free.
    pub(crate) alone: bool,
}

/// A platform that is ready to be laid down.
pub(crate) struct Prepared {
    image: deb::Image,
    repositories: deb::Sources,
    /// Its plan.
    pub(crate) plan: PlatformPlan,
    chosen: deb::Chosen,
}

impl Prepared {
    /// Returns the platform's part of a lock; `None` when nothing is to change.
    pub(crate) fn lock(&self) -> Option<LockedPlatform> {
        let chosen = &self.chosen;
        (!chosen.packages.is_empty()).then(|| LockedPlatform {
            platform: self.plan.platform.clone(),
            source_digest: self.plan.source_digest.clone(),
            engine: "native".to_owned(),
            repositories: chosen.repositories.clone(),
            packages: chosen.packages.clone(),
        })
    }
}

impl<'a> Native<'a> {
    /// Opens the cache.
    pub(crate) fn open(
        source: &'a Source,
        input: &'a Input,
        settings: &'a NativeSettings,
        events: &'a Events,
    ) -> Result<Self, PipelineError> {
        let cache = Cache::open(&settings.cache, settings.cache_limit)
            .map_err(repository_error("the native engine"))?;
        Ok(Self {
            source,
            input,
            settings,
            events,
            cache,
            turn: tokio::sync::Mutex::default(),
        })
    }

    /// Returns how many bytes of layers have to be fetched before the files of an image are known.
    pub(crate) fn unread(&self, job: &Job) -> u64 {
        base::unread(&job.platform.manifest, &self.cache)
    }

    /// Returns what a builder told of an image in an earlier run.
    pub(crate) async fn remembered(
        &self,
        job: &Job,
        address: &str,
    ) -> Result<Option<LayerFacts>, PipelineError> {
        let name = job.platform.platform.to_string();
        base::recall(&self.cache, told(job, address), &name).await
    }

    /// Remembers what a builder told of an image: for the same image and builder, as nothing proves it.
    pub(crate) fn remember(
        &self,
        job: &Job,
        address: &str,
        facts: &LayerFacts,
    ) -> Result<(), PipelineError> {
        let name = job.platform.platform.to_string();
        base::remember(&self.cache, &told(job, address), facts, &name)
    }

    /// Reads the image and chooses packages; nothing is laid down yet. `told` is what a builder told of the image, whose
    /// layers are not read then.
    pub(crate) async fn prepare(
        &self,
        job: &Job,
        told: Option<LayerFacts>,
    ) -> Result<Prepared, Failure> {
        let platform = &job.platform.platform;
        let name = platform.to_string();
        let store = self.source.store.as_ref();
        let (tree, previous) =
            tokio::try_join!(self.tree(job, told), facts::previous(store, &job.platform))?;
        let image = deb::Image::new(tree, &name)?;
        let os = os_release(&image, &name)?;
        let facts = job.platform.facts(os, image.database.clone(), previous);
        let plan = plan(&facts, job.basis.report(), &self.input.policy)?;
        self.events.send(planned(&plan));
        let repositories = image.repositories(&self.cache, self.settings)?;
        let chosen = match self.locked(platform) {
            Some(locked) if locked.source_digest != plan.source_digest => {
                return Err(Failure::Error(PipelineError::Mismatch {
                    message: format!(
                        "The lock was made for {} of {platform}, not for {}",
                        locked.source_digest, plan.source_digest
                    ),
                    hint: "Patch the image that the lock names, or make a new lock with `reseal plan IMAGE --lock FILE`".into(),
                }));
            }
            Some(locked) => deb::Chosen::from_lock(locked),
            None if plan.is_empty() => deb::Chosen::default(),
            None => image.choose(&repositories, &plan).await?,
        };
        for warning in &chosen.warnings {
            self.events
                .send(Event::Warned(format!("{name}: {warning}")));
        }
        for (package, why) in &chosen.kept_back {
            self.events.send(Event::Warned(format!(
                "{name}: {package} stays as it is: {why}"
            )));
        }
        Ok(Prepared {
            image,
            repositories,
            plan,
            chosen,
        })
    }

    /// Returns how many bytes of facts there are about an image.
    async fn weigh(&self, job: &Job, told: Option<&LayerFacts>) -> Result<u64, PipelineError> {
        if let Some(facts) = told {
            return Ok(facts.as_bytes().len() as u64);
        }
        let store = self.source.store.as_ref();
        let name = job.platform.platform.to_string();
        base::weigh(store, &job.platform.manifest, &self.cache, &name).await
    }

    /// Returns the files of an image: as a builder told them, or from its layers.
    async fn tree(&self, job: &Job, told: Option<LayerFacts>) -> Result<Tree, PipelineError> {
        let name = job.platform.platform.to_string();
        if let Some(facts) = told {
            return base::stack(vec![facts], &name).await;
        }
        let store = self.source.store.as_ref();
        base::tree(store, &job.platform.manifest, &self.cache, &name).await
    }

    /// Finds out whether the packages of a platform qualify, by laying them down into nothing.
    pub(crate) async fn check(&self, prepared: &Prepared) -> Result<(), Failure> {
        let Prepared {
            image,
            repositories,
            plan,
            chosen,
        } = prepared;
        if chosen.packages.is_empty() {
            return Ok(());
        }
        let files = repositories
            .fetch(chosen, &plan.platform.to_string())
            .await?;
        let scripts = self.settings.scripts;
        let laid = image.lay_down(chosen, files, None, scripts, false).await;
        laid.map(drop)
    }

    /// Patches one platform; `told` as for [`Native::prepare`].
    pub(crate) async fn run(
        &self,
        job: &Job,
        told: Option<LayerFacts>,
        way: Way<'_>,
    ) -> Result<Solved, Failure> {
        // Held to the end.
        let turn = if !way.alone && self.weigh(job, told.as_ref()).await? >= LARGE {
            Some(self.turn.lock().await)
        } else {
            None
        };
        let alone = way.alone || turn.is_some();
        let Prepared {
            image,
            repositories,
            plan,
            mut chosen,
        } = self.prepare(job, told).await?;
        let mut solved = Solved {
            place: job.place,
            before: image.database.clone(),
            aliases: image.aliases(),
            raw: None,
            native: None,
            plan,
        };
        if chosen.packages.is_empty() {
            return Ok(solved);
        }
        let name = job.platform.platform.to_string();
        let files = repositories.fetch(&chosen, &name).await?;
        // What they were chosen from, and the keyrings, would only take memory from now on.
        chosen.forget_candidates();
        drop(repositories);
        let raw = way.folder.join(format!("native-{}.tar", job.place));
        let scripts = match self.settings.scripts {
            Scripts::Refuse if way.may_configure => Scripts::Configure,
            scripts => scripts,
        };
        let laid = image
            .lay_down(&chosen, files, Some(&raw), scripts, alone)
            .await?;
        solved.raw = Some(raw);
        solved.native = Some(Box::new(Ingredients {
            packages: chosen.packages,
            files: laid.files,
            unconfigured: laid.unconfigured,
            replaced: BTreeSet::new(),
        }));
        Ok(solved)
    }

    /// Returns what the lock says about a platform.
    fn locked(&self, platform: &Platform) -> Option<&LockedPlatform> {
        let lock = self.settings.lock.as_ref()?;
        lock.platforms.iter().find(|one| one.platform == *platform)
    }
}

/// The name under which it is remembered what a builder told of an image.
fn told(job: &Job, address: &str) -> String {
    let digest = &job.platform.manifest.raw.digest;
    format!("image-facts {digest} {address}")
}

fn os_release(image: &deb::Image, platform: &str) -> Result<OsRelease, PipelineError> {
    let text = OS_RELEASE
        .iter()
        .find_map(|path| image.tree().contents(path))
        .ok_or_else(|| PipelineError::Image {
            image: platform.to_owned(),
            message: "it has no os-release, so its distribution is unknown".into(),
            hint: Some(
                "reseal patches Debian and Ubuntu images; this one may be built from scratch"
                    .into(),
            ),
        })?;
    OsRelease::parse(text).map_err(|source| PipelineError::Package {
        platform: platform.to_owned(),
        source,
    })
}

/// Wraps an error of repositories or their cache.
pub(crate) fn repository_error(platform: &str) -> impl Fn(RepoError) -> PipelineError {
    let platform = platform.to_owned();
    move |source| PipelineError::Repository {
        platform: platform.clone(),
        source,
    }
}
