//! Stages 3 to 5 on all platforms: each gets its engine, and each engine hands back a raw layer.

use std::path::{Path, PathBuf};

use futures_util::future::{join, try_join_all};
use reseal_registry::Registries;

use crate::{
    assign::{Offer, Place},
    engine::{Chosen, Engine, EngineChoice, choose},
    error::PipelineError,
    event::{Event, Events, Stage},
    native::{self, Native},
    settings::{Builder, Builders, PatchSettings},
    solve::{Building, Job, Solved, configure, upgrade},
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
    let builders = connected.map(|(builders, _)| builders).unwrap_or_default();
    let mut made = Made::default();
    let (solved, native) = join(
        on_builders(&placed, &builders, making),
        lay_down(&laid, making),
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
        on_builders(&refused, &builders, making),
        configure_on_builders(unpacked, &builders, making),
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

/// Runs the package manager on the builders, one solve each.
async fn on_builders(
    placed: &[Placed<'_>],
    builders: &[Builder],
    making: Making<'_>,
) -> Result<Made, PipelineError> {
    let mut made = Made::default();
    if placed.is_empty() {
        return Ok(made);
    }
    let Making {
        settings, events, ..
    } = making;
    introduce(placed, builders, making).await?;
    for (job, place) in placed {
        if place.emulated {
            let platform = &job.platform.platform;
            let warning = format!(
                "{platform} runs under an emulator, several times slower than on a machine of its own (`--addr {platform}=ADDRESS` names one)"
            );
            events.send(Event::Warned(warning.clone()));
            made.warnings.push(warning);
        }
    }
    events.send(Event::Started(Stage::Solve, None));
    let runs = builders.iter().enumerate().map(|(index, builder)| {
        let mine: Vec<Job> = placed
            .iter()
            .filter(|(_, place)| place.builder == index)
            .map(|(job, _)| (*job).clone())
            .collect();
        async move {
            let Some(first) = mine.first() else {
                return Ok((Vec::new(), Vec::new()));
            };
            let folder = layers_of(making.folder, index, first)?;
            upgrade(making.building(builder, &folder), &mine, settings).await
        }
    });
    for (done, failed) in try_join_all(runs).await? {
        made.done.extend(done.into_iter().map(|solved| {
            Done {
                emulated: placed
                    .iter()
                    .any(|(job, place)| job.place == solved.place && place.emulated),
                solved,
                engine: "buildkit",
            }
        }));
        made.failed.extend(failed);
    }
    events.send(Event::Finished(Stage::Solve, None));
    Ok(made)
}

/// Has packages that were laid down configured on the builders, one solve each.
async fn configure_on_builders(
    unpacked: Vec<(Placed<'_>, Solved)>,
    builders: &[Builder],
    making: Making<'_>,
) -> Result<Made, PipelineError> {
    let mut made = Made::default();
    if unpacked.is_empty() {
        return Ok(made);
    }
    let Making {
        settings, events, ..
    } = making;
    let placed: Vec<Placed<'_>> = unpacked.iter().map(|(placed, _)| *placed).collect();
    introduce(&placed, builders, making).await?;
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
    events.send(Event::Started(Stage::Solve, None));
    let mut shares: Vec<Vec<(Job, Solved)>> = builders.iter().map(|_| Vec::new()).collect();
    for ((job, place), solved) in unpacked {
        if let Some(share) = shares.get_mut(place.builder) {
            share.push((job.clone(), solved));
        }
    }
    let runs = builders
        .iter()
        .zip(shares)
        .enumerate()
        .map(|(index, (builder, mine))| async move {
            let Some((first, _)) = mine.first() else {
                return Ok((Vec::new(), Vec::new()));
            };
            let folder = layers_of(making.folder, index, first)?;
            configure(making.building(builder, &folder), mine, settings).await
        });
    for (done, failed) in try_join_all(runs).await? {
        made.done.extend(done.into_iter().map(|solved| {
            Done {
                emulated: placed
                    .iter()
                    .any(|(job, place)| job.place == solved.place && place.emulated),
                solved,
                engine: "native",
            }
        }));
        made.failed.extend(failed);
    }
    events.send(Event::Finished(Stage::Solve, None));
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
    fn building(self, builder: &'a Builder, folder: &'a Path) -> Building<'a> {
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

/// Lays packages down, all platforms side by side.
async fn lay_down<'a>(
    laid: &[(&'a Job, String, Option<Place>)],
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
    let runs = laid.iter().map(|(job, why, other)| {
        let engine = &engine;
        async move {
            let platform = &job.platform.platform;
            making
                .events
                .send(Event::Started(Stage::LayDown, Some(platform.clone())));
            let result = engine.run(job, making.folder, other.is_some()).await;
            making
                .events
                .send(Event::Finished(Stage::LayDown, Some(platform.clone())));
            (*job, why, *other, result)
        }
    });
    for (job, why, other, result) in futures_util::future::join_all(runs).await {
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
