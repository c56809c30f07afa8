//! Sparse files: the maps of GNU's old format and of its three pax formats.

use std::io::{self, Read, Write};

use super::LayerError;
use super::header::{BLOCK, Block, number};
use super::pax::decimal;

/// Most pieces of data that a sparse file may have.
const SEGMENT_LIMIT: usize = 1 << 16;

/// A piece of data of a sparse file; what lies between pieces is zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) at: u64,
    pub(super) length: u64,
}

fn malformed(offset: u64) -> LayerError {
    LayerError::Malformed {
        offset,
        why: "the map of its sparse file is malformed",
    }
}

/// The entries of a header of the old format or of the blocks that continue it; an empty one ends them.
fn old_entries(field: &[u8], offset: u64, out: &mut Vec<Segment>) -> Result<(), LayerError> {
    for entry in field.chunks_exact(24) {
        if entry[0] == 0 {
            break;
        }
        let read = |field: &[u8]| {
            number(field)
                .and_then(|n| u64::try_from(n).ok())
                .ok_or_else(|| malformed(offset))
        };
        out.push(Segment {
            at: read(&entry[..12])?,
            length: read(&entry[12..])?,
        });
    }
    if out.len() > SEGMENT_LIMIT {
        Err(malformed(offset))
    } else {
        Ok(())
    }
}

/// Reads the map of GNU's old format: from the header and the blocks after it. Returns it with the file's real size.
pub(super) fn old(
    header: &Block,
    offset: u64,
    mut next: impl FnMut() -> Result<Block, LayerError>,
) -> Result<(Vec<Segment>, u64), LayerError> {
    let mut segments = Vec::new();
    old_entries(&header[386..482], offset, &mut segments)?;
    let mut more = header[482] != 0;
    while more {
        let block = next()?;
        let before = segments.len();
        old_entries(&block[..504], offset, &mut segments)?;
        more = block[504] != 0;
        if more && segments.len() == before {
            // Continuations without content could go on for ever.
            return Err(malformed(offset));
        }
    }
    let size = number(&header[483..495])
        .and_then(|n| u64::try_from(n).ok())
        .ok_or_else(|| malformed(offset))?;
    Ok((segments, size))
}

/// Reads the map of pax format 0.1, `at,length,at,length,…`.
pub(super) fn list(text: &[u8], offset: u64) -> Result<Vec<Segment>, LayerError> {
    let numbers: Option<Vec<u64>> = text.split(|&b| b == b',').map(decimal).collect();
    pairs(&numbers.ok_or_else(|| malformed(offset))?, offset)
}

fn pairs(numbers: &[u64], offset: u64) -> Result<Vec<Segment>, LayerError> {
    if !numbers.len().is_multiple_of(2) || numbers.len() > 2 * SEGMENT_LIMIT {
        return Err(malformed(offset));
    }
    Ok(numbers
        .chunks_exact(2)
        .map(|pair| Segment {
            at: pair[0],
            length: pair[1],
        })
        .collect())
}

/// Reads the map of pax format 1.0: lines of numbers at the start of the data, in whole blocks.
/// Returns it with the number of bytes that it takes there.
pub(super) fn leading(
    offset: u64,
    mut next: impl FnMut() -> Result<Block, LayerError>,
) -> Result<(Vec<Segment>, u64), LayerError> {
    let (mut numbers, mut digits, mut taken) = (Vec::new(), Vec::new(), 0_u64);
    let mut wanted = None;
    while wanted.is_none_or(|wanted| numbers.len() < wanted) {
        let block = next()?;
        taken += BLOCK as u64;
        for &byte in &block {
            if wanted.is_some_and(|wanted| numbers.len() == wanted) {
                break;
            }
            if byte != b'\n' {
                digits.push(byte);
                if digits.len() > 20 {
                    return Err(malformed(offset));
                }
                continue;
            }
            let number = decimal(&digits).ok_or_else(|| malformed(offset))?;
            digits.clear();
            if wanted.is_none() {
                let count = usize::try_from(number).ok().filter(|&n| n <= SEGMENT_LIMIT);
                wanted = Some(2 * count.ok_or_else(|| malformed(offset))?);
            } else {
                numbers.push(number);
            }
        }
    }
    Ok((pairs(&numbers, offset)?, taken))
}

/// Checks that the pieces are in order, within the file, and as long together as the data.
pub(super) fn check(
    segments: &[Segment],
    size: u64,
    stored: u64,
    offset: u64,
) -> Result<(), LayerError> {
    let (mut end, mut sum) = (0_u64, 0_u64);
    for segment in segments {
        if segment.at < end {
            return Err(malformed(offset));
        }
        end = segment
            .at
            .checked_add(segment.length)
            .filter(|&end| end <= size)
            .ok_or_else(|| malformed(offset))?;
        sum += segment.length;
    }
    if sum == stored && segments.len() <= SEGMENT_LIMIT {
        Ok(())
    } else {
        Err(malformed(offset))
    }
}

/// How expanding ended early.
pub(super) enum Failure {
    Read(io::Error),
    Write(io::Error),
}

/// Copies the data, with zeros where the map has none.
pub(super) fn expand(
    source: &mut impl Read,
    segments: &[Segment],
    size: u64,
    sink: &mut impl Write,
) -> Result<(), Failure> {
    let mut at = 0;
    for segment in segments.iter().chain(&[Segment {
        at: size,
        length: 0,
    }]) {
        io::copy(&mut io::repeat(0).take(segment.at - at), sink).map_err(Failure::Write)?;
        copy(source, segment.length, sink)?;
        at = segment.at + segment.length;
    }
    Ok(())
}

/// Copies so many bytes, and fails when there are fewer.
pub(super) fn copy(
    source: &mut impl Read,
    mut length: u64,
    sink: &mut impl Write,
) -> Result<(), Failure> {
    let mut buffer = [0; 16 << 10];
    while length > 0 {
        let part = buffer
            .len()
            .min(usize::try_from(length).unwrap_or(usize::MAX));
        source
            .read_exact(&mut buffer[..part])
            .map_err(Failure::Read)?;
        sink.write_all(&buffer[..part]).map_err(Failure::Write)?;
        length -= part as u64;
    }
    Ok(())
}
