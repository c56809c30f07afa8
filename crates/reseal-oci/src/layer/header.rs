//! The fixed 512-byte header of a tar entry.

use super::LayerError;

pub(super) const BLOCK: usize = 512;
pub(super) type Block = [u8; BLOCK];

/// The fields of a header, as they stand there.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) name: Vec<u8>,
    pub(super) mode: u32,
    pub(super) uid: i64,
    pub(super) gid: i64,
    pub(super) size: i64,
    pub(super) mtime: i64,
    pub(super) kind: u8,
    pub(super) link: Vec<u8>,
    pub(super) device: (u32, u32),
}

impl Header {
    /// Reads a block that is not all zero.
    pub(super) fn parse(block: &Block, offset: u64) -> Result<Self, LayerError> {
        let fail = |why| LayerError::Malformed { offset, why };
        let sum: i64 = checksum(block, i64::from);
        let signed: i64 = checksum(block, |b| i64::from(b.cast_signed()));
        let stored = number(&block[148..156]).ok_or_else(|| fail("it has no checksum"))?;
        if stored != sum && stored != signed {
            return Err(fail("its checksum is wrong"));
        }
        let field =
            |range: std::ops::Range<usize>, why| number(&block[range]).ok_or_else(|| fail(why));
        let kind = block[156];
        let device = if matches!(kind, b'3' | b'4') {
            let part = |range, why| {
                field(range, why).and_then(|n| u32::try_from(n).map_err(|_| fail(why)))
            };
            (
                part(329..337, "its device number is malformed")?,
                part(337..345, "its device number is malformed")?,
            )
        } else {
            (0, 0)
        };
        let mode = field(100..108, "its mode is malformed")?;
        let mut name = text(&block[..100]).to_vec();
        // GNU's format has times where POSIX has the prefix.
        let prefix = text(&block[345..500]);
        if &block[257..263] == b"ustar\0" && !prefix.is_empty() {
            name = [prefix, b"/", &name].concat();
        }
        Ok(Self {
            name,
            mode: u32::try_from(mode & 0o7777).expect("twelve bits fit"),
            uid: field(108..116, "its owner is malformed")?,
            gid: field(116..124, "its group is malformed")?,
            size: field(124..136, "its size is malformed")?,
            mtime: field(136..148, "its time is malformed")?,
            kind,
            link: text(&block[157..257]).to_vec(),
            device,
        })
    }
}

/// The sum of all bytes, with the checksum itself as spaces; old archives summed signed bytes.
fn checksum(block: &Block, value: impl Fn(u8) -> i64) -> i64 {
    block
        .iter()
        .enumerate()
        .map(|(i, &b)| {
            if (148..156).contains(&i) {
                i64::from(b' ')
            } else {
                value(b)
            }
        })
        .sum()
}

/// The bytes before the first NUL.
pub(super) fn text(field: &[u8]) -> &[u8] {
    &field[..field.iter().position(|&b| b == 0).unwrap_or(field.len())]
}

/// An octal number, or a big-endian one where the first bit is set; empty is zero.
pub(super) fn number(field: &[u8]) -> Option<i64> {
    let first = *field.first()?;
    if first & 0x80 != 0 {
        // Two's complement without the marker bit; the next bit is the sign.
        let start = if first & 0x40 == 0 { 0 } else { -1 };
        let head = if start == 0 { first & 0x7f } else { first };
        return std::iter::once(&head)
            .chain(&field[1..])
            .try_fold(start, |sum: i64, &byte| {
                Some(sum.checked_mul(256)? | i64::from(byte))
            });
    }
    let digits = field.trim_ascii_start();
    let end = digits
        .iter()
        .position(|b| !b.is_ascii_digit())
        .unwrap_or(digits.len());
    if !digits[end..].iter().all(|&b| b == 0 || b == b' ') {
        return None;
    }
    digits[..end].iter().try_fold(0_i64, |sum, &b| match b {
        b'0'..=b'7' => sum.checked_mul(8)?.checked_add(i64::from(b - b'0')),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_binary() {
        for (field, expected) in [
            (&b"0000644\0"[..], Some(0o644)),
            (b"   644 \0", Some(0o644)),
            (b"\0\0\0\0", Some(0)),
            (b"        ", Some(0)),
            (b"77777777777", Some(0o77_777_777_777)),
            (b"\x80\0\0\0\0\0\0\0\0\0\x01\0", Some(256)),
            (
                b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe",
                Some(-2),
            ),
            (b"\x80\0\0\x01\0\0\0\0\0\0\0\0", None),
            (b"00008\0", None),
            (b"12a", None),
            (b"-1", None),
            (b"12\x0034", None),
        ] {
            assert_eq!(number(field), expected, "{field:?}");
        }
    }
}
