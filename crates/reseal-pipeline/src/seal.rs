//! Signatures and attestations of a digest: written beside the image before any tag moves.

use reseal_oci::{Descriptor, Digest};
use reseal_registry::Store;
use reseal_sign::{
    Session, Signed,
    statement::{Subject, predicate_type},
    store::{Suffix, append_legacy, attach_bundle},
};
use serde::Serialize;
use serde_json::Value;

use crate::{
    error::PipelineError,
    event::{Event, Events, Stage},
};

/// A statement about a digest.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// The digest that it is about.
    pub digest: Digest,
    /// The predicate's type.
    pub predicate_type: String,
    /// What it states.
    pub predicate: Value,
}

/// What was written about a digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sealed {
    /// The digest.
    pub digest: Digest,
    /// Predicate types of the statements; that of a signature is among them.
    pub statements: Vec<String>,
    /// Tags and referrers that carry them.
    pub kept_in: Vec<String>,
}

/// Where signatures go, and what they call the image.
pub(crate) struct Place<'a> {
    /// The store.
    pub store: &'a dyn Store,
    /// The name that signatures carry: the repository without tag or digest.
    pub name: &'a str,
}

/// Signs every target and attests every statement about it, one after the other: both append to the same places.
pub(crate) async fn seal(
    place: &Place<'_>,
    targets: &[Descriptor],
    sign: bool,
    statements: &[Statement],
    session: &Session,
    events: &Events,
) -> Result<Vec<Sealed>, PipelineError> {
    events.send(Event::Started(Stage::Sign, None));
    if let Some(omission) = session.omission() {
        events.send(Event::Warned(omission.to_owned()));
    }
    let mut sealed = Vec::new();
    for target in targets {
        let subject = Subject {
            name: place.name.to_owned(),
            digest: target.digest.clone(),
        };
        let failed = |source| PipelineError::Signing {
            digest: target.digest.clone(),
            source,
        };
        let mut one = Sealed {
            digest: target.digest.clone(),
            statements: Vec::new(),
            kept_in: Vec::new(),
        };
        if sign {
            let signed = session.sign_image(&subject).await.map_err(failed)?;
            write(place, target, Suffix::Signature, &signed, &mut one).await?;
            one.statements.push(predicate_type::SIGNATURE.to_owned());
        }
        for statement in statements.iter().filter(|one| one.digest == target.digest) {
            let signed = session
                .attest(&subject, &statement.predicate_type, &statement.predicate)
                .await
                .map_err(failed)?;
            write(place, target, Suffix::Attestation, &signed, &mut one).await?;
            one.statements.push(statement.predicate_type.clone());
        }
        one.kept_in.sort();
        one.kept_in.dedup();
        sealed.push(one);
    }
    events.send(Event::Finished(Stage::Sign, None));
    Ok(sealed)
}

async fn write(
    place: &Place<'_>,
    target: &Descriptor,
    suffix: Suffix,
    signed: &Signed,
    sealed: &mut Sealed,
) -> Result<(), PipelineError> {
    let failed = |source| PipelineError::Unsigned {
        digest: target.digest.clone(),
        place: place.store.describe(),
        source,
    };
    if let Some(entry) = &signed.legacy {
        append_legacy(place.store, &target.digest, suffix, entry)
            .await
            .map_err(failed)?;
        sealed.kept_in.push(format!(
            "{}:{}{}",
            place.name,
            target.digest.as_str().replace(':', "-"),
            suffix.as_str()
        ));
    }
    if let Some(bundle) = &signed.bundle {
        let referrer = attach_bundle(place.store, target, bundle)
            .await
            .map_err(failed)?;
        sealed
            .kept_in
            .push(format!("{}@{}", place.name, referrer.digest));
    }
    Ok(())
}
