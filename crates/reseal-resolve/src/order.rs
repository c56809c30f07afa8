//! Whether what is installed is in order.

use reseal_pkg::dpkg::Relations;

use crate::{Unresolved, pool::Pool};

/// Checks that what is installed fits together: apt does nothing before that is so.
pub(crate) fn in_order(pool: &Pool<'_>) -> Result<(), Unresolved> {
    let fail = |explanation| Err(Unresolved::Broken { explanation });
    for (id, version) in pool.versions.iter().enumerate() {
        if !version.is_installed() {
            continue;
        }
        for group in &version.depends.0 {
            let met = group.iter().any(|relation| {
                let solutions = pool.solutions(id, relation);
                solutions.iter().any(|s| pool.versions[*s].is_installed())
            });
            if !met {
                return fail(format!(
                    "`{}` needs `{}`, which is not installed",
                    pool.shown_version(id),
                    Relations(vec![group.clone()])
                ));
            }
        }
        for relation in version.negative() {
            for other in pool.excluded(id, relation) {
                if pool.versions[other].is_installed() {
                    return fail(format!(
                        "`{}` cannot be beside `{}`",
                        pool.shown_version(id),
                        pool.shown_version(other)
                    ));
                }
            }
        }
        for sibling in pool.named(pool.package_of(id).name) {
            if let Some(other) = pool.packages[*sibling].installed
                && other != id
                && !pool.side_by_side(id, other)
            {
                return fail(format!(
                    "`{}` cannot be beside `{}`",
                    pool.shown_version(id),
                    pool.shown_version(other)
                ));
            }
        }
    }
    Ok(())
}
