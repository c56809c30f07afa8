//! Says in words why a version cannot come in.

use std::collections::BTreeSet;

use reseal_pkg::dpkg::Relations;

use crate::{
    cone::Cone,
    pool::{Pool, VersionId},
};

/// How many packages are looked at in search of a reason; each is a call within a call.
const LONGEST: usize = 200;

/// Returns the first thing that stands in the way of a version, following what it alone can have.
pub(crate) fn explain(pool: &Pool<'_>, cone: &Cone, version: VersionId) -> String {
    reason(pool, cone, version, &mut BTreeSet::new()).unwrap_or_else(|| {
        format!(
            "what `{}` and the installed packages need does not go together",
            pool.shown_version(version)
        )
    })
}

fn reason(
    pool: &Pool<'_>,
    cone: &Cone,
    from: VersionId,
    seen: &mut BTreeSet<VersionId>,
) -> Option<String> {
    if seen.len() > LONGEST || !seen.insert(from) {
        return None;
    }
    let version = &pool.versions[from];
    for group in &version.depends.0 {
        let solutions: Vec<VersionId> = pool
            .all_solutions(from, group)
            .into_iter()
            .filter(|id| {
                let package = pool.versions[*id].package;
                pool.versions[*id].is_installed() || cone.newer(pool, package) == Some(*id)
            })
            .collect();
        match solutions[..] {
            [] => {
                return Some(format!(
                    "`{}` needs `{}`, which nothing satisfies",
                    pool.shown_version(from),
                    Relations(vec![group.clone()])
                ));
            }
            [only] if !pool.versions[only].is_installed() => {
                if let Some(found) = reason(pool, cone, only, seen) {
                    return Some(found);
                }
            }
            _ => {}
        }
    }
    for relation in version.negative() {
        for other in pool.excluded(from, relation) {
            let package = pool.versions[other].package;
            if pool.versions[other].is_installed() && cone.newer(pool, package).is_none() {
                return Some(format!(
                    "`{}` cannot be installed beside `{}`",
                    pool.shown_version(from),
                    pool.shown_version(other)
                ));
            }
        }
    }
    left_behind(pool, cone, from)
}

/// Names an installed package that needs the version that would go.
fn left_behind(pool: &Pool<'_>, cone: &Cone, from: VersionId) -> Option<String> {
    let package = pool.versions[from].package;
    let old = pool.packages[package].installed?;
    for (id, version) in pool.versions.iter().enumerate() {
        let stuck = version.is_installed()
            && version.package != package
            && cone.newer(pool, version.package).is_none();
        if !stuck {
            continue;
        }
        for group in &version.depends.0 {
            let solutions = pool.all_solutions(id, group);
            if solutions == [old] {
                return Some(format!(
                    "the installed `{}` needs `{}`",
                    pool.shown_version(id),
                    Relations(vec![group.clone()])
                ));
            }
        }
    }
    None
}
