//! Stages 3 to 5 on one builder: facts, plan and patch of its platforms in one solve on one session.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use futures_util::future::join_all;
use reseal_buildkit::{BuildError, BuildOptions, ExportSink, Exported, Gateway, Output, Ref};
use reseal_pkg::dpkg::Database;
use reseal_plan::{Base, PlatformPlan, Policy, Surroundings, exit, required_capabilities, to_llb};
use reseal_registry::Registries;

use crate::{
    daemon_auth::DaemonAuth,
    error::PipelineError,
    event::{Event, Events},
    facts,
    layout_source::LayoutSource,
    native::Ingredients,
    planning::{plan, planned},
    reports::Basis,
    settings::{Builder, PatchSettings},
    source::{Source, SourcePlatform},
};

/// Name of the session's store that an OCI layout is served from.
const STORE: &str = "source";
/// Layers come back unpacked: they are cleaned before they are compressed, once.
const EXPORT: [(&str, &str); 2] = [("compression", "uncompressed"), ("oci-mediatypes", "true")];

/// What the builder made of one platform.
pub(crate) struct Solved {
    /// Position among the source's platforms.
    pub place: usize,
    /// Its plan.
    pub plan: PlatformPlan,
    /// The package database before.
    pub before: Database,
    /// Links such as `lib` → `usr/lib`.
    pub aliases: Vec<(String, String)>,
    /// The raw layer; `None` when nothing was to do.
    pub raw: Option<PathBuf>,
    /// What it was laid down from, where nothing ran.
    pub native: Option<Box<Ingredients>>,
}

/// One platform that a builder is given.
#[derive(Clone)]
pub(crate) struct Job {
    /// Position among the source's platforms.
    pub place: usize,
    /// The platform.
    pub platform: SourcePlatform,
    /// What it is patched by.
    pub basis: Basis,
    /// The database of the patch that is replaced.
    pub previous: Option<Database>,
}

/// Runs all jobs of one builder. Platforms that fail and may fail come back as the second list, each with its reason.
pub(crate) async fn solve(
    builder: &Builder,
    jobs: &[Job],
    source: &Source,
    settings: &PatchSettings,
    registries: &Registries,
    folder: &Path,
    events: &Events,
) -> Result<(Vec<Solved>, Vec<(usize, String)>), PipelineError> {
    let known: BTreeSet<String> = jobs
        .iter()
        .flat_map(|job| &job.platform.manifest.layers)
        .map(|layer| layer.digest.to_string())
        .collect();
    let sink = ExportSink::new(folder.to_owned(), known);
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
        auth: Some(Arc::new(DaemonAuth(registries.clone()))),
        secrets: BTreeMap::new(),
        source: source.layout.as_ref().map(|layout| {
            (
                STORE.to_owned(),
                Arc::new(LayoutSource(layout.clone())) as Arc<_>,
            )
        }),
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
        done: Mutex::new(Vec::new()),
        failed: Mutex::new(Vec::new()),
        error: Mutex::new(None),
        jobs: jobs.to_vec(),
        in_layout: source.layout.is_some(),
        repository: source.store.repository().map(ToString::to_string),
        surroundings: Surroundings {
            freshness: settings.freshness.clone(),
            proxy: settings.proxy.as_ref().map(proxy),
        },
        may_fail: settings.allow_platform_failure.clone(),
        policy: settings.input.policy.clone(),
        events: events.clone(),
    });
    let exported = {
        let shared = shared.clone();
        reseal_buildkit::build(&builder.client, options, |gateway| async move {
            shared.frontend(&gateway).await
        })
        .await
    };
    let _ = forward.await;
    if let Some(error) = shared
        .error
        .lock()
        .expect("nobody panics while holding it")
        .take()
    {
        return Err(error);
    }
    let exported = exported.map_err(PipelineError::Build)?;
    let mut done =
        std::mem::take(&mut *shared.done.lock().expect("nobody panics while holding it"));
    let failed = std::mem::take(
        &mut *shared
            .failed
            .lock()
            .expect("nobody panics while holding it"),
    );
    attach_layers(&mut done, jobs, &exported, &sink)?;
    Ok((done, failed))
}

/// What the frontend shares with the call around it.
struct Shared {
    done: Mutex<Vec<Solved>>,
    failed: Mutex<Vec<(usize, String)>>,
    error: Mutex<Option<PipelineError>>,
    jobs: Vec<Job>,
    in_layout: bool,
    repository: Option<String>,
    surroundings: Surroundings,
    may_fail: BTreeSet<reseal_oci::Platform>,
    policy: Policy,
    events: Events,
}

impl Shared {
    async fn frontend(&self, gateway: &Gateway) -> Result<Output, BuildError> {
        if let Some(missing) = gateway
            .capabilities()
            .missing(&required_capabilities())
            .into_iter()
            .next()
        {
            return Err(BuildError::Unsupported(missing));
        }
        let results = join_all(self.jobs.iter().map(|job| self.platform(gateway, job))).await;
        let mut platforms = Vec::new();
        for (job, result) in self.jobs.iter().zip(results) {
            match result {
                Ok((solved, layer)) => {
                    if let Some(layer) = layer {
                        let platform = &job.platform.platform;
                        platforms.push((platform.to_string(), to_llb(platform), layer, None));
                    }
                    self.done
                        .lock()
                        .expect("nobody panics while holding it")
                        .push(solved);
                }
                Err(error)
                    if self
                        .may_fail
                        .iter()
                        .any(|may| job.platform.platform.matches(may)) =>
                {
                    let reason = error.to_string();
                    self.failed
                        .lock()
                        .expect("nobody panics while holding it")
                        .push((job.place, reason));
                }
                Err(error) => {
                    // The callback's error type is the daemon's; ours is handed over beside it.
                    let text = error.to_string();
                    *self.error.lock().expect("nobody panics while holding it") = Some(error);
                    return Err(BuildError::Callback(text.into()));
                }
            }
        }
        Ok(Output { platforms })
    }

    async fn platform(
        &self,
        gateway: &Gateway,
        job: &Job,
    ) -> Result<(Solved, Option<Ref>), PipelineError> {
        let name = job.platform.platform.to_string();
        let base = self.base(gateway, job);
        let image = gateway
            .solve(&reseal_plan::base(&job.platform.platform, &base), false)
            .await
            .map_err(PipelineError::Build)?;
        let found = facts::from_gateway(&image, &name).await?;
        let os = found.os.expect("from_gateway returns one or fails");
        let facts = job.platform.facts(os, found.database, job.previous.clone());
        let plan = plan(&facts, job.basis.report(), &self.policy)?;
        self.events.send(planned(&plan));
        let layer = match reseal_plan::patch(&plan, &base, &self.surroundings) {
            Some(definition) => Some(
                gateway
                    .solve(&definition, true)
                    .await
                    .map_err(|error| classify(error, &name))?,
            ),
            None => None,
        };
        let solved = Solved {
            place: job.place,
            plan,
            before: facts.database,
            aliases: found.aliases,
            raw: None,
            native: None,
        };
        Ok((solved, layer))
    }

    fn base(&self, gateway: &Gateway, job: &Job) -> Base {
        let digest = &job.platform.manifest.raw.digest;
        match (&self.repository, self.in_layout) {
            (Some(repository), false) => Base::Registry(format!("{repository}@{digest}")),
            _ => Base::Session {
                reference: format!("local/source@{digest}"),
                session: gateway.session_id().to_owned(),
                store: STORE.to_owned(),
            },
        }
    }
}

fn attach_layers(
    done: &mut [Solved],
    jobs: &[Job],
    exported: &Exported,
    sink: &ExportSink,
) -> Result<(), PipelineError> {
    let Exported::Index { manifests, .. } = exported else {
        return Ok(());
    };
    for solved in done {
        let Some(job) = jobs.iter().find(|job| job.place == solved.place) else {
            continue;
        };
        let id = job.platform.platform.to_string();
        let Some((_, manifest)) = manifests.iter().find(|(platform, _)| *platform == id) else {
            continue;
        };
        solved.raw = match manifest.layers.as_slice() {
            [] => None,
            [(digest, ..)] => Some(sink.blob(digest).ok_or_else(|| {
                PipelineError::Build(BuildError::Callback(
                    format!("the daemon did not send the layer {digest}").into(),
                ))
            })?),
            more => {
                return Err(PipelineError::Build(BuildError::Callback(
                    format!(
                        "the daemon sent {} layers for {id}, where one was asked for",
                        more.len()
                    )
                    .into(),
                )));
            }
        };
    }
    Ok(())
}

/// Tells a package manager that failed from a daemon that failed.
fn classify(error: BuildError, platform: &str) -> PipelineError {
    let BuildError::Exec {
        exit_code,
        log_tail,
        ..
    } = &error
    else {
        return PipelineError::Build(error);
    };
    let (message, mut hint) = match *exit_code {
        exit::NO_APT => (
            "the image has no apt-get",
            "Patch an image that has a package manager",
        ),
        exit::UPDATE => (
            "apt could not update its indexes",
            "Check that the repositories of the image can be reached from the daemon; proxies are taken from HTTP_PROXY and HTTPS_PROXY",
        ),
        exit::UPGRADE => (
            "apt could not upgrade the packages",
            "See the output of apt above; held or broken packages are named there",
        ),
        exit::BROKEN => (
            "dpkg left packages half installed",
            "See the output of dpkg above",
        ),
        126 | 127 => (
            "the image has no /bin/sh that runs",
            "Patch an image that has a shell and a package manager",
        ),
        _ => ("the package manager failed", "See its output above"),
    };
    for (sign, meaning) in [
        (
            "is expired",
            "The repository's signed index is past its Valid-Until: the mirror lags, or the release is archived. Point the image at an archive, or set `Acquire::Check-Valid-Until \"false\"` in its apt configuration",
        ),
        (
            "is not valid yet",
            "The clock of the daemon is behind: set it right",
        ),
        (
            "EXPKEYSIG",
            "The keys of the repository have expired: update the image's keyring package, or use a newer base image",
        ),
        (
            "NO_PUBKEY",
            "The image has no key for one of its repositories: add it, or remove the repository",
        ),
        (
            "does not have a Release file",
            "The repositories of this release are gone, as happens after its end of life: point the image's sources at the distribution's archive, or move to a newer base image",
        ),
        (
            "404  Not Found",
            "A file is gone from the repository: run again with `--no-cache`; if the release is past its end of life, use the distribution's archive",
        ),
        (
            "No space left on device",
            "The daemon's disk is full: free space or prune its cache",
        ),
        (
            "exec format error",
            "The daemon cannot run this platform: install an emulator (qemu-user-static with binfmt_misc), or name a native node with `--addr PLATFORM=ADDRESS`",
        ),
    ] {
        if log_tail.contains(sign) {
            hint = meaning;
            break;
        }
    }
    PipelineError::Install {
        platform: platform.to_owned(),
        message: format!("{message} (exit code {exit_code})"),
        log: log_tail.clone(),
        hint: hint.to_owned(),
    }
}

fn proxy(proxy: &crate::settings::Proxy) -> reseal_plan::Proxy {
    reseal_plan::Proxy {
        http: proxy.http.clone(),
        https: proxy.https.clone(),
        ftp: String::new(),
        no: proxy.no_proxy.clone(),
        all: proxy.all.clone(),
    }
}
