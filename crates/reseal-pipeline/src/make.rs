//! Stages 3 to 5 on all platforms: each gets its engine, and each engine hands back a raw layer.

use std::path::Path;

use futures_util::future::{join, try_join_all};
use reseal_registry::Registries;

use crate::{
    assign::{Offer, Place},
    engine::{Chosen, Engine, EngineChoice, choose},
    error::PipelineError,
    event::{Event, Events, Stage},
    native::{self, Native},
    settings::{Builder, Builders, PatchSettings},
    solve::{Job, Solved, solve},
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
    let (native, refused) = native?;
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
    on_builders(&refused, &builders, making)
        .await?
        .into(&mut made);
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
    let Making { folder, events, .. } = making;
    for (index, builder) in builders.iter().enumerate() {
        let platforms: Vec<_> = placed
            .iter()
            .filter(|(_, place)| place.builder == index)
            .map(|(job, place)| (job.platform.platform.clone(), place.emulated))
            .collect();
        if !platforms.is_empty() {
            events.send(Event::Builder {
                address: builder.address.clone(),
                why: builder.why.clone(),
                version: builder.client.info().await.map_err(PipelineError::Build)?,
                platforms,
            });
        }
    }
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
        // A builder may be asked a second time, for what the native engine left to it.
        let folder = folder.join(format!(
            "builder-{index}-{}",
            mine.first().map_or(0, |job| job.place)
        ));
        async move {
            if mine.is_empty() {
                return Ok((Vec::new(), Vec::new()));
            }
            std::fs::create_dir_all(&folder).map_err(|source| PipelineError::Io {
                action: format!("create the folder `{}`", folder.display()),
                source,
            })?;
            solve(
                builder,
                &mine,
                making.source,
                making.settings,
                making.registries,
                &folder,
                events,
            )
            .await
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

/// Platforms that the native engine leaves to a builder, each with the reason.
type Refused<'a> = Vec<(Placed<'a>, String)>;

/// Lays packages down, all platforms side by side.
async fn lay_down<'a>(
    laid: &[(&'a Job, String, Option<Place>)],
    making: Making<'_>,
) -> Result<(Made, Refused<'a>), PipelineError> {
    let mut made = Made::default();
    let mut refused = Vec::new();
    if laid.is_empty() {
        return Ok((made, refused));
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
            let result = engine.run(job, making.folder).await;
            making
                .events
                .send(Event::Finished(Stage::LayDown, Some(platform.clone())));
            (*job, why, *other, result)
        }
    });
    for (job, why, other, result) in futures_util::future::join_all(runs).await {
        let platform = &job.platform.platform;
        match result {
            Ok(solved) => made.done.push(Done {
                solved,
                engine: "native",
                emulated: false,
            }),
            Err(native::Failure::Refused(reason)) if other.is_some() => {
                let place = other.expect("it was just looked at");
                refused.push(((job, place), reason));
            }
            Err(failure) => {
                let error = failure.into_error(platform, why);
                if making.settings.allow_platform_failure.contains(platform) {
                    made.failed.push((job.place, error.to_string()));
                } else {
                    return Err(error);
                }
            }
        }
    }
    Ok((made, refused))
}
