//! The form of apt's configuration files (apt.conf(5)).

use std::collections::BTreeMap;

/// Settings in the order in which they were made; names are lower case, as apt compares them without case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Config {
    values: Vec<(String, String)>,
}

impl Config {
    /// Returns the last value of a setting.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.values
            .iter()
            .rev()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Returns a setting that is on or off.
    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        flag(self.get(name)?)
    }

    /// Returns all settings, with `name::` for each member of a list.
    pub(super) fn all(&self) -> &[(String, String)] {
        &self.values
    }

    /// Returns the members of a list.
    pub(super) fn list(&self, name: &str) -> Vec<&str> {
        let member = format!("{}::", name.to_ascii_lowercase());
        self.values
            .iter()
            .filter(|(key, _)| *key == member)
            .map(|(_, value)| value.as_str())
            .collect()
    }

    /// Reads one more file. The error says in which line what is wrong.
    pub(super) fn read(&mut self, file: &[u8]) -> Result<(), (usize, &'static str)> {
        let text = std::str::from_utf8(file).map_err(|_| (1, "it is not UTF-8"))?;
        let tokens = tokens(text)?;
        // Where the blocks that are open put their settings.
        let mut scopes = vec![String::new()];
        let mut words: Vec<(usize, String, bool)> = Vec::new();
        for (line, token) in tokens {
            match token {
                Token::Word(word, quoted) => words.push((line, word, quoted)),
                Token::End => self.set(scopes.last().map_or("", String::as_str), &mut words)?,
                Token::Open => {
                    let outer = scopes.last().map_or("", String::as_str);
                    let name = words.first().map(|(_, name, _)| name.as_str());
                    scopes.push(join(outer, name.unwrap_or_default()));
                    words.clear();
                }
                Token::Close => {
                    self.set(scopes.last().map_or("", String::as_str), &mut words)?;
                    if scopes.len() == 1 {
                        return Err((line, "a block ends that was not begun"));
                    }
                    scopes.pop();
                }
            }
        }
        if let Some((line, ..)) = words.first() {
            return Err((*line, "a setting does not end in `;`"));
        }
        if scopes.len() > 1 {
            return Err((1, "a block is not closed"));
        }
        Ok(())
    }

    fn set(
        &mut self,
        scope: &str,
        words: &mut Vec<(usize, String, bool)>,
    ) -> Result<(), (usize, &'static str)> {
        let words = std::mem::take(words);
        match words.as_slice() {
            [(line, directive, false), ..] if directive.starts_with('#') => {
                let names = words[1..].iter().map(|(_, name, _)| name.as_str());
                match directive.to_ascii_lowercase().as_str() {
                    "#clear" => {
                        for name in names {
                            self.clear(&join(scope, name));
                        }
                        Ok(())
                    }
                    _ => Err((*line, "only `#clear` is understood of the directives")),
                }
            }
            // A value alone is a member of the list that the block is.
            [(_, value, true)] => {
                self.values.push((format!("{scope}::"), value.clone()));
                Ok(())
            }
            // A name alone sets nothing.
            [] | [(_, _, false)] => Ok(()),
            [(_, name, _), rest @ ..] => {
                let value: Vec<&str> = rest.iter().map(|(_, word, _)| word.as_str()).collect();
                self.values.push((join(scope, name), value.join(" ")));
                Ok(())
            }
        }
    }

    fn clear(&mut self, name: &str) {
        let under = format!("{name}::");
        self.values
            .retain(|(key, _)| key != name && !key.starts_with(&under));
    }
}

fn join(scope: &str, name: &str) -> String {
    let name = name.to_ascii_lowercase();
    if scope.is_empty() {
        name
    } else if name == "::" {
        format!("{scope}::")
    } else {
        format!("{scope}::{name}")
    }
}

/// Reads what apt takes for yes and no.
pub(super) fn flag(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "yes" | "true" | "with" | "on" | "enable" | "1" => Some(true),
        "no" | "false" | "without" | "off" | "disable" | "0" => Some(false),
        _ => None,
    }
}

enum Token {
    /// A word, and whether it was quoted.
    Word(String, bool),
    End,
    Open,
    Close,
}

fn tokens(text: &str) -> Result<Vec<(usize, Token)>, (usize, &'static str)> {
    let mut out = Vec::new();
    let mut line = 1;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let mut used = c.len_utf8();
        match c {
            '\n' => line += 1,
            c if c.is_whitespace() => {}
            '{' => out.push((line, Token::Open)),
            '}' => out.push((line, Token::Close)),
            ';' => out.push((line, Token::End)),
            '"' => {
                let end = rest[1..].find('"').ok_or((line, "a quote is not closed"))?;
                let word = &rest[1..=end];
                out.push((line, Token::Word(word.to_owned(), true)));
                line += word.matches('\n').count();
                used = end + 2;
            }
            '/' if rest.starts_with("//") => used = rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => {
                let end = rest.find("*/").ok_or((line, "a comment is not closed"))?;
                line += rest[..end].matches('\n').count();
                used = end + 2;
            }
            '#' if !is_directive(rest) => used = rest.find('\n').unwrap_or(rest.len()),
            _ => {
                used = rest
                    .find(|c: char| c.is_whitespace() || "{};\"".contains(c))
                    .unwrap_or(rest.len());
                out.push((line, Token::Word(rest[..used].to_owned(), false)));
            }
        }
        rest = &rest[used..];
    }
    Ok(out)
}

fn is_directive(rest: &str) -> bool {
    let lower: String = rest
        .chars()
        .take(9)
        .collect::<String>()
        .to_ascii_lowercase();
    lower.starts_with("#clear") || lower.starts_with("#include")
}

/// Returns the files of a folder of configuration fragments in apt's order: names that apt would not read are left out.
pub(super) fn fragments<'a>(
    files: &'a BTreeMap<String, Vec<u8>>,
    folder: &str,
    extensions: &[&str],
    bare: bool,
) -> Vec<(&'a str, &'a [u8])> {
    files
        .iter()
        .filter_map(|(path, bytes)| {
            let name = path.trim_start_matches('/').strip_prefix(folder)?;
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            let fits = match name.rsplit_once('.') {
                Some((stem, extension)) => !stem.is_empty() && extensions.contains(&extension),
                None => bare,
            };
            let read =
                !name.is_empty() && !name.starts_with('.') && name.chars().all(plain) && fits;
            read.then_some((path.trim_start_matches('/'), bytes.as_slice()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_lists_and_comments_are_read_as_apt_does() {
        let mut config = Config::default();
        let text = br#"
// comment with "quote
/* more
   lines */
# old comment
Acquire::Check-Valid-Until "false"; Acquire { http::Proxy "http://p.example:3128/"; http { Proxy::near.example DIRECT; Timeout 5; }; };
APT::NeverAutoRemove { "^a$"; "^b;{}$"; };
Dpkg::Options:: "--force-confold";
DPkg::Options { "--force-confdef"; }
Some::Thing "x"; Some::Thing::Under "y";
#clear Some::Thing;
Acquire::check-valid-until "true";
"#;
        config.read(text).unwrap();
        assert_eq!(config.flag("acquire::Check-Valid-Until"), Some(true));
        assert_eq!(
            config.get("Acquire::http::Proxy"),
            Some("http://p.example:3128/")
        );
        assert_eq!(
            config.get("Acquire::http::Proxy::near.example"),
            Some("DIRECT")
        );
        assert_eq!(config.get("Acquire::http::Timeout"), Some("5"));
        assert_eq!(config.list("APT::NeverAutoRemove"), ["^a$", "^b;{}$"]);
        assert_eq!(
            config.list("DPkg::Options"),
            ["--force-confold", "--force-confdef"]
        );
        assert_eq!(config.get("Some::Thing"), None);
        assert_eq!(config.get("Some::Thing::Under"), None);
    }

    #[test]
    fn a_broken_file_is_refused_with_its_line() {
        for (text, line) in [
            ("A \"x\n\";\nB \"y", 3),
            ("\nA { B \"c\";", 1),
            ("\n};", 2),
            ("\nA \"b\"", 2),
            ("/* x", 1),
            ("\n\n#include /etc/x;", 3),
        ] {
            let error = Config::default().read(text.as_bytes()).unwrap_err();
            assert_eq!(error.0, line, "{text}: {}", error.1);
        }
    }

    #[test]
    fn fragments_are_sorted_and_those_with_odd_names_left_out() {
        let names = [
            "20b.conf",
            "10a",
            "30c.dpkg-old",
            ".hidden.conf",
            "x y.conf",
            "sub/40d.conf",
            "~.conf",
        ];
        let files: BTreeMap<_, _> = names
            .iter()
            .map(|name| (format!("etc/apt/apt.conf.d/{name}"), Vec::new()))
            .collect();
        let found = fragments(&files, "etc/apt/apt.conf.d/", &["conf"], true);
        let found: Vec<&str> = found.iter().map(|(path, _)| *path).collect();
        assert_eq!(
            found,
            ["etc/apt/apt.conf.d/10a", "etc/apt/apt.conf.d/20b.conf"]
        );
    }
}
