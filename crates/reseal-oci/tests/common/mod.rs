//! Tar archives for tests, with full control over every header.

#![expect(dead_code, reason = "every test binary uses another part")]

use std::io::Read;

/// An entry that is not written yet.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) name: Vec<u8>,
    pub(crate) kind: u8,
    pub(crate) mode: u32,
    pub(crate) uid: u64,
    pub(crate) gid: u64,
    pub(crate) mtime: u64,
    pub(crate) link: Vec<u8>,
    pub(crate) data: Vec<u8>,
    /// What the header says where it lies.
    pub(crate) size: Option<u64>,
    pub(crate) device: (u32, u32),
    pub(crate) pax: Vec<(String, Vec<u8>)>,
}

impl Entry {
    pub(crate) fn new(kind: u8, name: impl AsRef<[u8]>) -> Self {
        Self {
            name: name.as_ref().to_vec(),
            kind,
            mode: 0o644,
            uid: 0,
            gid: 0,
            mtime: 1000,
            link: Vec::new(),
            data: Vec::new(),
            size: None,
            device: (0, 0),
            pax: Vec::new(),
        }
    }

    pub(crate) fn pax(mut self, key: &str, value: impl AsRef<[u8]>) -> Self {
        self.pax.push((key.to_owned(), value.as_ref().to_vec()));
        self
    }

    pub(crate) fn mode(self, mode: u32) -> Self {
        Self { mode, ..self }
    }

    pub(crate) fn owner(self, uid: u64, gid: u64) -> Self {
        Self { uid, gid, ..self }
    }

    pub(crate) fn mtime(self, mtime: u64) -> Self {
        Self { mtime, ..self }
    }

    pub(crate) fn size(self, size: u64) -> Self {
        Self {
            size: Some(size),
            ..self
        }
    }

    /// The entry's bytes, with a long name's and the pax header before it.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if !self.pax.is_empty() {
            let body: Vec<u8> = self
                .pax
                .iter()
                .flat_map(|(key, value)| record(key, value))
                .collect();
            out.extend(
                Self {
                    data: body,
                    ..Self::new(b'x', "PaxHeaders/x")
                }
                .bytes(),
            );
        }
        if self.name.len() > 100 {
            out.extend(
                Self {
                    data: [&self.name[..], b"\0"].concat(),
                    ..Self::new(b'L', "././@LongLink")
                }
                .bytes(),
            );
        }
        if self.link.len() > 100 {
            out.extend(
                Self {
                    data: [&self.link[..], b"\0"].concat(),
                    ..Self::new(b'K', "././@LongLink")
                }
                .bytes(),
            );
        }
        out.extend(self.block());
        out.extend(&self.data);
        out.resize(out.len().next_multiple_of(512), 0);
        out
    }

    pub(crate) fn block(&self) -> [u8; 512] {
        let mut block = [0; 512];
        let name = &self.name[..self.name.len().min(100)];
        block[..name.len()].copy_from_slice(name);
        let link = &self.link[..self.link.len().min(100)];
        block[157..157 + link.len()].copy_from_slice(link);
        let size = self.size.unwrap_or(self.data.len() as u64);
        octal(&mut block[100..108], u64::from(self.mode));
        octal(&mut block[108..116], self.uid);
        octal(&mut block[116..124], self.gid);
        octal(&mut block[124..136], size);
        octal(&mut block[136..148], self.mtime);
        octal(&mut block[329..337], u64::from(self.device.0));
        octal(&mut block[337..345], u64::from(self.device.1));
        block[156] = self.kind;
        block[257..265].copy_from_slice(b"ustar\x0000");
        seal(&mut block);
        block
    }
}

fn octal(field: &mut [u8], number: u64) {
    let width = field.len() - 1;
    let digits = format!("{number:0width$o}");
    if digits.len() <= width {
        field[..width].copy_from_slice(digits.as_bytes());
    } else {
        let length = field.len();
        field[length - 8..].copy_from_slice(&number.to_be_bytes());
        field[0] |= 0x80;
    }
}

/// Puts the right checksum into a header.
pub(crate) fn seal(block: &mut [u8; 512]) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|&b| u32::from(b)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let length = (rest..rest + 9)
        .find(|length| rest + length.to_string().len() == *length)
        .unwrap();
    [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
}

pub(crate) fn file(name: impl AsRef<[u8]>, data: impl AsRef<[u8]>) -> Entry {
    Entry {
        data: data.as_ref().to_vec(),
        ..Entry::new(b'0', name)
    }
}

pub(crate) fn dir(name: &str) -> Entry {
    Entry::new(b'5', format!("{name}/")).mode(0o755)
}

pub(crate) fn symlink(name: &str, target: &str) -> Entry {
    Entry {
        link: target.into(),
        ..Entry::new(b'2', name)
    }
}

pub(crate) fn hardlink(name: &str, target: &str) -> Entry {
    Entry {
        link: target.into(),
        ..Entry::new(b'1', name)
    }
}

pub(crate) fn archive(entries: &[Entry]) -> Vec<u8> {
    let mut out: Vec<u8> = entries.iter().flat_map(Entry::bytes).collect();
    out.extend([0; 1024]);
    out
}

pub(crate) fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    flate2::read::GzDecoder::new(bytes)
        .read_to_end(&mut out)
        .unwrap();
    out
}
