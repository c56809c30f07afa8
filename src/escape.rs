//! Makes text from outside safe to show: reports, registries, daemons and package managers are not trusted with a terminal,
//! nor with the line protocol of a CI log.

use std::fmt::Write as _;

/// The longest line that is shown, in characters.
const LINE: usize = 2000;
/// The most lines of a message that are shown.
const LINES: usize = 100;

/// Returns `text` as one line: control characters are escaped, what is too long is cut, and markers that CI systems act
/// upon wherever they stand in a line are broken up.
pub(crate) fn line(text: &str) -> String {
    clipped(text, LINE)
}

/// Returns `text` as one line of at most `limit` characters, for a cell of a table.
pub(crate) fn clipped(text: &str, limit: usize) -> String {
    let mut out = String::with_capacity(text.len().min(limit * 4));
    let mut characters = text.trim_end().chars().peekable();
    let mut count = 0;
    // `::error::` and its like are commands to GitHub at the start of a line, behind blanks too.
    if text.trim_start().starts_with("::") {
        out.push('|');
    }
    while let Some(character) = characters.next() {
        if count == limit {
            out.push('…');
            break;
        }
        count += 1;
        match character {
            '\t' => out.push(' '),
            '\n' | '\r' => {
                if !out.ends_with(' ') {
                    out.push(' ');
                }
            }
            // `##[error]` and `##vso[…]` are commands to GitHub and Azure even in the middle of a line.
            '#' if characters.peek() == Some(&'#') => out.push_str("# "),
            _ if unsafe_to_show(character) => {
                let _ = write!(out, "{}", character.escape_unicode());
            }
            _ => out.push(character),
        }
    }
    out
}

/// Returns `text` line by line, each one safe; what is too long is cut in the middle of the text, not at its end.
pub(crate) fn lines(text: &str) -> Vec<String> {
    last_lines(text, LINES)
}

/// Returns the last `limit` lines of `text`, each one safe. Of a line that a program redrew with carriage returns, the last
/// version is shown.
pub(crate) fn last_lines(text: &str, limit: usize) -> Vec<String> {
    let all: Vec<&str> = text.trim_end().split('\n').collect();
    let skipped = all.len().saturating_sub(limit);
    let mut out = Vec::with_capacity(limit + 1);
    if skipped > 0 {
        out.push(format!("… {skipped} lines left out"));
    }
    out.extend(
        all[skipped..]
            .iter()
            .map(|line| self::line(last_version(line))),
    );
    out
}

/// Returns what a terminal would show of a line that was redrawn.
pub(crate) fn last_version(line: &str) -> &str {
    line.trim_end_matches('\r')
        .rsplit('\r')
        .next()
        .unwrap_or_default()
}

/// Control characters, and those that reorder or hide text.
fn unsafe_to_show(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_cannot_steer_a_terminal_or_a_ci_log() {
        for (text, shown) in [
            ("openssl 3.0.11-1~deb12u2", "openssl 3.0.11-1~deb12u2"),
            ("\u{1b}[31mred\u{1b}[0m", "\\u{1b}[31mred\\u{1b}[0m"),
            ("one\r\ntwo\n", "one two"),
            ("a\tb", "a b"),
            ("\u{202e}gnp.exe", "\\u{202e}gnp.exe"),
            ("x ##[error]boom", "x # #[error]boom"),
            ("##vso[task.setvariable]x", "# #vso[task.setvariable]x"),
            ("::error::x", "|::error::x"),
            ("a\n  ::add-mask::x", "a   ::add-mask::x"),
            ("café 中", "café 中"),
            ("\u{9b}31m", "\\u{9b}31m"),
        ] {
            assert_eq!(line(text), shown);
        }
    }

    #[test]
    fn long_text_is_cut() {
        let shown = line(&"x".repeat(5000));
        assert_eq!(shown.chars().count(), LINE + 1);
        assert!(shown.ends_with('…'));
        assert_eq!(clipped("abcdef", 3), "abc…");
        assert_eq!(clipped("abc", 3), "abc");
    }

    #[test]
    fn the_end_of_a_log_is_kept() {
        assert_eq!(
            last_lines("a\nb\n10%\r50%\r100%\n", 2),
            ["… 1 lines left out", "b", "100%"]
        );
        assert_eq!(last_lines("a\nb", 5), ["a", "b"]);
    }
}
