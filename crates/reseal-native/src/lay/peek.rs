//! Keeps the parts of a passing library that say what it is, so that none is ever whole in memory.

use std::io::{self, Read};
use std::ops::Range;

/// What is kept of the beginning, in bytes: headers, notes and nearly always names are there. Of the 79 libraries of over
/// 1 MiB that were looked at, three had names behind it (LLVM and clang, up to 4.1 MiB); those are read a second time.
const BEGINNING: usize = 1 << 20;
/// Largest file that is looked into, in bytes.
const LIMIT: u64 = 1 << 30;
/// Kinds of segments that are kept wherever they are: dynamic linking, interpreter, notes.
const KEPT: [u64; 3] = [2, 3, 4];
/// Largest of those, in bytes.
const SEGMENT_LIMIT: usize = 1 << 20;

/// Reads on behalf of somebody else, and keeps what matters.
pub(super) struct Peek<'a> {
    inner: &'a mut dyn Read,
    at: usize,
    /// As large as the file. Pages that nothing is written to take no memory, as the allocator gets them zeroed from the
    /// system.
    kept: Vec<u8>,
    /// Parts that were asked for.
    asked: Vec<Range<usize>>,
    /// Parts behind the beginning; known as soon as that was read.
    segments: Option<Vec<Range<usize>>>,
}

/// What was kept of a file.
pub(super) struct Peeked {
    /// The file, with what was not kept as zeros.
    pub(super) bytes: Vec<u8>,
    kept: Vec<Range<usize>>,
}

impl Peeked {
    /// Tells whether a part of the file is there as it was.
    pub(super) fn has(&self, part: &Range<usize>) -> bool {
        let mut kept = self.kept.iter();
        kept.any(|kept| kept.start <= part.start && part.end <= kept.end)
    }
}

impl<'a> Peek<'a> {
    /// Starts on a file of that size, of which parts are wanted wherever they are; `None` if it is too large.
    pub(super) fn new(
        inner: &'a mut dyn Read,
        size: u64,
        asked: Vec<Range<usize>>,
    ) -> Option<Self> {
        let size = usize::try_from(size).ok().filter(|_| size <= LIMIT)?;
        Some(Self {
            inner,
            at: 0,
            kept: vec![0; size],
            asked,
            segments: None,
        })
    }

    /// Returns what was kept.
    pub(super) fn finish(self) -> Peeked {
        let mut kept = self.asked;
        kept.extend(self.segments.into_iter().flatten());
        kept.push(0..BEGINNING.min(self.kept.len()));
        Peeked {
            bytes: self.kept,
            kept,
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        let passed = self.at..self.at + bytes.len();
        self.at = passed.end;
        copy(&mut self.kept, &passed, bytes, &(0..BEGINNING));
        if self.segments.is_none() && self.at >= BEGINNING.min(self.kept.len()) {
            self.segments = Some(segments(&self.kept[..BEGINNING.min(self.kept.len())]));
        }
        for part in self.segments.iter().flatten().chain(&self.asked) {
            copy(&mut self.kept, &passed, bytes, part);
        }
    }
}

impl Read for Peek<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let done = self.inner.read(buffer)?;
        self.keep(&buffer[..done]);
        Ok(done)
    }
}

/// Copies the bytes that passed and are in a part of the file.
fn copy(kept: &mut [u8], passed: &Range<usize>, bytes: &[u8], part: &Range<usize>) {
    let start = part.start.max(passed.start);
    let end = part.end.min(passed.end).min(kept.len());
    if start < end {
        kept[start..end].copy_from_slice(&bytes[start - passed.start..end - passed.start]);
    }
}

/// Reads where an ELF file has what it needs for dynamic linking; nothing for other files.
fn segments(beginning: &[u8]) -> Vec<Range<usize>> {
    let (wide, big) = match beginning {
        [0x7f, b'E', b'L', b'F', class @ (1 | 2), data @ (1 | 2), ..] => (*class == 2, *data == 2),
        _ => return Vec::new(),
    };
    let number = |at: usize, width: usize| -> Option<u64> {
        let bytes = beginning.get(at..at.checked_add(width)?)?;
        let add = |sum: u64, byte: &u8| (sum << 8) | u64::from(*byte);
        Some(if big {
            bytes.iter().fold(0, add)
        } else {
            bytes.iter().rev().fold(0, add)
        })
    };
    // Where the table of segments is, the size of its entries and their count; then, within an entry, its place and size.
    let (word, table, entry, place, size) = if wide {
        (8, 32, 54, 8, 32)
    } else {
        (4, 28, 42, 4, 16)
    };
    let find = || -> Option<Vec<Range<usize>>> {
        let start = usize::try_from(number(table, word)?).ok()?;
        let width = usize::try_from(number(entry, 2)?).ok()?;
        let count = usize::try_from(number(entry + 2, 2)?).ok()?;
        let mut out = Vec::new();
        for index in 0..count {
            let at = start.checked_add(index.checked_mul(width)?)?;
            if KEPT.contains(&number(at, 4)?) {
                let from = usize::try_from(number(at + place, word)?).ok()?;
                let long = usize::try_from(number(at + size, word)?).ok()?;
                out.push(from..from.checked_add(long.min(SEGMENT_LIMIT))?);
            }
        }
        Some(out)
    };
    find().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A 64-bit file with one dynamic segment at an offset.
    fn elf(size: usize, dynamic: usize) -> Vec<u8> {
        let mut out: Vec<u8> = (0..size)
            .map(|at| u8::try_from(at % 251).unwrap())
            .collect();
        out[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1]);
        out[32..40].copy_from_slice(&64_u64.to_le_bytes());
        out[54..56].copy_from_slice(&56_u16.to_le_bytes());
        out[56..58].copy_from_slice(&1_u16.to_le_bytes());
        out[64..68].copy_from_slice(&2_u32.to_le_bytes());
        out[72..80].copy_from_slice(&(dynamic as u64).to_le_bytes());
        out[96..104].copy_from_slice(&1000_u64.to_le_bytes());
        out
    }

    #[test]
    fn the_beginning_and_the_dynamic_segment_are_kept() {
        let (size, dynamic) = (BEGINNING + (1 << 20), BEGINNING + 5000);
        let bytes = elf(size, dynamic);
        let mut source = bytes.as_slice();
        let asked = dynamic + 2000..dynamic + 2100;
        let mut peek = Peek::new(&mut source, size as u64, vec![asked.clone()]).unwrap();
        let mut passed = Vec::new();
        peek.read_to_end(&mut passed).unwrap();
        assert!(passed == bytes);
        let peeked = peek.finish();
        let same = |part: Range<usize>| peeked.bytes[part.clone()] == bytes[part];
        let zero = |part: Range<usize>| peeked.bytes[part].iter().all(|byte| *byte == 0);
        assert!(same(0..BEGINNING) && same(dynamic..dynamic + 1000) && same(asked.clone()));
        assert!(zero(dynamic + 1000..asked.start) && zero(asked.end..size));
        assert!(peeked.has(&(0..BEGINNING)) && peeked.has(&asked));
        assert!(!peeked.has(&(dynamic..asked.end)) && !peeked.has(&(size - 1..size)));
    }

    #[test]
    fn headers_that_lie_do_no_harm() {
        for (at, value) in [
            (32, u64::MAX),
            (72, u64::MAX),
            (96, u64::MAX),
            (54, u64::MAX),
        ] {
            let mut bytes = elf(4096, 100);
            bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
            let mut source = bytes.as_slice();
            let mut peek = Peek::new(&mut source, 4096, Vec::new()).unwrap();
            io::copy(&mut peek, &mut io::sink()).unwrap();
            let peeked = peek.finish();
            assert!(peeked.has(&(0..4096)) && peeked.bytes == bytes);
        }
        assert!(segments(b"\x7fELF\x02\x01").is_empty());
        assert!(segments(b"#!/bin/sh").is_empty());
        assert!(Peek::new(&mut io::empty(), LIMIT + 1, Vec::new()).is_none());
    }
}
