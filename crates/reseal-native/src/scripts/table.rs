//! The table itself: read, searched and written again.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::OnceLock;

use reseal_pkg::version::compare_dpkg;

/// The file that is built in.
const BUILT_IN: &str = include_str!("scripts.table");

/// What a script is known to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// Nothing that shows in the file system.
    Inert,
    /// What the rule for ca-certificates does.
    Certificates,
    /// Something, which `dpkg --configure` does.
    Configure,
}

/// One known script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The package's name.
    pub package: String,
    /// `preinst`, `postinst`, `prerm`, `postrm` or `triggered`; of ca-certificates also `config`, less its list of
    /// certificates, and `program`.
    pub script: String,
    /// The script's digest, as [`super::script_digest`] gives it.
    pub sha256: String,
    /// What it does.
    pub effect: Effect,
    /// The earliest version that was upgraded from; `None` for a fresh installation.
    pub since: Option<String>,
    /// Where this was seen.
    pub evidence: String,
}

type Key = (String, String, String);

/// Known scripts.
#[derive(Debug, Clone, Default)]
pub struct Table(BTreeMap<Key, Vec<Row>>);

impl Table {
    /// Returns the table that is built in.
    pub fn built_in() -> &'static Self {
        static TABLE: OnceLock<Table> = OnceLock::new();
        TABLE.get_or_init(|| Self::parse(BUILT_IN).expect("a test reads the file that is built in"))
    }

    /// Reads a table; the error names the line.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut out = Self::default();
        for (index, line) in text.lines().enumerate() {
            if line.starts_with('#') || line.trim_ascii().is_empty() {
                continue;
            }
            let row =
                row(line).ok_or_else(|| format!("line {} of the table is malformed", index + 1))?;
            out.add(row);
        }
        Ok(out)
    }

    /// Adds a row. Of two for one script and effect the one that holds from an earlier version on stays; where two
    /// disagree on the effect, the script is one that does something.
    pub fn add(&mut self, row: Row) {
        let key = (row.package.clone(), row.script.clone(), row.sha256.clone());
        let rows = self.0.entry(key).or_default();
        let same = rows
            .iter_mut()
            .find(|other| other.since.is_some() == row.since.is_some());
        match same {
            None => rows.push(row),
            Some(other) if row.effect > other.effect => *other = row,
            Some(other) if row.effect == other.effect && is_earlier(&row, other) => *other = row,
            Some(_) => {}
        }
    }

    /// Tells whether a script of ca-certificates, or the program that it calls, does what the rule for certificates does.
    pub(crate) fn renews_certificates(&self, script: &str, sha256: &str) -> bool {
        self.find(super::CERTIFICATES, script, sha256)
            .any(|row| row.effect == Effect::Certificates)
    }

    /// Returns the rows of a script.
    pub(super) fn find(
        &self,
        package: &str,
        script: &str,
        sha256: &str,
    ) -> impl Iterator<Item = &Row> {
        let key = (package.to_owned(), script.to_owned(), sha256.to_owned());
        self.0.get(&key).into_iter().flatten()
    }

    /// Returns every package that the table knows.
    pub fn packages(&self) -> BTreeSet<&str> {
        self.0
            .keys()
            .map(|(package, ..)| package.as_str())
            .collect()
    }

    /// Returns every row, sorted.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.0.values().flatten()
    }
}

fn is_earlier(row: &Row, other: &Row) -> bool {
    match (&row.since, &other.since) {
        (Some(row), Some(other)) => compare_dpkg(row, other).is_lt(),
        _ => false,
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in BUILT_IN.lines().take_while(|line| line.starts_with('#')) {
            writeln!(f, "{line}")?;
        }
        for row in self.rows() {
            let effect = match row.effect {
                Effect::Inert => "inert",
                Effect::Certificates => "certificates",
                Effect::Configure => "configure",
            };
            let since = row.since.as_deref().unwrap_or("new");
            writeln!(
                f,
                "{} {} {} {effect} {since} {}",
                row.package, row.script, row.sha256, row.evidence
            )?;
        }
        Ok(())
    }
}

fn row(line: &str) -> Option<Row> {
    let mut words = line.splitn(6, ' ');
    let mut word = || words.next().filter(|word| !word.is_empty());
    let (package, script, sha256) = (word()?, word()?, word()?);
    let effect = match word()? {
        "inert" => Effect::Inert,
        "certificates" if package == super::CERTIFICATES => Effect::Certificates,
        "configure" => Effect::Configure,
        _ => return None,
    };
    let since = word()?;
    let evidence = word()?;
    let scripts: &[&str] = match effect {
        Effect::Certificates => &["postinst", super::CONFIG, super::PROGRAM],
        _ => &["preinst", "postinst", "prerm", "postrm", super::TRIGGERED],
    };
    let known = scripts.contains(&script);
    let digest = sha256.len() == 64
        && sha256
            .bytes()
            .all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
    (known && digest).then(|| Row {
        package: package.to_owned(),
        script: script.to_owned(),
        sha256: sha256.to_owned(),
        effect,
        since: (since != "new").then(|| since.to_owned()),
        evidence: evidence.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_malformed_line_is_named() {
        let digest = "0".repeat(64);
        for bad in [
            format!("a postinst {digest} inert 1"),
            format!("a postinst {digest} harmless 1 x"),
            format!("a config {digest} inert 1 x"),
            format!("a postinst {digest} certificates 1 x"),
            format!("ca-certificates preinst {digest} certificates 1 x"),
            format!("ca-certificates program {digest} inert 1 x"),
            "a postinst 00 inert 1 x".to_owned(),
        ] {
            let text = format!("# comment\n{bad}\n");
            assert!(Table::parse(&text).unwrap_err().contains("line 2"), "{bad}");
        }
    }

    #[test]
    fn the_earlier_version_stays_and_an_effect_is_never_forgotten() {
        let digest = "0".repeat(64);
        let text = format!(
            "a postinst {digest} inert 2 x\na postinst {digest} inert 1 y\na postinst {digest} inert 3 z\n\
             b postinst {digest} inert 1 x\nb postinst {digest} configure 2 y\nb postinst {digest} inert 1 z\n"
        );
        let table = Table::parse(&text).unwrap();
        let shown: Vec<_> = table
            .rows()
            .map(|row| (row.package.as_str(), row.effect, row.since.as_deref()))
            .collect();
        assert_eq!(
            shown,
            [
                ("a", Effect::Inert, Some("1")),
                ("b", Effect::Configure, Some("2"))
            ]
        );
    }
}
