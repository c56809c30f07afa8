//! How a name in a certificate is compared with what the user asked for.

use std::fmt;

use regex_lite::{Regex, RegexBuilder};

use super::VerifyError;

/// Memory that one compiled pattern may take, in bytes.
const PATTERN_LIMIT: usize = 1 << 20;

/// A text that a value must equal, or a pattern that must match all of it.
///
/// cosign searches its patterns anywhere in the value, so that `https://github.com/acme/` also lets
/// `https://evil.example/https://github.com/acme/` pass. Here a pattern has to match from the first to the last character.
#[derive(Debug, Clone)]
pub struct Match(Kind);

#[derive(Debug, Clone)]
enum Kind {
    Exact(String),
    Pattern { source: String, regex: Box<Regex> },
}

impl Match {
    /// Makes a match that only this text passes. An empty text is an error: nobody is called nothing.
    pub fn exact(text: impl Into<String>) -> Result<Self, VerifyError> {
        let text = text.into();
        if text.is_empty() {
            return Err(VerifyError::Pattern {
                pattern: text,
                why: "an empty text matches nobody".to_owned(),
            });
        }
        Ok(Self(Kind::Exact(text)))
    }

    /// Makes a match of a regular expression, which must cover the whole value.
    pub fn pattern(source: impl Into<String>) -> Result<Self, VerifyError> {
        let source = source.into();
        let compile = |text: &str| {
            RegexBuilder::new(text)
                .size_limit(PATTERN_LIMIT)
                .build()
                .map_err(|e| VerifyError::Pattern {
                    pattern: source.clone(),
                    why: e.to_string(),
                })
        };
        if source.is_empty() {
            return Err(VerifyError::Pattern {
                pattern: source,
                why: "an empty pattern matches nobody".to_owned(),
            });
        }
        // First as it stands: `a)|(b` is no pattern, but becomes one, and an open one, between the anchors.
        compile(&source)?;
        let regex = Box::new(compile(&format!(r"\A(?:{source})\z"))?);
        Ok(Self(Kind::Pattern { source, regex }))
    }

    /// Tells whether the value passes.
    pub fn matches(&self, value: &str) -> bool {
        match &self.0 {
            Kind::Exact(text) => text == value,
            Kind::Pattern { regex, .. } => regex.is_match(value),
        }
    }
}

impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Exact(text) => write!(f, "`{text}`"),
            Kind::Pattern { source, .. } => write!(f, "the pattern `{source}`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(source: &str) -> Match {
        Match::pattern(source).unwrap()
    }

    #[test]
    fn an_exact_text_matches_itself_alone() {
        let wanted = Match::exact("alice@example.com").unwrap();
        assert!(wanted.matches("alice@example.com"));
        for other in [
            "",
            "Alice@example.com",
            "alice@example.com ",
            "malice@example.com",
        ] {
            assert!(!wanted.matches(other), "{other}");
        }
    }

    #[test]
    fn a_pattern_covers_the_whole_value() {
        let wanted = pattern("https://github.com/acme/.*@refs/heads/main");
        assert!(
            wanted.matches("https://github.com/acme/app/.github/workflows/ci.yml@refs/heads/main")
        );
        for other in [
            "https://evil.example/?https://github.com/acme/app@refs/heads/main",
            "https://github.com/acme/app@refs/heads/main2",
            "https://github.com/acme/app@refs/heads/main\n",
            "x\nhttps://github.com/acme/app@refs/heads/main",
        ] {
            assert!(!wanted.matches(other), "{other}");
        }
    }

    #[test]
    fn alternatives_are_anchored_as_a_whole() {
        let wanted = pattern("alice|bob");
        assert!(wanted.matches("alice") && wanted.matches("bob"));
        assert!(!wanted.matches("alice2") && !wanted.matches("2bob"));
    }

    #[test]
    fn a_shorter_alternative_first_does_not_hide_the_longer_one() {
        assert!(pattern("a|ab").matches("ab"));
    }

    #[test]
    fn multi_line_mode_does_not_open_the_anchors() {
        let wanted = pattern("(?m)^alice$");
        assert!(wanted.matches("alice"));
        assert!(!wanted.matches("alice\nmallory"));
    }

    #[test]
    fn what_would_break_out_of_the_anchors_is_refused() {
        for source in [
            "alice)|(bob",
            "alice)|(?:.*",
            "(?x)alice # comment",
            "",
            "[",
            "a{1000}{1000}{1000}",
        ] {
            let error = Match::pattern(source).unwrap_err();
            assert!(error.to_string().contains("pattern"), "{error}");
            assert!(!error.to_string().contains('\n'), "{error}");
        }
        assert!(Match::exact("").is_err());
    }
}
