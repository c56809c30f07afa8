//! The stored form of a layer's entries: one after the other, each with what differs from the one before.
//!
//! Numbers are in groups of seven bits, the lowest first; times are differences; a path is how much of the last one it
//! starts with, and the rest.

use std::borrow::Cow;

use crate::RootfsError;

/// Names the form and its version. A form that says more or other things gets another one, so that old facts are read
/// again instead of misread.
const MAGIC: &[u8] = b"reseal-layer-facts 4\n";
/// Stands after the last entry.
const END: u8 = 0xff;

const FILE: u8 = 0;
const DIR: u8 = 1;
const SYMLINK: u8 = 2;
const HARDLINK: u8 = 3;
const DEVICE: u8 = 4;
const FIFO: u8 = 5;
const WHITEOUT: u8 = 6;
const OPAQUE: u8 = 7;
/// With [`FILE`]: its digest follows.
const HASHED: u8 = 0x10;
/// With [`FILE`]: its contents follow. With [`HARDLINK`]: they are wanted.
const WANTED: u8 = 0x20;

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    pub(crate) path: Cow<'a, str>,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: i64,
    pub(crate) what: What<'a>,
}

/// What is particular to its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What<'a> {
    File {
        size: u64,
        md5: Option<[u8; 16]>,
        contents: Option<Cow<'a, [u8]>>,
    },
    Dir,
    Symlink(Cow<'a, str>),
    Hardlink {
        target: Cow<'a, str>,
        wanted: bool,
    },
    Device,
    Fifo,
    Whiteout,
    Opaque,
}

#[derive(Debug)]
pub(super) struct Writer {
    out: Vec<u8>,
    path: String,
    mtime: i64,
}

impl Writer {
    pub(super) fn new() -> Self {
        Self {
            out: MAGIC.to_vec(),
            path: String::new(),
            mtime: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.out.len()
    }

    pub(super) fn push(&mut self, record: &Record<'_>) {
        let tag = match &record.what {
            What::File { md5, contents, .. } => {
                FILE | if md5.is_some() { HASHED } else { 0 }
                    | if contents.is_some() { WANTED } else { 0 }
            }
            What::Dir => DIR,
            What::Symlink(_) => SYMLINK,
            What::Hardlink { wanted, .. } => HARDLINK | if *wanted { WANTED } else { 0 },
            What::Device => DEVICE,
            What::Fifo => FIFO,
            What::Whiteout => WHITEOUT,
            What::Opaque => OPAQUE,
        };
        self.out.push(tag);
        let mut shared = shared(&self.path, &record.path);
        while !record.path.is_char_boundary(shared) {
            shared -= 1;
        }
        self.number(shared as u64);
        self.bytes(&record.path.as_bytes()[shared..]);
        self.path.truncate(shared);
        self.path.push_str(&record.path[shared..]);
        if matches!(record.what, What::Whiteout | What::Opaque) {
            return;
        }
        self.number(record.mode.into());
        self.number(record.uid.into());
        self.number(record.gid.into());
        // Small steps either way are small numbers.
        let step = record.mtime.wrapping_sub(self.mtime);
        self.number((step.cast_unsigned() << 1) ^ (step >> 63).cast_unsigned());
        self.mtime = record.mtime;
        match &record.what {
            What::File {
                size,
                md5,
                contents,
            } => {
                self.number(*size);
                if let Some(md5) = md5 {
                    self.out.extend_from_slice(md5);
                }
                if let Some(contents) = contents {
                    self.bytes(contents);
                }
            }
            What::Symlink(target) | What::Hardlink { target, .. } => {
                self.bytes(target.as_bytes());
            }
            _ => {}
        }
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.out.push(END);
        self.out.shrink_to_fit();
        self.out
    }

    fn number(&mut self, mut number: u64) {
        while number > 0x7f {
            self.out.push(number.to_le_bytes()[0] | 0x80);
            number >>= 7;
        }
        self.out.push(number.to_le_bytes()[0]);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.out.extend_from_slice(bytes);
    }
}

/// How many bytes two paths start with in common.
fn shared(a: &str, b: &str) -> usize {
    a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count()
}

/// Reads entries; ends after the first error.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    path: String,
    mtime: i64,
    done: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, RootfsError> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(RootfsError::Facts {
            why: "they are of another version",
        })?;
        Ok(Self {
            rest,
            path: String::new(),
            mtime: 0,
            done: false,
        })
    }

    fn record(&mut self) -> Result<Option<Record<'a>>, &'static str> {
        let tag = self.take(1)?[0];
        if tag == END {
            return if self.rest.is_empty() {
                Ok(None)
            } else {
                Err("something follows their end")
            };
        }
        let shared = usize::try_from(self.number()?).map_err(|_| "a length is too large")?;
        if !self.path.is_char_boundary(shared) {
            return Err("a path begins with more than the one before has");
        }
        self.path.truncate(shared);
        let rest = self.text()?;
        self.path.push_str(rest);
        let mut record = Record {
            path: Cow::Owned(self.path.clone()),
            mode: 0,
            uid: 0,
            gid: 0,
            mtime: 0,
            what: match tag {
                WHITEOUT => What::Whiteout,
                OPAQUE => What::Opaque,
                _ => What::Dir,
            },
        };
        if matches!(tag, WHITEOUT | OPAQUE) {
            return Ok(Some(record));
        }
        record.mode = self.small()?;
        record.uid = self.small()?;
        record.gid = self.small()?;
        let step = self.number()?;
        let step = (step >> 1).cast_signed() ^ -(step & 1).cast_signed();
        self.mtime = self.mtime.wrapping_add(step);
        record.mtime = self.mtime;
        record.what = match tag & 0x0f {
            FILE if tag & !(HASHED | WANTED) == FILE => What::File {
                size: self.number()?,
                md5: if tag & HASHED == 0 {
                    None
                } else {
                    let digest = self.take(16)?.try_into();
                    Some(digest.expect("sixteen bytes were taken"))
                },
                contents: if tag & WANTED == 0 {
                    None
                } else {
                    Some(Cow::Borrowed(self.bytes()?))
                },
            },
            HARDLINK if tag & !WANTED == HARDLINK => What::Hardlink {
                target: self.text()?.into(),
                wanted: tag & WANTED != 0,
            },
            SYMLINK if tag == SYMLINK => What::Symlink(self.text()?.into()),
            DIR if tag == DIR => What::Dir,
            DEVICE if tag == DEVICE => What::Device,
            FIFO if tag == FIFO => What::Fifo,
            _ => return Err("an entry is of an unknown type"),
        };
        Ok(Some(record))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], &'static str> {
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or("they end too early")?;
        self.rest = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u64, &'static str> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            let group = u64::from(byte & 0x7f);
            if group << shift >> shift != group {
                break;
            }
            number |= group << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err("a number is too large")
    }

    fn small(&mut self) -> Result<u32, &'static str> {
        u32::try_from(self.number()?).map_err(|_| "a number is too large")
    }

    fn bytes(&mut self) -> Result<&'a [u8], &'static str> {
        let length = usize::try_from(self.number()?).map_err(|_| "a length is too large")?;
        self.take(length)
    }

    fn text(&mut self) -> Result<&'a str, &'static str> {
        std::str::from_utf8(self.bytes()?).map_err(|_| "a path is not text")
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = Result<Record<'a>, RootfsError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let next = self.record();
        self.done = !matches!(next, Ok(Some(_)));
        next.map_err(|why| RootfsError::Facts { why }).transpose()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn what() -> impl Strategy<Value = What<'static>> {
        let md5 = proptest::option::of(any::<[u8; 16]>());
        let contents = proptest::option::of(proptest::collection::vec(any::<u8>(), 0..20));
        let file = (any::<u64>(), md5, contents).prop_map(|(size, md5, contents)| What::File {
            size,
            md5,
            contents: contents.map(Cow::Owned),
        });
        prop_oneof![
            file,
            Just(What::Dir),
            "[a-zé/.]{0,8}".prop_map(|target| What::Symlink(target.into())),
            ("[a-zé/.]{0,8}", any::<bool>()).prop_map(|(target, wanted)| What::Hardlink {
                target: target.into(),
                wanted,
            }),
            Just(What::Device),
            Just(What::Fifo),
        ]
    }

    fn entry() -> impl Strategy<Value = Record<'static>> {
        let meta = (any::<u32>(), any::<u32>(), any::<u32>(), any::<i64>());
        let plain =
            ("[abéè/]{0,6}", meta, what()).prop_map(|(path, (mode, uid, gid, mtime), what)| {
                Record {
                    path: path.into(),
                    mode,
                    uid,
                    gid,
                    mtime,
                    what,
                }
            });
        let hidden = ("[abéè/]{0,6}", any::<bool>()).prop_map(|(path, opaque)| Record {
            path: path.into(),
            mode: 0,
            uid: 0,
            gid: 0,
            mtime: 0,
            what: if opaque { What::Opaque } else { What::Whiteout },
        });
        prop_oneof![4 => plain, 1 => hidden]
    }

    fn read(bytes: &[u8]) -> Result<Vec<Record<'_>>, RootfsError> {
        Reader::new(bytes)?.collect()
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(records in proptest::collection::vec(entry(), 0..12)) {
            let mut writer = Writer::new();
            for record in &records {
                writer.push(record);
            }
            let bytes = writer.finish();
            prop_assert_eq!(read(&bytes).unwrap(), records);
            // Whatever is cut off is missed.
            for end in 0..bytes.len() {
                prop_assert!(read(&bytes[..end]).is_err(), "{}", end);
            }
        }

        #[test]
        fn any_bytes_are_records_or_an_error(
            records in proptest::collection::vec(entry(), 1..6),
            flips in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..4),
        ) {
            let mut writer = Writer::new();
            for record in &records {
                writer.push(record);
            }
            let mut bytes = writer.finish();
            for (at, value) in flips {
                let length = bytes.len();
                bytes[at % length] = value;
            }
            let _ = read(&bytes);
        }
    }

    #[test]
    fn numbers_that_do_not_fit_are_refused() {
        for (number, fits) in [
            (
                &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01][..],
                true,
            ),
            (
                &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02],
                false,
            ),
            (&[0x80; 11], false),
        ] {
            let bytes = [MAGIC, number].concat();
            let mut reader = Reader::new(&bytes).unwrap();
            assert_eq!(reader.number().is_ok(), fits, "{number:?}");
        }
    }
}
