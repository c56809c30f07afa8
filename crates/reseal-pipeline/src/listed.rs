//! Files of images as a builder tells them, where that is cheaper than fetching layers to read them.

use std::{collections::BTreeMap, path::Path};

use reseal_rootfs::LayerFacts;

use crate::{
    error::PipelineError,
    event::{Event, Events},
    make::Making,
    native::Native,
    settings::{Builder, Builders},
    solve::{Job, look},
};

/// Layers that have to be fetched, in bytes as they are sent, from which on a builder is asked. On one machine asking takes
/// a quarter of a second for an image of 11,000 paths, and reading its layer of 99 MB takes over half a second; over a
/// network asking is some hundred round trips.
const WORTH: u64 = 128 << 20;

/// What was learned, by the places of platforms.
pub(crate) type Listed = BTreeMap<usize, LayerFacts>;

/// Asks builders for the files of those images whose layers were never read and are large, and that the builders have
/// unpacked. Whatever goes wrong here, the layers can still be read.
///
/// `connected` are the builders that the run has anyway. Without any, those that the user named are connected to.
pub(crate) async fn ask(
    jobs: &[&Job],
    native: &Native<'_>,
    connected: &[Builder],
    builders: &dyn Builders,
    making: Making<'_>,
) -> Listed {
    let mut listed = Listed::new();
    let mut large: Vec<&Job> = Vec::new();
    if making.source.layout.is_none() {
        large.extend(jobs.iter().filter(|job| native.unread(job) >= WORTH));
    }
    if large.is_empty() || (connected.is_empty() && !builders.named()) {
        return listed;
    }
    let own;
    let connected = if connected.is_empty() {
        match builders.connect().await {
            Ok(builders) => own = builders,
            Err(error) => {
                note(making.events, &error);
                return listed;
            }
        }
        &own
    } else {
        connected
    };
    for (index, builder) in connected.iter().enumerate() {
        let left = large.iter().filter(|job| !listed.contains_key(&job.place));
        let folder = making.folder.join(format!("look-{index}"));
        match of_builder(left.copied(), native, builder, &folder, making).await {
            Ok(found) => listed.extend(found),
            Err(error) => note(making.events, &error),
        }
    }
    listed
}

/// Takes what is remembered of a builder's images, and asks for those that it has.
async fn of_builder(
    jobs: impl Iterator<Item = &Job>,
    native: &Native<'_>,
    builder: &Builder,
    folder: &Path,
    making: Making<'_>,
) -> Result<Listed, PipelineError> {
    let mut listed = Listed::new();
    let mut asked = Vec::new();
    for job in jobs {
        if let Some(facts) = native.remembered(job, &builder.address).await? {
            listed.insert(job.place, facts);
            continue;
        }
        let digest = job.platform.manifest.raw.digest.as_str();
        let has = builder.client.has_unpacked(digest).await;
        if has.map_err(PipelineError::Build)? {
            making.events.send(Event::Note(format!(
                "the files of {} come from BuildKit at {}, which has the image unpacked; {} MB of layers need not be fetched",
                job.platform.platform,
                builder.address,
                native.unread(job) / 1_000_000
            )));
            asked.push(job.clone());
        }
    }
    if asked.is_empty() {
        return Ok(listed);
    }
    for (place, found) in look(making.building(builder, folder), &asked).await? {
        let Some(job) = asked.iter().find(|job| job.place == place) else {
            continue;
        };
        match found {
            Ok(facts) => {
                native.remember(job, &builder.address, &facts)?;
                listed.insert(place, facts);
            }
            Err(why) => making.events.send(Event::Note(format!(
                "the layers of {} are read after all: {why}",
                job.platform.platform
            ))),
        }
    }
    Ok(listed)
}

fn note(events: &Events, error: &PipelineError) {
    events.send(Event::Note(format!(
        "BuildKit does not tell what the image has, so its layers are read: {error}"
    )));
}
