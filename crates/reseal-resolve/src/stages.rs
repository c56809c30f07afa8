//! The order of questions to the solver that gives apt's answer.

use std::collections::BTreeSet;

use crate::{
    Resolution, Resolved, Universe, Unresolved, Want,
    choice::{self, Answer, Objection},
    cone::Cone,
    explain::explain,
    order::in_order,
    pool::{PackageId, Pool, VersionId},
    preferences::default_release_problem,
    problem::{Scenario, solve},
};

pub(crate) fn resolve(universe: &Universe<'_>, want: &Want) -> Result<Resolved, Unresolved> {
    let mut reasons = universe.preferences.unsupported.clone();
    let release = universe.default_release.as_deref();
    reasons.extend(release.and_then(default_release_problem));
    if !reasons.is_empty() {
        return Err(Unresolved::Preferences { reasons });
    }
    let installed = universe.installed.installed();
    let mut names: BTreeSet<String> = installed.map(|package| package.name.clone()).collect();
    names.retain(|name| !universe.known.contains(name));
    if !names.is_empty() {
        return Ok(Resolved::NeedsCandidates(names));
    }
    let pool = Pool::build(universe)?;
    in_order(&pool)?;
    let run = Run { universe, pool };
    match want {
        Want::Packages(wanted) => run.packages(wanted),
        Want::All => run.all(),
    }
}

struct Run<'a> {
    universe: &'a Universe<'a>,
    pool: Pool<'a>,
}

impl Run<'_> {
    fn packages(&self, wanted: &[(String, String)]) -> Result<Resolved, Unresolved> {
        let pool = &self.pool;
        let (mut require, mut kept_back, mut held) = (Vec::new(), Vec::new(), Vec::new());
        let mut there = Vec::new();
        for (name, architecture) in wanted {
            let found = pool
                .find(name, architecture)
                .filter(|id| pool.packages[*id].installed.is_some());
            let Some(id) = found else {
                kept_back.push((name.clone(), "it is not installed".to_owned()));
                continue;
            };
            self.not_older(id)?;
            there.push(id);
            match pool.packages[id].newer {
                None => kept_back.push((pool.shown(id), self.newest(id))),
                Some(_) if pool.packages[id].held => held.push(pool.shown(id)),
                Some(newer) if !require.contains(&newer) => require.push(newer),
                Some(_) => {}
            }
        }
        if !held.is_empty() {
            return Err(Unresolved::Held { packages: held });
        }
        // With those of one source more may have to move, and with that more sources.
        loop {
            let start = require.iter().map(|id| pool.versions[*id].package);
            let cone = Cone::grow(pool, &self.universe.known, start, false);
            if !cone.missing.is_empty() {
                return Ok(Resolved::NeedsCandidates(cone.missing));
            }
            let scenario = Scenario {
                require: require.clone(),
                ..Scenario::default()
            };
            if solve(pool, &cone, &scenario).is_none() {
                return self.why_not(&require, &cone);
            }
            let solution = self.as_apt_does(&cone, &require, &scenario, true)?;
            let siblings = self.siblings(&there, &solution);
            if siblings.is_empty() {
                return Ok(Resolved::Done(self.resolution(&solution, kept_back)));
            }
            require.extend(siblings);
        }
    }

    /// Returns newer versions that come from the same source, in the same version, as those of a
    /// solution, or as wanted packages that have theirs already.
    fn siblings(&self, wanted: &[PackageId], solution: &BTreeSet<VersionId>) -> Vec<VersionId> {
        if !self.universe.by_source {
            return Vec::new();
        }
        let pool = &self.pool;
        let changed = solution
            .iter()
            .filter(|id| !pool.versions[**id].is_installed());
        let there = wanted
            .iter()
            .filter(|id| pool.packages[**id].newer.is_none())
            .filter_map(|id| pool.packages[*id].installed.as_ref());
        let sources: BTreeSet<_> = changed
            .chain(there)
            .map(|id| pool.versions[*id].source)
            .collect();
        let newer = pool.packages.iter().filter_map(|package| {
            package.installed?;
            package.newer.filter(|_| !package.held)
        });
        newer
            .filter(|id| !solution.contains(id) && sources.contains(&pool.versions[*id].source))
            .collect()
    }

    fn all(&self) -> Result<Resolved, Unresolved> {
        let pool = &self.pool;
        let (mut upgradable, mut kept_back) = (Vec::new(), Vec::new());
        for (id, package) in pool.packages.iter().enumerate() {
            if package.installed.is_none() {
                continue;
            }
            self.not_older(id)?;
            match package.newer {
                Some(_) if package.held => {
                    kept_back.push((pool.shown(id), "it is on hold".to_owned()));
                }
                Some(newer) => upgradable.push(newer),
                None => {}
            }
        }
        let start = upgradable.iter().map(|id| pool.versions[*id].package);
        let cone = Cone::grow(pool, &self.universe.known, start, false);
        if !cone.missing.is_empty() {
            return Ok(Resolved::NeedsCandidates(cone.missing));
        }
        let newest = Scenario {
            newest: true,
            ..Scenario::default()
        };
        let mut solution = solve(pool, &cone, &newest).ok_or_else(|| Unresolved::Broken {
            explanation: "the installed packages do not fit together".to_owned(),
        })?;
        let taken = |solution: &BTreeSet<VersionId>| -> Vec<VersionId> {
            let all = upgradable.iter().copied();
            all.filter(|id| solution.contains(id)).collect()
        };
        let mut stuck = Vec::new();
        for version in &upgradable {
            if solution.contains(version) {
                continue;
            }
            let mut more = newest.clone();
            more.require = taken(&solution);
            more.require.push(*version);
            if let Some(larger) = solve(pool, &cone, &more) {
                solution = larger;
                continue;
            }
            more.require = vec![*version];
            if solve(pool, &cone, &more).is_some() {
                return Err(Unresolved::Choice {
                    explanation: format!(
                        "`{}` can be upgraded only if others are not",
                        pool.shown_version(*version)
                    ),
                });
            }
            stuck.push(*version);
        }
        let marked = taken(&solution);
        let mut scenario = newest.clone();
        scenario.require.clone_from(&marked);
        let solution = self.as_apt_does(&cone, &marked, &scenario, false)?;
        for version in stuck {
            let package = pool.versions[version].package;
            let why = explain(pool, &cone, version);
            // Among packages that have to do with each other apt's own heuristics decide what else
            // it keeps back, or takes in and then has no use for.
            let together = cone.together(pool, package);
            let new = |id: &PackageId| pool.packages[*id].installed.is_none();
            let moves = |id: &VersionId| {
                let version = &pool.versions[*id];
                !version.is_installed() && together.contains(&version.package)
            };
            if together.iter().any(new) || solution.iter().any(moves) {
                let name = pool.shown(package);
                return Err(Unresolved::Choice {
                    explanation: format!(
                        "what it does with others when it keeps `{name}` back ({why})"
                    ),
                });
            }
            kept_back.push((pool.shown(package), why));
        }
        Ok(Resolved::Done(self.resolution(&solution, kept_back)))
    }

    /// Finds the solution with the least changes, and among those with a choice the one that apt has.
    fn as_apt_does(
        &self,
        cone: &Cone,
        marked: &[VersionId],
        scenario: &Scenario,
        by_name: bool,
    ) -> Result<BTreeSet<VersionId>, Unresolved> {
        let pool = &self.pool;
        let mut scenario = scenario.clone();
        loop {
            let solution = solve(pool, cone, &scenario).ok_or_else(|| Unresolved::Choice {
                explanation: "what it would try first does not go together".to_owned(),
            })?;
            let solution = self.least(cone, &scenario.require, solution);
            let answer = Answer {
                solution: &solution,
                marked,
                by_name,
                at_once: self.universe.by_source,
            };
            match choice::check(pool, cone, &answer) {
                Ok(()) => return Ok(solution),
                Err(Objection::Unclear(why)) => return Err(why),
                // Each is in the solution from then on, so that this ends.
                Err(Objection::Rather(first)) => scenario.require.push(first),
            }
        }
    }

    /// Takes away every change that the others can do without, new packages before upgrades.
    fn least(
        &self,
        cone: &Cone,
        require: &[VersionId],
        mut solution: BTreeSet<VersionId>,
    ) -> BTreeSet<VersionId> {
        let pool = &self.pool;
        let is_new = |id: VersionId| pool.package_of(id).installed.is_none();
        let mut extra: Vec<VersionId> = solution
            .iter()
            .copied()
            .filter(|id| !pool.versions[*id].is_installed() && !require.contains(id))
            .collect();
        extra.sort_by_key(|id| (!is_new(*id), std::cmp::Reverse(*id)));
        for change in extra {
            if !solution.contains(&change) {
                continue;
            }
            let forbid = cone
                .members()
                .filter_map(|package| cone.newer(pool, package))
                .filter(|id| *id == change || !solution.contains(id))
                .collect();
            let without = Scenario {
                require: require.to_vec(),
                forbid,
                ..Scenario::default()
            };
            if let Some(smaller) = solve(pool, cone, &without) {
                solution = smaller;
            }
        }
        solution
    }

    /// Finds out what would have to give way.
    fn why_not(&self, require: &[VersionId], cone: &Cone) -> Result<Resolved, Unresolved> {
        let pool = &self.pool;
        let start = require.iter().map(|id| pool.versions[*id].package);
        let loose = Cone::grow(pool, &self.universe.known, start, true);
        if !loose.missing.is_empty() {
            return Ok(Resolved::NeedsCandidates(loose.missing));
        }
        let mut scenario = Scenario {
            require: require.to_vec(),
            ..Scenario::default()
        };
        if let Some(solution) = solve(pool, &loose, &scenario) {
            let solution = self.least(&loose, require, solution);
            let held = solution
                .iter()
                .filter(|id| !pool.versions[**id].is_installed() && pool.package_of(**id).held);
            return Err(Unresolved::Held {
                packages: held
                    .map(|id| pool.shown(pool.versions[*id].package))
                    .collect(),
            });
        }
        scenario.removal = true;
        if let Some(solution) = solve(pool, cone, &scenario) {
            let gone = self.gone(cone, &solution);
            return Err(Unresolved::Removal {
                packages: gone.into_iter().map(|id| pool.shown(id)).collect(),
            });
        }
        let explanation = require
            .iter()
            .find(|version| {
                scenario.require = vec![**version];
                solve(pool, cone, &scenario).is_none()
            })
            .map_or_else(
                || "the wanted packages exclude each other".to_owned(),
                |version| explain(pool, cone, *version),
            );
        Err(Unresolved::Unsatisfiable { explanation })
    }

    /// Returns the installed packages that are not in a solution, with those that need them.
    fn gone(&self, cone: &Cone, solution: &BTreeSet<VersionId>) -> BTreeSet<PackageId> {
        let pool = &self.pool;
        let mut present: BTreeSet<VersionId> = solution.clone();
        let packages = pool.packages.iter().enumerate();
        let outside = packages.filter(|(id, _)| !cone.contains(*id));
        present.extend(outside.filter_map(|(_, package)| package.installed));
        loop {
            let lost = present.iter().copied().find(|id| {
                let mut groups = pool.versions[*id].depends.0.iter();
                groups.any(|group| {
                    let solutions = pool.all_solutions(*id, group);
                    !solutions.iter().any(|id| present.contains(id))
                })
            });
            match lost {
                Some(id) => present.remove(&id),
                None => break,
            };
        }
        let stays: BTreeSet<PackageId> = present
            .iter()
            .map(|id| pool.versions[*id].package)
            .collect();
        let packages = pool.packages.iter().enumerate();
        packages
            .filter(|(id, package)| package.installed.is_some() && !stays.contains(id))
            .map(|(id, _)| id)
            .collect()
    }

    fn not_older(&self, id: PackageId) -> Result<(), Unresolved> {
        let package = &self.pool.packages[id];
        match (package.downgrade, package.installed) {
            (Some(candidate), Some(installed)) => Err(Unresolved::Downgrade {
                package: self.pool.shown(id),
                installed: self.pool.versions[installed].number.to_owned(),
                candidate: candidate.to_owned(),
            }),
            _ => Ok(()),
        }
    }

    fn newest(&self, id: PackageId) -> String {
        let installed = self.pool.packages[id].installed;
        let version = installed.map_or("", |version| self.pool.versions[version].number);
        format!("no repository has a newer version than {version} that apt would take")
    }

    fn resolution(
        &self,
        solution: &BTreeSet<VersionId>,
        mut kept_back: Vec<(String, String)>,
    ) -> Resolution {
        let mut out = Resolution::default();
        for id in solution {
            if let Some(place) = self.pool.versions[*id].candidate {
                if self.pool.package_of(*id).installed.is_some() {
                    out.upgrades.push(place);
                } else {
                    out.new.push(place);
                }
            }
        }
        out.upgrades.sort_unstable();
        out.new.sort_unstable();
        kept_back.sort();
        out.kept_back = kept_back;
        out
    }
}
