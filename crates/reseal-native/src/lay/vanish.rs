//! Packages of which nothing is left: dpkg forgets one whose every path another package has, unless it is needed.

use super::Run;
use crate::Refusal;

impl Run<'_, '_, '_> {
    /// Refuses a run after which dpkg would forget a package.
    pub(super) fn check_vanished(&self) -> Result<(), Refusal> {
        for (unit, named) in self.units.iter().enumerate() {
            if named.in_run || named.index.is_none() {
                continue;
            }
            let list = self.owners.list_before(unit);
            let taken = self.owners.is_robbed(unit);
            if list.iter().all(|path| *path == "/.") && !taken {
                continue;
            }
            // The last ones are the least likely to be a directory of many.
            let saves = |path: &&&str| self.owners.of(path).into_iter().eq([unit]);
            if list.iter().rev().any(|path| saves(&path)) || self.is_needed(&named.name) {
                continue;
            }
            return Err(Refusal::new(
                &*named.name,
                "other packages have all of its files, and dpkg would forget it",
            ));
        }
        Ok(())
    }

    /// Tells whether a package that stays depends on nothing but this one.
    fn is_needed(&self, name: &str) -> bool {
        let mut stay = self.units.iter().filter(|unit| !unit.in_run);
        stay.any(|unit| {
            let Some(package) = unit.index.map(|index| &self.order.database.packages[index]) else {
                return false;
            };
            ["Depends", "Pre-Depends", "Recommends"]
                .iter()
                .any(|field| {
                    let relations = package.relations(field).unwrap_or_default();
                    relations
                        .0
                        .iter()
                        .any(|any| matches!(any.as_slice(), [only] if only.name == name))
                })
        })
    }
}
