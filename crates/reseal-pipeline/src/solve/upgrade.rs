//! Facts, plan and patch of a builder's platforms: the image's own package manager does it.

use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;
use reseal_buildkit::{ContentSource, Ref};
use reseal_plan::{Policy, Surroundings, required_capabilities};
use reseal_registry::Store;

use super::{
    Building, Failed, Job, Solved,
    build::{Built, Images, Step, build},
    classify::classify,
    proxy,
};
use crate::{
    error::PipelineError,
    event::Events,
    facts,
    layout_source::LayoutSource,
    planning::{plan, planned},
    settings::PatchSettings,
};

/// Patches all platforms of one builder in one solve. Those that fail and may fail come back as the second list.
pub(crate) async fn upgrade(
    building: Building<'_>,
    jobs: &[Job],
    settings: &PatchSettings,
) -> Result<(Vec<Solved>, Vec<Failed>), PipelineError> {
    let step = Upgrade {
        store: Arc::clone(&building.source.store),
        surroundings: Surroundings {
            freshness: settings.freshness.clone(),
            proxy: settings.proxy.as_ref().map(proxy),
        },
        policy: settings.input.policy.clone(),
        events: building.events.clone(),
    };
    let content = building
        .source
        .layout
        .clone()
        .map(|layout| Arc::new(LayoutSource(layout)) as Arc<dyn ContentSource>);
    let (built, failed) = build(building, jobs, content, step).await?;
    let solved = built
        .into_iter()
        .map(|Built { made, layer, .. }| Solved { raw: layer, ..made })
        .collect();
    Ok((solved, failed))
}

struct Upgrade {
    store: Arc<dyn Store>,
    surroundings: Surroundings,
    policy: Policy,
    events: Events,
}

#[async_trait]
impl Step for Upgrade {
    type Made = Solved;

    fn needs(&self) -> BTreeSet<&'static str> {
        required_capabilities()
    }

    async fn make(
        &self,
        images: &Images<'_>,
        job: &Job,
    ) -> Result<(Solved, Option<Ref>), PipelineError> {
        let gateway = images.gateway;
        let name = job.platform.platform.to_string();
        let base = images.base(job);
        let base_facts = async {
            let image = gateway
                .solve(&reseal_plan::base(&job.platform.platform, &base), false)
                .await
                .map_err(PipelineError::Build)?;
            facts::from_gateway(&image, &name).await
        };
        let (found, previous) = tokio::try_join!(
            base_facts,
            facts::previous(self.store.as_ref(), &job.platform)
        )?;
        let os = found.os.expect("from_gateway returns one or fails");
        let facts = job.platform.facts(os, found.database, previous);
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
}
