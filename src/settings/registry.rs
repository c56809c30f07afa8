//! How registries are reached.

use std::sync::Arc;

use reseal_registry::{CredentialStore, RegistrySettings};

use crate::{args::RegistryArgs, failure::Failure};

/// Decides how registries are reached.
pub(crate) fn registry(
    args: &RegistryArgs,
    credentials: Arc<CredentialStore>,
) -> Result<RegistrySettings, Failure> {
    let mut settings = RegistrySettings::new(credentials);
    for host in &args.plain_http {
        // Only hosts are compared, so that an address with a scheme or a path would silently never match.
        if host.is_empty() || host.contains('/') || host.contains(char::is_whitespace) {
            return Err(Failure::usage(format!(
                "`--plain-http` is `{host}`, not HOST or HOST:PORT"
            )));
        }
        settings.plain_http.insert(host.to_ascii_lowercase());
    }
    for text in &args.registry_mirror {
        match text.split_once('=') {
            Some((registry, mirror))
                if !registry.is_empty() && !registry.contains('/') && !mirror.is_empty() =>
            {
                settings
                    .mirrors
                    .entry(registry.to_ascii_lowercase())
                    .or_default()
                    .push(mirror.to_owned());
            }
            _ => {
                return Err(Failure::usage(format!(
                    "`--registry-mirror` is `{text}`, not REGISTRY=MIRROR"
                ))
                .hint("Write it as in `docker.io=https://mirror.example`"));
            }
        }
    }
    settings.ca_files.clone_from(&args.registry_ca);
    Ok(settings)
}
