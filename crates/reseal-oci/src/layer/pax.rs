//! Extended headers: the records of POSIX pax.

use std::collections::BTreeMap;

use super::LayerError;
use super::sparse::Segment;

/// Prefix of the records that hold extended attributes.
pub(super) const XATTR: &[u8] = b"SCHILY.xattr.";

/// What an extended header says about the entry after it.
#[derive(Debug, Default)]
pub(super) struct Pax {
    records: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Sparse format 0.0 repeats its records, so they do not fit into a map.
    pub(super) segments: Vec<Segment>,
}

impl Pax {
    pub(super) fn parse(mut bytes: &[u8], offset: u64) -> Result<Self, LayerError> {
        let fail = || LayerError::Malformed {
            offset,
            why: "its extended header is malformed",
        };
        let mut pax = Self::default();
        let mut start = None;
        // Some writers pad with NULs.
        while bytes.first().is_some_and(|&b| b != 0) {
            let space = bytes
                .iter()
                .take(20)
                .position(|&b| b == b' ')
                .ok_or_else(fail)?;
            let length = decimal(&bytes[..space])
                .and_then(|n| usize::try_from(n).ok())
                .ok_or_else(fail)?;
            let record = bytes
                .get(space + 1..length)
                .and_then(|r| r.strip_suffix(b"\n"))
                .ok_or_else(fail)?;
            let equals = record
                .iter()
                .position(|&b| b == b'=')
                .filter(|&at| at > 0)
                .ok_or_else(fail)?;
            let (key, value) = (&record[..equals], &record[equals + 1..]);
            match key {
                b"GNU.sparse.offset" => start = Some(decimal(value).ok_or_else(fail)?),
                b"GNU.sparse.numbytes" => {
                    let at = start.take().ok_or_else(fail)?;
                    pax.segments.push(Segment {
                        at,
                        length: decimal(value).ok_or_else(fail)?,
                    });
                }
                _ => {
                    pax.records.insert(key.to_vec(), value.to_vec());
                }
            }
            bytes = &bytes[length..];
        }
        Ok(pax)
    }

    /// A record's value; an empty one takes back what was said before, so it is none.
    pub(super) fn get(&self, key: &str) -> Option<&[u8]> {
        self.records
            .get(key.as_bytes())
            .map(Vec::as_slice)
            .filter(|value| !value.is_empty())
    }

    /// A number in decimal digits; a fraction is cut towards the past.
    pub(super) fn number(&self, key: &str, offset: u64) -> Result<Option<i64>, LayerError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        let fail = || LayerError::Malformed {
            offset,
            why: "a number in its extended header is malformed",
        };
        let (whole, fraction) = match value.iter().position(|&b| b == b'.') {
            Some(at) => (&value[..at], &value[at + 1..]),
            None => (value, &b""[..]),
        };
        let (negative, digits) = whole
            .strip_prefix(b"-")
            .map_or((false, whole), |digits| (true, digits));
        let number = decimal(digits)
            .and_then(|n| i64::try_from(n).ok())
            .ok_or_else(fail)?;
        if !fraction.iter().all(u8::is_ascii_digit) {
            return Err(fail());
        }
        let down = i64::from(negative && fraction.iter().any(|&b| b != b'0'));
        Ok(Some(if negative { -number - down } else { number }))
    }

    /// The extended attributes, by name.
    pub(super) fn into_xattrs(self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let name = |key: Vec<u8>| key.strip_prefix(XATTR).map(<[u8]>::to_vec);
        self.records
            .into_iter()
            .filter_map(|(key, value)| Some((name(key)?, value)))
            .collect()
    }
}

/// An unsigned number in decimal digits.
pub(super) fn decimal(digits: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(digits).ok()?;
    (!digits.starts_with('+'))
        .then(|| digits.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_by_their_length() {
        let pax = Pax::parse(b"11 path=a\n\n23 SCHILY.xattr.a=\0\n=1\n10 mtime=\n", 0);
        let pax = pax.unwrap();
        assert_eq!(pax.get("path"), Some(&b"a\n"[..]));
        assert_eq!(pax.get("mtime"), None);
        assert_eq!(
            pax.into_xattrs(),
            [(b"a".to_vec(), b"\0\n=1".to_vec())].into()
        );
    }

    #[test]
    fn broken_records_are_refused() {
        for bad in [
            "x path=a\n",
            "9 path=a\n\n",
            "99 path=a\n",
            "10 path=ab",
            "3 \n",
            "5 =a\n",
            "0 a=b\n",
            "+9 path=a\n",
            "99999999999999999999 a=b\n",
            "path=a\n",
            "30 GNU.sparse.numbytes=0000001\n",
        ] {
            assert!(Pax::parse(bad.as_bytes(), 0).is_err(), "{bad}");
        }
    }

    #[test]
    fn fractions_are_cut_towards_the_past() {
        for (value, expected) in [
            ("1.9", Some(1)),
            ("-1.5", Some(-2)),
            ("-1.0", Some(-1)),
            ("7", Some(7)),
            ("1.x", None),
            ("", None),
            ("--1", None),
        ] {
            let record = format!(" mtime={value}\n");
            let record = format!(
                "{}{record}",
                record.len() + if record.len() > 8 { 2 } else { 1 }
            );
            let number = Pax::parse(record.as_bytes(), 0).unwrap().number("mtime", 0);
            assert_eq!(number.ok().flatten(), expected, "{value}");
        }
    }
}
