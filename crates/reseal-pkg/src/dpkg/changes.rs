//! The difference between two databases.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Database, Package};

/// One package that came, went, or has another version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The binary package's name.
    pub name: String,
    /// Its architecture (the new one, should it have changed).
    pub architecture: String,
    /// The version before; `None`: it was not there.
    pub from: Option<String>,
    /// The version after; `None`: it is gone.
    pub to: Option<String>,
    /// The source package's name (after, or before if it is gone).
    pub source_name: String,
    /// The source version before.
    pub source_from: Option<String>,
    /// The source version after.
    pub source_to: Option<String>,
}

impl Change {
    fn between(before: Option<&Package>, after: Option<&Package>) -> Option<Self> {
        let named = after.or(before)?;
        Some(Self {
            name: named.name.clone(),
            architecture: named.architecture.clone(),
            from: before.map(|p| p.version.clone()),
            to: after.map(|p| p.version.clone()),
            source_name: named.source_name.clone(),
            source_from: before.map(|p| p.source_version.clone()),
            source_to: after.map(|p| p.source_version.clone()),
        })
    }
}

/// Returns what changed among the present packages, sorted by name and architecture.
///
/// A package that went from one architecture to another (`amd64` to `all`) is one change, not two.
/// Should a database hold two stanzas of one package and architecture, the last counts, as for dpkg.
pub fn changes(before: &Database, after: &Database) -> Vec<Change> {
    let (old, new) = (by_name(before), by_name(after));
    let mut out = Vec::new();
    let names: std::collections::BTreeSet<&str> = old.keys().chain(new.keys()).copied().collect();
    for name in names {
        let none = BTreeMap::new();
        let (old, new) = (
            old.get(name).unwrap_or(&none),
            new.get(name).unwrap_or(&none),
        );
        if let (Some((from_arch, from)), Some((to_arch, to))) = (only(old), only(new))
            && from_arch != to_arch
        {
            out.extend(Change::between(Some(from), Some(to)));
            continue;
        }
        let architectures: std::collections::BTreeSet<&str> =
            old.keys().chain(new.keys()).copied().collect();
        for architecture in architectures {
            let (from, to) = (
                old.get(architecture).copied(),
                new.get(architecture).copied(),
            );
            if from.map(|p| &p.version) != to.map(|p| &p.version) {
                out.extend(Change::between(from, to));
            }
        }
    }
    out
}

type ByArchitecture<'a> = BTreeMap<&'a str, &'a Package>;

fn by_name(database: &Database) -> BTreeMap<&str, ByArchitecture<'_>> {
    let mut out: BTreeMap<&str, ByArchitecture<'_>> = BTreeMap::new();
    for package in database.installed() {
        out.entry(&package.name)
            .or_default()
            .insert(&package.architecture, package);
    }
    out
}

/// Returns the only entry of a map that has just one.
fn only<'a>(map: &ByArchitecture<'a>) -> Option<(&'a str, &'a Package)> {
    let mut entries = map.iter();
    let (architecture, package) = entries.next()?;
    entries
        .next()
        .is_none()
        .then_some((*architecture, *package))
}
