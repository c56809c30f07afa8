//! Triggers: who is called, and whether that matters.

use std::collections::{BTreeMap, BTreeSet};

use super::part::INFO;
use super::{Part, Run};
use crate::database::stanza;
use crate::order::{Effect, Scripts};
use crate::scripts::{CERTIFICATES, Table};
use crate::{NativeError, Refusal};

/// The trigger that has the dynamic linker's cache written, and the package that does it.
const LINKER: (&str, &str) = ("ldconfig", "libc-bin");
/// The same for links to certificates.
const LINKS: (&str, &str) = ("update-ca-certificates", CERTIFICATES);

impl Run<'_, '_, '_> {
    /// Activates what the old and the new version activate whenever they change.
    pub(super) fn activate_by_control(&mut self, part: &Part<'_>) {
        let old = part.old.as_ref().map(|old| old.triggers.as_slice());
        let directives: Vec<String> = part
            .triggers
            .iter()
            .chain(old.unwrap_or_default())
            .filter(|directive| !directive.interest)
            .map(|directive| directive.trigger.clone())
            .collect();
        for trigger in directives {
            if trigger.starts_with('/') {
                self.activate_path(&trigger, part.unit);
            } else {
                self.activate(&trigger, part.unit);
            }
        }
    }

    /// Decides on every package that was triggered. `cache`: the dynamic linker's cache is up to date; `certificates`: so
    /// are the links to certificates.
    pub(super) fn settle_triggers(
        &mut self,
        parts: &[Part<'_>],
        cache: bool,
        certificates: bool,
    ) -> Result<(), NativeError> {
        for (package, triggers) in self.pending() {
            let Some(unit) = self.unit_of(&package) else {
                continue;
            };
            let part = parts.iter().find(|part| part.unit == unit);
            // dpkg configures it anyway, and by that does what its triggers ask for.
            if part.is_some_and(|part| part.left) {
                continue;
            }
            let postinst = match part {
                Some(part) => part.control.get("postinst"),
                None => self
                    .tree
                    .contents(&format!("{INFO}/{}.postinst", self.units[unit].label())),
            };
            let Some(postinst) = postinst else { continue };
            let name = self.units[unit].name.clone();
            let known = Table::built_in().trigger_is_inert(&name, postinst);
            let rest: Vec<String> = triggers
                .iter()
                .filter(|trigger| {
                    let of = (trigger.as_str(), name.as_str());
                    !((cache && of == LINKER) || (certificates && of == LINKS))
                })
                .cloned()
                .collect();
            let left = match self.order.scripts {
                _ if known || rest.is_empty() => false,
                Scripts::Assume => false,
                Scripts::Configure => true,
                Scripts::Refuse => {
                    let why = format!("what its trigger `{}` does is not known", rest.join("`, `"));
                    return Err(Refusal::new(name, why).into());
                }
            };
            if left {
                self.mark_pending(unit, &rest)?;
            }
            self.effects.push(Effect::Triggered {
                package,
                triggers: if left { rest } else { triggers },
                left,
            });
        }
        Ok(())
    }

    /// Returns the triggers of each interested package; those that only a package itself activated, while it was being
    /// unpacked, do not count.
    pub(super) fn pending(&self) -> BTreeMap<String, Vec<String>> {
        let mut out: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (trigger, by) in &self.activated {
            let interested: BTreeSet<&str> = self.interests.of(trigger).collect();
            for package in interested {
                let unit = self.unit_of(package);
                if by.iter().any(|by| Some(*by) != unit) {
                    out.entry(package.to_owned())
                        .or_default()
                        .push(trigger.clone());
                }
            }
        }
        out
    }

    /// Finds an installed package by dpkg's name for it.
    fn unit_of(&self, label: &str) -> Option<usize> {
        let (name, architecture) = label.split_once(':').unwrap_or((label, ""));
        self.units.iter().position(|unit| {
            unit.name == name
                && (architecture.is_empty() || unit.architecture == architecture)
                && unit.state == reseal_pkg::dpkg::State::Installed
        })
    }

    fn mark_pending(&mut self, unit: usize, triggers: &[String]) -> Result<(), NativeError> {
        let unit = &self.units[unit];
        let key = (unit.name.clone(), unit.architecture.clone());
        let stanza = match unit.index {
            Some(index) => self
                .stanzas
                .entry(index)
                .or_insert_with(|| self.order.database.packages[index].stanza.clone()),
            None => self.new_stanzas.entry(key).or_default(),
        };
        *stanza =
            stanza::with_pending(stanza, triggers).map_err(|source| NativeError::Archive {
                package: unit.name.clone(),
                source,
            })?;
        Ok(())
    }
}
