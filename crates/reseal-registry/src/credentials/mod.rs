//! Where logins come from: the files and helpers that docker, podman and CI systems already use.
//!
//! Nothing is ever written, and a secret never reaches a message, an argument or the environment of a child.

mod file;
mod helper;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::Mutex;

use file::ConfigFile;
use helper::Helper;
use reseal_net::Secret;

/// How long a credential helper may take.
const HELPER_TIMEOUT: Duration = Duration::from_secs(30);

/// A login for one registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// The user; empty for tokens.
    pub username: String,
    /// Password or token.
    pub secret: Secret,
    /// The secret is an `OAuth2` refresh token, to be traded at the token service.
    pub identity_token: bool,
    /// The secret is sent to the registry as it is, as a bearer token.
    pub registry_token: bool,
    /// Where it was found, for messages.
    pub source: String,
}

/// Why the configured credentials cannot be read. No message holds file content.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CredentialError {
    /// A file exists and cannot be read.
    #[error("could not read credentials from {source_name}: {why}")]
    Unreadable {
        /// File or variable.
        source_name: String,
        /// The system's words.
        why: String,
    },
    /// The text is no configuration of docker or podman.
    #[error("could not read credentials from {source_name}: {why}")]
    Malformed {
        /// File or variable.
        source_name: String,
        /// Position and kind of the mistake.
        why: String,
    },
    /// The helper program that a configuration names is not installed.
    #[error("credential helper `{program}`, which {named_in} names, is not on PATH")]
    HelperMissing {
        /// `docker-credential-…`.
        program: String,
        /// The configuration.
        named_in: String,
    },
    /// The helper ran and failed.
    #[error("credential helper `{program}`, which {named_in} names, failed for {registry}: {why}")]
    HelperFailed {
        /// `docker-credential-…`.
        program: String,
        /// The configuration.
        named_in: String,
        /// What it was asked for.
        registry: String,
        /// What happened, without its output where that could hold a secret.
        why: String,
    },
}

impl CredentialError {
    /// Returns what the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::HelperMissing { program, named_in } => Some(format!(
                "install {program}, remove it from {named_in}, or give the login in DOCKER_AUTH_CONFIG"
            )),
            Self::HelperFailed {
                program, registry, ..
            } => Some(format!("try `echo {registry} | {program} get`")),
            Self::Malformed { source_name, .. } => Some(format!(
                "{source_name} must hold JSON like {{\"auths\": {{\"HOST\": {{\"auth\": \"…\"}}}}}}"
            )),
            Self::Unreadable { .. } => None,
        }
    }
}

/// All logins that a user has configured, read once.
#[derive(Debug, Default)]
pub struct CredentialStore {
    explicit: BTreeMap<String, Credential>,
    files: Vec<ConfigFile>,
    looked_in: Vec<String>,
    path: Option<String>,
    answered: Mutex<BTreeMap<String, Option<Credential>>>,
}

impl CredentialStore {
    /// Reads, in order: `DOCKER_AUTH_CONFIG` (the JSON itself), the file that `REGISTRY_AUTH_FILE` names,
    /// `$DOCKER_CONFIG/config.json` or else `~/.docker/config.json`, `$XDG_RUNTIME_DIR/containers/auth.json`, and
    /// `~/.config/containers/auth.json`. A file that is not there is passed over. `vars` are the process's environment as
    /// values; helpers are searched on its `PATH` and inherit the real environment.
    pub fn from_environment(
        vars: &BTreeMap<String, String>,
        home: Option<PathBuf>,
    ) -> Result<Self, CredentialError> {
        let set = |name: &str| vars.get(name).filter(|value| !value.trim().is_empty());
        let mut store = Self {
            path: set("PATH").cloned(),
            ..Self::default()
        };
        if let Some(json) = set("DOCKER_AUTH_CONFIG") {
            store.looked_in.push("DOCKER_AUTH_CONFIG".to_owned());
            store
                .files
                .push(file::parse("DOCKER_AUTH_CONFIG", json.as_bytes())?);
        }
        let mut paths: Vec<PathBuf> = set("REGISTRY_AUTH_FILE")
            .map(PathBuf::from)
            .into_iter()
            .collect();
        match (set("DOCKER_CONFIG"), &home) {
            (Some(folder), _) => paths.push(PathBuf::from(folder).join("config.json")),
            (None, Some(home)) => paths.push(home.join(".docker/config.json")),
            (None, None) => {}
        }
        paths.extend(
            set("XDG_RUNTIME_DIR").map(|folder| PathBuf::from(folder).join("containers/auth.json")),
        );
        paths.extend(home.map(|home| home.join(".config/containers/auth.json")));
        for path in paths {
            store.load(&path)?;
        }
        Ok(store)
    }

    fn load(&mut self, path: &std::path::Path) -> Result<(), CredentialError> {
        let name = path.display().to_string();
        self.looked_in.push(name.clone());
        match std::fs::read(path) {
            // `touch auth.json` is how some images prepare the mount point.
            Ok(bytes) if bytes.iter().all(u8::is_ascii_whitespace) => Ok(()),
            Ok(bytes) => {
                self.files.push(file::parse(&name, &bytes)?);
                Ok(())
            }
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
                ) =>
            {
                Ok(())
            }
            Err(error) => Err(CredentialError::Unreadable {
                source_name: name,
                why: error.to_string(),
            }),
        }
    }

    /// Adds a login that goes before all configured ones; `registry` is a host or `host/path`.
    pub fn insert(&mut self, registry: &str, credential: Credential) {
        self.looked_in.insert(0, credential.source.clone());
        self.explicit.insert(file::normal_key(registry), credential);
    }

    /// Finds the login for a registry, or for a repository: `quay.io/org/app` takes the most specific of `quay.io/org/app`,
    /// `quay.io/org` and `quay.io`. The names of Docker Hub are one. An answer, of helpers too, is kept for the whole run.
    pub async fn get(&self, registry: &str) -> Result<Option<Credential>, CredentialError> {
        let wanted = file::normal_key(registry);
        let mut answered = self.answered.lock().await;
        if let Some(known) = answered.get(&wanted) {
            return Ok(known.clone());
        }
        let found = self.search(&wanted).await?;
        answered.insert(wanted, found.clone());
        Ok(found)
    }

    /// Returns every place that was read, in order, for messages.
    pub fn looked_in(&self) -> Vec<String> {
        self.looked_in.clone()
    }

    async fn search(&self, wanted: &str) -> Result<Option<Credential>, CredentialError> {
        if let Some(found) = specific_first(wanted).find_map(|key| self.explicit.get(key)) {
            return Ok(Some(found.clone()));
        }
        let host = wanted.split('/').next().unwrap_or(wanted);
        for file in &self.files {
            let helper = specific_first(wanted).find_map(|key| file.helpers.get(key));
            if let Some(name) = helper {
                if let Some(found) = self.ask(name, &file.name, host).await? {
                    return Ok(Some(found));
                }
                continue;
            }
            if let Some(found) = specific_first(wanted).find_map(|key| file.logins.get(key)) {
                return Ok(Some(found.clone()));
            }
            if let Some(name) = &file.store
                && let Some(found) = self.ask(name, &file.name, host).await?
            {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    async fn ask(
        &self,
        name: &str,
        named_in: &str,
        host: &str,
    ) -> Result<Option<Credential>, CredentialError> {
        // Docker Hub's logins are stored under the address of its first API.
        let server = if host == "docker.io" {
            "https://index.docker.io/v1/"
        } else {
            host
        };
        Helper {
            name,
            named_in,
            path: self.path.as_deref(),
            timeout: HELPER_TIMEOUT,
        }
        .get(server)
        .await
    }
}

/// `a/b/c`, `a/b`, `a`.
fn specific_first(key: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(key), |shorter| {
        shorter.rsplit_once('/').map(|(parent, _)| parent)
    })
}

#[cfg(test)]
mod tests;
