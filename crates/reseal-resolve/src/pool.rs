//! Every version that may be in the result: what is installed, and each package's candidate.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
};

use reseal_pkg::dpkg::{MultiArch, Operator, Package as Installed, Relation, Relations, State};

use crate::{
    Universe, Unresolved,
    policy::{self, Choice},
};

/// A place in [`Pool::versions`].
pub(crate) type VersionId = usize;
/// A place in [`Pool::packages`].
pub(crate) type PackageId = usize;

/// One version of one package.
pub(crate) struct Version<'a> {
    pub(crate) package: PackageId,
    pub(crate) number: &'a str,
    /// The source that it is built from, and that one's version.
    pub(crate) source: (&'a str, &'a str),
    pub(crate) multi_arch: MultiArch,
    pub(crate) depends: Cow<'a, Relations>,
    conflicts: Cow<'a, Relations>,
    breaks: Cow<'a, Relations>,
    provides: Cow<'a, Relations>,
    /// `Essential` or `Protected`: apt prefers such packages where it has a choice.
    pub(crate) weight: (bool, bool),
    /// Its place in `Universe::candidates`; `None` for what is installed.
    pub(crate) candidate: Option<usize>,
}

impl Version<'_> {
    pub(crate) fn is_installed(&self) -> bool {
        self.candidate.is_none()
    }

    /// Returns what must not be there beside it.
    pub(crate) fn negative(&self) -> impl Iterator<Item = &Relation> {
        self.conflicts.each().chain(self.breaks.each())
    }
}

/// One package: a name and the architecture that it is installed for, the image's own for `all`.
pub(crate) struct Package<'a> {
    pub(crate) name: &'a str,
    pub(crate) architecture: &'a str,
    pub(crate) installed: Option<VersionId>,
    /// The candidate, if it is another version than the installed one.
    pub(crate) newer: Option<VersionId>,
    pub(crate) held: bool,
    /// The version that apt's policy prefers, where that is an older one.
    pub(crate) downgrade: Option<&'a str>,
}

/// All versions, and where names lead.
pub(crate) struct Pool<'a> {
    pub(crate) versions: Vec<Version<'a>>,
    pub(crate) packages: Vec<Package<'a>>,
    native: &'a str,
    by_name: HashMap<&'a str, Vec<PackageId>>,
    providers: HashMap<String, Vec<VersionId>>,
}

impl<'a> Pool<'a> {
    /// Reads the database and chooses the candidates.
    pub(crate) fn build(universe: &'a Universe<'a>) -> Result<Self, Unresolved> {
        let mut pool = Self {
            versions: Vec::new(),
            packages: Vec::new(),
            native: &universe.architecture,
            by_name: HashMap::new(),
            providers: HashMap::new(),
        };
        for package in universe.installed.installed() {
            pool.add_installed(package)?;
        }
        let mut offers: BTreeMap<(&str, &str), Vec<usize>> = BTreeMap::new();
        for (place, candidate) in universe.candidates.iter().enumerate() {
            let architecture = pool.real(&candidate.architecture);
            let usable = architecture == universe.architecture
                || universe.foreign.iter().any(|other| other == architecture);
            if usable {
                let key = (candidate.name.as_str(), architecture);
                offers.entry(key).or_default().push(place);
            }
        }
        let policy = policy::Policy::new(universe);
        for ((name, architecture), places) in offers {
            let id = pool.package(name, architecture);
            let installed = pool.packages[id].installed.map(|version| {
                (
                    pool.versions[version].number,
                    pool.versions[version].source.0,
                )
            });
            match policy.choose(name, architecture, installed, &places) {
                Choice::Stay => {}
                Choice::Older(version) => pool.packages[id].downgrade = Some(version),
                Choice::Take(place) => pool.add_candidate(universe, id, place),
            }
        }
        Ok(pool)
    }

    /// Returns the architecture that a package is installed for.
    pub(crate) fn real<'b>(&self, architecture: &'b str) -> &'b str
    where
        'a: 'b,
    {
        if matches!(architecture, "all" | "") {
            self.native
        } else {
            architecture
        }
    }

    /// Returns a package by name and architecture, if it is known.
    pub(crate) fn find(&self, name: &str, architecture: &str) -> Option<PackageId> {
        let ids = self.by_name.get(name)?;
        let real = self.real(architecture);
        ids.iter()
            .copied()
            .find(|id| self.packages[*id].architecture == real)
    }

    fn package(&mut self, name: &'a str, architecture: &'a str) -> PackageId {
        if let Some(id) = self.find(name, architecture) {
            return id;
        }
        let id = self.packages.len();
        self.packages.push(Package {
            name,
            architecture,
            installed: None,
            newer: None,
            held: false,
            downgrade: None,
        });
        self.by_name.entry(name).or_default().push(id);
        id
    }

    fn add_installed(&mut self, package: &'a Installed) -> Result<(), Unresolved> {
        if package.state != State::Installed {
            return Err(Unresolved::Broken {
                explanation: format!("`{}` is not fully installed", package.name),
            });
        }
        let read = |field| package.relations(field).map_err(Unresolved::Database);
        let mut depends = read("Pre-Depends")?;
        depends.0.extend(read("Depends")?.0);
        let (conflicts, breaks) = (read("Conflicts")?, read("Breaks")?);
        let provides = read("Provides")?;
        let id = self.package(&package.name, self.real(&package.architecture));
        if self.packages[id].installed.is_some() {
            return Err(Unresolved::Broken {
                explanation: format!("`{}` is in the database twice", package.name),
            });
        }
        let version = self.add(Version {
            package: id,
            number: &package.version,
            source: (&package.source_name, &package.source_version),
            multi_arch: package.multi_arch(),
            depends: Cow::Owned(depends),
            conflicts: Cow::Owned(conflicts),
            breaks: Cow::Owned(breaks),
            provides: Cow::Owned(provides),
            weight: (package.essential, false),
            candidate: None,
        });
        self.packages[id].installed = Some(version);
        self.packages[id].held = package.is_held();
        Ok(())
    }

    fn add_candidate(&mut self, universe: &'a Universe<'a>, id: PackageId, place: usize) {
        let candidate = &universe.candidates[place];
        let version = self.add(Version {
            package: id,
            number: &candidate.version,
            source: (&candidate.source_name, &candidate.source_version),
            multi_arch: candidate.multi_arch,
            depends: Cow::Borrowed(&candidate.depends),
            conflicts: Cow::Borrowed(&candidate.conflicts),
            breaks: Cow::Borrowed(&candidate.breaks),
            provides: Cow::Borrowed(&candidate.provides),
            weight: (candidate.essential, candidate.protected),
            candidate: Some(place),
        });
        self.packages[id].newer = Some(version);
    }

    fn add(&mut self, version: Version<'a>) -> VersionId {
        let id = self.versions.len();
        for provided in version.provides.each() {
            let ids = self.providers.entry(provided.name.clone()).or_default();
            if ids.last() != Some(&id) {
                ids.push(id);
            }
        }
        self.versions.push(version);
        id
    }

    /// Returns the package of a version.
    pub(crate) fn package_of(&self, version: VersionId) -> &Package<'a> {
        &self.packages[self.versions[version].package]
    }

    /// Returns the packages of a name, one an architecture.
    pub(crate) fn named(&self, name: &str) -> &[PackageId] {
        self.by_name.get(name).map_or(&[], Vec::as_slice)
    }

    /// Returns the versions that satisfy a dependency of `from`: those of the package itself first,
    /// then those that provide it.
    pub(crate) fn solutions(&self, from: VersionId, relation: &Relation) -> Vec<VersionId> {
        let own = self.package_of(from).architecture;
        self.matching(relation, |version, provided| {
            let theirs = self.packages[version.package].architecture;
            let foreign = version.multi_arch == MultiArch::Foreign;
            match relation.qualifier.as_deref() {
                None => match provided.and_then(|p| p.qualifier.as_deref()) {
                    Some(architecture) if architecture != "any" => architecture == own,
                    _ => theirs == own || foreign,
                },
                Some("any") => version.multi_arch == MultiArch::Allowed,
                Some(architecture) => theirs == architecture,
            }
        })
    }

    /// Returns the versions that satisfy one of several alternatives, in their order.
    pub(crate) fn all_solutions(&self, from: VersionId, group: &[Relation]) -> Vec<VersionId> {
        let mut out = Vec::new();
        for relation in group {
            for id in self.solutions(from, relation) {
                if !out.contains(&id) {
                    out.push(id);
                }
            }
        }
        out
    }

    /// Returns the versions that must not be there beside `from` by one of its relations.
    pub(crate) fn excluded(&self, from: VersionId, relation: &Relation) -> Vec<VersionId> {
        let own = self.package_of(from).name;
        let mut found = self.matching(relation, |version, _| {
            let theirs = self.packages[version.package].architecture;
            match relation.qualifier.as_deref() {
                None | Some("any") => true,
                Some(architecture) => theirs == architecture,
            }
        });
        // A package may provide and conflict with the same name: then it means all others.
        found.retain(|version| self.package_of(*version).name != own);
        found
    }

    fn matching(
        &self,
        relation: &Relation,
        fits: impl Fn(&Version<'a>, Option<&Relation>) -> bool,
    ) -> Vec<VersionId> {
        let mut out = Vec::new();
        for package in self.named(&relation.name) {
            let package = &self.packages[*package];
            for id in package.installed.into_iter().chain(package.newer) {
                let version = &self.versions[id];
                if relation.admits(version.number) && fits(version, None) {
                    out.push(id);
                }
            }
        }
        for id in self.providers.get(&relation.name).into_iter().flatten() {
            let version = &self.versions[*id];
            let fitting = version.provides.each().any(|provided| {
                provided.name == relation.name
                    && admits_provided(relation, provided)
                    && fits(version, Some(provided))
            });
            if fitting && !out.contains(id) {
                out.push(*id);
            }
        }
        out
    }

    /// Tells whether two versions of one name, for two architectures, may be there together.
    pub(crate) fn side_by_side(&self, a: VersionId, b: VersionId) -> bool {
        let (a, b) = (&self.versions[a], &self.versions[b]);
        a.multi_arch == MultiArch::Same && b.multi_arch == MultiArch::Same && a.number == b.number
    }

    /// Returns a package's name for messages: with its architecture if that is not the image's.
    pub(crate) fn shown(&self, package: PackageId) -> String {
        let package = &self.packages[package];
        if package.architecture == self.native {
            package.name.to_owned()
        } else {
            format!("{}:{}", package.name, package.architecture)
        }
    }

    /// Returns a version for messages.
    pub(crate) fn shown_version(&self, version: VersionId) -> String {
        let version = &self.versions[version];
        format!("{} {}", self.shown(version.package), version.number)
    }
}

/// Tells whether a provided name satisfies a relation to it: a relation with a version only if the
/// provider says which one it stands for.
fn admits_provided(relation: &Relation, provided: &Relation) -> bool {
    match (&relation.version, &provided.version) {
        (None, _) => true,
        (Some((operator, limit)), Some((Operator::Equal, version))) => {
            operator.holds(version, limit)
        }
        (Some(_), _) => false,
    }
}
