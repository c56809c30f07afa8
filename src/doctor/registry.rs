//! The registry of an image: logins, manifest, and what its dates say about the clock.

use std::sync::Arc;

use reseal_oci::{ImageConfig, ImageManifest, Index, Kind, Location, RawManifest, Reference};
use reseal_pipeline::{Class, PipelineError};
use reseal_registry::{CredentialStore, Layout, Registries, Store, StoreError, Target};

use super::{Check, PATIENCE, within};
use crate::{
    args::RegistryArgs, command, environment::Env, exit::Reason, failure::Failure, settings,
};

/// A clock that is this far behind breaks TLS and tokens, in seconds.
const SKEW: i64 = 300;

pub(super) async fn check(image: Option<&Location>, args: &RegistryArgs, env: &Env) -> Vec<Check> {
    let mut credentials = Arc::default();
    let mut checks = Vec::new();
    match command::credentials(env) {
        Ok(store) => credentials = store,
        Err(failure) => checks.push(Check::failed("credentials", failure)),
    }
    let Some(image) = image else {
        if checks.is_empty() {
            checks.push(Check::passed(
                "credentials",
                format!("looked in {}", places(&credentials)),
            ));
        }
        return checks;
    };
    let usable = checks.is_empty();
    let login = async {
        match image {
            Location::Registry(reference) if usable => {
                let registry = reference.repository.registry();
                within("credentials", login(&credentials, registry)).await
            }
            _ => Vec::new(),
        }
    };
    let readable = async {
        let checks = readable(image, args, credentials.clone(), env.now);
        tokio::time::timeout(PATIENCE, checks)
            .await
            .unwrap_or_else(|_| vec![silent(image)])
    };
    let (login, readable) = tokio::join!(login, readable);
    checks.extend(login);
    checks.extend(readable);
    checks
}

/// An image that could not be read in time fails the run as any other that cannot be read.
fn silent(image: &Location) -> Check {
    let failure = Failure::new(
        Reason::Class(Class::RegistryTransport),
        format!(
            "no answer about {image} within {} seconds",
            PATIENCE.as_secs()
        ),
    );
    let hint = "Check that this machine reaches the registry (HTTPS_PROXY, NO_PROXY), or that it is not overloaded";
    Check::failed("image", failure.hint(hint))
}

fn places(credentials: &CredentialStore) -> String {
    let places = credentials.looked_in();
    if places.is_empty() {
        "no file or variable".into()
    } else {
        places.join(", ")
    }
}

async fn login(credentials: &CredentialStore, registry: &str) -> Vec<Check> {
    vec![match credentials.get(registry).await {
        Ok(Some(found)) => Check::passed(
            "credentials",
            format!("for {registry} from {}", found.source),
        ),
        Ok(None) => Check::passed(
            "credentials",
            format!("none for {registry}; looked in {}", places(credentials)),
        ),
        Err(error) => {
            let failure = Failure::new(Reason::Class(Class::RegistryAuth), error.to_string());
            Check::failed(
                "credentials",
                match error.hint() {
                    Some(hint) => failure.hint(hint),
                    None => failure,
                },
            )
        }
    }]
}

async fn readable(
    image: &Location,
    args: &RegistryArgs,
    credentials: Arc<CredentialStore>,
    now: i64,
) -> Vec<Check> {
    let failed = |source: StoreError| {
        vec![Check::failed(
            "image",
            PipelineError::Store {
                action: format!("read {image}"),
                source,
            },
        )]
    };
    let (store, target): (Arc<dyn Store>, Option<Target>) = match image {
        Location::Registry(Reference {
            repository,
            tag,
            digest,
        }) => {
            let settings = match settings::registry(args, credentials) {
                // One try: whoever asks a doctor does not want to wait for a retry.
                Ok(settings) => reseal_registry::RegistrySettings {
                    retries: 0,
                    ..settings
                },
                Err(failure) => return vec![Check::failed("image", failure)],
            };
            let registries = match Registries::new(settings) {
                Ok(registries) => registries,
                Err(error) => return failed(error),
            };
            (
                registries.open(repository),
                digest
                    .clone()
                    .map(Target::Digest)
                    .or_else(|| tag.clone().map(Target::Tag)),
            )
        }
        Location::Layout { path, tag, digest } => match Layout::open(path) {
            Ok(layout) => (
                Arc::new(layout),
                digest
                    .clone()
                    .map(Target::Digest)
                    .or_else(|| tag.clone().map(Target::Tag)),
            ),
            Err(error) => return failed(error),
        },
    };
    let Some(target) = target else {
        return vec![Check::passed("image", format!("{image} is an OCI layout"))];
    };
    let raw = match store.manifest(&target).await {
        Ok(raw) => raw,
        Err(error) => return failed(error),
    };
    let mut checks = vec![Check::passed("image", format!("{image} is {}", raw.digest))];
    // What follows only informs about the clock; reading the image is the pipeline's matter.
    if let Some(created) = created(store.as_ref(), raw).await {
        checks.push(clock(&created, now));
    }
    checks
}

/// Returns when the image, or the first platform of its index, says it was made.
async fn created(store: &dyn Store, raw: RawManifest) -> Option<String> {
    let raw = if raw.kind() == Kind::Index {
        let index = Index::parse(&raw).ok()?;
        let first = index.children.first()?.digest.clone();
        store.manifest(&Target::Digest(first)).await.ok()?
    } else {
        raw
    };
    let manifest = ImageManifest::parse(&raw).ok()?;
    let config = store
        .blob(&manifest.config.digest, reseal_oci::CONFIG_LIMIT as u64)
        .await
        .ok()?;
    ImageConfig::parse(config).ok()?.created
}

/// An image from the future means that the clock here is behind.
fn clock(created: &str, now: i64) -> Check {
    match created.parse::<jiff::Timestamp>() {
        Ok(time) if time.as_second() > now.saturating_add(SKEW) => Check::warned(
            "clock",
            format!("the image was made at {created}, which has not come yet"),
            "Set the clock of this machine: certificates and tokens depend on it",
        ),
        Ok(_) => Check::passed("clock", "not behind the image"),
        Err(_) => Check::skipped("clock", "the image does not say when it was made"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Status;

    #[test]
    fn an_image_from_the_future_puts_the_clock_in_doubt() {
        let now = 1_700_000_000; // 2023-11-14T22:13:20Z
        for (created, status) in [
            ("2023-11-14T22:13:20Z", Status::Passed),
            ("2023-11-14T22:18:00Z", Status::Passed),
            ("2023-11-14T22:19:00Z", Status::Warned),
            ("1970-01-01T00:00:00Z", Status::Passed),
            ("yesterday", Status::Skipped),
        ] {
            assert_eq!(clock(created, now).status, status, "{created}");
        }
    }
}
