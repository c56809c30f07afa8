//! The order of libraries: by name, the later ones first.

use std::cmp::Ordering;

use super::Library;

/// Compares as the cache is sorted: what the linker is to find first comes first.
pub(super) fn compare(a: &Library, b: &Library) -> Ordering {
    let hwcaps = match (&a.hwcaps, &b.hwcaps) {
        (Some(a), Some(b)) => a.cmp(b),
        (a, b) => b.is_some().cmp(&a.is_some()),
    };
    names(&b.soname, &a.soname)
        .then_with(|| b.flags.cmp(&a.flags))
        .then(hwcaps)
        .then_with(|| b.hwcap.count_ones().cmp(&a.hwcap.count_ones()))
        .then_with(|| b.hwcap.cmp(&a.hwcap))
        .then_with(|| b.os_version.cmp(&a.os_version))
}

/// Compares names, with the digits in them as numbers.
fn names(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    while let Some((&first, a_rest)) = a.split_first() {
        let other = b.first().copied().unwrap_or(0);
        match (first.is_ascii_digit(), other.is_ascii_digit()) {
            (true, true) => {
                let (left, right) = (number(&mut a), number(&mut b));
                if left != right {
                    return left.cmp(&right);
                }
            }
            (true, false) => return Ordering::Greater,
            (false, true) => return Ordering::Less,
            (false, false) if first != other => return first.cmp(&other),
            (false, false) => {
                a = a_rest;
                b = &b[1..];
            }
        }
    }
    if b.is_empty() {
        Ordering::Equal
    } else {
        Ordering::Less
    }
}

fn number(text: &mut &[u8]) -> u64 {
    let end = text
        .iter()
        .position(|b| !b.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    *text = rest;
    digits.iter().fold(0, |sum: u64, &digit| {
        sum.saturating_mul(10)
            .saturating_add(u64::from(digit - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_in_names_are_numbers() {
        for (a, b, expected) in [
            ("libz.so.1", "libz.so.1", Ordering::Equal),
            ("libz.so.9", "libz.so.10", Ordering::Less),
            ("libz.so.10", "libz.so.9", Ordering::Greater),
            ("libz.so.010", "libz.so.10", Ordering::Equal),
            ("libz.so", "libz.so.1", Ordering::Less),
            ("libz.so.1", "libz.so", Ordering::Greater),
            ("lib1", "liba", Ordering::Greater),
            ("liba", "lib1", Ordering::Less),
            ("libpthread.so.0", "libpsx.so.2", Ordering::Greater),
            ("", "", Ordering::Equal),
            ("", "1", Ordering::Less),
            ("1", "", Ordering::Greater),
        ] {
            assert_eq!(names(a, b), expected, "{a} {b}");
        }
    }
}
