//! `90s`, `10m`, `1h30m`.

use std::time::Duration;

use crate::failure::Failure;

/// Reads a time that is not zero.
pub(super) fn parse(text: &str) -> Result<Duration, Failure> {
    let refuse = || {
        Failure::usage(format!("`--timeout` is `{text}`, not a time"))
            .hint("Write it as in `90s`, `10m` or `1h30m`")
    };
    let mut seconds: u64 = 0;
    let mut number = String::new();
    for character in text.trim().chars() {
        if character.is_ascii_digit() {
            number.push(character);
            continue;
        }
        let unit = match character {
            'h' => 3600,
            'm' => 60,
            's' => 1,
            _ => return Err(refuse()),
        };
        let part = std::mem::take(&mut number)
            .parse::<u64>()
            .ok()
            .and_then(|count| count.checked_mul(unit));
        seconds = part
            .and_then(|part| seconds.checked_add(part))
            .ok_or_else(refuse)?;
    }
    // A timer cannot count to the end of time; ten years are as good.
    if number.is_empty() && (1..=315_360_000).contains(&seconds) {
        Ok(Duration::from_secs(seconds))
    } else {
        Err(refuse())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit() {
        for (text, seconds) in [
            ("90s", 90),
            ("10m", 600),
            ("1h", 3600),
            ("1h30m", 5400),
            (" 5m ", 300),
        ] {
            assert_eq!(parse(text).unwrap(), Duration::from_secs(seconds), "{text}");
        }
        for text in [
            "",
            "10",
            "m",
            "0s",
            "1d",
            "-5m",
            "1.5h",
            "5m3",
            "99999999999999999999s",
            "18446744073709551615h",
            "１m",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
