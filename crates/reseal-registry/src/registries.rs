//! The way to all registries of one run.

use std::sync::Arc;

use reseal_oci::Repository;

use crate::auth::scope::Scopes;
use crate::client::{Client, Shared};
use crate::error::StoreError;
use crate::mirror::Mirrored;
use crate::remote::Remote;
use crate::settings::RegistrySettings;
use crate::store::{Counters, Counts, Store};
use reseal_net::Secret;

/// Opens repositories that share connections, tokens and credentials. Cheap to clone.
#[derive(Clone)]
pub struct Registries {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Registries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registries")
            .field("settings", &self.shared.settings)
            .finish_non_exhaustive()
    }
}

impl Registries {
    /// Prepares access; nothing is sent. Certificate files and mirror names that cannot be used are errors.
    pub fn new(settings: RegistrySettings) -> Result<Self, StoreError> {
        if !settings.ca_files.is_empty() {
            // Reads them once for nothing, so that a wrong path does not show up in the middle of a run.
            crate::tls::configure(&settings.ca_files, &crate::tls::HostFiles::default(), false)?;
        }
        let mut shared = Shared::new(settings);
        crate::mirror::check(&mut shared)?;
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// Opens a repository, by way of its registry's mirrors if there are any. Nothing is sent yet; each opened store counts for
    /// itself.
    pub fn open(&self, repository: &Repository) -> Arc<dyn Store> {
        let mirrors = crate::mirror::of(&self.shared, repository);
        let origin = self.remote(repository.clone());
        if mirrors.is_empty() {
            return Arc::new(origin);
        }
        let mirrors = mirrors
            .into_iter()
            .map(|mirror| self.remote(mirror))
            .collect();
        Arc::new(Mirrored::new(mirrors, origin))
    }

    /// Fetches a token for somebody else, a build daemon: the login for `host` is used if there is one. Returns the token and
    /// for how many seconds it holds.
    pub async fn fetch_token(
        &self,
        host: &str,
        realm: &str,
        service: &str,
        scopes: &[String],
    ) -> Result<(Secret, i64), StoreError> {
        let host = if host == "registry-1.docker.io" {
            "docker.io"
        } else {
            host
        };
        let client = self.client(host);
        let scopes = Scopes::parse(scopes.iter().map(String::as_str));
        let service = (!service.is_empty()).then_some(service);
        let credential = client.credential(&scopes).await?;
        let credential = credential.as_ref();
        if let Some(known) = credential.filter(|known| known.registry_token) {
            // How long it holds only its issuer knows.
            return Ok((known.secret.clone(), 60));
        }
        let (token, seconds) = client
            .retrying(|| client.fetch_token(realm, service, &scopes, credential))
            .await?;
        Ok((token, i64::try_from(seconds).unwrap_or(i64::MAX)))
    }

    /// Returns the credentials that these registries use.
    pub fn credentials(&self) -> &Arc<crate::CredentialStore> {
        &self.shared.settings.credentials
    }

    /// Returns what all stores together cost so far.
    pub fn counts(&self) -> Counts {
        self.shared.totals.snapshot()
    }

    fn client(&self, registry: &str) -> Client {
        Client {
            shared: Arc::clone(&self.shared),
            registry: registry.to_owned(),
            counts: Arc::new(Counters::default()),
        }
    }

    fn remote(&self, repository: Repository) -> Remote {
        Remote::new(self.client(repository.registry()), repository)
    }
}
