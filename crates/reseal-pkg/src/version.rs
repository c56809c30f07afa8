//! Debian's version order (deb-version(7)).

use std::cmp::Ordering;

use crate::PkgError;

/// Compares two versions as dpkg does.
///
/// A total preorder on any two texts, numbers of any length included. What dpkg would refuse has a
/// place in the order too: an epoch that is no number counts as part of the upstream version.
/// White space around a version does not count.
pub fn compare_dpkg(a: &str, b: &str) -> Ordering {
    let (a, b) = (Parts::split(a), Parts::split(b));
    digits(a.epoch, b.epoch)
        .then_with(|| part(a.upstream, b.upstream))
        .then_with(|| part(a.revision, b.revision))
}

/// Checks that a text is a version that dpkg takes: `[epoch:]upstream[-revision]`.
pub fn validate_dpkg(version: &str) -> Result<(), PkgError> {
    let fail = |why| {
        Err(PkgError::InvalidVersion {
            version: version.to_owned(),
            why,
        })
    };
    if version.is_empty() {
        return fail("empty");
    }
    if version.len() > MAX_VERSION {
        return fail("longer than 512 bytes");
    }
    let rest = match version.split_once(':') {
        Some((epoch, rest)) => {
            let number = epoch.bytes().all(|c| c.is_ascii_digit());
            if !number || epoch.parse::<i32>().is_err() {
                return fail("its epoch is not a number");
            }
            rest
        }
        None => version,
    };
    let (upstream, revision) = match rest.rsplit_once('-') {
        Some((_, "")) => return fail("its revision is empty"),
        Some((upstream, revision)) => (upstream, revision),
        None => (rest, "0"),
    };
    if !upstream.starts_with(|c: char| c.is_ascii_digit()) {
        return fail("it does not start with a digit");
    }
    let plain = |c: u8| c.is_ascii_alphanumeric() || b"+.~".contains(&c);
    if !upstream.bytes().all(|c| plain(c) || c == b'-' || c == b':') || !revision.bytes().all(plain)
    {
        return fail("it holds a character that versions cannot have");
    }
    Ok(())
}

/// The longest version that is accepted, in bytes; the archive's longest is under 100.
const MAX_VERSION: usize = 512;

struct Parts<'a> {
    epoch: &'a [u8],
    upstream: &'a [u8],
    revision: &'a [u8],
}

impl<'a> Parts<'a> {
    fn split(version: &'a str) -> Self {
        let version = version.trim_ascii();
        let (epoch, rest) = match version.split_once(':') {
            Some((epoch, rest)) if epoch.bytes().all(|c| c.is_ascii_digit()) => (epoch, rest),
            _ => ("", version),
        };
        let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
        Self {
            epoch: epoch.as_bytes(),
            upstream: upstream.as_bytes(),
            revision: revision.as_bytes(),
        }
    }
}

/// Compares upstream versions or revisions: by turns a run of other characters and a run of digits.
fn part(mut a: &[u8], mut b: &[u8]) -> Ordering {
    while !a.is_empty() || !b.is_empty() {
        let (text_a, rest_a) = run(a, |c| !c.is_ascii_digit());
        let (text_b, rest_b) = run(b, |c| !c.is_ascii_digit());
        let (number_a, rest_a) = run(rest_a, u8::is_ascii_digit);
        let (number_b, rest_b) = run(rest_b, u8::is_ascii_digit);
        let order = text(text_a, text_b).then_with(|| digits(number_a, number_b));
        if order.is_ne() {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
    Ordering::Equal
}

fn run(bytes: &[u8], belongs: impl Fn(&u8) -> bool) -> (&[u8], &[u8]) {
    let end = bytes
        .iter()
        .position(|c| !belongs(c))
        .unwrap_or(bytes.len());
    bytes.split_at(end)
}

/// Compares runs without digits: `~`, then the end, then letters, then everything else.
fn text(a: &[u8], b: &[u8]) -> Ordering {
    let weight = |c: Option<&u8>| match c {
        Some(b'~') => -1,
        None => 0,
        Some(c) if c.is_ascii_alphabetic() => i32::from(*c),
        Some(c) => i32::from(*c) + 256,
    };
    (0..a.len().max(b.len()))
        .map(|i| weight(a.get(i)).cmp(&weight(b.get(i))))
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

/// Compares runs of digits as numbers of any size; an empty run is zero.
fn digits(a: &[u8], b: &[u8]) -> Ordering {
    let (_, a) = run(a, |c| *c == b'0');
    let (_, b) = run(b, |c| *c == b'0');
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}
