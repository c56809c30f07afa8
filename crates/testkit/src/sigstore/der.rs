//! As much DER as the fakes need.

pub(super) fn value(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let contents = parts.concat();
    let length = contents.len();
    let mut out = vec![tag];
    match length {
        0..=0x7f => out.push(length.to_be_bytes()[7]),
        0x80..=0xff => out.extend([0x81, length.to_be_bytes()[7]]),
        _ => {
            out.push(0x82);
            out.extend(&length.to_be_bytes()[6..]);
        }
    }
    out.extend(contents);
    out
}

/// Takes a value off the front: its tag, its contents, and all of its bytes.
pub(super) fn take<'a>(bytes: &mut &'a [u8]) -> Result<(u8, &'a [u8], &'a [u8]), String> {
    let broken = || "broken DER".to_owned();
    let whole = *bytes;
    let tag = *whole.first().ok_or_else(broken)?;
    let first = usize::from(*whole.get(1).ok_or_else(broken)?);
    let (head, length) = match first {
        0..=0x7f => (2, first),
        0x81 => (3, usize::from(*whole.get(2).ok_or_else(broken)?)),
        0x82 => {
            let digits = whole.get(2..4).ok_or_else(broken)?;
            (4, usize::from(digits[0]) << 8 | usize::from(digits[1]))
        }
        _ => return Err(broken()),
    };
    let contents = whole.get(head..head + length).ok_or_else(broken)?;
    *bytes = &whole[head + length..];
    Ok((tag, contents, &whole[..head + length]))
}

/// Takes a value with a certain tag, and returns its contents.
pub(super) fn expect<'a>(bytes: &mut &'a [u8], tag: u8) -> Result<&'a [u8], String> {
    let (found, contents, _) = take(bytes)?;
    if found == tag {
        Ok(contents)
    } else {
        Err(format!("tag {found:#x} instead of {tag:#x}"))
    }
}
