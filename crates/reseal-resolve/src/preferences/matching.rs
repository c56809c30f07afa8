//! How a pin names versions, releases and sites: words, globs and regular expressions.

use regex_lite::{Regex, RegexBuilder};

use crate::ReleaseInfo;

/// A word, a glob (`fnmatch(3)` without flags) or `/a regular expression/`.
#[derive(Debug, Clone)]
pub(super) struct Expression {
    word: String,
    /// Whether a word also matches what it only begins.
    prefix: bool,
    regex: Option<Regex>,
}

impl Expression {
    /// Reads a word, a glob or a regular expression.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        // apt asks for extended POSIX expressions, any case; what those and ours have in common is
        // all that anybody writes into a pin.
        let regex = text
            .strip_prefix('/')
            .and_then(|text| text.strip_suffix('/'))
            .map(|inner| {
                RegexBuilder::new(inner)
                    .case_insensitive(true)
                    .size_limit(1 << 20)
                    .build()
                    .map_err(|_| format!("`{text}` is not a regular expression"))
            })
            .transpose()?;
        Ok(Self {
            word: text.to_owned(),
            prefix: false,
            regex,
        })
    }

    /// Reads the version of a pin, where a last `*` means any rest.
    pub(super) fn prefix(text: &str) -> Result<Self, String> {
        let mut out = Self::parse(text)?;
        if out.regex.is_none()
            && let Some(start) = text.strip_suffix('*')
        {
            (out.word, out.prefix) = (start.to_owned(), true);
        }
        Ok(out)
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        if let Some(regex) = &self.regex {
            return regex.is_match(text);
        }
        let begins = || {
            text.get(..self.word.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(&self.word))
        };
        (self.prefix && begins()) || glob(self.word.as_bytes(), text.as_bytes())
    }
}

/// The releases that `Pin: release …` or `APT::Default-Release` means.
#[derive(Debug, Clone)]
pub(super) enum ReleaseMatch {
    /// `*`
    Every,
    /// A bare word: a suite or a codename.
    Named(Expression),
    /// A bare version, or `key=value` pairs, all of which have to fit.
    Fields(Vec<(Field, Expression)>),
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Field {
    Version,
    Origin,
    Suite,
    Codename,
    Label,
    Component,
    Architecture,
}

impl ReleaseMatch {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::Every);
        }
        if !text.contains('=') {
            return Ok(if text.starts_with(|c: char| c.is_ascii_digit()) {
                Self::Fields(vec![(Field::Version, Expression::prefix(text)?)])
            } else {
                Self::Named(Expression::parse(text)?)
            });
        }
        let mut fields = Vec::new();
        for part in text.split(',') {
            let part = part.trim_ascii();
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            let field = match key.to_ascii_lowercase().as_str() {
                "v" => Field::Version,
                "o" => Field::Origin,
                "a" => Field::Suite,
                "n" => Field::Codename,
                "l" => Field::Label,
                "c" => Field::Component,
                "b" => Field::Architecture,
                _ => return Err(format!("`{part}` of a release is not understood")),
            };
            let value = match field {
                Field::Version => Expression::prefix(value)?,
                _ => Expression::parse(value)?,
            };
            fields.push((field, value));
        }
        Ok(Self::Fields(fields))
    }

    pub(super) fn matches(&self, release: &ReleaseInfo, architecture: &str) -> bool {
        // A release that does not say what is asked for does not match.
        let fits = |value: &str, wanted: &Expression| !value.is_empty() && wanted.matches(value);
        match self {
            Self::Every => true,
            Self::Named(name) => fits(&release.suite, name) || fits(&release.codename, name),
            Self::Fields(fields) => fields.iter().all(|(field, wanted)| {
                let value = match field {
                    Field::Version => &release.version,
                    Field::Origin => &release.origin,
                    Field::Suite => &release.suite,
                    Field::Codename => &release.codename,
                    Field::Label => &release.label,
                    Field::Component => &release.component,
                    Field::Architecture => architecture,
                };
                fits(value, wanted)
            }),
        }
    }
}

/// Matches a whole text: `*`, `?`, `[a-z]`, `[!a-z]`, `\` before what is meant as it is.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where the last `*` was, and how much of the text it took: at most one has to be tried again.
    let mut star: Option<(usize, usize)> = None;
    loop {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p + 1, t));
            p += 1;
            continue;
        }
        if t == text.len() && p == pattern.len() {
            return true;
        }
        if t < text.len()
            && let Some(used) = one(&pattern[p..], text[t])
        {
            (p, t) = (p + used, t + 1);
            continue;
        }
        match star {
            Some((after, taken)) if taken < text.len() => {
                star = Some((after, taken + 1));
                (p, t) = (after, taken + 1);
            }
            _ => return false,
        }
    }
}

/// Matches one character; returns how much of the pattern that was.
fn one(pattern: &[u8], c: u8) -> Option<usize> {
    match pattern {
        [] => None,
        [b'?', ..] => Some(1),
        [b'\\', escaped, ..] => (*escaped == c).then_some(2),
        [b'[', rest @ ..] => match set(rest, c) {
            Some((true, used)) => Some(used + 1),
            Some((false, _)) => None,
            // A bracket that nothing closes means itself.
            None => (c == b'[').then_some(1),
        },
        [literal, ..] => (*literal == c).then_some(1),
    }
}

/// Matches a set; returns whether the character is in it, and its length with the closing bracket.
fn set(pattern: &[u8], c: u8) -> Option<(bool, usize)> {
    let inverted = matches!(pattern.first(), Some(b'!' | b'^'));
    let mut at = usize::from(inverted);
    let (first, mut found) = (at, false);
    loop {
        let low = *pattern.get(at)?;
        if low == b']' && at > first {
            return Some((found != inverted, at + 1));
        }
        match (pattern.get(at + 1), pattern.get(at + 2)) {
            (Some(b'-'), Some(high)) if *high != b']' => {
                found |= (low..=*high).contains(&c);
                at += 3;
            }
            _ => {
                found |= low == c;
                at += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_globs_and_expressions_match_as_apt_has_them() {
        for (pattern, text, expected) in [
            ("libc6", "libc6", true),
            ("libc6", "libc6-dev", false),
            ("lib*", "libc6", true),
            ("*", "", true),
            ("*a*b", "xaxxbxb", true),
            ("*a*b", "xaxxbx", false),
            ("lib?6", "libc6", true),
            ("lib[a-d]6", "libc6", true),
            ("lib[!a-d]6", "libc6", false),
            ("lib[]c]6", "libc6", true),
            ("lib[c", "lib[c", true),
            (r"lib\*", "lib*", true),
            (r"lib\*", "libc", false),
            ("/^lib/", "LIBC6", true),
            (
                "/^bookworm(|-security|-updates)$/",
                "bookworm-security",
                true,
            ),
            (
                "/^bookworm(|-security|-updates)$/",
                "bookworm-backports",
                false,
            ),
        ] {
            let parsed = Expression::parse(pattern).unwrap();
            assert_eq!(parsed.matches(text), expected, "{pattern} {text}");
        }
        assert!(Expression::parse("/(/").is_err());
    }

    #[test]
    fn a_version_may_end_in_a_star() {
        for (pattern, text, expected) in [
            ("1.2*", "1.2.3-1", true),
            ("1.2*", "1.3", false),
            ("1.2", "1.2.3", false),
            ("*", "7", true),
            ("1*-2", "1.5-2", true),
        ] {
            let parsed = Expression::prefix(pattern).unwrap();
            assert_eq!(parsed.matches(text), expected, "{pattern} {text}");
        }
    }
}
