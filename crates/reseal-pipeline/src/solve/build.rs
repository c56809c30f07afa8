//! One build on one builder: a session, a solve, and one layer that comes back for each platform.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use futures_util::future::join_all;
use reseal_buildkit::{
    BuildError, BuildOptions, ContentSource, ExportSink, Exported, Gateway, Output, Ref,
};
use reseal_oci::Platform;
use reseal_plan::{Base, to_llb};
use reseal_registry::Registries;

use super::{Failed, Job};
use crate::{
    daemon_auth::DaemonAuth,
    error::PipelineError,
    event::{Event, Events},
    settings::Builder,
    source::Source,
};

/// Name of the session's store that images come from which no registry has.
const STORE: &str = "source";
/// Layers come back unpacked: they are cleaned before they are compressed, once.
const EXPORT: [(&str, &str); 2] = [("compression", "uncompressed"), ("oci-mediatypes", "true")];

/// Where a build runs, and what it may use.
#[derive(Clone, Copy)]
pub(crate) struct Building<'a> {
    /// The builder.
    pub builder: &'a Builder,
    /// The image.
    pub source: &'a Source,
    /// For the credentials that the daemon asks for.
    pub registries: &'a Registries,
    /// Platforms whose failure is not that of the run.
    pub may_fail: &'a BTreeSet<Platform>,
    /// Where layers are put.
    pub folder: &'a Path,
    /// Who is told.
    pub events: &'a Events,
}

/// What is done on a platform.
#[async_trait]
pub(super) trait Step: Send + Sync + 'static {
    /// What comes out besides the layer.
    type Made: Send;

    /// Returns the capabilities that the daemon has to have; one that is missing fails the build before anything runs.
    fn needs(&self) -> BTreeSet<&'static str>;

    /// Builds the graph and has it solved. `None` when there is no layer.
    async fn make(
        &self,
        images: &Images<'_>,
        job: &Job,
    ) -> Result<(Self::Made, Option<Ref>), PipelineError>;
}

/// The gateway, and where images are found through it.
pub(super) struct Images<'a> {
    pub(super) gateway: &'a Gateway,
    repository: Option<&'a str>,
}

impl Images<'_> {
    /// Returns where the daemon finds the image that is patched.
    pub(super) fn base(&self, job: &Job) -> Base {
        let digest = job.platform.manifest.raw.digest.as_str();
        match self.repository {
            Some(repository) => Base::Registry(format!("{repository}@{digest}")),
            None => self.session(digest),
        }
    }

    /// Returns where the daemon finds an image of the session.
    pub(super) fn session(&self, digest: &str) -> Base {
        Base::Session {
            reference: format!("local/source@{digest}"),
            session: self.gateway.session_id().to_owned(),
            store: STORE.to_owned(),
        }
    }
}

/// What was made of one platform.
pub(super) struct Built<T> {
    /// Position among the source's platforms.
    pub place: usize,
    /// What the step returned.
    pub made: T,
    /// The layer, if there is one.
    pub layer: Option<PathBuf>,
}

/// Runs a step on the platforms of all jobs. Those that fail and may fail come back as the second list.
///
/// `content` has the images that the session serves.
pub(super) async fn build<S: Step>(
    building: Building<'_>,
    jobs: &[Job],
    content: Option<Arc<dyn ContentSource>>,
    step: S,
) -> Result<(Vec<Built<S::Made>>, Vec<Failed>), PipelineError> {
    let Building {
        builder,
        source,
        events,
        ..
    } = building;
    let known: BTreeSet<String> = jobs
        .iter()
        .flat_map(|job| &job.platform.manifest.layers)
        .map(|layer| layer.digest.to_string())
        .collect();
    let sink = ExportSink::new(building.folder.to_owned(), known);
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    let forward = {
        let events = events.clone();
        tokio::spawn(async move {
            while let Some(event) = receiver.recv().await {
                events.send(Event::Solve(event));
            }
        })
    };
    let options = BuildOptions {
        auth: Some(Arc::new(DaemonAuth(building.registries.clone()))),
        secrets: BTreeMap::new(),
        source: content.map(|content| (STORE.to_owned(), content)),
        export: Some(sink.clone()),
        exporter_attrs: EXPORT
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect(),
        platforms: jobs
            .iter()
            .map(|job| job.platform.platform.to_string())
            .collect(),
        internal: false,
        events: sender,
    };
    let shared = Arc::new(Shared {
        step,
        done: Mutex::new(Vec::new()),
        failed: Mutex::new(Vec::new()),
        error: Mutex::new(None),
        jobs: jobs.to_vec(),
        repository: match source.layout {
            Some(_) => None,
            None => source.store.repository().map(ToString::to_string),
        },
        may_fail: building.may_fail.clone(),
    });
    let exported = {
        let shared = shared.clone();
        reseal_buildkit::build(&builder.client, options, |gateway| async move {
            shared.frontend(&gateway).await
        })
        .await
    };
    let _ = forward.await;
    if let Some(error) = lock(&shared.error).take() {
        return Err(error);
    }
    let exported = exported.map_err(PipelineError::Build)?;
    let done = std::mem::take(&mut *lock(&shared.done));
    let failed = std::mem::take(&mut *lock(&shared.failed));
    let built = done
        .into_iter()
        .map(|(place, made)| {
            let layer = layer(place, jobs, &exported, &sink)?;
            Ok(Built { place, made, layer })
        })
        .collect::<Result<_, PipelineError>>()?;
    Ok((built, failed))
}

/// What the frontend shares with the call around it.
struct Shared<S: Step> {
    step: S,
    done: Mutex<Vec<(usize, S::Made)>>,
    failed: Mutex<Vec<Failed>>,
    error: Mutex<Option<PipelineError>>,
    jobs: Vec<Job>,
    /// The repository of the image; none when the session has it.
    repository: Option<String>,
    may_fail: BTreeSet<Platform>,
}

impl<S: Step> Shared<S> {
    async fn frontend(&self, gateway: &Gateway) -> Result<Output, BuildError> {
        let missing = gateway.capabilities().missing(&self.step.needs());
        if let Some(missing) = missing.into_iter().next() {
            return Err(BuildError::Unsupported(missing));
        }
        let images = Images {
            gateway,
            repository: self.repository.as_deref(),
        };
        let results = join_all(self.jobs.iter().map(|job| self.step.make(&images, job))).await;
        let mut platforms = Vec::new();
        for (job, result) in self.jobs.iter().zip(results) {
            let platform = &job.platform.platform;
            match result {
                Ok((made, layer)) => {
                    if let Some(layer) = layer {
                        platforms.push((platform.to_string(), to_llb(platform), layer, None));
                    }
                    lock(&self.done).push((job.place, made));
                }
                Err(error) if self.may_fail.iter().any(|may| platform.matches(may)) => {
                    lock(&self.failed).push((job.place, error.to_string()));
                }
                Err(error) => {
                    // The callback's error type is the daemon's; ours is handed over beside it.
                    let text = error.to_string();
                    *lock(&self.error) = Some(error);
                    return Err(BuildError::Callback(text.into()));
                }
            }
        }
        Ok(Output { platforms })
    }
}

/// Nobody panics while holding one of these; if somebody did, what it holds is still whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Finds the layer that came back for a platform.
fn layer(
    place: usize,
    jobs: &[Job],
    exported: &Exported,
    sink: &ExportSink,
) -> Result<Option<PathBuf>, PipelineError> {
    let wrong = |why: String| PipelineError::Build(BuildError::Callback(why.into()));
    let Exported::Index { manifests, .. } = exported else {
        return Ok(None);
    };
    let Some(job) = jobs.iter().find(|job| job.place == place) else {
        return Ok(None);
    };
    let id = job.platform.platform.to_string();
    let Some((_, manifest)) = manifests.iter().find(|(platform, _)| *platform == id) else {
        return Ok(None);
    };
    match manifest.layers.as_slice() {
        [] => Ok(None),
        [(digest, ..)] => sink
            .blob(digest)
            .map(Some)
            .ok_or_else(|| wrong(format!("the daemon did not send the layer {digest}"))),
        more => Err(wrong(format!(
            "the daemon sent {} layers for {id}, where one was asked for",
            more.len()
        ))),
    }
}
