//! Reads a cache.

use super::write::{
    ENTRY, EXTENSION_HEADER, GENERATOR, HEADER, HWCAPS, OLD_ENTRY, OLD_HEADER, SECTION, write,
};
use super::{Cache, EXTENSION, Form, LdCacheError, Library, Strings, order};

pub(super) const OLD_MAGIC: &[u8] = b"ld.so-1.7.0";
pub(super) const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
pub(super) const EXTENSION_MAGIC: u32 = 0xeaa4_2174;

/// Most bytes of a cache; the largest known has some hundred thousand.
const LIMIT: usize = 8 << 20;
/// Most bytes of names, which may share their place in the cache.
const NAMES_LIMIT: usize = 32 << 20;
/// Most subdirectories of `glibc-hwcaps`.
const HWCAPS_LIMIT: usize = 100;

/// Reads numbers in one byte order.
#[derive(Clone, Copy)]
struct In<'a> {
    bytes: &'a [u8],
    big_endian: bool,
}

impl<'a> In<'a> {
    fn at(self, at: usize, length: usize) -> Result<&'a [u8], &'static str> {
        self.bytes
            .get(at..)
            .and_then(|rest| rest.get(..length))
            .ok_or("it ends too early")
    }

    fn number(self, at: usize) -> Result<u32, &'static str> {
        let bytes = self.at(at, 4)?.try_into().expect("four bytes were taken");
        Ok(if self.big_endian {
            u32::from_be_bytes(bytes)
        } else {
            u32::from_le_bytes(bytes)
        })
    }

    fn long(self, at: usize) -> Result<u64, &'static str> {
        let (first, second) = (u64::from(self.number(at)?), u64::from(self.number(at + 4)?));
        Ok(if self.big_endian {
            first << 32 | second
        } else {
            second << 32 | first
        })
    }

    fn size(self, at: usize) -> Result<usize, &'static str> {
        usize::try_from(self.number(at)?).map_err(|_| "a number is too large")
    }

    /// The text at a place, up to its NUL.
    fn text(self, at: usize) -> Result<String, &'static str> {
        let rest = self.bytes.get(at..).ok_or("a name lies beyond its end")?;
        let end = rest
            .iter()
            .take(5000)
            .position(|&b| b == 0)
            .ok_or("a name has no end")?;
        String::from_utf8(rest[..end].to_vec()).map_err(|_| "a name is not text")
    }
}

pub(super) fn parse(bytes: &[u8]) -> Result<Cache, LdCacheError> {
    if bytes.len() > LIMIT {
        return Err(LdCacheError::Form {
            why: "it is larger than any cache",
        });
    }
    // Only newer versions note their byte order, so it is tried.
    let little = read(In {
        bytes,
        big_endian: false,
    });
    let cache = little.or_else(|why| {
        let big = read(In {
            bytes,
            big_endian: true,
        });
        big.map_err(|_| why)
    });
    cache.map_err(|why| LdCacheError::Form { why })
}

fn read(input: In<'_>) -> Result<Cache, &'static str> {
    let In { bytes, big_endian } = input;
    let (base, old_first) = if bytes.starts_with(OLD_MAGIC) {
        let end = input
            .size(12)?
            .checked_mul(OLD_ENTRY)
            .and_then(|length| length.checked_add(OLD_HEADER))
            .ok_or("a number is too large")?;
        let is_new =
            |&align: &usize| input.at(end.next_multiple_of(align), MAGIC.len()) == Ok(MAGIC);
        let align = [8, 4]
            .into_iter()
            .find(is_new)
            .ok_or("it has only the format of libc5's days")?;
        (end.next_multiple_of(align), Some(align))
    } else {
        (0, None)
    };
    let part = In {
        bytes: bytes.get(base..).ok_or("it ends too early")?,
        big_endian,
    };
    if !part.bytes.starts_with(MAGIC) {
        return Err("it does not begin as one");
    }
    let count = part.size(20)?;
    let flags = part.at(28, 4)?.try_into().expect("four bytes were taken");
    let unused = part
        .at(36, 12)?
        .try_into()
        .expect("twelve bytes were taken");
    let extension = part.size(32)?;
    let (generator, hwcaps) = match extension {
        0 => (None, Vec::new()),
        _ => extensions(input, part, extension)?,
    };
    if part
        .at(
            HEADER,
            count.checked_mul(ENTRY).ok_or("a number is too large")?,
        )
        .is_err()
    {
        return Err("it ends too early");
    }
    let mut names = 0;
    let mut libraries = Vec::new();
    for index in 0..count {
        let library = library(part, HEADER + ENTRY * index, &hwcaps)?;
        names += library.soname.len() + library.path.len();
        if names > NAMES_LIMIT {
            return Err("it has more names than any cache");
        }
        libraries.push(library);
    }
    let sorted = libraries.is_sorted_by(|a, b| order::compare(a, b) != std::cmp::Ordering::Greater);
    if !sorted {
        return Err("its libraries are in another order");
    }
    let mut cache = Cache {
        form: Form {
            big_endian,
            old_first,
            strings: Strings::Shared,
            flags,
            unused,
        },
        libraries,
        generator,
    };
    for strings in [Strings::Shared, Strings::Sequence] {
        cache.form.strings = strings;
        if write(&cache) == bytes {
            return Ok(cache);
        }
    }
    Err("its parts are laid out in another way")
}

fn library(part: In<'_>, at: usize, hwcaps: &[String]) -> Result<Library, &'static str> {
    let hwcap = part.long(at + 16)?;
    let (hwcap, hwcaps) = if hwcap & EXTENSION == 0 {
        (hwcap, None)
    } else {
        let index = usize::try_from(hwcap & 0xffff_ffff).map_err(|_| "a number is too large")?;
        let name = hwcaps
            .get(index)
            .ok_or("a library needs unknown capabilities")?;
        ((hwcap & !EXTENSION) >> 32, Some(name.clone()))
    };
    Ok(Library {
        soname: part.text(part.size(at + 4)?)?,
        path: part.text(part.size(at + 8)?)?,
        flags: part.number(at)?,
        os_version: part.number(at + 12)?,
        hwcap,
        hwcaps,
    })
}

/// Who wrote it, and the subdirectories of `glibc-hwcaps`. Their places count from the start of the file, those of names
/// from the start of the new format's part.
fn extensions(
    file: In<'_>,
    part: In<'_>,
    at: usize,
) -> Result<(Option<String>, Vec<String>), &'static str> {
    if file.number(at)? != EXTENSION_MAGIC {
        return Err("its extensions are not where it says");
    }
    let (mut generator, mut hwcaps) = (None, Vec::new());
    for index in 0..file.size(at + 4)?.min(8) {
        let section = at + EXTENSION_HEADER + SECTION * index;
        let data = file.at(file.size(section + 8)?, file.size(section + 12)?)?;
        match file.number(section)? {
            GENERATOR => {
                let text = String::from_utf8(data.to_vec());
                generator = Some(text.map_err(|_| "its generator is not text")?);
            }
            HWCAPS => {
                if data.len() > 4 * HWCAPS_LIMIT {
                    return Err("it has more capabilities than any processor");
                }
                let data = In {
                    bytes: data,
                    ..file
                };
                hwcaps = (0..data.bytes.len() / 4)
                    .map(|index| part.text(data.size(4 * index)?))
                    .collect::<Result<_, _>>()?;
            }
            _ => return Err("it has an extension of an unknown kind"),
        }
    }
    Ok((generator, hwcaps))
}
