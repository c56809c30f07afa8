//! Configuration files: what a stanza records of them, and what a package declares (deb-conffiles(5)).

use std::fmt::Write as _;

use crate::ArchiveError;

/// What dpkg records as the digest of a configuration file that it has not installed yet.
pub const NEW: &str = "newconffile";

/// One line of a stanza's `Conffiles`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conffile {
    /// The absolute path.
    pub path: String,
    /// MD5 of the version that the distribution shipped, in hexadecimal digits, or one of dpkg's words.
    pub hash: String,
    /// The package no longer ships it.
    pub obsolete: bool,
    /// The package asked for its removal.
    pub remove_on_upgrade: bool,
}

/// Reads a `Conffiles` field. Paths may have blanks, so lines are read from their end; a line without a digest is left
/// out, which dpkg would stop at.
pub fn parse(value: &str) -> Vec<Conffile> {
    let mut out = Vec::new();
    for line in value.split('\n') {
        let mut rest = line.trim_ascii();
        let last = |rest: &mut &str| -> Option<String> {
            let (before, word) = rest.rsplit_once(' ')?;
            let word = word.to_owned();
            *rest = before.trim_ascii_end();
            Some(word)
        };
        let Some(mut word) = last(&mut rest) else {
            continue;
        };
        let (mut obsolete, mut remove_on_upgrade) = (false, false);
        if word == "remove-on-upgrade" {
            remove_on_upgrade = true;
            let Some(next) = last(&mut rest) else {
                continue;
            };
            word = next;
        }
        if word == "obsolete" {
            obsolete = true;
            let Some(next) = last(&mut rest) else {
                continue;
            };
            word = next;
        }
        out.push(Conffile {
            path: rest.to_owned(),
            hash: word,
            obsolete,
            remove_on_upgrade,
        });
    }
    out
}

/// Writes a `Conffiles` field, its name included; nothing for no files.
pub fn write(files: &[Conffile]) -> String {
    let mut out = String::new();
    if files.is_empty() {
        return out;
    }
    out.push_str("Conffiles:\n");
    for file in files {
        let _ = write!(out, " {} {}", file.path, file.hash);
        if file.obsolete {
            out.push_str(" obsolete");
        }
        if file.remove_on_upgrade {
            out.push_str(" remove-on-upgrade");
        }
        out.push('\n');
    }
    out
}

/// One line of the control file `conffiles`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declared {
    /// The absolute path.
    pub path: String,
    /// To be removed, not to be installed.
    pub remove_on_upgrade: bool,
}

/// Reads the control file `conffiles`.
pub fn declared(bytes: &[u8]) -> Result<Vec<Declared>, ArchiveError> {
    let bad = |why: &str| {
        Err(ArchiveError::malformed(format!(
            "its file `conffiles` {why}"
        )))
    };
    let Ok(text) = std::str::from_utf8(bytes) else {
        return bad("is not UTF-8");
    };
    let mut out: Vec<Declared> = Vec::new();
    let Some(text) = text.strip_suffix('\n') else {
        return if text.is_empty() {
            Ok(out)
        } else {
            bad("has no newline at its end")
        };
    };
    for line in text.split('\n') {
        let line = line.trim_ascii_end();
        if line.is_empty() {
            continue;
        }
        let (path, remove_on_upgrade) = match line.split_once(' ') {
            _ if line.starts_with('/') => (line, false),
            Some(("remove-on-upgrade", path)) if path.starts_with('/') => (path, true),
            _ => return bad("has a line that is no absolute path"),
        };
        if path
            .split('/')
            .skip(1)
            .any(|part| matches!(part, "" | "." | ".."))
        {
            return bad("has a path that is not clean");
        }
        if out.iter().any(|other| other.path == path) {
            return bad("names a path twice");
        }
        out.push(Declared {
            path: path.to_owned(),
            remove_on_upgrade,
        });
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_comes_back_as_it_was() {
        let field = "Conffiles:\n /etc/a b 0123456789abcdef0123456789abcdef\n /etc/c newconffile\n \
                     /etc/d 00000000000000000000000000000000 obsolete\n /etc/e - remove-on-upgrade\n \
                     /etc/f ff obsolete remove-on-upgrade\n";
        let parsed = parse(field.strip_prefix("Conffiles:\n").unwrap());
        assert_eq!(parsed.len(), 5);
        assert_eq!(parsed[0].path, "/etc/a b");
        assert!(parsed[4].obsolete && parsed[4].remove_on_upgrade);
        assert_eq!(write(&parsed), field);
        assert_eq!(write(&[]), "");
    }

    #[test]
    fn declared_files_may_carry_a_flag() {
        let found = declared(b"/etc/a\n\nremove-on-upgrade /etc/b c\n/etc/d  \n").unwrap();
        let shown: Vec<_> = found
            .iter()
            .map(|file| (file.path.as_str(), file.remove_on_upgrade))
            .collect();
        assert_eq!(
            shown,
            [("/etc/a", false), ("/etc/b c", true), ("/etc/d", false)]
        );
        for bad in [
            "etc/a\n",
            "other-flag /etc/a\n",
            "/etc/a",
            "/etc/../a\n",
            "/etc//a\n",
            "/etc/a\n/etc/a\n",
            "remove-on-upgrade etc/a\n",
            "/\n",
        ] {
            assert!(declared(bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert!(declared(b"").unwrap().is_empty());
    }
}
