//! What was decided before a run: values only, no flags, no environment.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use async_trait::async_trait;
use reseal_buildkit::Client;
use reseal_oci::{Location, Platform, Tag};
use reseal_plan::Policy;
use reseal_repo::{HttpSettings, deb::read_logins};

use crate::{
    engine::EngineChoice, error::PipelineError, lock::Lock, native::repository_error,
    seal::SealSettings,
};

/// A report as read, with the name that messages use.
#[derive(Debug, Clone)]
pub struct NamedReport {
    /// File name, or `standard input`.
    pub name: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// What happens to a platform that no report speaks of, when reports were given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unreported {
    /// Refuse the run: a platform without a report is never taken for clean.
    #[default]
    Fail,
    /// Upgrade everything on it.
    PatchAll,
    /// Keep it as it is and say so.
    Preserve,
}

/// How image and reports are read; shared by `patch`, `plan` and `verify`.
#[derive(Debug, Clone)]
pub struct Input {
    /// The image.
    pub source: Location,
    /// Scanner reports; none means "everything that the distribution has newer".
    pub reports: Vec<NamedReport>,
    /// Only these platforms; all Linux platforms when `None`.
    pub platforms: Option<Vec<Platform>>,
    /// See [`Unreported`].
    pub unreported: Unreported,
    /// Take a report even if it was made for another image.
    pub allow_report_mismatch: bool,
    /// Which findings count.
    pub policy: Policy,
}

/// Settings of `patch`.
#[derive(Debug, Clone)]
pub struct PatchSettings {
    /// Image and reports.
    pub input: Input,
    /// Where the result goes; the source's own repository or layout when `None`.
    pub to: Option<Location>,
    /// The tag that moves last; `{{tag}}` templates are already filled in.
    pub tag: Option<Tag>,
    /// Point the tag at the source digest when there was nothing to do.
    pub tag_unchanged: bool,
    /// Keep the original of these platforms when patching them fails.
    pub allow_platform_failure: BTreeSet<Platform>,
    /// Which engine patches.
    pub engine: EngineChoice,
    /// What the native engine needs.
    pub native: NativeSettings,
    /// How the result is signed and attested before its tag moves; not at all when `None`.
    pub seal: Option<SealSettings>,
    /// Files that maintainer scripts wrote elsewhere are an error.
    pub strict_layer: bool,
    /// `SOURCE_DATE_EPOCH`, seconds since 1970.
    pub epoch: Option<i64>,
    /// Part of the cache key of the package manager's step: a new value runs it again.
    pub freshness: String,
    /// Proxies for the package manager's step: neither cache key nor image see them.
    pub proxy: Option<Proxy>,
    /// Folder for layer files; removed at the end of the run.
    pub temp_dir: PathBuf,
    /// Name and version of this program, for history and annotations.
    pub generator: String,
}

/// Settings of the native engine.
#[derive(Debug, Clone)]
pub struct NativeSettings {
    /// Folder of what was fetched and learned, shared by runs.
    pub cache: PathBuf,
    /// Most bytes that the folder may hold.
    pub cache_limit: u64,
    /// A folder of packages, instead of the repositories.
    pub packages: Option<PathBuf>,
    /// Where repositories are read instead: pairs of what an address begins with, and what takes its place.
    pub mirrors: Vec<(String, String)>,
    /// PEM files of authorities that repositories may have their certificates from, besides the system's.
    pub ca: Vec<PathBuf>,
    /// A file of logins for repositories, in the form of apt's `auth.conf`; they go before the image's own.
    pub auth: Option<PathBuf>,
    /// Exactly these packages, instead of what the repositories have today.
    pub lock: Option<Lock>,
    /// The time, seconds since 1970: signatures and indexes have dates.
    pub now: i64,
    /// What becomes of packages with maintainer scripts that are not known.
    pub scripts: reseal_native::Scripts,
}

impl NativeSettings {
    /// Returns how repositories are reached.
    ///
    /// # Errors
    /// When the file of logins cannot be read.
    pub(crate) fn http(&self) -> Result<HttpSettings, PipelineError> {
        let auth = match &self.auth {
            Some(path) => {
                let name = path.display().to_string();
                let bytes = std::fs::read(path).map_err(|source| PipelineError::Io {
                    action: format!("read the logins `{name}`"),
                    source,
                })?;
                read_logins(&name, &bytes).map_err(repository_error("package repositories"))?
            }
            None => Vec::new(),
        };
        Ok(HttpSettings {
            mirrors: self.mirrors.clone(),
            ca: self.ca.clone(),
            auth,
            // A lock names digests: how old the index is that they were found in does not matter.
            allow_expired: self.lock.is_some(),
            ..HttpSettings::default()
        })
    }
}

/// Proxy variables, passed to the package manager as they are.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Proxy {
    /// `http_proxy`
    pub http: String,
    /// `https_proxy`
    pub https: String,
    /// `no_proxy`
    pub no_proxy: String,
    /// `all_proxy`
    pub all: String,
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Proxy(****)") // proxy URLs carry passwords
    }
}

/// A builder that answers.
pub struct Builder {
    /// Its address as shown to the user.
    pub address: String,
    /// Why it was chosen.
    pub why: String,
    /// Only for this platform (`--addr linux/arm64=…`).
    pub platform: Option<Platform>,
    /// The connected client.
    pub client: Client,
}

/// Finds builders when the run needs them, which a run with nothing to do does not.
#[async_trait]
pub trait Builders: Send + Sync {
    /// Connects to every builder that the user named, or finds one.
    async fn connect(&self) -> Result<Vec<Builder>, PipelineError>;
    /// Tells whether the user named a builder: then another engine is no answer to one that does not answer.
    fn named(&self) -> bool;
    /// Ends what `connect` started, such as a private daemon.
    async fn close(&self);
}

/// The longest that cleaning up may take once a run was cancelled.
pub const CLEAN_UP: Duration = Duration::from_secs(10);
