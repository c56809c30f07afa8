//! Taking a promotion back: its tags mean again what they meant before, if that is proved signed.

use reseal_oci::Location;
use reseal_registry::{Registries, Target};
use serde::Serialize;

use crate::{
    error::PipelineError,
    event::{Event, Events, Stage},
    promote::{MovedTag, PROMOTION_SCHEMA, Promotion, current, next_step, take_step},
    proof::{Requirement, Trust, prove},
    source::{open, store_error},
};

/// The result of `rollback`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rollback {
    /// Always [`PROMOTION_SCHEMA`].
    pub schema: &'static str,
    /// The repository or layout.
    pub reference: String,
    /// Every tag that was looked at, the floating ones first.
    pub tags: Vec<MovedTag>,
}

/// Reads a record of a promotion.
///
/// # Errors
/// [`PipelineError::Usage`] with what is wrong with it.
pub fn read_record(name: &str, bytes: &[u8]) -> Result<Promotion, PipelineError> {
    let wrong = |why: String| PipelineError::Usage {
        message: format!("`{name}` is no record of a promotion: {why}"),
        hint: Some("Give the file that `reseal promote --record FILE` wrote".into()),
    };
    let record: Promotion =
        serde_json::from_slice(bytes).map_err(|error| wrong(error.to_string()))?;
    if record.schema == PROMOTION_SCHEMA {
        Ok(record)
    } else {
        Err(wrong(format!("its schema is `{}`", record.schema)))
    }
}

/// Takes a promotion back.
///
/// # Errors
/// [`PipelineError::Promotion`] when a tag was moved by somebody else since, or every tag was new; [`PipelineError::Unproved`] when
/// what it meant before is not signed.
pub async fn rollback(
    record: &Promotion,
    trust: &Trust,
    registries: &Registries,
    events: &Events,
) -> Result<Rollback, PipelineError> {
    let location: Location =
        record
            .promoted
            .reference
            .parse()
            .map_err(|error: reseal_oci::OciError| PipelineError::Usage {
                message: format!("the record names no place: {error}"),
                hint: None,
            })?;
    let store = open(&location, registries, false)?.0;
    let moved: Vec<&MovedTag> = record.tags.iter().filter(|one| one.moved).collect();
    if let Some(first) = moved.first()
        && moved.iter().all(|one| one.previous.is_none())
    {
        return Err(PipelineError::Promotion {
            message: format!("The tag `{}` did not exist before", first.tag),
            hint: "There is nothing to go back to: delete the tag in the registry if it must go"
                .into(),
        });
    }
    let mut steps = Vec::new();
    events.send(Event::Started(Stage::Prove, None));
    // Floating tags were moved last, so they go back first.
    for one in moved.into_iter().rev() {
        // A tag that was new then stays: it names what it has always named.
        let Some(previous) = &one.previous else {
            continue;
        };
        let now = current(store.as_ref(), &one.tag).await?;
        if now.as_ref() != Some(&record.promoted.digest) && now.as_ref() != Some(previous) {
            return Err(PipelineError::Promotion {
                message: format!(
                    "The tag `{}` is {} now, not what the record promoted",
                    one.tag,
                    now.map_or_else(|| "gone".to_owned(), |now| now.to_string())
                ),
                hint: "Somebody moved it since: look at it before you move it again".into(),
            });
        }
        prove(store.as_ref(), previous, &[Requirement::Signature], trust)
            .await
            .map_err(PipelineError::refuse)?;
        let root = store
            .manifest(&Target::Digest(previous.clone()))
            .await
            .map_err(store_error(format!("fetch the manifest {previous}")))?;
        steps.push((root, &one.tag));
    }
    events.send(Event::Finished(Stage::Prove, None));
    events.send(Event::Started(Stage::Tag, None));
    let mut tags = Vec::new();
    for (root, tag) in steps {
        let step = next_step(store.as_ref(), &root, tag).await?;
        take_step(store.as_ref(), &root, &step).await?;
        tags.push(step);
    }
    events.send(Event::Finished(Stage::Tag, None));
    Ok(Rollback {
        schema: PROMOTION_SCHEMA,
        reference: record.promoted.reference.clone(),
        tags,
    })
}
