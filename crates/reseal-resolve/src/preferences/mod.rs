//! What the administrator prefers (`apt_preferences(5)`), as priorities of versions.
//!
//! The rules are those of apt 2.6: the first pin for a package that fits a version sets the version's
//! priority; without one, a version has the highest priority among the releases that offer it.

mod matching;

use std::collections::BTreeMap;

use matching::{Expression, ReleaseMatch};
use reseal_pkg::dpkg::{split_stream, stanza_field};

use crate::ReleaseInfo;

/// The priority of a release that is never to be used (`Pin-Priority: never`).
const NEVER: i32 = -32768;
/// The priority of the release that `APT::Default-Release` names.
const DEFAULT_RELEASE: i32 = 990;
/// The priority of other releases, and those of releases that say that they are not automatic.
const USUAL: i32 = 500;
const BUT_AUTOMATIC_UPGRADES: i32 = 100;
const NOT_AUTOMATIC: i32 = 1;
/// The priority of a version that is only in the database.
const INSTALLED: i32 = 100;

/// The pins of an image, in the order in which apt reads them.
#[derive(Debug, Clone, Default)]
pub struct Preferences {
    pins: Vec<Pin>,
    /// Records that could not be understood, or that apt itself stops at: while there is one, only
    /// apt can tell what it would do.
    pub unsupported: Vec<String>,
}

#[derive(Debug, Clone)]
struct Pin {
    /// `None` for `Package: *`, whose pins are for whole releases.
    packages: Option<Vec<Packages>>,
    target: Target,
    priority: i32,
}

/// One word of `Package`.
#[derive(Debug, Clone)]
struct Packages {
    /// `src:NAME`: binaries of that source.
    source: bool,
    name: Expression,
    /// What follows the colon: an architecture or `any`; a bare name means the image's own.
    architecture: Option<String>,
}

#[derive(Debug, Clone)]
enum Target {
    Version(Expression),
    Release(ReleaseMatch),
    Origin(Expression),
}

/// A version of a package, as pins look at it.
pub(crate) struct Pinned<'a> {
    pub(crate) name: &'a str,
    pub(crate) architecture: &'a str,
    pub(crate) version: &'a str,
    pub(crate) source: &'a str,
    /// The releases that offer it.
    pub(crate) releases: &'a [usize],
    pub(crate) installed: bool,
}

/// The priority of each release, and of the database as one.
pub(crate) struct ReleasePriorities {
    releases: Vec<i32>,
    installed: i32,
}

impl ReleasePriorities {
    /// Returns the priority of one release.
    pub(crate) fn of(&self, release: usize) -> i32 {
        self.releases.get(release).copied().unwrap_or(0)
    }
}

impl Preferences {
    /// Reads `etc/apt/preferences` and the files of `etc/apt/preferences.d`, given by path; other
    /// paths are passed over.
    ///
    /// Never fails: what cannot be understood ends in [`Preferences::unsupported`].
    pub fn parse(files: &BTreeMap<String, Vec<u8>>) -> Self {
        let mut out = Self::default();
        let main = files.get_key_value("etc/apt/preferences").into_iter();
        let parts = files.iter().filter(|(path, _)| is_part(path));
        for (path, bytes) in main.chain(parts) {
            out.read(path, bytes);
        }
        out
    }

    fn read(&mut self, path: &str, bytes: &[u8]) {
        let kept: Vec<&[u8]> = bytes
            .split_inclusive(|c| *c == b'\n')
            .filter(|line| !line.starts_with(b"#"))
            .collect();
        let result = split_stream(kept.concat().as_slice(), &mut |stanza| {
            match pin(stanza) {
                Ok(Some(pin)) => self.pins.push(pin),
                Ok(None) => {}
                Err(why) => self.unsupported.push(format!("{path}: {why}")),
            }
            std::ops::ControlFlow::Continue(())
        });
        if let Err(error) = result {
            self.unsupported.push(format!("{path}: {error}"));
        }
    }

    /// Returns the priorities of releases; `architecture` is the image's.
    pub(crate) fn of_releases(
        &self,
        releases: &[ReleaseInfo],
        default_release: Option<&str>,
        architecture: &str,
    ) -> ReleasePriorities {
        let mut general: Vec<(Target, i32)> = Vec::new();
        if let Some(release) = default_release.filter(|name| !name.is_empty()) {
            match ReleaseMatch::parse(release) {
                Ok(matcher) => general.push((Target::Release(matcher), DEFAULT_RELEASE)),
                // The caller has refused what cannot be read; see `default_release_problem`.
                Err(_) => return self.of_releases(releases, None, architecture),
            }
        }
        general.extend(
            self.pins
                .iter()
                .filter(|pin| pin.packages.is_none())
                .map(|pin| (pin.target.clone(), pin.priority)),
        );
        let database = ReleaseInfo {
            suite: "now".to_owned(),
            ..ReleaseInfo::default()
        };
        let of = |release: &ReleaseInfo, usual| {
            general
                .iter()
                .find(|(target, _)| target.is_release(release, architecture))
                .map_or(usual, |(_, priority)| *priority)
        };
        ReleasePriorities {
            releases: releases
                .iter()
                .map(|release| of(release, usual(release)))
                .collect(),
            installed: of(&database, INSTALLED),
        }
    }

    /// Returns the priority of one version; 0 or less if it is not to be chosen by itself.
    pub(crate) fn of_version(
        &self,
        version: &Pinned<'_>,
        releases: &[ReleaseInfo],
        priorities: &ReleasePriorities,
        architecture: &str,
    ) -> i32 {
        let from_releases = version
            .releases
            .iter()
            .map(|release| priorities.of(*release))
            .chain(version.installed.then_some(priorities.installed));
        let best = from_releases.max().unwrap_or(0);
        let pinned = self.pins.iter().find(|pin| {
            pin.packages.as_ref().is_some_and(|names| {
                names.iter().any(|name| name.means(version, architecture))
                    && pin.target.is_version(version, releases, architecture)
            })
        });
        match pinned {
            // A release that is never to be used stays so for every package.
            Some(pin) if best != NEVER => pin.priority,
            _ => best,
        }
    }
}

/// Tells why a value of `APT::Default-Release` cannot be used, if so.
pub(crate) fn default_release_problem(value: &str) -> Option<String> {
    ReleaseMatch::parse(value).err()
}

fn usual(release: &ReleaseInfo) -> i32 {
    if release.but_automatic_upgrades {
        BUT_AUTOMATIC_UPGRADES
    } else if release.not_automatic {
        NOT_AUTOMATIC
    } else {
        USUAL
    }
}

/// Tells whether apt reads a file of the folder: no extension or `.pref`, and no odd characters.
fn is_part(path: &str) -> bool {
    let Some(name) = path.strip_prefix("etc/apt/preferences.d/") else {
        return false;
    };
    let (stem, bare) = match name.strip_suffix(".pref") {
        Some(stem) => (stem, true),
        None => (name, !name.contains('.')),
    };
    let plain = |c: u8| c.is_ascii_alphanumeric() || b"-_.:".contains(&c);
    bare && !stem.is_empty() && !stem.starts_with('.') && name.bytes().all(plain)
}

/// Reads one record; `None` for one that apt passes over.
fn pin(stanza: &[u8]) -> Result<Option<Pin>, String> {
    let field = |name| stanza_field(stanza, name).map(std::borrow::Cow::into_owned);
    let Some(names) = field("Package").filter(|names| !names.is_empty()) else {
        return Err("a record has no `Package`".to_owned());
    };
    let Some(pin) = field("Pin") else {
        return Ok(None);
    };
    let (word, data) = pin
        .split_once(|c: char| c.is_ascii_whitespace())
        .unwrap_or((&pin, ""));
    let data = data.trim_ascii();
    let general = names == "*";
    let target = match word.to_ascii_lowercase().as_str() {
        "version" if !general => Target::Version(Expression::prefix(data)?),
        "release" => Target::Release(ReleaseMatch::parse(data)?),
        "origin" => Target::Origin(Expression::parse(unquoted(data))?),
        _ => return Err(format!("`Pin: {word}` is not understood")),
    };
    let text = field("Pin-Priority").unwrap_or_default();
    let priority = if general && text == "never" {
        NEVER
    } else {
        text.parse()
            .ok()
            .filter(|n: &i32| *n != 0 && i16::try_from(*n).is_ok())
            .ok_or_else(|| format!("`Pin-Priority: {text}` is not a priority"))?
    };
    let packages = if general {
        None
    } else {
        let words = names.split_ascii_whitespace();
        Some(words.map(packages).collect::<Result<_, _>>()?)
    };
    Ok(Some(Pin {
        packages,
        target,
        priority,
    }))
}

fn packages(word: &str) -> Result<Packages, String> {
    let (source, name) = match word.strip_prefix("src:") {
        Some(name) => (true, name),
        None => (false, word),
    };
    let (name, architecture) = match name.rsplit_once(':') {
        Some((name, architecture)) => (name, Some(architecture)),
        None => (name, None),
    };
    Ok(Packages {
        source,
        name: Expression::parse(name)?,
        architecture: architecture.map(str::to_owned),
    })
}

fn unquoted(text: &str) -> &str {
    text.strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
        .unwrap_or(text)
}

impl Packages {
    fn means(&self, version: &Pinned<'_>, native: &str) -> bool {
        let name = if self.source {
            version.source
        } else {
            version.name
        };
        let architecture = self.architecture.as_deref().unwrap_or(native);
        let fits = architecture == "any" || architecture == version.architecture;
        fits && self.name.matches(name)
    }
}

impl Target {
    fn is_release(&self, release: &ReleaseInfo, architecture: &str) -> bool {
        match self {
            Self::Version(_) => false,
            Self::Release(matcher) => matcher.matches(release, architecture),
            Self::Origin(site) => site.matches(&release.site),
        }
    }

    fn is_version(
        &self,
        version: &Pinned<'_>,
        releases: &[ReleaseInfo],
        architecture: &str,
    ) -> bool {
        match self {
            Self::Version(wanted) => wanted.matches(version.version),
            _ => version
                .releases
                .iter()
                .filter_map(|release| releases.get(*release))
                .any(|release| self.is_release(release, architecture)),
        }
    }
}

#[cfg(test)]
mod tests;
