//! Whether a solution is the one that apt takes.
//!
//! apt does not solve, it marks: for a dependency that nothing satisfies yet it takes the first
//! alternative of a fixed order. A solution counts as apt's if each of its changes is such a first
//! choice, or if there is no solution without it.

use std::collections::BTreeSet;

use reseal_pkg::dpkg::{Relation, Relations};

use crate::{
    Unresolved,
    cone::Cone,
    pool::{Pool, VersionId},
    problem::{Scenario, solve},
};

/// A solution, and what apt marks before it looks at any dependency.
pub(crate) struct Answer<'s> {
    pub(crate) solution: &'s BTreeSet<VersionId>,
    pub(crate) marked: &'s [VersionId],
    /// Whether the marked ones were asked for by name, which makes apt hold on to what they need.
    pub(crate) by_name: bool,
    /// Whether apt marks what marking leaves broken at once: since 2.5.2, the version that also
    /// began to upgrade by source.
    pub(crate) at_once: bool,
}

/// What speaks against an answer.
pub(crate) enum Objection {
    /// apt would try this version before the one that the answer has.
    Rather(VersionId),
    /// Which answer apt has cannot be told.
    Unclear(Unresolved),
}

/// Checks every change of an answer.
pub(crate) fn check(pool: &Pool<'_>, cone: &Cone, answer: &Answer<'_>) -> Result<(), Objection> {
    let checker = Checker { pool, cone, answer };
    let mut chosen: BTreeSet<VersionId> = answer.marked.iter().copied().collect();
    checker.follow(&mut chosen, answer.marked.to_vec())?;
    checker.stayers(&chosen)?;
    let rest: Vec<VersionId> = answer
        .solution
        .iter()
        .copied()
        .filter(|id| !pool.versions[*id].is_installed() && !chosen.contains(id))
        .collect();
    for change in &rest {
        if !answer.at_once && checker.pushes(*change, &rest) {
            return Err(objection(format!(
                "`{}` has to come in for another package, and pushes out more",
                pool.shown_version(*change)
            )));
        }
        let without = Scenario {
            require: answer.marked.to_vec(),
            forbid: BTreeSet::from([*change]),
            ..Scenario::default()
        };
        if solve(pool, cone, &without).is_some() {
            return Err(objection(format!(
                "there is a way with and one without `{}`",
                pool.shown_version(*change)
            )));
        }
    }
    chosen.extend(&rest);
    checker.follow(&mut chosen, rest)
}

struct Checker<'c, 'a> {
    pool: &'c Pool<'a>,
    cone: &'c Cone,
    answer: &'c Answer<'c>,
}

impl Checker<'_, '_> {
    /// Tells whether a version is there before and after.
    fn stays(&self, id: VersionId) -> bool {
        let version = &self.pool.versions[id];
        let outside = !self.cone.contains(version.package);
        version.is_installed() && (outside || self.answer.solution.contains(&id))
    }

    /// Tells whether a change that nothing marks pushes out another such one's old version: the repair
    /// of what marking left broken does not look that far.
    fn pushes(&self, change: VersionId, rest: &[VersionId]) -> bool {
        let pool = self.pool;
        let pushed = pool.versions[change]
            .negative()
            .flat_map(|relation| pool.excluded(change, relation));
        pushed
            .filter(|id| pool.versions[*id].is_installed())
            .any(|id| {
                let newer = pool.package_of(id).newer;
                newer.is_some_and(|newer| rest.contains(&newer))
            })
    }

    /// Follows the dependencies of what is marked, and of what that marks.
    fn follow(
        &self,
        chosen: &mut BTreeSet<VersionId>,
        mut queue: Vec<VersionId>,
    ) -> Result<(), Objection> {
        let (pool, answer) = (self.pool, self.answer);
        while let Some(from) = queue.pop() {
            for group in &pool.versions[from].depends.0 {
                let solutions = pool.all_solutions(from, group);
                if answer.by_name && may_be_pulled(pool, &solutions) {
                    return unclear(pool, from, group);
                }
                let met = solutions
                    .iter()
                    .any(|id| self.stays(*id) || (!answer.by_name && answer.marked.contains(id)));
                if met || self.cone.always(pool, &solutions) {
                    continue;
                }
                match first(pool, self.cone, from, group) {
                    Some(first) if answer.solution.contains(&first) => {
                        if chosen.insert(first) {
                            queue.push(first);
                        }
                    }
                    Some(first) if self.is_free(&solutions) => {
                        return Err(Objection::Rather(first));
                    }
                    _ => return unclear(pool, from, group),
                }
            }
        }
        Ok(())
    }

    /// Tells whether nothing else asks for what meets a dependency: then the order of alternatives
    /// alone decides, while otherwise it also counts which of them apt comes to first.
    fn is_free(&self, solutions: &[VersionId]) -> bool {
        let without = Scenario {
            require: self.answer.marked.to_vec(),
            forbid: solutions
                .iter()
                .copied()
                .filter(|id| self.answer.solution.contains(id))
                .collect(),
            ..Scenario::default()
        };
        solve(self.pool, self.cone, &without).is_some()
    }

    /// Checks packages that stay although something that they need goes.
    ///
    /// apt upgrades such a package if it can, also where only one of several alternatives goes.
    fn stayers(&self, chosen: &BTreeSet<VersionId>) -> Result<(), Objection> {
        let (pool, answer) = (self.pool, self.answer);
        let installed = pool.packages.iter().filter_map(|package| package.installed);
        for from in installed.filter(|id| self.stays(*id)) {
            let upgradable = pool.package_of(from).newer.is_some();
            for group in &pool.versions[from].depends.0 {
                let solutions = pool.all_solutions(from, group);
                // Met by the same package as before, in whichever version, or by what is marked.
                let met = solutions.iter().any(|id| {
                    let old = pool.package_of(*id).installed;
                    let still = answer.solution.contains(id)
                        && old.is_some_and(|old| solutions.contains(&old));
                    still || self.stays(*id) || chosen.contains(id)
                });
                let loses = upgradable
                    && group.iter().any(|relation| {
                        let ways = pool.solutions(from, relation);
                        ways.iter().any(|id| {
                            let newer = pool.package_of(*id).newer;
                            pool.versions[*id].is_installed()
                                && !self.stays(*id)
                                && !newer.is_some_and(|newer| ways.contains(&newer))
                        })
                    });
                if !met || loses {
                    return unclear(pool, from, group);
                }
            }
        }
        Ok(())
    }
}

/// Tells whether only an installed version meets a dependency although there is a newer one: apt may
/// then take the newer one all the same.
fn may_be_pulled(pool: &Pool<'_>, solutions: &[VersionId]) -> bool {
    let [only] = solutions else {
        return false;
    };
    let package = pool.package_of(*only);
    pool.versions[*only].is_installed() && package.newer.is_some() && !package.held
}

fn unclear(pool: &Pool<'_>, from: VersionId, group: &[Relation]) -> Result<(), Objection> {
    Err(objection(format!(
        "the dependency of `{}` on `{}` can be met in more than one way",
        pool.shown_version(from),
        Relations(vec![group.to_vec()]),
    )))
}

fn objection(explanation: String) -> Objection {
    Objection::Unclear(Unresolved::Choice { explanation })
}

/// Returns what apt marks first for a dependency; `None` if that cannot be told.
///
/// Newer versions of what is installed come before packages that are not, then the order of the
/// alternatives counts, and within one some properties of who provides it.
fn first(pool: &Pool<'_>, cone: &Cone, from: VersionId, group: &[Relation]) -> Option<VersionId> {
    let own = pool.package_of(from).architecture;
    let mut ranked: Vec<_> = group
        .iter()
        .enumerate()
        .flat_map(|(alternative, relation)| {
            pool.solutions(from, relation)
                .into_iter()
                .filter(|id| cone.newer(pool, pool.versions[*id].package) == Some(*id))
                .map(move |id| {
                    let package = pool.package_of(id);
                    let (essential, protected) = pool.versions[id].weight;
                    let rank = (
                        package.installed.is_none(),
                        alternative,
                        package.name != relation.name,
                        !essential,
                        !protected,
                        package.architecture != own,
                    );
                    (rank, id)
                })
        })
        .collect();
    ranked.sort_unstable();
    match ranked[..] {
        [] => None,
        [(_, one)] => Some(one),
        // Beyond this apt compares priorities and the order of its cache.
        [(a, one), (b, other), ..] => (a != b || one == other).then_some(one),
    }
}
