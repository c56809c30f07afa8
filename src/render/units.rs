//! Amounts as people read them.

use std::time::Duration;

/// Returns a size, such as `1.4 MB`.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if count < 1000 {
        return format!("{count} B");
    }
    let (mut whole, mut rest, mut unit) = (count / 1000, count % 1000, 0);
    while whole >= 1000 && unit + 1 < UNITS.len() {
        (whole, rest, unit) = (whole / 1000, whole % 1000, unit + 1);
    }
    format!("{whole}.{} {}", rest / 100, UNITS[unit])
}

/// Returns a time, such as `0.4 s` or `3 m 02 s`.
pub(crate) fn elapsed(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds < 60 {
        format!("{seconds}.{} s", time.subsec_millis() / 100)
    } else if seconds < 3600 {
        format!("{} m {:02} s", seconds / 60, seconds % 60)
    } else {
        format!("{} h {:02} m", seconds / 3600, seconds / 60 % 60)
    }
}

/// Returns a count with its noun: `1 package`, `2 packages`.
pub(crate) fn plural(count: usize, noun: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{ending}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_readable() {
        for (count, shown) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (1_449_999, "1.4 MB"),
            (u64::MAX, "18446.7 PB"),
        ] {
            assert_eq!(bytes(count), shown);
        }
        for (milliseconds, shown) in [
            (0, "0.0 s"),
            (59_990, "59.9 s"),
            (182_000, "3 m 02 s"),
            (7_320_000, "2 h 02 m"),
        ] {
            assert_eq!(elapsed(Duration::from_millis(milliseconds)), shown);
        }
        assert_eq!(plural(1, "package"), "1 package");
        assert_eq!(plural(0, "package"), "0 packages");
    }
}
