//! The scripts of ca-certificates, which its own rule stands for.

use super::{Effect, Row, Table, Upgrade, hex, script_digest};
use crate::ControlFiles;

/// The package.
pub const CERTIFICATES: &str = "ca-certificates";
/// The name of the row of its `config`, which debconf runs before its `postinst`. Its list of certificates is another one
/// in each version, so that the digest is of what remains without.
pub const CONFIG: &str = "config";
/// The name of the row of its program `update-ca-certificates`.
pub const PROGRAM: &str = "program";

/// The beginning of the line that has the list.
const LIST: &str = "CERTS_LIST=\"";

impl Upgrade<'_> {
    /// Returns the rows that would make this upgrade of ca-certificates known; `program` is the digest of the new
    /// version's program. `None` where its `config` is of another form.
    pub fn certificates_rows(&self, program: &[u8; 32], evidence: &str) -> Option<Vec<Row>> {
        let (_, config) = config_list(self.new.get(CONFIG)?)?;
        let more = [(CONFIG, script_digest(&config)), (PROGRAM, hex(program))];
        let row = |(script, sha256): (&str, String)| Row {
            package: CERTIFICATES.to_owned(),
            script: script.to_owned(),
            sha256,
            effect: Effect::Certificates,
            since: self.old.map(|(version, _)| version.to_owned()),
            evidence: evidence.to_owned(),
        };
        let mut rows = self.rows(Effect::Inert, evidence);
        for row in &mut rows {
            if row.script == "postinst" {
                row.effect = Effect::Certificates;
            }
        }
        rows.extend(more.map(row));
        Some(rows)
    }
}

impl Table {
    /// Tells whether the `config` of a version of ca-certificates is known.
    pub(super) fn knows_config(&self, files: &ControlFiles) -> bool {
        files
            .get(CONFIG)
            .and_then(config_list)
            .is_some_and(|(_, rest)| self.renews_certificates(CONFIG, &script_digest(&rest)))
    }
}

/// Returns the list of certificates of a `config`, and the script without it; `None` where the list is not one line of
/// plain names.
pub(crate) fn config_list(config: &[u8]) -> Option<(&str, Vec<u8>)> {
    let text = std::str::from_utf8(config).ok()?;
    let mut lists = text.match_indices(LIST).filter(|(at, _)| {
        let before = at.checked_sub(1).map(|before| text.as_bytes()[before]);
        before.is_none_or(|before| before == b'\n')
    });
    let (at, _) = lists.next().filter(|_| lists.next().is_none())?;
    let start = at + LIST.len();
    let list = text[start..].split('\n').next()?.strip_suffix('"')?;
    if list.contains(['"', '$', '`', '\\']) {
        return None;
    }
    let rest = [&text[..start], &text[start + list.len()..]].concat();
    Some((list, rest.into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_taken_out_of_its_script() {
        let (list, rest) = config_list(b"a\nCERTS_LIST=\"m/A.crt, m/B.crt\"\nb\n").unwrap();
        assert_eq!(list, "m/A.crt, m/B.crt");
        assert_eq!(rest, b"a\nCERTS_LIST=\"\"\nb\n");
        for other in [
            "a\n",
            "CERTS_LIST=\"a\" b\n",
            "CERTS_LIST=\"$(b)\"\n",
            "CERTS_LIST=\"a\"\nCERTS_LIST=\"b\"\n",
            "xCERTS_LIST=\"a\"\n",
        ] {
            assert!(config_list(other.as_bytes()).is_none(), "{other}");
        }
    }

    #[test]
    fn all_of_its_scripts_have_to_be_known() {
        let files = |config: &str| {
            ControlFiles::from_contents([
                ("postinst", b"post".as_slice()),
                ("config", config.as_bytes()),
            ])
        };
        let (new, old) = (files("x\nCERTS_LIST=\"a\"\n"), files(""));
        let upgrade = Upgrade {
            package: CERTIFICATES,
            new: &new,
            old: Some(("1", &old)),
        };
        let rows = upgrade.certificates_rows(&[7; 32], "seen").unwrap();
        let mut table = Table::default();
        for row in rows {
            table.add(row);
        }
        let table = Table::parse(&table.to_string()).unwrap();
        assert!(table.renews_certificates(PROGRAM, &"07".repeat(32)));
        assert_eq!(table.verdict(&upgrade), super::super::Verdict::Certificates);
        // Another list is the same script; another script is not.
        let check = |config: &str| {
            let new = files(config);
            table.verdict(&Upgrade {
                new: &new,
                ..upgrade
            })
        };
        assert_eq!(
            check("x\nCERTS_LIST=\"b, c\"\n"),
            super::super::Verdict::Certificates
        );
        assert_eq!(
            check("y\nCERTS_LIST=\"a\"\n"),
            super::super::Verdict::Configure(vec!["postinst".into()])
        );
    }
}
