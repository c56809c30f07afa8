//! What the old version of a package leaves behind.

use reseal_rootfs::NodeKind;

use super::stop::Stop;
use super::unpack::Work;
use super::{Part, Run, hex};
use crate::database::{Conffile, conffiles};
use crate::view::Place;

impl Run<'_, '_, '_> {
    /// Removes what only the old version had. Its configuration files stay, as obsolete ones.
    pub(super) fn remove_old(&mut self, part: &Part<'_>, work: &mut Work) -> Result<(), Stop> {
        let to_remove: Vec<Conffile> = work
            .conffiles
            .iter()
            .filter(|file| file.remove_on_upgrade)
            .cloned()
            .collect();
        for file in &to_remove {
            self.remove_conffile(part, file)?;
        }
        let Some(old) = &part.old else { return Ok(()) };
        let list: Vec<String> = self
            .owners
            .list_before(part.unit)
            .into_iter()
            .map(str::to_owned)
            .collect();
        for name in list.iter().rev() {
            if work.in_archive.contains(name) || part.declared.iter().any(|file| &file.path == name)
            {
                continue;
            }
            let used = self.diversions.used(name, part.deb.name).to_owned();
            if self.view.stat(&used).kind() == Some(NodeKind::Dir)
                && self.is_used_by_others(part, name)
            {
                continue;
            }
            let Place::There(real, seen) = self.view.lstat(&used) else {
                continue;
            };
            if seen.node.kind == NodeKind::Dir {
                self.activate_path(&used, part.unit);
                if !real.is_empty() && self.view.names(&real).is_empty() {
                    self.view.remove(&real);
                }
                continue;
            }
            // The same file under another name, past a link: it is the new version's.
            let same = work.real.get(&real);
            let conffile = old.conffiles.iter().find(|file| &file.path == name);
            if let Some(recorded) = conffile {
                match same
                    .and_then(|same| work.conffiles.iter_mut().find(|file| &file.path == same))
                {
                    Some(new) if new.hash == conffiles::NEW => new.hash.clone_from(&recorded.hash),
                    Some(_) => {}
                    None if same.is_some() => {}
                    None => {
                        work.conffiles.push(Conffile {
                            obsolete: true,
                            remove_on_upgrade: false,
                            ..recorded.clone()
                        });
                        work.list.push(name.clone());
                    }
                }
                continue;
            }
            // Another package of this run took it over already.
            if same.is_some() || seen.by.is_some() {
                continue;
            }
            self.activate_path(&used, part.unit);
            self.view.remove(&real);
        }
        Ok(())
    }

    fn is_used_by_others(&self, part: &Part<'_>, name: &str) -> bool {
        self.owners
            .of(name)
            .into_iter()
            .any(|unit| unit != part.unit)
    }

    /// Removes a configuration file that the new version wants to be rid of.
    fn remove_conffile(&mut self, part: &Part<'_>, file: &Conffile) -> Result<(), Stop> {
        if self.is_used_by_others(part, &file.path) {
            return Ok(());
        }
        let used = self.diversions.used(&file.path, part.deb.name).to_owned();
        let place = self.view.stat(&used);
        let Some(real) = place.real() else {
            return Ok(());
        };
        self.remove(&format!("{real}.dpkg-dist"));
        let Place::There(real, seen) = place else {
            return Ok(());
        };
        if seen.node.md5.map(|md5| hex(&md5)).as_ref() != Some(&file.hash) {
            return part.refuse(format!(
                "`{}` was changed in the image, and dpkg would give it another name",
                file.path
            ));
        }
        self.view.remove(&real);
        Ok(())
    }
}
