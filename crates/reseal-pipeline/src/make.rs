//! Stages 3 to 5 on all platforms: each gets its engine, and each engine hands back a raw layer.

use std::{
    num::NonZero,
    path::{Path, PathBuf},
};

use futures_util::{
    StreamExt as _,
    future::{join, try_join_all},
    stream,
};
use reseal_registry::Registries;

use crate::{
    assign::{Offer, Place},
    engine::{Chosen, Engine, EngineChoice, choose},
    error::PipelineError,
    event::{Event, Events, Stage},
    listed,
    native::{self, Native, Way},
    settings::{Builder, Builders, PatchSettings},
    solve::{Building, Failed, Job, Solved, configure, upgrade},
    source::Source,
};

/// What the engines made.
#[derive(Default)]
pub(crate) struct Made {
    /// In no order.
    pub done: Vec<Done>,
    /// Platforms that failed and may: position, and the reason.
    pub failed: Vec<(usize, String)>,
    /// What a person should know.
    pub warnings: Vec<String>,
}

/// One platform's raw layer, and where it is from.
pub(crate) struct Done {
    /// The layer and what belongs to it.
    pub solved: Solved,
    /// `buildkit` or `native`.
    pub engine: &'static str,
    /// Whether a builder ran it under an emulator.
    pub emulated: bool,
}

/// What all platforms share.
#[derive(Clone, Copy)]
pub(crate) struct Making<'a> {
    pub source: &'a Source,
    pub settings: &'a PatchSettings,
    pub registries: &'a Registries,
    /// For layer files.
    pub folder: &'a Path,
    pub events: &'a Events,
}

/// A job and its place on a builder.
type Placed<'a> = (&'a Job, Place);

/// Makes the raw layers of all jobs.
pub(crate) async fn make(
    jobs: &[Job],
    builders: &dyn Builders,
    making: Making<'_>,
) -> Result<Made, PipelineError> {
    let Making {
        settings, events, ..
    } = making;
    let connected = connect(settings.engine, builders, events).await?;
    let offers = connected.as_ref().map(|(_, offers)| offers.as_slice());
    let mut placed = Vec::new();
    let mut laid = Vec::new();
    for job in jobs {
        let platform = &job.platform.platform;
        let Chosen { engine, why, other } = choose(settings.engine, platform, offers);
        match engine {
            Some(Engine::Buildkit(place)) => placed.push((job, place)),
            Some(Engine::Native) => {
                events.send(Event::Note(format!(
                    "{platform} is patched by the native engine: {why}"
                )));
                laid.push((job, why, other));
            }
            None => {
                return Err(PipelineError::Capability {
                    message: format!("No builder can run {platform}"),
                    hint: format!(
                        "Install an emulator on the builder (qemu-user-static with binfmt_misc), name a native node with `--addr {platform}=ADDRESS`, or take `--engine native`"
                    ),
                });
            }
        }
    }
    let connected = connected.map(|(builders, _)| builders).unwrap_or_default();
    let mut made = Made::default();
    let (solved, native) = join(
        upgrade_on_builders(placed, &connected, making),
        lay_down(&laid, &connected, builders, making),
    )
    .await;
    solved?.into(&mut made);
    let Laid {
        made: native,
        refused,
        unpacked,
    } = native?;
    native.into(&mut made);
    for ((job, _), why) in &refused {
        let warning = format!(
            "the native engine leaves {} to the package manager: {why}",
            job.platform.platform
        );
        events.send(Event::Warned(warning.clone()));
        made.warnings.push(warning);
    }
    let refused: Vec<Placed<'_>> = refused.into_iter().map(|(placed, _)| placed).collect();
    let (upgraded, configured) = join(
        upgrade_on_builders(refused, &connected, making),
        configure_on_builders(unpacked, &connected, making),
    )
    .await;
    upgraded?.into(&mut made);
    configured?.into(&mut made);
    Ok(made)
}

impl Made {
    fn into(self, all: &mut Self) {
        all.done.extend(self.done);
        all.failed.extend(self.failed);
        all.warnings.extend(self.warnings);
    }
}

/// Connects to builders, unless the native engine was asked for. Without a builder `auto` goes on, unless the user named one.
async fn connect(
    choice: EngineChoice,
    builders: &dyn Builders,
    events: &Events,
) -> Result<Option<(Vec<Builder>, Vec<Offer>)>, PipelineError> {
    if choice == EngineChoice::Native {
        return Ok(None);
    }
    events.send(Event::Started(Stage::Connect, None));
    let connected = match builders.connect().await {
        Ok(connected) => connected,
        Err(PipelineError::Connect(error)) if choice == EngineChoice::Auto && !builders.named() => {
            events.send(Event::Note(format!("there is no builder: {error}")));
            events.send(Event::Finished(Stage::Connect, None));
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let offers = try_join_all(connected.iter().map(offer)).await?;
    events.send(Event::Finished(Stage::Connect, None));
    Ok(Some((connected, offers)))
}

/// Asks a builder what it runs.
async fn offer(builder: &Builder) -> Result<Offer, PipelineError> {
    let workers = builder
        .client
        .workers()
        .await
        .map_err(PipelineError::Build)?;
    let platforms = workers
        .first()
        .map(|worker| {
            worker
                .platforms
                .iter()
                .filter_map(|text| text.parse().ok())
                .collect()
        })
        .unwrap_or_default();
    Ok(Offer {
        only: builder.platform.clone(),
        platforms,
    })
}

/// Runs the package manager on the builders.
async fn upgrade_on_builders(
    placed: Vec<Placed<'_>>,
    builders: &[Builder],
    making: Making<'_>,
) -> Result<Made, PipelineError> {
    let Making {
        settings, events, ..
    } = making;
    let mut warnings = Vec::new();
    for (job, place) in &placed {
        if place.emulated {
            let platform = &job.platform.platform;
            let warning = format!(
                "{platform} runs under an emulator, several times slower than on a machine of its own (`--addr {platform}=ADDRESS` names one)"
            );
            events.send(Event::Warned(warning.clone()));
            warnings.push(warning);
        }
    }
    let tasks = placed.into_iter().map(|placed| (placed, ())).collect();
    let mut made = on_builders(
        tasks,
        builders,
        making,
        "buildkit",
        async |building, tasks| {
            let jobs: Vec<Job> = tasks.into_iter().map(|(job, ())| job).collect();
            upgrade(building, &jobs, settings).await
        },
    )
    .await?;
    made.warnings.extend(warnings);
    Ok(made)
}

/// Has packages that were laid down configured on the builders.
async fn configure_on_builders(
    unpacked: Vec<(Placed<'_>, Solved)>,
    builders: &[Builder],
    making: Making<'_>,
) -> Result<Made, PipelineError> {
    let Making {
        settings, events, ..
    } = making;
    for ((job, _), solved) in &unpacked {
        let left = solved
            .native
            .as_ref()
            .map_or(&[][..], |native| &native.unconfigured);
        events.send(Event::Note(format!(
            "the dpkg of {} configures {}",
            job.platform.platform,
            left.join(", ")
        )));
    }
    on_builders(
        unpacked,
        builders,
        making,
        "native",
        async |building, tasks| configure(building, tasks, settings).await,
    )
    .await
}

/// Gives each builder its platforms, with what belongs to them, in one solve.
async fn on_builders<T>(
    tasks: Vec<(Placed<'_>, T)>,
    builders: &[Builder],
    making: Making<'_>,
    engine: &'static str,
    run: impl AsyncFn(Building<'_>, Vec<(Job, T)>) -> Result<(Vec<Solved>, Vec<Failed>), PipelineError>,
) -> Result<Made, PipelineError> {
    let mut made = Made::default();
    if tasks.is_empty() {
        return Ok(made);
    }
    let placed: Vec<Placed<'_>> = tasks.iter().map(|(placed, _)| *placed).collect();
    introduce(&placed, builders, making).await?;
    making.events.send(Event::Started(Stage::Solve, None));
    let mut shares: Vec<Vec<(Job, T)>> = builders.iter().map(|_| Vec::new()).collect();
    for ((job, place), with) in tasks {
        if let Some(share) = shares.get_mut(place.builder) {
            share.push((job.clone(), with));
        }
    }
    let run = &run;
    let runs =
        builders
            .iter()
            .zip(shares)
            .enumerate()
            .map(|(index, (builder, share))| async move {
                let Some((first, _)) = share.first() else {
                    return Ok((Vec::new(), Vec::new()));
                };
                let folder = layers_of(making.folder, index, first)?;
                run(making.building(builder, &folder), share).await
            });
    for (done, failed) in try_join_all(runs).await? {
        made.done.extend(done.into_iter().map(|solved| {
            let mut all = placed.iter();
            let place = all.find(|(job, _)| job.place == solved.place);
            Done {
                emulated: place.is_some_and(|(_, place)| place.emulated),
                solved,
                engine,
            }
        }));
        made.failed.extend(failed);
    }
    making.events.send(Event::Finished(Stage::Solve, None));
    Ok(made)
}

/// Tells which builder does what.
async fn introduce(
    placed: &[Placed<'_>],
    builders: &[Builder],
    making: Making<'_>,
) -> Result<(), PipelineError> {
    for (index, builder) in builders.iter().enumerate() {
        let platforms: Vec<_> = placed
            .iter()
            .filter(|(_, place)| place.builder == index)
            .map(|(job, place)| (job.platform.platform.clone(), place.emulated))
            .collect();
        if !platforms.is_empty() {
            making.events.send(Event::Builder {
                address: builder.address.clone(),
                why: builder.why.clone(),
                version: builder.client.info().await.map_err(PipelineError::Build)?,
                platforms,
            });
        }
    }
    Ok(())
}

/// Makes the folder for the layers of one solve. A builder may be asked more than once: for what runs there at once, and for
/// what the native engine left to it; no two solves have a platform in common.
fn layers_of(folder: &Path, builder: usize, first: &Job) -> Result<PathBuf, PipelineError> {
    let folder = folder.join(format!("builder-{builder}-{}", first.place));
    std::fs::create_dir_all(&folder).map_err(|source| PipelineError::Io {
        action: format!("create the folder `{}`", folder.display()),
        source,
    })?;
    Ok(folder)
}

impl<'a> Making<'a> {
    pub(crate) fn building(self, builder: &'a Builder, folder: &'a Path) -> Building<'a> {
        Building {
            builder,
            source: self.source,
            registries: self.registries,
            may_fail: &self.settings.allow_platform_failure,
            folder,
            events: self.events,
        }
    }
}

/// What the native engine did.
#[derive(Default)]
struct Laid<'a> {
    made: Made,
    /// Platforms that it leaves to a builder, each with the reason.
    refused: Vec<(Placed<'a>, String)>,
    /// Platforms whose packages lie there and have to be configured on a builder.
    unpacked: Vec<(Placed<'a>, Solved)>,
}

/// Lays packages down, as many platforms side by side as there are processors: unpacking takes one each, and what an image
/// has is held meanwhile.
async fn lay_down<'a>(
    laid: &[(&'a Job, String, Option<Place>)],
    connected: &[Builder],
    builders: &dyn Builders,
    making: Making<'_>,
) -> Result<Laid<'a>, PipelineError> {
    let mut out = Laid::default();
    if laid.is_empty() {
        return Ok(out);
    }
    let Making {
        source, settings, ..
    } = making;
    let engine = Native::open(source, &settings.input, &settings.native, making.events)?;
    let jobs: Vec<&Job> = laid.iter().map(|(job, ..)| *job).collect();
    // A build of its own, which is seldom made.
    let mut listed = Box::pin(listed::ask(&jobs, &engine, connected, builders, making)).await;
    let alone = laid.len() == 1;
    let runs = laid.iter().map(|(job, why, other)| {
        let engine = &engine;
        let told = listed.remove(&job.place);
        async move {
            let platform = &job.platform.platform;
            making
                .events
                .send(Event::Started(Stage::LayDown, Some(platform.clone())));
            let way = Way {
                folder: making.folder,
                may_configure: other.is_some(),
                alone,
            };
            let result = engine.run(job, told, way).await;
            making
                .events
                .send(Event::Finished(Stage::LayDown, Some(platform.clone())));
            (*job, why, *other, result)
        }
    });
    let at_once = std::thread::available_parallelism().map_or(1, NonZero::get);
    let results: Vec<_> = stream::iter(runs).buffered(at_once).collect().await;
    for (job, why, other, result) in results {
        let platform = &job.platform.platform;
        match (result, other) {
            (Ok(solved), Some(place)) if left_unpacked(&solved) => {
                out.unpacked.push(((job, place), solved));
            }
            (Ok(solved), _) => out.made.done.push(Done {
                solved,
                engine: "native",
                emulated: false,
            }),
            (Err(native::Failure::Refused(reason)), Some(place)) => {
                out.refused.push(((job, place), reason));
            }
            (Err(failure), _) => {
                let error = failure.into_error(platform, why);
                if making.settings.allow_platform_failure.contains(platform) {
                    out.made.failed.push((job.place, error.to_string()));
                } else {
                    return Err(error);
                }
            }
        }
    }
    Ok(out)
}

fn left_unpacked(solved: &Solved) -> bool {
    solved
        .native
        .as_ref()
        .is_some_and(|native| !native.unconfigured.is_empty())
}
