//! Which maintainer scripts need not run: a table of scripts by their digests.
//!
//! A script is known when the two engines gave the same files with it and without it. What a script does on an upgrade
//! depends on the version before (`dpkg --compare-versions "$2" lt …`), so a row holds from the earliest version that was
//! upgraded from; an older image than that is not covered.

mod certificates;
mod table;

use reseal_pkg::version::compare_dpkg;
use sha2::{Digest, Sha256};

pub(crate) use certificates::config_list;
pub use certificates::{CERTIFICATES, CONFIG, PROGRAM};
pub use table::{Effect, Row, Table};

use crate::ControlFiles;

/// The scripts that dpkg runs while it unpacks and configures, as dpkg names them.
const NEW: [&str; 2] = ["preinst", "postinst"];
/// Those of the version before that it runs on an upgrade.
const OLD: [&str; 2] = ["prerm", "postrm"];
/// The name of rows that say what a package's `postinst` does when a trigger calls it.
pub const TRIGGERED: &str = "triggered";

/// Returns the digest of one maintainer script as the table has it: SHA-256 in 64 lower-case hexadecimal digits.
pub fn script_digest(contents: &[u8]) -> String {
    hex(&Sha256::digest(contents))
}

/// Returns a digest in lower-case hexadecimal digits, as dpkg writes it too.
pub(crate) fn hex(digest: &[u8]) -> String {
    use std::fmt::Write as _;
    digest
        .iter()
        .fold(String::with_capacity(64), |mut out, byte| {
            let _ = write!(out, "{byte:02x}");
            out
        })
}

/// What has to be done for a package beside laying down its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing: it has no scripts that would run.
    NoScripts,
    /// Nothing: its scripts are known to change nothing.
    Inert,
    /// What the rule for certificates does.
    Certificates,
    /// `dpkg --configure` on the laid-down files is enough, and needed because of these scripts.
    Configure(Vec<String>),
    /// It is not known what these scripts do, and configuring afterwards would not run all of them.
    Unknown(Vec<String>),
}

/// A package at the moment of its upgrade.
#[derive(Debug, Clone, Copy)]
pub struct Upgrade<'a> {
    /// The package's name.
    pub package: &'a str,
    /// The new version's control files.
    pub new: &'a ControlFiles,
    /// The old version and its control files; `None` for a package that comes in.
    pub old: Option<(&'a str, &'a ControlFiles)>,
}

impl<'a> Upgrade<'a> {
    /// Returns the scripts that dpkg would run, with their contents.
    fn scripts(&self) -> impl Iterator<Item = (&'static str, &'a [u8])> {
        let new = self.new;
        let old = self.old.map(|(_, files)| files);
        let of_new = NEW
            .into_iter()
            .filter_map(move |name| Some((name, new.get(name)?)));
        let of_old = OLD
            .into_iter()
            .filter_map(move |name| Some((name, old?.get(name)?)));
        of_new.chain(of_old)
    }

    /// Returns the rows that would make this upgrade known, for whoever has the evidence.
    pub fn rows(&self, effect: Effect, evidence: &str) -> Vec<Row> {
        self.scripts()
            .map(|(script, contents)| Row {
                package: self.package.to_owned(),
                script: script.to_owned(),
                sha256: script_digest(contents),
                effect,
                since: self.old.map(|(version, _)| version.to_owned()),
                evidence: evidence.to_owned(),
            })
            .collect()
    }
}

/// Returns the row that makes a package's `postinst` known for when a trigger calls it.
pub fn triggered_row(package: &str, postinst: &[u8], evidence: &str) -> Row {
    Row {
        package: package.to_owned(),
        script: TRIGGERED.to_owned(),
        sha256: script_digest(postinst),
        effect: Effect::Inert,
        since: None,
        evidence: evidence.to_owned(),
    }
}

/// Tells what an upgrade needs, by the table that is built in.
pub fn verdict(upgrade: &Upgrade<'_>) -> Verdict {
    Table::built_in().verdict(upgrade)
}

impl Table {
    /// Tells what an upgrade needs.
    pub fn verdict(&self, upgrade: &Upgrade<'_>) -> Verdict {
        let (mut any, mut unknown, mut configure) = (false, Vec::new(), Vec::new());
        let mut certificates = false;
        for (script, contents) in upgrade.scripts() {
            any = true;
            match self.effect(upgrade, script, contents) {
                Some(Effect::Inert) => {}
                Some(Effect::Certificates) if self.knows_config(upgrade.new) => certificates = true,
                // Of all scripts only this one is run by `dpkg --configure`, so that it may be anything.
                _ if script == "postinst" => configure.push(script.to_owned()),
                Some(Effect::Certificates | Effect::Configure) | None => {
                    unknown.push(script.to_owned());
                }
            }
        }
        if !unknown.is_empty() {
            unknown.append(&mut configure);
            Verdict::Unknown(unknown)
        } else if !configure.is_empty() {
            Verdict::Configure(configure)
        } else if certificates {
            Verdict::Certificates
        } else if any {
            Verdict::Inert
        } else {
            Verdict::NoScripts
        }
    }

    /// Tells whether a package's `postinst` changes nothing when a trigger calls it.
    pub fn trigger_is_inert(&self, package: &str, postinst: &[u8]) -> bool {
        let digest = script_digest(postinst);
        self.find(package, TRIGGERED, &digest)
            .any(|row| row.effect == Effect::Inert)
    }

    fn effect(&self, upgrade: &Upgrade<'_>, script: &str, contents: &[u8]) -> Option<Effect> {
        let digest = script_digest(contents);
        self.find(upgrade.package, script, &digest)
            .find(|row| match (&row.since, upgrade.old) {
                (None, None) => true,
                (Some(since), Some((version, _))) => compare_dpkg(version, since).is_ge(),
                _ => false,
            })
            .map(|row| row.effect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(scripts: &[(&str, &str)]) -> ControlFiles {
        ControlFiles::from_contents(scripts.iter().map(|(name, text)| (*name, text.as_bytes())))
    }

    fn table() -> Table {
        let mut text = String::new();
        for (script, contents, since) in [
            ("postinst", "known", "1.0-1"),
            ("postinst", "fresh", "new"),
            ("prerm", "old", "1.0-1"),
        ] {
            let digest = script_digest(contents.as_bytes());
            let row = format!("a {script} {digest} inert {since} two engines, bookworm");
            text = text
                + &row
                + "
";
        }
        Table::parse(&text).unwrap()
    }

    #[test]
    fn a_verdict_follows_from_the_scripts_that_would_run() {
        let check = |new: &[(&str, &str)], old: Option<(&str, &[(&str, &str)])>| {
            let new = files(new);
            let old = old.map(|(version, scripts)| (version, files(scripts)));
            table().verdict(&Upgrade {
                package: "a",
                new: &new,
                old: old.as_ref().map(|(version, files)| (*version, files)),
            })
        };
        assert_eq!(
            check(&[("prerm", "new one's")], Some(("1.0-1", &[]))),
            Verdict::NoScripts
        );
        assert_eq!(
            check(&[("postinst", "known")], Some(("1.0-1", &[]))),
            Verdict::Inert
        );
        assert_eq!(
            check(
                &[("postinst", "known")],
                Some(("1.0-2", &[("prerm", "old")]))
            ),
            Verdict::Inert
        );
        assert_eq!(
            check(&[("postinst", "known")], Some(("0.9", &[]))),
            Verdict::Configure(vec!["postinst".into()])
        );
        assert_eq!(
            check(&[("postinst", "known")], None),
            Verdict::Configure(vec!["postinst".into()])
        );
        assert_eq!(check(&[("postinst", "fresh")], None), Verdict::Inert);
        assert_eq!(
            check(
                &[("postinst", "other")],
                Some(("1.0-1", &[("prerm", "changed")]))
            ),
            Verdict::Unknown(vec!["prerm".into(), "postinst".into()])
        );
        assert_eq!(
            check(&[("preinst", "x")], None),
            Verdict::Unknown(vec!["preinst".into()])
        );
    }

    #[test]
    fn rows_make_their_upgrade_known() {
        let (new, old) = (
            files(&[("postinst", "n"), ("preinst", "p"), ("prerm", "later")]),
            files(&[("prerm", "o"), ("postinst", "past")]),
        );
        let upgrade = Upgrade {
            package: "b",
            new: &new,
            old: Some(("1", &old)),
        };
        let rows = upgrade.rows(Effect::Inert, "seen");
        assert_eq!(rows.len(), 3);
        let mut table = Table::default();
        for row in rows {
            table.add(row);
        }
        table.add(triggered_row("b", b"n", "seen"));
        let again = Table::parse(&table.to_string()).unwrap();
        assert!(again.trigger_is_inert("b", b"n") && !again.trigger_is_inert("b", b"o"));
        assert_eq!(again.verdict(&upgrade), Verdict::Inert);
    }

    #[test]
    fn the_table_that_is_built_in_can_be_read() {
        let text = include_str!("scripts.table");
        assert_eq!(
            Table::built_in().to_string(),
            Table::parse(text).unwrap().to_string()
        );
    }
}
