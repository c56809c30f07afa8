//! The cone as a SAT problem.
//!
//! One variable for each version that a member may have. Installed members must have one of theirs;
//! a dependency is a clause over the versions that satisfy it, in apt's order of preference; `Breaks`,
//! `Conflicts` and versions of one name that cannot live together exclude each other.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt::Display,
};

use resolvo::{
    Candidates, Condition, ConditionId, DenseIndex, Dependencies, DependencyProvider,
    HintDependenciesAvailable, Interner, KnownDependencies, NameId, Problem, Requirement,
    SolvableId, Solver, SolverCache, StringId, UnsolvableOrCancelled, VersionSetId,
    VersionSetUnionId,
};

use crate::{
    cone::Cone,
    pool::{PackageId, Pool, VersionId},
};

/// What a solution has to be like, beside holding together.
#[derive(Default, Clone)]
pub(crate) struct Scenario {
    /// Versions that have to be in it.
    pub(crate) require: Vec<VersionId>,
    /// Versions that must not be.
    pub(crate) forbid: BTreeSet<VersionId>,
    /// Whether new versions are tried before installed ones.
    pub(crate) newest: bool,
    /// Whether installed packages may go.
    pub(crate) removal: bool,
}

/// Returns the versions that the members have in a solution; `None` if there is no solution.
pub(crate) fn solve(
    pool: &Pool<'_>,
    cone: &Cone,
    scenario: &Scenario,
) -> Option<BTreeSet<VersionId>> {
    let provider = Provider {
        pool,
        cone,
        scenario,
        sets: RefCell::default(),
        unions: RefCell::default(),
        strings: RefCell::default(),
    };
    let inside = |id: &VersionId| cone.contains(pool.versions[*id].package);
    if !scenario.require.iter().all(inside) {
        // Outside of the cone nothing was looked at, so nothing there can be asked for.
        return None;
    }
    let required = scenario
        .require
        .iter()
        .map(|version| provider.requirement(&[*version]).into())
        .collect::<Vec<_>>();
    let stay = cone
        .members()
        .filter(|package| pool.packages[*package].installed.is_some());
    let mut requirements = required;
    let mut soft = Vec::new();
    for package in stay {
        let options = provider.available(package);
        if scenario.removal {
            soft.extend(
                options
                    .iter()
                    .map(|version| SolvableId::from_index(*version)),
            );
        } else {
            requirements.push(provider.requirement(&options).into());
        }
    }
    let mut solver = Solver::new(provider);
    let problem = Problem::new()
        .requirements(requirements)
        .soft_requirements(soft);
    match solver.solve(problem) {
        Ok(solution) => Some(solution.into_iter().map(DenseIndex::to_index).collect()),
        Err(UnsolvableOrCancelled::Unsolvable(_) | UnsolvableOrCancelled::Cancelled(_)) => None,
    }
}

/// A set of versions of one package.
type Set = (PackageId, Vec<VersionId>);

struct Provider<'p, 'a> {
    pool: &'p Pool<'a>,
    cone: &'p Cone,
    scenario: &'p Scenario,
    sets: RefCell<Interned<Set>>,
    unions: RefCell<Vec<Vec<VersionSetId>>>,
    strings: RefCell<Vec<String>>,
}

struct Interned<T> {
    all: Vec<T>,
    places: HashMap<T, usize>,
}

impl<T> Default for Interned<T> {
    fn default() -> Self {
        Self {
            all: Vec::new(),
            places: HashMap::new(),
        }
    }
}

impl Provider<'_, '_> {
    /// Returns a member's versions, those that are tried first first.
    fn available(&self, package: PackageId) -> Vec<VersionId> {
        let mut options: Vec<VersionId> = self
            .cone
            .options(self.pool, package)
            .filter(|version| !self.scenario.forbid.contains(version))
            .collect();
        if self.scenario.newest {
            options.reverse();
        }
        options
    }

    fn set(&self, package: PackageId, versions: Vec<VersionId>) -> VersionSetId {
        let mut sets = self.sets.borrow_mut();
        let set = (package, versions);
        if let Some(place) = sets.places.get(&set) {
            return VersionSetId::from_index(*place);
        }
        let place = sets.all.len();
        sets.all.push(set.clone());
        sets.places.insert(set, place);
        VersionSetId::from_index(place)
    }

    /// Makes the clause "one of these versions", which are tried in this order.
    fn requirement(&self, versions: &[VersionId]) -> Requirement {
        let sets: Vec<VersionSetId> = versions
            .iter()
            .map(|version| self.set(self.pool.versions[*version].package, vec![*version]))
            .collect();
        match sets[..] {
            // A package that has no version left: a set without members, which nothing satisfies.
            [] => self.set(0, Vec::new()).into(),
            [one] => one.into(),
            _ => {
                let mut unions = self.unions.borrow_mut();
                unions.push(sets);
                VersionSetUnionId::from_index(unions.len() - 1).into()
            }
        }
    }

    fn impossible(&self, why: String) -> Dependencies {
        let mut strings = self.strings.borrow_mut();
        strings.push(why);
        Dependencies::Unknown(StringId::from_index(strings.len() - 1))
    }

    /// Puts the versions that satisfy a dependency into the order in which they are tried.
    fn ordered(&self, solutions: Vec<VersionId>) -> Vec<VersionId> {
        let mut out: Vec<VersionId> = Vec::new();
        for id in solutions {
            let package = self.pool.versions[id].package;
            let usable = self.cone.contains(package)
                && self.available(package).contains(&id)
                && !out.contains(&id);
            if usable {
                out.push(id);
            }
        }
        out.sort_by_key(|id| {
            let there = self.pool.package_of(*id).installed.is_some();
            let installed = self.pool.versions[*id].is_installed();
            (!there, installed == self.scenario.newest)
        });
        out
    }

    /// Returns what excludes a version by itself, or for each member the versions that it excludes.
    fn exclusions(&self, from: VersionId) -> Result<BTreeMap<PackageId, Vec<VersionId>>, String> {
        let (pool, version) = (self.pool, &self.pool.versions[from]);
        let mut out: BTreeMap<PackageId, Vec<VersionId>> = BTreeMap::new();
        let by_relation = version
            .negative()
            .flat_map(|relation| pool.excluded(from, relation));
        let by_name = pool
            .named(pool.packages[version.package].name)
            .iter()
            .filter(|sibling| **sibling != version.package)
            .flat_map(|sibling| {
                let sibling = &pool.packages[*sibling];
                sibling.installed.into_iter().chain(sibling.newer)
            })
            .filter(|other| !pool.side_by_side(from, *other));
        for other in by_relation.chain(by_name) {
            let package = pool.versions[other].package;
            if self.cone.contains(package) {
                out.entry(package).or_default().push(other);
            } else if pool.versions[other].is_installed() && !version.is_installed() {
                return Err(pool.shown_version(other));
            }
        }
        Ok(out)
    }
}

impl Interner for Provider<'_, '_> {
    type NameId = NameId;
    type SolvableId = SolvableId;

    fn display_solvable(&self, solvable: SolvableId) -> impl Display + '_ {
        self.pool.shown_version(solvable.to_index())
    }

    fn display_name(&self, name: NameId) -> impl Display + '_ {
        self.pool.shown(name.to_index())
    }

    fn display_version_set(&self, set: VersionSetId) -> impl Display + '_ {
        format!("{:?}", self.sets.borrow().all[set.to_index()].1)
    }

    fn display_string(&self, string: StringId) -> impl Display + '_ {
        self.strings.borrow()[string.to_index()].clone()
    }

    fn version_set_name(&self, set: VersionSetId) -> NameId {
        NameId::from_index(self.sets.borrow().all[set.to_index()].0)
    }

    fn solvable_name(&self, solvable: SolvableId) -> NameId {
        NameId::from_index(self.pool.versions[solvable.to_index()].package)
    }

    fn version_sets_in_union(
        &self,
        union: VersionSetUnionId,
    ) -> impl Iterator<Item = VersionSetId> {
        self.unions.borrow()[union.to_index()].clone().into_iter()
    }

    fn resolve_condition(&self, _: ConditionId) -> Condition {
        unreachable!("no requirement here has a condition")
    }
}

impl DependencyProvider for Provider<'_, '_> {
    async fn filter_candidates(
        &self,
        candidates: &[SolvableId],
        set: VersionSetId,
        inverse: bool,
    ) -> Vec<SolvableId> {
        let sets = self.sets.borrow();
        let versions = &sets.all[set.to_index()].1;
        candidates
            .iter()
            .copied()
            .filter(|solvable| versions.contains(&solvable.to_index()) != inverse)
            .collect()
    }

    async fn get_candidates(&self, name: NameId) -> Option<Candidates<SolvableId>> {
        Some(Candidates {
            candidates: self
                .available(name.to_index())
                .into_iter()
                .map(SolvableId::from_index)
                .collect(),
            hint_dependencies_available: HintDependenciesAvailable::All,
            ..Candidates::default()
        })
    }

    async fn sort_candidates(&self, _: &SolverCache<Self>, _: &mut [SolvableId]) {
        // Sets hold one version each where the order matters: see `requirement`.
    }

    async fn get_dependencies(&self, solvable: SolvableId) -> Dependencies {
        let from = solvable.to_index();
        let version = &self.pool.versions[from];
        let mut out = KnownDependencies::default();
        for group in &version.depends.0 {
            let solutions = self.pool.all_solutions(from, group);
            if solutions.contains(&from)
                || solutions.iter().any(|id| {
                    self.pool.versions[*id].is_installed()
                        && !self.cone.contains(self.pool.versions[*id].package)
                })
            {
                continue;
            }
            let usable = self.ordered(solutions);
            if usable.is_empty() {
                return self.impossible("nothing satisfies a dependency".to_owned());
            }
            out.requirements.push(self.requirement(&usable).into());
        }
        match self.exclusions(from) {
            Ok(exclusions) => {
                for (package, excluded) in exclusions {
                    let mut allowed = self.available(package);
                    allowed.retain(|version| !excluded.contains(version));
                    out.constrains.push(self.set(package, allowed));
                }
            }
            Err(other) => return self.impossible(format!("it cannot be beside {other}")),
        }
        Dependencies::Known(out)
    }
}
