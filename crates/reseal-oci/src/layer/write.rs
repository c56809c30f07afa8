//! Writes tar entries whose bytes follow from their values alone, hashed before and after compression.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::gzip::Gzip;
use super::header::BLOCK;
use super::pax::XATTR;
use crate::{Digest, Hasher};

/// Largest numbers of seven and eleven octal digits.
const SEVEN: u64 = 0o7_777_777;
const ELEVEN: u64 = 0o77_777_777_777;

/// Counts and hashes what passes.
pub(super) struct Hashing<W> {
    inner: W,
    hasher: Hasher,
    size: u64,
}

impl<W: Write> Hashing<W> {
    pub(super) fn new(inner: W) -> Self {
        Self {
            inner,
            hasher: Hasher::new(),
            size: 0,
        }
    }

    fn finish(self) -> (W, Digest, u64) {
        (self.inner, self.hasher.finish(), self.size)
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let done = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..done]);
        self.size += done as u64;
        Ok(done)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// A tar within gzip.
pub(super) struct Output<W: Write>(Hashing<Gzip<Hashing<W>>>);

/// Digests and sizes of a finished tar.
pub(super) struct Written {
    pub(super) digest: Digest,
    pub(super) size: u64,
    pub(super) diff_id: Digest,
    pub(super) uncompressed: u64,
}

/// The header of an entry.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    pub(super) path: &'a [u8],
    /// The type's digit.
    pub(super) kind: u8,
    pub(super) mode: u32,
    pub(super) uid: u64,
    pub(super) gid: u64,
    pub(super) size: u64,
    /// Seconds since 1970.
    pub(super) mtime: u64,
    pub(super) link: &'a [u8],
    pub(super) device: (u32, u32),
    pub(super) xattrs: Vec<(&'a [u8], &'a [u8])>,
}

impl<W: Write> Output<W> {
    pub(super) fn new(out: W) -> io::Result<Self> {
        Ok(Self(Hashing::new(Gzip::new(Hashing::new(out))?)))
    }

    /// Writes an entry's header; for a file, exactly `size` bytes and [`Output::pad`] must follow.
    pub(super) fn header(&mut self, entry: &Entry<'_>) -> io::Result<()> {
        let records = records(entry);
        if !records.is_empty() {
            let body: Vec<u8> = records
                .iter()
                .flat_map(|(key, value)| record(key, value))
                .collect();
            let extension = Entry {
                path: b"PaxHeaders/entry",
                kind: b'x',
                mode: 0o644,
                uid: 0,
                gid: 0,
                size: body.len() as u64,
                mtime: 0,
                link: b"",
                device: (0, 0),
                xattrs: Vec::new(),
            };
            self.0.write_all(&block(&extension))?;
            self.0.write_all(&body)?;
            self.pad(extension.size)?;
        }
        self.0.write_all(&block(entry))
    }

    /// Fills the last block of contents of that size.
    pub(super) fn pad(&mut self, size: u64) -> io::Result<()> {
        let rest = usize::try_from(size % BLOCK as u64).expect("less than a block");
        if rest == 0 {
            Ok(())
        } else {
            self.0.write_all(&[0; BLOCK][rest..])
        }
    }

    /// Ends the archive.
    pub(super) fn finish(mut self) -> io::Result<Written> {
        self.0.write_all(&[0; 2 * BLOCK])?;
        let (gzip, diff_id, uncompressed) = self.0.finish();
        let (mut out, digest, size) = gzip.finish()?.finish();
        out.flush()?;
        Ok(Written {
            digest,
            size,
            diff_id,
            uncompressed,
        })
    }
}

impl<W: Write> Write for Output<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// What does not fit into the fixed header, in a fixed order.
fn records(entry: &Entry<'_>) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut records = BTreeMap::new();
    for (key, text) in [("path", entry.path), ("linkpath", entry.link)] {
        if text.len() > 100 || !text.is_ascii() {
            records.insert(key.into(), text.to_vec());
        }
    }
    for (key, number, largest) in [
        ("uid", entry.uid, SEVEN),
        ("gid", entry.gid, SEVEN),
        ("size", entry.size, ELEVEN),
        ("mtime", entry.mtime, ELEVEN),
    ] {
        if number > largest {
            records.insert(key.into(), number.to_string().into_bytes());
        }
    }
    records.extend(
        entry
            .xattrs
            .iter()
            .map(|(key, value)| ([XATTR, key].concat(), value.to_vec())),
    );
    records
}

/// A record with its own length before it, which counts its own digits.
fn record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + rest.to_string().len();
    if length.to_string().len() > rest.to_string().len() {
        length = rest + length.to_string().len();
    }
    [length.to_string().as_bytes(), b" ", key, b"=", value, b"\n"].concat()
}

fn block(entry: &Entry<'_>) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    text(&mut block[..100], entry.path);
    octal(&mut block[100..108], u64::from(entry.mode));
    octal(
        &mut block[108..116],
        if entry.uid > SEVEN { 0 } else { entry.uid },
    );
    octal(
        &mut block[116..124],
        if entry.gid > SEVEN { 0 } else { entry.gid },
    );
    octal(
        &mut block[124..136],
        if entry.size > ELEVEN { 0 } else { entry.size },
    );
    octal(
        &mut block[136..148],
        if entry.mtime > ELEVEN { 0 } else { entry.mtime },
    );
    block[156] = entry.kind;
    text(&mut block[157..257], entry.link);
    block[257..265].copy_from_slice(b"ustar\x0000");
    octal(&mut block[329..337], u64::from(entry.device.0));
    octal(&mut block[337..345], u64::from(entry.device.1));
    block[148..156].fill(b' ');
    let sum: u64 = block.iter().map(|&byte| u64::from(byte)).sum();
    octal(&mut block[148..155], sum);
    block
}

/// As much of the text as fits; where it is cut, a record has all of it.
fn text(field: &mut [u8], text: &[u8]) {
    let length = text.len().min(field.len());
    field[..length].copy_from_slice(&text[..length]);
}

/// All but the last byte as octal digits.
fn octal(field: &mut [u8], number: u64) {
    let width = field.len() - 1;
    let digits = format!("{number:0width$o}");
    field[..width].copy_from_slice(&digits.as_bytes()[digits.len() - width..]);
    field[width] = 0;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_counts_its_own_digits() {
        for length in [
            1, 90, 91, 92, 93, 94, 95, 96, 97, 98, 99, 988, 989, 990, 991, 992, 993,
        ] {
            let record = record(b"a", &vec![b'x'; length]);
            let digits = record.iter().position(|&b| b == b' ').unwrap();
            assert_eq!(
                String::from_utf8_lossy(&record[..digits]),
                record.len().to_string()
            );
        }
    }

    #[test]
    fn a_plain_entry_needs_no_extended_header() {
        let entry = Entry {
            path: &[b'a'; 100],
            kind: b'0',
            mode: 0o4755,
            uid: SEVEN,
            gid: 0,
            size: ELEVEN,
            mtime: 1,
            link: b"",
            device: (0, 0),
            xattrs: Vec::new(),
        };
        assert!(records(&entry).is_empty());
        let long = Entry {
            path: &[b'a'; 101],
            uid: SEVEN + 1,
            size: ELEVEN + 1,
            link: "é".as_bytes(),
            ..entry
        };
        let keys: Vec<_> = records(&long)
            .into_keys()
            .map(|key| String::from_utf8(key).unwrap())
            .collect();
        assert_eq!(keys, ["linkpath", "path", "size", "uid"]);
    }
}
