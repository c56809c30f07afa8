//! Whether a solution is the one that apt takes.
//!
//! apt does not solve, it marks: for a dependency that nothing satisfies yet it takes the first
//! alternative of a fixed order. A solution counts as apt's if each of its changes is such a first
//! choice, or if there is no solution without it.

use std::collections::BTreeSet;

use reseal_pkg::dpkg::Relation;

use crate::{
    Unresolved,
    cone::Cone,
    pool::{Pool, VersionId},
    problem::{Scenario, solve},
};

/// Checks every change of a solution; `marked` are those that apt marks before it looks at any
/// dependency.
pub(crate) fn check(
    pool: &Pool<'_>,
    cone: &Cone,
    solution: &BTreeSet<VersionId>,
    marked: &[VersionId],
) -> Result<(), Unresolved> {
    let changes = || {
        let changed = |id: &&VersionId| !pool.versions[**id].is_installed();
        solution.iter().filter(changed).copied()
    };
    let mut chosen: BTreeSet<VersionId> = marked.iter().copied().collect();
    for from in changes() {
        for group in &pool.versions[from].depends.0 {
            let solutions: Vec<VersionId> = group
                .iter()
                .flat_map(|relation| pool.solutions(from, relation))
                .collect();
            let stays = |id: &VersionId| {
                let version = &pool.versions[*id];
                version.is_installed() && (!cone.contains(version.package) || solution.contains(id))
            };
            if solutions.iter().any(|id| stays(id) || marked.contains(id)) {
                continue;
            }
            match first(pool, cone, from, group) {
                Some(first) if solution.contains(&first) => {
                    chosen.insert(first);
                }
                _ => {
                    return Err(Unresolved::Choice {
                        explanation: format!(
                            "`{}` can have its dependency on `{}` met in more than one way",
                            pool.shown_version(from),
                            reseal_pkg::dpkg::Relations(vec![group.clone()]),
                        ),
                    });
                }
            }
        }
    }
    for change in changes().filter(|change| !chosen.contains(change)) {
        let without = Scenario {
            require: marked.to_vec(),
            forbid: BTreeSet::from([change]),
            ..Scenario::default()
        };
        if solve(pool, cone, &without).is_some() {
            return Err(Unresolved::Choice {
                explanation: format!(
                    "there is a way with and one without `{}`",
                    pool.shown_version(change)
                ),
            });
        }
    }
    Ok(())
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
