//! dpkg's and apt's own files.

use std::fmt::Write as _;

use reseal_pkg::dpkg::Database;

use super::stop::Stop;
use super::unpack::Work;
use super::{INFO, Part, Run, hex};
use crate::database::{Standing, marks, stanza};
use crate::order::Effect;
use crate::raw::Attributes;
use crate::{NativeError, Refusal};

const STATUS: &str = "var/lib/dpkg/status";
const MARKS: &str = "var/lib/apt/extended_states";
const TRIGGERS: &str = "var/lib/dpkg/triggers";
/// Control files that dpkg runs.
const SCRIPTS: [&str; 5] = ["preinst", "postinst", "prerm", "postrm", "config"];

impl Run<'_, '_, '_> {
    /// Writes the control files of a package and keeps its stanza.
    pub(super) fn note(&mut self, part: &Part<'_>, work: &Work) -> Result<(), Stop> {
        let stem = part.stem();
        self.write_info(part, &stem, work)
            .map_err(|error| match error {
                NativeError::Refused(refusal) => Stop::Refused(refusal),
                NativeError::Write(error) => Stop::Write(error),
                other => Stop::Refused(Refusal::new(part.deb.name, other.to_string())),
            })?;
        let old = part.old.as_ref();
        let label = self.units[part.unit].label();
        self.interests.replace(
            old.map_or(("", &[]), |old| (old.label.as_str(), &old.triggers)),
            (&label, &part.triggers),
        );
        let config_version = old.filter(|old| part.left && !old.version.is_empty());
        let stanza = stanza::write(
            &part.fields,
            &Standing {
                status: if part.left {
                    "install ok unpacked"
                } else {
                    "install ok installed"
                },
                before: old.map(|old| &old.fields),
                config_version: config_version.map(|old| old.version.as_str()),
                conffiles: &work.conffiles,
                pending: &[],
            },
        )?;
        if let Some(index) = self.units[part.unit].index {
            self.stanzas.insert(index, stanza);
        } else {
            let key = (part.deb.name.to_owned(), part.deb.architecture.to_owned());
            self.new_stanzas.insert(key, stanza);
        }
        if part.left {
            self.effects.push(Effect::LeftUnpacked { package: label });
        }
        Ok(())
    }

    fn write_info(&mut self, part: &Part<'_>, stem: &str, work: &Work) -> Result<(), NativeError> {
        let is_new = |member: &str| part.control.get(member).is_some() && !member.contains('.');
        let stems = part
            .old
            .as_ref()
            .map(|old| old.stem.as_str())
            .into_iter()
            .chain([stem]);
        for old in stems.collect::<std::collections::BTreeSet<_>>() {
            for name in self.view.names(INFO) {
                let Some(member) = name
                    .strip_prefix(old)
                    .and_then(|rest| rest.strip_prefix('.'))
                else {
                    continue;
                };
                // The list is written at the end, and the file of another stem goes with its members.
                let stays = old == stem && (member == "list" || is_new(member));
                if !stays && !member.contains('.') {
                    self.remove(&format!("{INFO}/{name}"));
                }
            }
        }
        for (member, file) in part.control.iter() {
            if matches!(member, "control" | "list") || member.contains('.') {
                continue;
            }
            let runs = SCRIPTS.contains(&member) && file.mode & 0o111 == 0;
            let attributes = Attributes {
                mtime: file.mtime,
                ..Attributes::written(if runs { 0o755 } else { file.mode })
            };
            self.record(
                &format!("{INFO}/{stem}.{member}"),
                attributes,
                &file.contents,
            )?;
        }
        if part.control.get("md5sums").is_none() {
            let mut sums = String::new();
            for path in self.owners.now(part.unit) {
                if let Some(md5) = work.md5.get(path) {
                    let _ = writeln!(sums, "{}  {}", hex(md5), path.trim_start_matches('/'));
                }
            }
            self.record(
                &format!("{INFO}/{stem}.md5sums"),
                Attributes::written(0o644),
                sums.as_bytes(),
            )?;
        }
        Ok(())
    }

    /// Writes everything that is about all packages, and returns the database.
    pub(super) fn write_records(&mut self, parts: &[Part<'_>]) -> Result<Database, NativeError> {
        let lists: Vec<_> = self
            .owners
            .changed()
            .into_iter()
            .map(|(unit, list)| {
                let text: String = list.iter().flat_map(|path| [path, "\n"]).collect();
                (self.units[unit].label(), text)
            })
            .collect();
        for (stem, text) in lists {
            self.record(
                &format!("{INFO}/{stem}.list"),
                Attributes::written(0o644),
                text.as_bytes(),
            )?;
        }
        self.write_interests()?;
        let before = self.tree.contents(MARKS).unwrap_or_default();
        if let Some(marks) = marks::marked(before, &self.marks(parts)) {
            self.record(MARKS, Attributes::written(0o644), &marks)?;
        }
        let status = self.status();
        self.record(STATUS, Attributes::written(0o644), &status)?;
        Ok(Database::parse(&status)?)
    }

    /// Returns the marks of packages that came in; apt has those for all architectures under the image's own.
    fn marks(&self, parts: &[Part<'_>]) -> std::collections::BTreeSet<(String, String)> {
        parts
            .iter()
            .filter(|part| part.old.as_ref().is_none_or(|old| !old.present))
            .map(|part| (part.deb.name.to_owned(), part.deb.architecture.to_owned()))
            .filter(|mark| self.order.new.contains(mark))
            .map(|(name, architecture)| match architecture.as_str() {
                "all" => (name, self.order.architecture.to_owned()),
                _ => (name, architecture),
            })
            .collect()
    }

    fn write_interests(&mut self) -> Result<(), NativeError> {
        let files = self.interests.files();
        let present = self.view.names(TRIGGERS);
        for name in present {
            if !matches!(name.as_str(), "Unincorp" | "Lock") && !files.contains_key(&name) {
                self.remove(&format!("{TRIGGERS}/{name}"));
            }
        }
        for (name, bytes) in files {
            let path = format!("{TRIGGERS}/{name}");
            if self.tree.contents(&path) != Some(&bytes) {
                self.record(&path, Attributes::written(0o644), &bytes)?;
            }
        }
        Ok(())
    }

    /// Returns the status file: stanzas keep their places, new ones come where dpkg sorts them to.
    fn status(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut new = std::mem::take(&mut self.new_stanzas).into_iter().peekable();
        for (index, package) in self.order.database.packages.iter().enumerate() {
            let key = (package.name.as_str(), package.architecture.as_str());
            while let Some((_, stanza)) = new
                .next_if(|((name, architecture), _)| (name.as_str(), architecture.as_str()) < key)
            {
                separate(&mut out);
                out.extend(stanza);
            }
            separate(&mut out);
            out.extend_from_slice(self.stanzas.get(&index).unwrap_or(&package.stanza));
        }
        for (_, stanza) in new {
            separate(&mut out);
            out.extend(stanza);
        }
        out
    }
}

/// Ends what comes before a stanza with an empty line: the last one of a file may lack it.
fn separate(out: &mut Vec<u8>) {
    while !out.is_empty() && !out.ends_with(b"\n\n") {
        out.push(b'\n');
    }
}
