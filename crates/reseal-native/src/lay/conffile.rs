//! What becomes of configuration files: dpkg's table of who changed what, with the image's version kept in doubt.

use reseal_rootfs::NodeKind;

use super::stop::Stop;
use super::unpack::{Pending, Work};
use super::{Part, Run, attributes, hex, node};
use crate::database::{conffiles, stanza};
use crate::raw::Attributes;
use crate::view::{Place, Seen};

/// The decision on one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decision {
    /// The image's version stays, or its absence.
    Keep,
    /// The same, with the package's version beside it.
    KeepBeside,
    /// The package's version comes in.
    Install,
}

/// Decides by the digests of the version that was shipped before, of the one in the image and of the new one.
fn decide(recorded: &str, current: Option<&str>, new: &str) -> Decision {
    match current {
        Some(current) if current == new => Decision::Keep,
        None if recorded == conffiles::NEW => Decision::Install,
        // Neither package nor administrator had it from a version before: somebody wrote it.
        Some(_) if recorded == conffiles::NEW => Decision::KeepBeside,
        _ => match (current == Some(recorded), recorded == new) {
            (_, true) => Decision::Keep,
            (true, false) => Decision::Install,
            (false, false) => Decision::KeepBeside,
        },
    }
}

impl Run<'_, '_, '_> {
    /// Decides on all configuration files of a package, or leaves them to dpkg.
    pub(super) fn configure(&mut self, part: &Part<'_>, work: &mut Work) -> Result<(), Stop> {
        for pending in std::mem::take(&mut work.pending) {
            let used = self
                .diversions
                .used(&pending.path, part.deb.name)
                .to_owned();
            let place = self.view.lstat(&used);
            let Some(real) = place.real().map(str::to_owned) else {
                return part.refuse(format!("the directory of `{}` is not there", pending.path));
            };
            // It was beside until now.
            self.view.touch(crate::view::parent(&real));
            if part.left {
                self.write_beside(
                    part,
                    &format!("{real}.dpkg-new"),
                    pending.attributes,
                    &pending,
                )?;
                continue;
            }
            let Some(at) = work
                .conffiles
                .iter()
                .position(|file| file.path == pending.path)
            else {
                continue;
            };
            let new = work
                .md5
                .get(&pending.path)
                .map(|md5| hex(md5))
                .unwrap_or_default();
            let (current, here) = match &place {
                Place::There(_, seen) if seen.node.kind == NodeKind::File => {
                    let Some(md5) = self.current(&real, seen) else {
                        return part
                            .refuse(format!("`{}` was not read in the image", pending.path));
                    };
                    (Some(md5), Some(attributes(&seen.node)))
                }
                Place::There(..) => {
                    return part.refuse(format!(
                        "`{}` is no regular file in the image",
                        pending.path
                    ));
                }
                _ => (None, None),
            };
            // Owner and mode are those of the image's version.
            let attributes = match here {
                Some(here) => Attributes {
                    mtime: pending.attributes.mtime,
                    ..here
                },
                None => pending.attributes,
            };
            match decide(&work.conffiles[at].hash, current.as_deref(), &new) {
                Decision::Keep => {
                    if current.as_deref() != Some(new.as_str()) {
                        self.kept_conffiles.insert(pending.path.clone());
                    }
                }
                Decision::KeepBeside => {
                    self.remove(&format!("{real}.dpkg-old"));
                    self.write_beside(part, &format!("{real}.dpkg-dist"), attributes, &pending)?;
                    self.kept_conffiles.insert(pending.path.clone());
                    self.activate_path(&used, part.unit);
                }
                Decision::Install => {
                    self.write_beside(part, &real, attributes, &pending)?;
                    self.place(part.unit, &real, pending.sha256);
                    self.activate_path(&used, part.unit);
                }
            }
            work.conffiles[at].hash = new;
        }
        self.units[part.unit].conffiles.clone_from(&work.conffiles);
        Ok(())
    }

    /// Returns the digest of what is at a path below `etc`.
    fn current(&self, real: &str, seen: &Seen) -> Option<String> {
        if let Some(md5) = seen.node.md5 {
            return Some(hex(&md5));
        }
        let contents = self.tree.contents(real).filter(|_| seen.by.is_none())?;
        Some(hex(&<md5::Md5 as md5::Digest>::digest(contents)))
    }

    fn write_beside(
        &mut self,
        part: &Part<'_>,
        real: &str,
        attributes: Attributes,
        pending: &Pending,
    ) -> Result<(), Stop> {
        if self.view.lstat(real).kind() == Some(NodeKind::Dir) {
            return part.refuse(format!("`{real}` is a directory"));
        }
        self.raw
            .bytes(real, attributes, &pending.bytes)
            .map_err(Stop::Write)?;
        let node = node(NodeKind::File, attributes, pending.bytes.len() as u64, None);
        let by = Some(part.unit);
        self.view.put(real, Seen { node, by });
        Ok(())
    }

    /// Notes in another package's stanza that a configuration file is no longer its own.
    pub(super) fn disown_conffile(&mut self, unit: usize, path: &str) {
        let other = &mut self.units[unit];
        let Some(file) = other.conffiles.iter_mut().find(|file| file.path == path) else {
            return;
        };
        if file.obsolete {
            return;
        }
        file.obsolete = true;
        if other.in_run && !other.done {
            return;
        }
        let key = (other.name.clone(), other.architecture.clone());
        let stanza = match other.index {
            Some(index) => self
                .stanzas
                .entry(index)
                .or_insert_with(|| self.order.database.packages[index].stanza.clone()),
            None => self.new_stanzas.entry(key).or_default(),
        };
        *stanza = stanza::with_conffiles(stanza, &other.conffiles);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_wins_in_doubt() {
        for (recorded, current, new, expected) in [
            ("1", Some("1"), "2", Decision::Install),
            ("1", Some("1"), "1", Decision::Keep),
            ("1", Some("9"), "1", Decision::Keep),
            ("1", Some("9"), "2", Decision::KeepBeside),
            ("1", Some("2"), "2", Decision::Keep),
            ("1", None, "1", Decision::Keep),
            ("1", None, "2", Decision::KeepBeside),
            (conffiles::NEW, None, "2", Decision::Install),
            (conffiles::NEW, Some("9"), "2", Decision::KeepBeside),
            (conffiles::NEW, Some("2"), "2", Decision::Keep),
        ] {
            assert_eq!(
                decide(recorded, current, new),
                expected,
                "{recorded} {current:?} {new}"
            );
        }
    }
}
