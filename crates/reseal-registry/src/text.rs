//! Makes text of a stranger fit for one line of a message.

/// Keeps at most `limit` characters, with control characters and runs of white space as one space; `None` if nothing is left.
pub(crate) fn one_line(text: &str, limit: usize) -> Option<String> {
    let mut out = String::new();
    let visible = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(limit.saturating_mul(4))
        .collect::<String>();
    for word in visible.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    if out.chars().count() > limit {
        out = out.chars().take(limit).collect();
        out.push('…');
    }
    (!out.is_empty()).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::one_line;

    #[test]
    fn foreign_text_becomes_one_short_line() {
        assert_eq!(
            one_line("a\r\n\x1b[31m b\t\tc ", 20).as_deref(),
            Some("a [31m b c")
        );
        assert_eq!(one_line("abcdef", 3).as_deref(), Some("abc…"));
        assert_eq!(one_line(" \n\0", 3), None);
    }
}
