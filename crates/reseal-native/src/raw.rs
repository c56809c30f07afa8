//! Writes the raw archive of changes: entries in any order, deletions as whiteouts.

use std::io::{self, Read, Write};

use md5::Md5;
use sha2::{Digest, Sha256};
use tar::{EntryType, Header};

/// A time later than that of any package: whoever finishes the layer sets what was written now to the time that it chose.
pub const NOW: i64 = 0o77_777_777_777;

/// Largest numbers of the header's octal fields.
const SMALL: u64 = 0o7_777_777;
const LARGE: u64 = 0o77_777_777_777;

/// Owner, mode and time of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Seconds since 1970.
    pub(crate) mtime: i64,
}

impl Attributes {
    /// A file that the package manager itself writes.
    pub(crate) const fn written(mode: u32) -> Self {
        Self {
            mode,
            uid: 0,
            gid: 0,
            mtime: NOW,
        }
    }
}

/// Digests of what went through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Digests {
    pub(crate) sha256: [u8; 32],
    /// Only where somebody asked.
    pub(crate) md5: Option<[u8; 16]>,
}

/// Reads and hashes.
pub(crate) struct Hashing<'a> {
    inner: &'a mut dyn Read,
    sha256: Sha256,
    md5: Option<Md5>,
}

impl<'a> Hashing<'a> {
    pub(crate) fn new(inner: &'a mut dyn Read, md5: bool) -> Self {
        Self {
            inner,
            sha256: Sha256::new(),
            md5: md5.then(Md5::new),
        }
    }

    pub(crate) fn finish(self) -> Digests {
        Digests {
            sha256: self.sha256.finalize().into(),
            md5: self.md5.map(|hasher| hasher.finalize().into()),
        }
    }
}

impl Read for Hashing<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let done = self.inner.read(buffer)?;
        self.sha256.update(&buffer[..done]);
        if let Some(md5) = &mut self.md5 {
            md5.update(&buffer[..done]);
        }
        Ok(done)
    }
}

/// A failure of one of the two sides of a copy.
pub(crate) enum CopyError {
    Read(io::Error),
    Write(io::Error),
}

/// The archive that is being written. Paths are relative and have no links in them.
pub(crate) struct Raw<'a> {
    out: &'a mut dyn Write,
}

impl<'a> Raw<'a> {
    pub(crate) fn new(out: &'a mut dyn Write) -> Self {
        Self { out }
    }

    /// Writes a regular file of exactly `size` bytes.
    pub(crate) fn file(
        &mut self,
        path: &str,
        attributes: Attributes,
        size: u64,
        contents: &mut dyn Read,
    ) -> Result<(), CopyError> {
        self.header(path, EntryType::Regular, attributes, size, "")
            .map_err(CopyError::Write)?;
        let mut buffer = vec![0; 64 << 10];
        let mut left = size;
        while left > 0 {
            let most = usize::try_from(left)
                .unwrap_or(usize::MAX)
                .min(buffer.len());
            let done = match contents.read(&mut buffer[..most]) {
                Ok(0) => return Err(CopyError::Read(io::ErrorKind::UnexpectedEof.into())),
                Ok(done) => done,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(CopyError::Read(error)),
            };
            self.out
                .write_all(&buffer[..done])
                .map_err(CopyError::Write)?;
            left -= done as u64;
        }
        self.pad(size).map_err(CopyError::Write)
    }

    /// Writes a regular file that is in memory.
    pub(crate) fn bytes(
        &mut self,
        path: &str,
        attributes: Attributes,
        bytes: &[u8],
    ) -> io::Result<()> {
        self.header(path, EntryType::Regular, attributes, bytes.len() as u64, "")?;
        self.out.write_all(bytes)?;
        self.pad(bytes.len() as u64)
    }

    /// Writes an entry without contents; `link` is for the two kinds of links.
    pub(crate) fn empty(
        &mut self,
        path: &str,
        kind: EntryType,
        attributes: Attributes,
        link: &str,
    ) -> io::Result<()> {
        self.header(path, kind, attributes, 0, link)
    }

    /// Writes the whiteout of a path.
    pub(crate) fn whiteout(&mut self, path: &str) -> io::Result<()> {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let slash = if parent.is_empty() { "" } else { "/" };
        let path = format!("{parent}{slash}.wh.{name}");
        self.header(&path, EntryType::Regular, Attributes::written(0o644), 0, "")
    }

    /// Ends the archive.
    pub(crate) fn finish(self) -> io::Result<()> {
        self.out.write_all(&[0; 1024])?;
        self.out.flush()
    }

    fn header(
        &mut self,
        path: &str,
        kind: EntryType,
        attributes: Attributes,
        size: u64,
        link: &str,
    ) -> io::Result<()> {
        let mtime = u64::try_from(attributes.mtime).unwrap_or(0);
        let mut records = Vec::new();
        for (key, text) in [("path", path), ("linkpath", link)] {
            if text.len() > 100 || !text.is_ascii() {
                record(&mut records, key, text);
            }
        }
        for (key, number, most) in [
            ("uid", u64::from(attributes.uid), SMALL),
            ("gid", u64::from(attributes.gid), SMALL),
            ("size", size, LARGE),
            ("mtime", mtime, LARGE),
        ] {
            if number > most {
                record(&mut records, key, &number.to_string());
            }
        }
        if !records.is_empty() {
            let mut extended = fixed("PaxHeaders/entry", EntryType::XHeader, "");
            extended.set_size(records.len() as u64);
            extended.set_mode(0o644);
            extended.set_cksum();
            self.out.write_all(extended.as_bytes())?;
            self.out.write_all(&records)?;
            self.pad(records.len() as u64)?;
        }
        let or_zero = |number, most| if number > most { 0 } else { number };
        let mut header = fixed(path, kind, link);
        header.set_mode(attributes.mode);
        header.set_uid(or_zero(attributes.uid.into(), SMALL));
        header.set_gid(or_zero(attributes.gid.into(), SMALL));
        header.set_size(or_zero(size, LARGE));
        header.set_mtime(or_zero(mtime, LARGE));
        header.set_cksum();
        self.out.write_all(header.as_bytes())
    }

    fn pad(&mut self, size: u64) -> io::Result<()> {
        let rest = usize::try_from(size % 512).unwrap_or(0);
        if rest == 0 {
            return Ok(());
        }
        self.out.write_all(&[0; 512][rest..])
    }
}

/// A header with as much of the names as fits; records have all of them.
fn fixed(path: &str, kind: EntryType, link: &str) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_size(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    let fields = header.as_mut_bytes();
    let mut text = |at: usize, text: &str| {
        let bytes = &text.as_bytes()[..text.len().min(100)];
        fields[at..at + bytes.len()].copy_from_slice(bytes);
    };
    text(0, path);
    text(157, link);
    header
}

/// A record of an extended header, with its own length before it.
fn record(out: &mut Vec<u8>, key: &str, value: &str) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + rest.to_string().len();
    if length.to_string().len() > rest.to_string().len() {
        length = rest + length.to_string().len();
    }
    out.extend(format!("{length} {key}={value}\n").into_bytes());
}

#[cfg(test)]
mod tests {
    use reseal_oci::layer::{EntryKind, Meaning, visit};

    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let long = format!("usr/{}", "d/".repeat(70)) + "é";
        let plain = Attributes {
            mode: 0o4755,
            uid: 0,
            gid: 42,
            mtime: 7,
        };
        let large = Attributes {
            uid: 3_000_000,
            mtime: NOW,
            ..plain
        };
        let mut out = Vec::new();
        let mut raw = Raw::new(&mut out);
        assert!(raw.file("a", plain, 3, &mut &b"abc"[..]).is_ok());
        raw.empty(&long, EntryType::Symlink, large, &long).unwrap();
        raw.whiteout("b/c").unwrap();
        raw.whiteout("d").unwrap();
        raw.finish().unwrap();
        let mut seen = Vec::new();
        visit(out.as_slice(), Meaning::Layer, &mut |entry, contents| {
            let mut bytes = String::new();
            contents.read_to_string(&mut bytes).unwrap();
            seen.push((
                entry.path.to_owned(),
                entry.kind,
                entry.mode,
                entry.uid,
                entry.gid,
                entry.mtime,
                entry.link.map(str::to_owned),
                bytes,
            ));
            Ok(())
        })
        .unwrap();
        let none = String::new;
        assert_eq!(
            seen,
            [
                (
                    "a".into(),
                    EntryKind::File,
                    0o4755,
                    0,
                    42,
                    7,
                    None,
                    "abc".into()
                ),
                (
                    long.clone(),
                    EntryKind::Symlink,
                    0o4755,
                    3_000_000,
                    42,
                    NOW,
                    Some(long),
                    none()
                ),
                (
                    "b/c".into(),
                    EntryKind::Whiteout,
                    0o644,
                    0,
                    0,
                    NOW,
                    None,
                    none()
                ),
                (
                    "d".into(),
                    EntryKind::Whiteout,
                    0o644,
                    0,
                    0,
                    NOW,
                    None,
                    none()
                ),
            ]
        );
    }
}
