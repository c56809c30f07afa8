//! The repositories of one image, from signature to package.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::join_all;
use reseal_pkg::PkgError;
use reseal_pkg::dpkg::Candidate;
use tokio::sync::OnceCell;

use super::fetch::{self, Fetched};
use super::index::{self, Index};
use super::settings::AptSettings;
use super::signed;
use super::sources::{Source, Sources};
use crate::cache::Cache;
use crate::digest::ContentDigest;
use crate::error::RepoError;
use crate::folder::Folder;
use crate::http::{Downloads, blocking};
use crate::openpgp::{Keyring, Signer};
use crate::package::{PackageFile, below, escaped};
use crate::settings::{Counts, HttpSettings};

/// The repositories that an image's sources name.
pub struct Repositories {
    sources: Sources,
    settings: AptSettings,
    keyrings: Vec<Arc<Keyring>>,
    downloads: Downloads,
    folder: Option<Arc<Folder>>,
    now: i64,
    releases: OnceCell<Vec<Release>>,
}

/// One component of a release whose signature and dates were accepted. In apt's order: of equals, the first counts.
#[derive(Debug, Clone)]
pub struct Release {
    /// Where it is in what [`Repositories::refresh`] returns: what candidates from here have in `release`.
    pub number: usize,
    /// The source.
    pub source: Source,
    /// The component; empty for a flat repository.
    pub component: String,
    /// `Origin`.
    pub origin: String,
    /// `Label`.
    pub label: String,
    /// `Suite`.
    pub suite: String,
    /// `Codename`.
    pub codename: String,
    /// `Version`.
    pub version: String,
    /// `Date`, seconds since 1970.
    pub date: Option<i64>,
    /// `Valid-Until`, seconds since 1970.
    pub valid_until: Option<i64>,
    /// `NotAutomatic`.
    pub not_automatic: bool,
    /// `ButAutomaticUpgrades`.
    pub but_automatic_upgrades: bool,
    /// The address of the release file; empty if the repository has none.
    pub url: String,
    /// The digest of the release file as it was fetched, signature included.
    pub digest: ContentDigest,
    /// Whose signatures counted; none if the source is trusted without.
    pub signers: Vec<Signer>,
    /// The package lists.
    pub indexes: Vec<Index>,
    /// What the user should know: lists that are missing, a suite with another name, trust without signature.
    pub warnings: Vec<String>,
}

impl Repositories {
    /// Prepares the repositories of an image; nothing is fetched yet.
    ///
    /// `keyrings` are the files of `etc/apt`, `usr/share/keyrings` and whatever else sources name, by their path in the image;
    /// `now` is seconds since 1970.
    pub fn open(
        sources: Sources,
        settings: AptSettings,
        keyrings: &BTreeMap<String, Vec<u8>>,
        cache: Cache,
        http: HttpSettings,
        now: i64,
    ) -> Self {
        let logins = sources.entries.iter().filter_map(|s| s.login.clone());
        let downloads = Downloads::for_image(http, cache, settings.proxies(), logins.collect());
        Self {
            keyrings: sources
                .entries
                .iter()
                .map(|source| Arc::new(signed::keyring(source, keyrings)))
                .collect(),
            sources,
            settings,
            downloads,
            folder: None,
            now,
            releases: OnceCell::new(),
        }
    }

    /// Takes packages from a folder where it has them.
    #[must_use]
    pub fn with_folder(mut self, folder: Folder) -> Self {
        self.folder = Some(Arc::new(folder));
        self
    }

    /// Returns what fetching cost so far.
    pub fn counts(&self) -> Counts {
        self.downloads.counts()
    }

    /// Fetches all release files, once, and accepts those that may be trusted; one that may not is an error.
    pub async fn refresh(&self) -> Result<Vec<Release>, RepoError> {
        self.releases().await.cloned()
    }

    async fn releases(&self) -> Result<&Vec<Release>, RepoError> {
        self.releases
            .get_or_try_init(|| self.fetch_releases())
            .await
    }

    async fn fetch_releases(&self) -> Result<Vec<Release>, RepoError> {
        if self.sources.entries.is_empty() {
            return Err(RepoError::NoSources);
        }
        // A release that several sources share is fetched once.
        let mut distinct: BTreeMap<String, usize> = BTreeMap::new();
        let mut order = Vec::new();
        for (at, source) in self.sources.entries.iter().enumerate() {
            distinct.entry(source.release_url()).or_insert_with(|| {
                order.push(at);
                order.len() - 1
            });
        }
        let fetched = join_all(order.iter().map(|at| {
            let (source, keyring) = (&self.sources.entries[*at], &self.keyrings[*at]);
            fetch::release(&self.downloads, source, keyring, &self.settings, self.now)
        }))
        .await;
        // Which error is told does not depend on which server answered first.
        let fetched = fetched.into_iter().collect::<Result<Vec<_>, _>>()?;
        let mut out = Vec::new();
        let mut seen = BTreeSet::new();
        for source in &self.sources.entries {
            let fetched = &fetched[distinct[&source.release_url()]];
            let flat = vec![String::new()];
            let components = if source.is_flat() {
                &flat
            } else {
                &source.components
            };
            for component in components {
                let release = self.release(out.len(), source, component, fetched, &mut seen);
                out.push(release);
            }
        }
        Ok(out)
    }

    fn release(
        &self,
        number: usize,
        source: &Source,
        component: &str,
        fetched: &Fetched,
        seen: &mut BTreeSet<(String, String)>,
    ) -> Release {
        let file = &fetched.file;
        let by_hash = match source.by_hash {
            Some(forced) => forced,
            None => file.by_hash && self.settings.flag("Acquire::By-Hash") != Some(false),
        };
        let (mut indexes, mut warnings) = index::choose(file, source, component, by_hash);
        // Two sources that name the same list give each package once.
        indexes.retain(|index| seen.insert((source.release_url(), index.path.clone())));
        warnings.extend(fetched.warning.clone());
        let suite = source.suite.trim_end_matches('/');
        let named = [&file.suite, &file.codename, &file.version];
        let known = named
            .iter()
            .any(|name| **name == suite || name.is_empty() && suite.is_empty());
        if !source.is_flat() && !known && !fetched.url.is_empty() {
            warnings.push(format!(
                "{} says that it is `{}` (`{}`), not `{suite}`",
                fetched.url, file.suite, file.codename
            ));
        }
        Release {
            number,
            source: source.clone(),
            component: component.to_owned(),
            origin: file.origin.clone(),
            label: file.label.clone(),
            suite: file.suite.clone(),
            codename: file.codename.clone(),
            version: file.version.clone(),
            date: file.date,
            valid_until: file.valid_until,
            not_automatic: file.not_automatic,
            but_automatic_upgrades: file.but_automatic_upgrades,
            url: fetched.url.clone(),
            digest: fetched.digest,
            signers: fetched.signers.clone(),
            indexes,
            warnings,
        }
    }

    pub(super) fn downloads(&self) -> &Downloads {
        &self.downloads
    }

    /// Returns every version of these packages, and of those that provide them, from all releases in their order.
    ///
    /// A name with `:ARCHITECTURE` stands for the name.
    pub async fn candidates(&self, names: &BTreeSet<String>) -> Result<Vec<Candidate>, RepoError> {
        let names: Arc<BTreeSet<String>> = Arc::new(
            names
                .iter()
                .map(|name| name.split(':').next().unwrap_or(name).to_owned())
                .collect(),
        );
        let lists: Vec<_> = self
            .releases()
            .await?
            .iter()
            .flat_map(|release| release.indexes.iter().map(move |index| (release, index)))
            .collect();
        let found = join_all(lists.iter().map(|(release, index)| {
            let names = Arc::clone(&names);
            self.list(release, index, move |state: &mut Collected, stanza| {
                state.take(stanza, &names)
            })
        }))
        .await;
        let mut out = Vec::new();
        for ((release, index), collected) in lists.iter().zip(found) {
            let Collected { candidates, error } = collected?;
            if let Some(source) = error {
                return Err(RepoError::Package {
                    what: format!("{}{}", release.source.release_url(), index.path),
                    source,
                });
            }
            out.extend(candidates.into_iter().filter_map(|mut candidate| {
                let wanted = &release.source.architectures;
                candidate.release = release.number;
                (candidate.architecture == "all" || wanted.contains(&candidate.architecture))
                    .then_some(candidate)
            }));
        }
        Ok(out)
    }

    /// Returns the address of a candidate's package, before mirrors.
    pub async fn package_url(&self, candidate: &Candidate) -> Result<String, RepoError> {
        let releases = self.releases().await?;
        let release = releases.get(candidate.release);
        match release.zip(below(&candidate.filename)) {
            Some((release, path)) => Ok(format!("{}{}", release.source.uri, escaped(path))),
            _ => Err(RepoError::malformed(
                format!("the package {} {}", candidate.name, candidate.version),
                "its file name leads out of the repository, or it is from another one",
            )),
        }
    }

    /// Returns the path of a candidate's package: in the folder, in the cache, or fetched into it. Size and digest are those
    /// of the index, or there is an error.
    pub async fn fetch(&self, candidate: &Candidate) -> Result<PathBuf, RepoError> {
        let url = self.package_url(candidate).await?;
        let digest: ContentDigest = candidate
            .sha256
            .parse()
            .map_err(|why: String| RepoError::malformed(url.clone(), why))?;
        match self.in_folder(&url, candidate.size, digest).await? {
            Some(path) => Ok(path),
            None => self.downloads.content(&url, candidate.size, digest).await,
        }
    }

    /// Returns the path of a package that a lock names. All sources of the image are tried, and no index is read: the
    /// digest is what is trusted.
    pub async fn fetch_named(&self, file: &PackageFile<'_>) -> Result<PathBuf, RepoError> {
        let found = self.in_folder(file.path, file.size, file.digest()?).await?;
        if let Some(path) = found {
            return Ok(path);
        }
        let uris: BTreeSet<&str> = self
            .sources
            .entries
            .iter()
            .map(|source| source.uri.as_str())
            .collect();
        let uris: Vec<&str> = uris.into_iter().collect();
        self.downloads.package(&uris, file).await
    }

    /// Returns the path of a package in the user's folder; `None` without one. What it lacks is an error: whoever names a folder wants
    /// nothing from anywhere else.
    async fn in_folder(
        &self,
        name: &str,
        size: u64,
        digest: ContentDigest,
    ) -> Result<Option<PathBuf>, RepoError> {
        let Some(folder) = &self.folder else {
            return Ok(None);
        };
        let folder = Arc::clone(folder);
        let found = blocking(move || folder.find(size, digest)).await?;
        let path = found.ok_or_else(|| RepoError::NotInFolder {
            name: name.to_owned(),
            digest: digest.to_string(),
        })?;
        self.downloads.count_cached();
        Ok(Some(path))
    }

    /// Fetches several packages, [`HttpSettings::parallel`] at once; paths are in the order of the candidates.
    pub async fn fetch_all(&self, candidates: &[&Candidate]) -> Result<Vec<PathBuf>, RepoError> {
        join_all(candidates.iter().map(|candidate| self.fetch(candidate)))
            .await
            .into_iter()
            .collect()
    }
}

/// What was found in one list.
#[derive(Default)]
struct Collected {
    candidates: Vec<Candidate>,
    error: Option<PkgError>,
}

impl Collected {
    fn take(&mut self, stanza: &[u8], names: &BTreeSet<String>) -> ControlFlow<()> {
        if !concerns(stanza, names) {
            return ControlFlow::Continue(());
        }
        match Candidate::parse(stanza) {
            Ok(candidate) => {
                self.candidates.extend(candidate);
                ControlFlow::Continue(())
            }
            Err(error) => {
                self.error = Some(error);
                ControlFlow::Break(())
            }
        }
    }
}

/// Tells whether a stanza is of one of these packages, or of one that provides one. Made to be quick: there are 60,000 stanzas.
fn concerns(stanza: &[u8], names: &BTreeSet<String>) -> bool {
    let is_one = |name: &[u8]| std::str::from_utf8(name).is_ok_and(|name| names.contains(name));
    // Nearly all stanzas begin with their name and provide nothing.
    if let Some(rest) = stanza.strip_prefix(b"Package: ") {
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        if is_one(rest[..end].trim_ascii()) {
            return true;
        }
        if memchr::memmem::find(stanza, b"rovides:").is_none() {
            return false;
        }
    }
    let mut provides = None;
    let mut continued = false;
    for line in stanza.split(|c| *c == b'\n') {
        match line.first() {
            Some(b' ' | b'\t') => {
                if continued && provided(line).any(is_one) {
                    return true;
                }
                continue;
            }
            Some(b'P' | b'p') => {}
            _ => {
                continued = false;
                continue;
            }
        }
        continued = false;
        if let Some(value) = value(line, b"Package:")
            && is_one(value.trim_ascii())
        {
            return true;
        }
        if let Some(value) = value(line, b"Provides:") {
            continued = true;
            provides = Some(value);
        }
        if provides
            .take()
            .is_some_and(|value| provided(value).any(is_one))
        {
            return true;
        }
    }
    false
}

fn value<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (start, value) = line.split_at_checked(name.len())?;
    start.eq_ignore_ascii_case(name).then_some(value)
}

/// Returns the names in a list of what is provided, without versions and architectures.
fn provided(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|c| *c == b',').map(|item| {
        let item = item.trim_ascii_start();
        let end = item
            .iter()
            .position(|c| matches!(c, b' ' | b'\t' | b'\r' | b'(' | b':'))
            .unwrap_or(item.len());
        &item[..end]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stanza_concerns_its_own_name_and_what_it_provides() {
        let stanza = b"Package: exim4\nVersion: 1\nProvides: mail-transport-agent, smtpd (= 2),\n other:any\nPriority: x\n more";
        for (name, expected) in [
            ("exim4", true),
            ("exim", false),
            ("mail-transport-agent", true),
            ("smtpd", true),
            ("other", true),
            ("more", false),
            ("x", false),
            ("1", false),
        ] {
            assert_eq!(
                concerns(stanza, &BTreeSet::from([name.to_owned()])),
                expected,
                "{name}"
            );
        }
    }

    #[test]
    fn file_names_are_escaped_for_addresses() {
        assert_eq!(
            escaped("pool/l/libstdc++/a_1%3a2~b+c_all.deb"),
            "pool/l/libstdc++/a_1%253a2~b+c_all.deb"
        );
        assert_eq!(escaped("a b#c?d"), "a%20b%23c%3Fd");
    }
}
