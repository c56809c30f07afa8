//! Signatures and attestations of a digest: written beside the image before any tag moves.

use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use reseal_oci::{
    Descriptor, Digest, ImageManifest, Index, Kind, Location, RawManifest, annotation,
};
use reseal_registry::{Registries, Store, Target};
use reseal_sign::{
    Session, Signed,
    statement::{Subject, facts::Run, predicate_type},
    store::{Suffix, append_legacy, attach_bundle},
};
use serde::Serialize;
use serde_json::Value;

use crate::{
    error::PipelineError,
    event::{Event, Events, Stage},
    promote::pinned,
    source::{open, store_error},
};

/// How a run signs what it made.
#[derive(Clone)]
pub struct SealSettings {
    /// Who signs, and how.
    pub session: Arc<Session>,
    /// Whether provenance, verdicts and the verification are attested too.
    pub attest: bool,
    /// The run, for provenance. Its end is filled in.
    pub run: Run,
}

impl std::fmt::Debug for SealSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SealSettings")
            .field("attest", &self.attest)
            .field("run", &self.run)
            .finish_non_exhaustive()
    }
}

impl SealSettings {
    /// Returns the run as it is now, about to be attested.
    pub(crate) fn run_until_now(&self) -> Run {
        Run {
            finished: jiff::Timestamp::from_second(jiff::Timestamp::now().as_second())
                .expect("the time of this moment is a time")
                .to_string(),
            ..self.run.clone()
        }
    }
}

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

/// Returns what signatures call an image: its repository, or the name of its layout's folder. Where that folder lies on
/// this machine is nobody's business.
pub(crate) fn signed_name(location: &Location) -> String {
    match location {
        Location::Registry(reference) => reference.repository.to_string(),
        Location::Layout { path, .. } => path
            .canonicalize()
            .ok()
            .as_deref()
            .unwrap_or(path)
            .file_name()
            .map_or_else(
                || "image".to_owned(),
                |name| name.to_string_lossy().into_owned(),
            ),
    }
}

/// What is signed.
pub(crate) struct Targets<'a> {
    /// The index, or the image where there is no index.
    pub root: Descriptor,
    /// Manifests in it.
    pub children: Vec<Descriptor>,
    /// Whether all of these are signed.
    pub sign: bool,
    /// What is attested, each about one of these.
    pub statements: &'a [Statement],
}

/// Targets that are written at the same time, and signatures of one of them that are made at the same time.
const PARALLEL: usize = 4;

/// Signs every target and attests every statement about it. The root comes last: if it is signed, so are its children.
pub(crate) async fn seal(
    place: &Place<'_>,
    targets: &Targets<'_>,
    session: &Session,
    events: &Events,
) -> Result<Vec<Sealed>, PipelineError> {
    events.send(Event::Started(Stage::Sign, None));
    if let Some(omission) = session.omission() {
        events.send(Event::Warned(omission.to_owned()));
    }
    let one = |target| seal_one(place, target, targets, session);
    let children: Vec<Sealed> = stream::iter(&targets.children)
        .map(one)
        .buffered(PARALLEL)
        .try_collect()
        .await?;
    let mut sealed = vec![one(&targets.root).await?];
    sealed.extend(children);
    events.send(Event::Finished(Stage::Sign, None));
    Ok(sealed)
}

/// Makes everything for one target, then writes one after the other: all append to the same places.
async fn seal_one(
    place: &Place<'_>,
    target: &Descriptor,
    targets: &Targets<'_>,
    session: &Session,
) -> Result<Sealed, PipelineError> {
    let subject = Subject {
        name: place.name.to_owned(),
        digest: target.digest.clone(),
    };
    let failed = |source| PipelineError::Signing {
        digest: target.digest.clone(),
        source,
    };
    let statements = targets
        .statements
        .iter()
        .filter(|one| one.digest == target.digest);
    let wanted = targets.sign.then_some(None).into_iter();
    let subject = &subject;
    let made: Vec<(Suffix, &str, Signed)> = stream::iter(wanted.chain(statements.map(Some)))
        .map(|wanted: Option<&Statement>| async move {
            Ok::<_, PipelineError>(match wanted {
                None => {
                    let signed = session.sign_image(subject).await.map_err(failed)?;
                    (Suffix::Signature, predicate_type::SIGNATURE, signed)
                }
                Some(statement) => {
                    let uri = statement.predicate_type.as_str();
                    let signed = session.attest(subject, uri, &statement.predicate).await;
                    (Suffix::Attestation, uri, signed.map_err(failed)?)
                }
            })
        })
        .buffered(PARALLEL)
        .try_collect()
        .await?;
    let mut sealed = Sealed {
        digest: target.digest.clone(),
        statements: Vec::new(),
        kept_in: Vec::new(),
    };
    for (suffix, uri, signed) in made {
        write(place, target, suffix, &signed, &mut sealed).await?;
        sealed.statements.push(uri.to_owned());
    }
    sealed.kept_in.sort();
    sealed.kept_in.dedup();
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
            place.store.describe(),
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
            .push(format!("{}@{}", place.store.describe(), referrer.digest));
    }
    Ok(())
}

/// Settings of `sign` and `attest`.
#[derive(Clone)]
pub struct SignSettings {
    /// The image; it names a digest.
    pub image: Location,
    /// Sign every manifest that an index lists, not only those that a patch made.
    pub recursive: bool,
    /// Who signs, and how.
    pub session: Arc<Session>,
}

/// Signs an image by digest: the index, and each of its manifests that a patch made.
///
/// # Errors
/// Those of stores and of signing.
pub async fn sign(
    settings: &SignSettings,
    registries: &Registries,
    events: &Events,
) -> Result<Vec<Sealed>, PipelineError> {
    let store = open(&settings.image, registries, false)?.0;
    let root = root(&settings.image, store.as_ref()).await?;
    let mut targets = Targets {
        root: root.descriptor(),
        children: Vec::new(),
        sign: true,
        statements: &[],
    };
    if root.kind() == Kind::Index {
        for child in Index::parse(&root)?.children {
            if settings.recursive || is_patch(store.as_ref(), &child).await? {
                targets.children.push(child);
            }
        }
    }
    let place = Place {
        store: store.as_ref(),
        name: &signed_name(&settings.image),
    };
    seal(&place, &targets, &settings.session, events).await
}

/// Attests one statement about an image.
///
/// # Errors
/// Those of stores and of signing.
pub async fn attest(
    settings: &SignSettings,
    predicate_type: &str,
    predicate: &Value,
    registries: &Registries,
    events: &Events,
) -> Result<Vec<Sealed>, PipelineError> {
    let store = open(&settings.image, registries, false)?.0;
    let root = root(&settings.image, store.as_ref()).await?;
    let statement = Statement {
        digest: root.digest.clone(),
        predicate_type: predicate_type.to_owned(),
        predicate: predicate.clone(),
    };
    let place = Place {
        store: store.as_ref(),
        name: &signed_name(&settings.image),
    };
    let targets = Targets {
        root: root.descriptor(),
        children: Vec::new(),
        sign: false,
        statements: &[statement],
    };
    seal(&place, &targets, &settings.session, events).await
}

async fn root(image: &Location, store: &dyn Store) -> Result<RawManifest, PipelineError> {
    let (digest, _) = pinned(image)?;
    store
        .manifest(&Target::Digest(digest.clone()))
        .await
        .map_err(store_error(format!("fetch the manifest {digest}")))
}

/// Tells whether a manifest says that a patch made it.
async fn is_patch(store: &dyn Store, child: &Descriptor) -> Result<bool, PipelineError> {
    let raw = store
        .manifest(&Target::Digest(child.digest.clone()))
        .await
        .map_err(store_error(format!("fetch the manifest {}", child.digest)))?;
    Ok(raw.kind() == Kind::Image
        && ImageManifest::parse(&raw)?
            .annotations
            .contains_key(annotation::PATCH))
}
