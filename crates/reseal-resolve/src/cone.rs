//! Which packages an upgrade can touch at all: everything else is as fixed as the ground.

use std::collections::{BTreeMap, BTreeSet};

use crate::pool::{PackageId, Pool, VersionId};

/// The packages that may move, closed under what their movement can demand of others.
pub(crate) struct Cone {
    members: BTreeSet<PackageId>,
    /// Names that relations of the members lead to and whose candidates are not known.
    pub(crate) missing: BTreeSet<String>,
    /// Whether packages on hold may move.
    ignore_holds: bool,
}

impl Cone {
    /// Starts with packages that are to move, and adds what depends on how they move.
    pub(crate) fn grow(
        pool: &Pool<'_>,
        known: &BTreeSet<String>,
        start: impl IntoIterator<Item = PackageId>,
        ignore_holds: bool,
    ) -> Self {
        let mut cone = Self {
            members: start.into_iter().collect(),
            missing: BTreeSet::new(),
            ignore_holds,
        };
        let installed: Vec<VersionId> = (0..pool.versions.len())
            .filter(|id| pool.versions[*id].is_installed())
            .collect();
        loop {
            let before = (cone.members.len(), cone.missing.len());
            let newer: Vec<VersionId> = cone
                .members
                .iter()
                .filter_map(|package| cone.newer(pool, *package))
                .collect();
            for version in installed.iter().chain(&newer) {
                cone.follow_dependencies(pool, known, *version);
            }
            for version in &newer {
                cone.follow_conflicts(pool, *version);
                cone.follow_siblings(pool, *version);
            }
            for version in &installed {
                cone.follow_breakage(pool, *version);
            }
            if before == (cone.members.len(), cone.missing.len()) {
                return cone;
            }
        }
    }

    /// Returns the packages, in a fixed order.
    pub(crate) fn members(&self) -> impl Iterator<Item = PackageId> {
        self.members.iter().copied()
    }

    pub(crate) fn contains(&self, package: PackageId) -> bool {
        self.members.contains(&package)
    }

    /// Returns the version that a package may move to.
    pub(crate) fn newer(&self, pool: &Pool<'_>, package: PackageId) -> Option<VersionId> {
        let package = &pool.packages[package];
        package.newer.filter(|_| self.ignore_holds || !package.held)
    }

    /// Returns the versions of a member that may be in the result.
    pub(crate) fn options(
        &self,
        pool: &Pool<'_>,
        package: PackageId,
    ) -> impl Iterator<Item = VersionId> + use<> {
        let installed = pool.packages[package].installed;
        installed.into_iter().chain(self.newer(pool, package))
    }

    /// Tells whether one of these versions is there however the members move.
    pub(crate) fn always(&self, pool: &Pool<'_>, solutions: &[VersionId]) -> bool {
        solutions.iter().any(|solution| {
            let package = pool.versions[*solution].package;
            pool.versions[*solution].is_installed()
                && (!self.contains(package)
                    || self
                        .options(pool, package)
                        .all(|option| solutions.contains(&option)))
        })
    }

    /// Returns a member and all those that it has to do with, directly or through others.
    pub(crate) fn together(&self, pool: &Pool<'_>, start: PackageId) -> BTreeSet<PackageId> {
        let mut edges: BTreeMap<PackageId, BTreeSet<PackageId>> = BTreeMap::new();
        for package in self.members() {
            for from in self.options(pool, package) {
                for other in self.touched(pool, from) {
                    edges.entry(package).or_default().insert(other);
                    edges.entry(other).or_default().insert(package);
                }
            }
        }
        let mut found = BTreeSet::from([start]);
        let mut queue = vec![start];
        while let Some(package) = queue.pop() {
            for other in edges.get(&package).into_iter().flatten() {
                if found.insert(*other) {
                    queue.push(*other);
                }
            }
        }
        found
    }

    /// Returns the members whose movement matters to a version.
    fn touched(&self, pool: &Pool<'_>, from: VersionId) -> BTreeSet<PackageId> {
        let version = &pool.versions[from];
        let open = version.depends.0.iter().flat_map(|group| {
            let solutions = pool.all_solutions(from, group);
            if self.always(pool, &solutions) {
                Vec::new()
            } else {
                solutions
            }
        });
        let excluded = version
            .negative()
            .flat_map(|relation| pool.excluded(from, relation));
        let mut found: BTreeSet<PackageId> = open
            .chain(excluded)
            .map(|id| pool.versions[id].package)
            .chain(pool.named(pool.package_of(from).name).iter().copied())
            .filter(|package| self.contains(*package))
            .collect();
        found.remove(&version.package);
        found
    }

    fn follow_dependencies(&mut self, pool: &Pool<'_>, known: &BTreeSet<String>, from: VersionId) {
        let version = &pool.versions[from];
        for group in &version.depends.0 {
            let solutions = pool.all_solutions(from, group);
            if self.always(pool, &solutions) {
                continue;
            }
            self.members.insert(version.package);
            self.members
                .extend(solutions.iter().map(|id| pool.versions[*id].package));
            let providers = solutions.iter().map(|id| pool.package_of(*id).name);
            let names = group.iter().map(|relation| relation.name.as_str());
            self.missing.extend(
                names
                    .chain(providers)
                    .filter(|name| !known.contains(*name))
                    .map(str::to_owned),
            );
        }
    }

    /// What a new version cannot be beside has to move, if it is there.
    fn follow_conflicts(&mut self, pool: &Pool<'_>, from: VersionId) {
        for relation in pool.versions[from].negative() {
            for other in pool.excluded(from, relation) {
                if pool.versions[other].is_installed() {
                    self.members.insert(pool.versions[other].package);
                }
            }
        }
    }

    /// Packages of one name move together.
    fn follow_siblings(&mut self, pool: &Pool<'_>, from: VersionId) {
        let named = pool.named(pool.package_of(from).name);
        self.members.extend(
            named
                .iter()
                .filter(|package| pool.packages[**package].installed.is_some()),
        );
    }

    /// What is there and cannot be beside a member's new version has to move.
    fn follow_breakage(&mut self, pool: &Pool<'_>, from: VersionId) {
        for relation in pool.versions[from].negative() {
            for other in pool.excluded(from, relation) {
                let package = pool.versions[other].package;
                if !pool.versions[other].is_installed() && self.contains(package) {
                    self.members.insert(pool.versions[from].package);
                }
            }
        }
    }
}
