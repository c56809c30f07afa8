//! Whether a package may have a path that another one has.

use std::collections::BTreeMap;

use reseal_oci::layer::EntryKind;
use reseal_pkg::dpkg::State;
use reseal_rootfs::NodeKind;

use super::stop::Stop;
use super::{Part, Run};
use crate::view::Place;

/// What comes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claim {
    /// The package gets the path.
    Takes,
    /// The same package of another architecture has it, in the same version.
    Shares(usize),
    /// The other package keeps it.
    Leaves,
}

/// What was found out about another package: it is replaced, or it replaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    Replaced,
    Replaces,
}

impl Run<'_, '_, '_> {
    /// Decides by dpkg's rules on one path of an archive, in the order in which dpkg asks.
    pub(super) fn claim(
        &self,
        part: &Part<'_>,
        path: &str,
        kind: EntryKind,
        there: &Place,
        conffile: bool,
        said: &mut BTreeMap<usize, Said>,
    ) -> Result<Claim, Stop> {
        let mut claim = Claim::Takes;
        for owner in self.owners.of(path) {
            if owner == part.unit {
                continue;
            }
            let other = &self.units[owner];
            if other.name == part.deb.name && other.same && part.same {
                // Instances of different versions, on their way to the same one, may overwrite each other.
                if there.seen().is_some() && other.version == part.deb.version {
                    claim = Claim::Shares(owner);
                }
                continue;
            }
            if let Some(by) = self.diversions.by(path)
                && by.is_some_and(|by| by == other.name || by == part.deb.name)
            {
                continue;
            }
            if there.seen().is_none() && kind == EntryKind::Dir {
                continue;
            }
            match said.get(&owner) {
                Some(Said::Replaced) => continue,
                Some(Said::Replaces) => return Ok(Claim::Leaves),
                None => {}
            }
            let pending = other.in_run && !other.done;
            // Its new version has its own say, when its turn comes.
            if pending || other.state == State::ConfigFiles {
                continue;
            }
            let obsolete = || {
                let of_path =
                    |file: &&crate::database::Conffile| file.obsolete && file.path == path;
                other.conffiles.iter().any(|file| of_path(&file))
            };
            if conffile && there.kind() == Some(NodeKind::File) && obsolete() {
                continue;
            }
            let mut new = self.units[part.unit].clone();
            part.deb.version.clone_into(&mut new.version);
            new.replaces = part.replaces.clone();
            if new.replaces(other) {
                said.insert(owner, Said::Replaced);
            } else if other.replaces(&new) {
                said.insert(owner, Said::Replaces);
                return Ok(Claim::Leaves);
            } else {
                return part.refuse(format!(
                    "its file `{path}` is in the package `{}` too, which it does not replace",
                    other.name
                ));
            }
        }
        Ok(claim)
    }
}
