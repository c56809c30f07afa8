//! `path-exclude` and `path-include` of dpkg's configuration, and what else in it would change the result.

use crate::Refusal;

/// Options that change nothing that is laid down.
const HARMLESS: &[&str] = &[
    "no-debsig",
    "log",
    "no-pager",
    "force-unsafe-io",
    "force-confold",
    "force-confdef",
    "refuse-unsafe-io",
    "debug",
    "abort-after",
    "ignore-depends",
    "force-bad-path",
    "force-not-root",
    "force-security-mac",
];

#[derive(Debug, Clone, PartialEq, Eq)]
struct Filter {
    pattern: String,
    include: bool,
}

/// The filters, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filters(Vec<Filter>);

impl Filters {
    /// Reads configuration files in the order in which dpkg reads them: those of `dpkg.cfg.d` by name, then `dpkg.cfg`.
    pub fn read<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Result<Self, Refusal> {
        let mut out = Vec::new();
        for (name, bytes) in files {
            let text = String::from_utf8_lossy(bytes);
            for line in text.lines() {
                let line = line.trim_ascii();
                if line.is_empty() || line.starts_with('#') {
                    continue;
                }
                let end = line
                    .find(|c: char| c == '=' || c.is_ascii_whitespace())
                    .unwrap_or(line.len());
                let (option, value) = line.split_at(end);
                let value = value
                    .trim_ascii_start()
                    .strip_prefix('=')
                    .unwrap_or(value)
                    .trim_ascii_start();
                let value = unquoted(value);
                let include = match option {
                    "path-include" => true,
                    "path-exclude" => false,
                    _ if HARMLESS.contains(&option) => continue,
                    _ => {
                        return Err(Refusal::new(
                            name,
                            format!("its option `{option}` may change what dpkg does"),
                        ));
                    }
                };
                out.push(Filter {
                    pattern: value.to_owned(),
                    include,
                });
            }
        }
        Ok(Self(out))
    }

    /// Tells whether dpkg leaves out an absolute path, which is empty for the root; `folder` is for directories and symbolic links, which stay where
    /// something below them may be wanted.
    pub fn skips(&self, path: &str, folder: bool) -> bool {
        let mut skip = false;
        for filter in &self.0 {
            if matches(&filter.pattern, path) {
                skip = !filter.include;
            }
        }
        if skip && folder {
            let reincluded = self.0.iter().filter(|filter| filter.include).any(|filter| {
                let end = filter
                    .pattern
                    .find(['*', '?', '[', '\\'])
                    .unwrap_or(filter.pattern.len());
                // As dpkg has it: also what only begins like the path is kept.
                path.starts_with(filter.pattern[..end].trim_end_matches('/'))
            });
            return !reincluded;
        }
        skip
    }
}

fn unquoted(value: &str) -> &str {
    value
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'))
        .unwrap_or(value)
}

/// Tells whether a shell pattern matches a whole text, as fnmatch(3) without flags: `*` takes slashes and leading dots.
pub fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // Where to go on when what follows the last `*` does not fit: one character more for the star.
    let mut star: Option<(usize, usize)> = None;
    loop {
        if p < pattern.len() && pattern[p] == '*' {
            star = Some((p, t));
            p += 1;
            continue;
        }
        if t == text.len() && p == pattern.len() {
            return true;
        }
        if t < text.len()
            && let Some(next) = one(&pattern, p, text[t])
        {
            (p, t) = (next, t + 1);
            continue;
        }
        match star {
            Some((at, taken)) if taken < text.len() => {
                star = Some((at, taken + 1));
                (p, t) = (at + 1, taken + 1);
            }
            _ => return false,
        }
    }
}

/// Matches one character with what stands at `p`; returns what follows.
fn one(pattern: &[char], p: usize, c: char) -> Option<usize> {
    match *pattern.get(p)? {
        '?' => Some(p + 1),
        '\\' if p + 1 < pattern.len() => (pattern[p + 1] == c).then_some(p + 2),
        '[' => match class(pattern, p, c) {
            Some((true, next)) => Some(next),
            Some((false, _)) => None,
            // Without an end it is a plain bracket.
            None => (c == '[').then_some(p + 1),
        },
        other => (other == c).then_some(p + 1),
    }
}

/// Reads a bracket expression; tells whether it has the character and what follows it.
fn class(pattern: &[char], p: usize, c: char) -> Option<(bool, usize)> {
    let mut i = p + 1;
    let negated = matches!(pattern.get(i), Some('!' | '^'));
    i += usize::from(negated);
    let (start, mut found) = (i, false);
    loop {
        let mut low = *pattern.get(i)?;
        if low == ']' && i > start {
            return Some((found != negated, i + 1));
        }
        if low == '[' && pattern.get(i + 1) == Some(&':') {
            let end = i + 2 + pattern[i + 2..].iter().position(|c| *c == ':')?;
            if pattern.get(end + 1) != Some(&']') {
                return None;
            }
            let name: String = pattern[i + 2..end].iter().collect();
            found |= named_class(&name, c);
            i = end + 2;
            continue;
        }
        if low == '\\' {
            i += 1;
            low = *pattern.get(i)?;
        }
        if pattern.get(i + 1) == Some(&'-') && pattern.get(i + 2).is_some_and(|c| *c != ']') {
            found |= (low..=pattern[i + 2]).contains(&c);
            i += 3;
        } else {
            found |= low == c;
            i += 1;
        }
    }
}

fn named_class(name: &str, c: char) -> bool {
    match name {
        "alnum" => c.is_ascii_alphanumeric(),
        "alpha" => c.is_ascii_alphabetic(),
        "digit" => c.is_ascii_digit(),
        "lower" => c.is_ascii_lowercase(),
        "upper" => c.is_ascii_uppercase(),
        "punct" => c.is_ascii_punctuation(),
        "space" => c.is_ascii_whitespace(),
        "xdigit" => c.is_ascii_hexdigit(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_fnmatch_without_flags() {
        for (pattern, text, expected) in [
            ("usr/share/doc/*", "usr/share/doc/a/b", true),
            ("usr/share/doc/*", "usr/share/doc", false),
            (
                "usr/share/doc/*/copyright",
                "usr/share/doc/a/b/copyright",
                true,
            ),
            ("*/copyright*", "a/copyright", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("a[bc]d", "acd", true),
            ("a[!bc]d", "acd", false),
            ("a[^b-d]e", "ace", false),
            ("a[^b-d]e", "axe", true),
            ("a[]x]b", "a]b", true),
            ("a[[:digit:]]", "a5", true),
            ("a[[:digit:]]", "ab", false),
            ("a[b", "a[b", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "axb", false),
            ("*a*b*c*", "xxaxxbxxcxx", true),
            ("*a*b*c*", "xxaxxcxxbxx", false),
            ("", "", true),
            ("*", "", true),
            ("a", "", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn many_stars_take_no_exponential_time() {
        assert!(!matches(&"*a".repeat(60), &"a".repeat(59)));
    }

    #[test]
    fn the_last_filter_counts_and_folders_stay_for_what_is_included_below() {
        let filters = Filters::read([(
            "docker",
            &b"# slim\npath-exclude /usr/share/doc/*\npath-include=/usr/share/doc/*/copyright\npath-exclude = \"/usr/share/man/*\"\nno-debsig\n"[..],
        )])
        .unwrap();
        for (path, folder, skipped) in [
            ("/usr/share/doc/a/changelog.gz", false, true),
            ("/usr/share/doc/a/copyright", false, false),
            ("/usr/share/doc/a", true, false),
            ("/usr/share/man/man1/a.1.gz", false, true),
            ("/usr/share/man/man1", true, true),
            ("/usr/bin/a", false, false),
        ] {
            assert_eq!(filters.skips(path, folder), skipped, "{path}");
        }
    }

    #[test]
    fn an_option_that_may_change_the_result_is_refused_by_name() {
        let refused = Filters::read([("hooks", &b"post-invoke=/bin/true\n"[..])]).unwrap_err();
        assert!(refused.to_string().contains("post-invoke"), "{refused}");
    }
}
