//! The dry run: what a patch would change. It needs no builder.

use futures_util::future::try_join_all;
use reseal_plan::{PatchPlan, PlatformPlan};
use reseal_registry::Registries;

use crate::{
    error::PipelineError,
    event::{Event, Events, Stage},
    facts,
    lock::{LOCK_SCHEMA, Lock, LockedSource},
    native::{self, Native},
    outcome::{PlanResult, Preserved},
    planning,
    reports::{Basis, bases},
    settings::{Input, NativeSettings},
    solve::Job,
    source::{Patched, Source, SourcePlatform, resolve},
};

/// The schema name of a plan.
pub const PLAN_SCHEMA: &str = "reseal.dev/plan/v1";

/// Plans a patch from the layers in the registry.
///
/// # Errors
/// Those of reading image and reports; a plan that cannot fix everything is a plan all the same.
pub async fn plan(
    input: &Input,
    registries: &Registries,
    events: &Events,
) -> Result<PlanResult, PipelineError> {
    let dry = DryRun::resolve(input, registries, events).await?;
    let plans = dry
        .planned()
        .map(|(_, platform, basis)| plan_one(&dry.source, platform, basis, input, events));
    let plans = try_join_all(plans).await?;
    Ok(dry.result(plans))
}

/// Plans a patch, chooses the packages that the native engine would lay down, by digest, and fetches them to see whether they
/// qualify. Nothing is patched.
///
/// # Errors
/// Those of reading image, reports and repositories, and [`PipelineError::Refused`] for a platform that needs its own
/// package manager.
pub async fn lock(
    input: &Input,
    settings: &NativeSettings,
    generator: &str,
    epoch: Option<i64>,
    registries: &Registries,
    events: &Events,
) -> Result<(PlanResult, Lock), PipelineError> {
    let dry = DryRun::resolve(input, registries, events).await?;
    let source = &dry.source;
    let engine = &Native::open(source, input, settings, events)?;
    let prepared = dry.planned().map(|(place, platform, basis)| async move {
        let job = Job {
            place,
            platform: platform.clone(),
            basis: basis.clone(),
        };
        let checked = async {
            let prepared = engine.prepare(&job, None).await?;
            engine.check(&prepared).await?;
            Ok(prepared)
        };
        let prepared = checked.await.map_err(|failure: native::Failure| {
            failure.into_error(&platform.platform, "it was asked for")
        })?;
        Ok::<_, PipelineError>((prepared.lock(), prepared.plan))
    });
    let (locked, plans): (Vec<_>, Vec<_>) = try_join_all(prepared).await?.into_iter().unzip();
    let lock = Lock {
        schema: LOCK_SCHEMA.to_owned(),
        generator: generator.to_owned(),
        source: LockedSource {
            reference: source.base_name.clone(),
            digest: source.root.digest.clone(),
        },
        epoch,
        platforms: locked.into_iter().flatten().collect(),
    };
    let mut result = dry.result(plans);
    result.native.clone_from(&lock.platforms);
    Ok((result, lock))
}

/// An image, and what each of its platforms would be patched by.
struct DryRun {
    source: Source,
    bases: Vec<Basis>,
    warnings: Vec<String>,
}

impl DryRun {
    async fn resolve(
        input: &Input,
        registries: &Registries,
        events: &Events,
    ) -> Result<Self, PipelineError> {
        let source = resolve(input, Patched::Base, registries, events).await?;
        let (bases, warnings) = bases(input, &source)?;
        Ok(Self {
            source,
            bases,
            warnings,
        })
    }

    fn platforms(&self) -> impl Iterator<Item = (usize, &SourcePlatform, &Basis)> {
        let platforms = self.source.platforms.iter().zip(&self.bases).enumerate();
        platforms.map(|(place, (platform, basis))| (place, platform, basis))
    }

    /// The platforms that would be patched, with their places.
    fn planned(&self) -> impl Iterator<Item = (usize, &SourcePlatform, &Basis)> {
        self.platforms()
            .filter(|(_, _, basis)| !matches!(basis, Basis::Preserve))
    }

    fn result(&self, platforms: Vec<PlatformPlan>) -> PlanResult {
        let unreported = self
            .platforms()
            .filter(|(_, _, basis)| matches!(basis, Basis::Preserve))
            .map(|(_, platform, _)| Preserved {
                platform: platform.platform.clone(),
                digest: platform.current().clone(),
                reason: "no report speaks of it".to_owned(),
            });
        PlanResult {
            schema: PLAN_SCHEMA,
            source: self.source.as_pinned(),
            plan: PatchPlan { platforms },
            native: Vec::new(),
            preserved: self
                .source
                .preserved
                .iter()
                .cloned()
                .chain(unreported)
                .collect(),
            warnings: self.warnings.clone(),
        }
    }
}

async fn plan_one(
    source: &Source,
    platform: &SourcePlatform,
    basis: &Basis,
    input: &Input,
    events: &Events,
) -> Result<PlatformPlan, PipelineError> {
    let of = Some(platform.platform.clone());
    events.send(Event::Started(Stage::Facts, of.clone()));
    let name = platform.platform.to_string();
    let store = source.store.as_ref();
    let found = facts::from_layers(store, &platform.manifest, &name, false).await?;
    let previous = facts::previous(store, platform).await?;
    let os = found.os.ok_or_else(|| PipelineError::Image {
        image: name,
        message: "it has no os-release, so its distribution is unknown".into(),
        hint: None,
    })?;
    let facts = platform.facts(os, found.database, previous);
    let plan = planning::plan(&facts, basis.report(), &input.policy)?;
    events.send(Event::Finished(Stage::Facts, of));
    Ok(plan)
}
