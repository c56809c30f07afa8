//! The control files of a package, and the fields of the first among them.

use std::collections::BTreeMap;
use std::io::Read;

use reseal_oci::layer::{EntryKind, Meaning, try_visit};

use super::bounded;
use crate::ArchiveError;

/// Largest control file, in bytes; debconf templates in all languages reach some hundred kilobytes.
const FILE_LIMIT: u64 = 16 << 20;
/// Largest sum of all, in bytes.
const TOTAL_LIMIT: u64 = 64 << 20;
/// Longest name of one; dpkg has the same limit.
const NAME_LIMIT: usize = 50;

/// One control file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlFile {
    /// The permission bits.
    pub mode: u32,
    /// The modification time, in seconds since 1970.
    pub mtime: i64,
    /// Its contents.
    pub contents: Vec<u8>,
}

/// All control files of a package, by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ControlFiles(BTreeMap<String, ControlFile>);

impl ControlFiles {
    /// Reads an uncompressed `control.tar`.
    pub fn read(tar: impl Read) -> Result<Self, ArchiveError> {
        let mut out = BTreeMap::new();
        let mut total = 0;
        try_visit(tar, Meaning::Plain, &mut |member, contents| {
            match member.kind {
                EntryKind::Dir if member.path.is_empty() => return Ok(()),
                EntryKind::File => {}
                _ => {
                    return Err(ArchiveError::malformed(format!(
                        "its control file `{}` is no regular file",
                        member.path
                    )));
                }
            }
            if member.path.contains('/') || member.path.is_empty() || member.path.len() > NAME_LIMIT
            {
                return Err(ArchiveError::malformed(format!(
                    "its control file `{}` has a bad name",
                    member.path
                )));
            }
            let bytes = bounded(contents, FILE_LIMIT, member.path)?;
            total += bytes.len() as u64;
            if total > TOTAL_LIMIT {
                return Err(ArchiveError::malformed("its control files are too large"));
            }
            let file = ControlFile {
                mode: member.mode,
                mtime: member.mtime,
                contents: bytes,
            };
            if out.insert(member.path.to_owned(), file).is_some() {
                return Err(ArchiveError::malformed(format!(
                    "its control file `{}` is there twice",
                    member.path
                )));
            }
            Ok(())
        })?;
        Ok(Self(out))
    }

    /// Builds a set from names and contents, such as those of an installed package.
    pub fn from_contents<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        Self(
            files
                .into_iter()
                .map(|(name, contents)| {
                    let file = ControlFile {
                        mode: 0o755,
                        mtime: 0,
                        contents: contents.to_vec(),
                    };
                    (name.to_owned(), file)
                })
                .collect(),
        )
    }

    /// Returns the contents of one.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.get(name).map(|file| file.contents.as_slice())
    }

    /// Returns all, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &ControlFile)> {
        self.0.iter().map(|(name, file)| (name.as_str(), file))
    }

    /// Reads the fields of `control`.
    pub fn fields(&self) -> Result<Fields, ArchiveError> {
        let control = self
            .get("control")
            .ok_or_else(|| ArchiveError::malformed("it has no file `control`"))?;
        Fields::parse(control)
    }
}

/// The fields of one stanza (deb822(5)), in their order, with values as they stand there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fields(Vec<(String, String)>);

impl Fields {
    /// Reads one stanza. Values keep their continued lines; blanks around them go.
    pub fn parse(bytes: &[u8]) -> Result<Self, ArchiveError> {
        let bad = |why: &str| Err(ArchiveError::malformed(format!("its control file {why}")));
        let Ok(text) = std::str::from_utf8(bytes) else {
            return bad("is not UTF-8");
        };
        let mut fields: Vec<(String, String)> = Vec::new();
        let mut ended = false;
        for line in text.split('\n') {
            let line = line.strip_suffix('\r').unwrap_or(line);
            if line.trim_ascii().is_empty() {
                ended = !fields.is_empty();
                continue;
            }
            if ended {
                return bad("has more than one stanza");
            }
            if line.starts_with([' ', '\t']) {
                let Some((_, value)) = fields.last_mut() else {
                    return bad("begins with a continued line");
                };
                value.push('\n');
                value.push_str(line);
                continue;
            }
            let Some((name, value)) = line.split_once(':') else {
                return bad("has a line without a field");
            };
            let name = name.trim_ascii_end();
            if name.is_empty()
                || !name.bytes().all(|c| c.is_ascii_graphic())
                || name.starts_with('-')
            {
                return bad("has a field without a usable name");
            }
            if fields
                .iter()
                .any(|(other, _)| other.eq_ignore_ascii_case(name))
            {
                return bad("has a field twice");
            }
            fields.push((name.to_owned(), value.trim_ascii_start().to_owned()));
        }
        for (_, value) in &mut fields {
            value.truncate(value.trim_ascii_end().len());
        }
        Ok(Self(fields))
    }

    /// Returns a field's value; names match in any case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .find(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// Returns all fields in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_continued_lines_and_lose_blanks_around() {
        let fields = Fields::parse(b"Package:  a \nDescription: b\n c \n .\n  d\t\n\n\n").unwrap();
        assert_eq!(fields.get("package"), Some("a"));
        assert_eq!(fields.get("Description"), Some("b\n c \n .\n  d"));
    }

    #[test]
    fn what_breaks_the_format_is_an_error() {
        for bad in [
            " a\n",
            "a\n",
            ": b\n",
            "A: 1\na: 2\n",
            "A: 1\n\nB: 2\n",
            "-A: 1\n",
            "A\u{7f}: 1\n",
        ] {
            assert!(Fields::parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert!(Fields::parse(b"A: \xff\n").is_err());
        assert_eq!(Fields::parse(b"\n\n").unwrap(), Fields::default());
    }
}
