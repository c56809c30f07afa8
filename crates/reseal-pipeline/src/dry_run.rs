//! The dry run: what a patch would change. It needs no builder.

use futures_util::future::try_join_all;
use reseal_plan::{PatchPlan, plan_platform};
use reseal_registry::Registries;

use crate::{
    error::PipelineError,
    event::{Event, Events, Stage},
    facts,
    outcome::{PlanResult, Preserved},
    reports::{Basis, bases},
    settings::Input,
    source::{Patched, resolve},
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
    let source = resolve(input, Patched::Base, registries, events).await?;
    let (bases, warnings) = bases(input, &source)?;
    let mut preserved = source.preserved.clone();
    for (platform, basis) in source.platforms.iter().zip(&bases) {
        if matches!(basis, Basis::Preserve) {
            preserved.push(Preserved {
                platform: platform.platform.clone(),
                digest: platform.current().clone(),
                reason: "no report speaks of it".to_owned(),
            });
        }
    }
    let store = source.store.as_ref();
    let planned = source
        .platforms
        .iter()
        .zip(&bases)
        .filter(|(_, basis)| !matches!(basis, Basis::Preserve));
    let platforms = try_join_all(planned.map(|(platform, basis)| async move {
        let name = platform.platform.to_string();
        events.send(Event::Started(
            Stage::Facts,
            Some(platform.platform.clone()),
        ));
        let found = facts::from_layers(store, &platform.manifest, &name, false).await?;
        let previous = match &platform.previous {
            Some(image) => Some(
                facts::from_layers(store, &image.manifest, &name, true)
                    .await?
                    .database,
            ),
            None => None,
        };
        let facts = reseal_plan::Facts {
            platform: platform.platform.clone(),
            source_digest: platform.manifest.raw.digest.clone(),
            os: found.os.ok_or_else(|| PipelineError::Image {
                image: name.clone(),
                message: "it has no os-release, so its distribution is unknown".into(),
                hint: None,
            })?,
            database: found.database,
            previous,
        };
        let report = match basis {
            Basis::Report(report) => Some(report.as_ref()),
            Basis::All | Basis::Preserve => None,
        };
        let plan =
            plan_platform(&facts, report, &input.policy).map_err(|source| PipelineError::Plan {
                platform: name,
                source,
            })?;
        events.send(Event::Finished(
            Stage::Facts,
            Some(platform.platform.clone()),
        ));
        Ok::<_, PipelineError>(plan)
    }))
    .await?;
    Ok(PlanResult {
        schema: PLAN_SCHEMA,
        source: source.as_pinned(),
        plan: PatchPlan { platforms },
        preserved,
        warnings,
    })
}
