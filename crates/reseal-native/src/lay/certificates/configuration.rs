//! What the package's `config` and `postinst` make of `etc/ca-certificates.conf`, where nobody is asked.
//!
//! Both are shell scripts, in which a name is a pattern for grep wherever it is looked for in a list, and not where it is
//! looked for in the file. They are followed in that.

use std::collections::BTreeSet;

/// What debconf calls the question whether new certificates are trusted.
const QUESTION: &str = "ca-certificates/trust_new_crts";
/// Most lines of the file and most certificates: each is looked for among all others.
const COUNT_LIMIT: usize = 10_000;

/// What is known beside the file itself.
pub(super) struct Circumstances<'a> {
    /// The certificates below `usr/share/ca-certificates` and those that the package names.
    pub(super) available: &'a BTreeSet<String>,
    /// Whether new ones are trusted.
    pub(super) trust_new: bool,
    /// Tells whether a certificate is there, below `usr/share/ca-certificates` or `usr/local/share/ca-certificates`.
    pub(super) is_there: &'a dyn Fn(&str) -> bool,
}

/// Returns the certificates of a folder and of the package's list (`CERTS_LIST`).
///
/// # Errors
///
/// Names that a shell would take apart or for a pattern.
pub(super) fn available(
    found: impl IntoIterator<Item = String>,
    list: &str,
) -> Result<BTreeSet<String>, String> {
    let listed = list
        .split(',')
        .map(|name| name.trim_ascii_start().to_owned());
    let all: BTreeSet<String> = found.into_iter().chain(listed).collect();
    if let Some(name) = all.iter().find(|name| !is_plain(name)) {
        return Err(format!("`{name}` is no usual name of a certificate"));
    }
    if all.len() > COUNT_LIMIT {
        return Err("there are too many certificates".to_owned());
    }
    Ok(all)
}

fn is_plain(name: &str) -> bool {
    let special =
        |c: char| c.is_ascii_whitespace() || c.is_ascii_control() || "\\*?[]^$,`\"'".contains(c);
    !name.is_empty() && !name.starts_with(['#', '!', '-']) && !name.contains(special)
}

/// Reads whether debconf's database wants new certificates trusted.
///
/// # Errors
///
/// Where it wants somebody to be asked.
pub(super) fn trusts_new(database: &[u8]) -> Result<bool, String> {
    let text = String::from_utf8_lossy(database);
    let name = format!("Name: {QUESTION}");
    let stanza = text
        .split("\n\n")
        .find(|stanza| stanza.lines().any(|line| line == name));
    let value = stanza
        .into_iter()
        .flat_map(str::lines)
        .find_map(|line| line.strip_prefix("Value:"));
    match value.map_or("yes", str::trim_ascii) {
        "yes" | "" => Ok(true),
        "no" => Ok(false),
        other => Err(format!("debconf has `{other}` for `{QUESTION}`")),
    }
}

/// Returns the file as it is after configuring.
///
/// # Errors
///
/// Lines that the shell or grep would not take as they stand.
pub(super) fn configured(text: &str, circumstances: &Circumstances<'_>) -> Result<String, String> {
    let Circumstances {
        available,
        trust_new,
        is_there,
    } = circumstances;
    if text.lines().count() > COUNT_LIMIT {
        return Err("it has too many lines".to_owned());
    }
    let enabled: Vec<&str> = enabled(text, available, *trust_new);
    let is_member = |name: &str| enabled.iter().any(|one| is_like(name, one));
    let is_available = |name: &str| available.iter().any(|one| is_like(name, one));
    let mut lines: Vec<String> = Vec::new();
    // `read` does not give the last line if it has no end.
    for line in text.split_inclusive('\n') {
        let Some(line) = line.strip_suffix('\n') else {
            break;
        };
        let line = line.trim_matches([' ', '\t']);
        if line.contains(['\\', '\0']) {
            return Err(format!("its line `{line}` is not understood"));
        }
        if line.starts_with('#') {
            lines.push(line.to_owned());
            continue;
        }
        let name = line.strip_prefix('!').unwrap_or(line);
        if name.contains(['*', '[', ']', '^', '$']) || name == "-n" {
            return Err(format!("its line `{line}` is not understood"));
        }
        let plain = if is_member(name) || (name.is_empty() && enabled.is_empty()) {
            true
        } else if is_available(name) || line.starts_with('!') {
            false
        } else {
            !name.is_empty() && is_there(name)
        };
        lines.push(format!("{}{name}", if plain { "" } else { "!" }));
    }
    let begins = |lines: &[String], name: &str| lines.iter().any(|line| begins_like(name, line));
    for name in &enabled {
        if !begins(&lines, name) {
            lines.push((*name).to_owned());
        }
    }
    for name in *available {
        let off = format!("!{name}");
        if !is_member(name) && !begins(&lines, &off) {
            lines.push(off);
        }
    }
    Ok(lines
        .iter()
        .fold(String::new(), |text, line| text + line + "\n"))
}

/// Returns the certificates that are trusted: as the file has them, or as new ones are.
fn enabled<'n>(text: &str, available: &'n BTreeSet<String>, trust_new: bool) -> Vec<&'n str> {
    let off: BTreeSet<&str> = text
        .split('\n')
        .filter_map(|line| line.strip_prefix('!'))
        .collect();
    let on: BTreeSet<&str> = text
        .split('\n')
        .filter(|line| !line.starts_with(['!', '#']))
        .collect();
    available
        .iter()
        .map(String::as_str)
        .filter(|name| !off.contains(name) && (on.contains(name) || trust_new))
        .collect()
}

/// Tells whether grep finds a name as a whole line: a dot stands for any byte.
fn is_like(name: &str, line: &str) -> bool {
    name.len() == line.len() && begins_like(name, line)
}

fn begins_like(name: &str, line: &str) -> bool {
    let mut pairs = name.bytes().zip(line.bytes());
    name.len() <= line.len() && pairs.all(|(name, line)| name == b'.' || name == line)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(before: &str, trust_new: bool, after: &str) {
        let found = ["mozilla/A.crt", "mozilla/New.crt", "mozilla/Off.crt"];
        let available = available(
            found.map(str::to_owned),
            "mozilla/A.crt, mozilla/Listed.crt",
        )
        .unwrap();
        let circumstances = Circumstances {
            available: &available,
            trust_new,
            is_there: &|name| name == "local/there.crt",
        };
        assert_eq!(configured(before, &circumstances).unwrap(), after);
        // Once more changes nothing.
        assert_eq!(configured(after, &circumstances).unwrap(), after);
    }

    #[test]
    fn new_ones_are_added_and_old_ones_keep_their_state() {
        check(
            "# mine\nmozilla/A.crt\n!mozilla/Off.crt\nmozilla/Gone.crt\nlocal/there.crt\n",
            true,
            "# mine\nmozilla/A.crt\n!mozilla/Off.crt\n!mozilla/Gone.crt\nlocal/there.crt\n\
             mozilla/Listed.crt\nmozilla/New.crt\n",
        );
        check(
            "mozilla/A.crt\n!mozilla/Off.crt\n",
            false,
            "mozilla/A.crt\n!mozilla/Off.crt\n!mozilla/Listed.crt\n!mozilla/New.crt\n",
        );
    }

    #[test]
    fn lines_are_read_as_a_shell_reads_them() {
        let all = "mozilla/A.crt\nmozilla/Listed.crt\nmozilla/New.crt\nmozilla/Off.crt\n";
        // Blanks around a line go; one without an end is not read, but `config` counts it; a blank one is a name.
        check(" \tmozilla/A.crt  \n", true, all);
        check(
            "!mozilla/Off.crt",
            true,
            "mozilla/A.crt\nmozilla/Listed.crt\nmozilla/New.crt\n!mozilla/Off.crt\n",
        );
        check(
            "mozilla/A.crt\n!mozilla\r",
            false,
            "mozilla/A.crt\n!mozilla/Listed.crt\n!mozilla/New.crt\n!mozilla/Off.crt\n",
        );
        check("\n", true, &format!("!\n{all}"));
        // A dot is any byte, and what begins alike is there already.
        check(
            "mozilla/A.crt.old\nmozilla/Axcrt\n",
            true,
            "!mozilla/A.crt.old\n!mozilla/Axcrt\nmozilla/A.crt\nmozilla/Listed.crt\nmozilla/New.crt\nmozilla/Off.crt\n",
        );
    }

    #[test]
    fn what_is_not_plain_is_refused() {
        let available_of = |name: &str| available([name.to_owned()], "a.crt");
        for name in ["a b.crt", "*.crt", "a\\.crt", "!a.crt", "-n", "a\n.crt", ""] {
            assert!(available_of(name).is_err(), "{name}");
        }
        assert!(available_of("mozilla/NetLock_=Class_Gold=_Főtanúsítvány.crt").is_ok());
        let none = BTreeSet::new();
        let circumstances = Circumstances {
            available: &none,
            trust_new: true,
            is_there: &|_| false,
        };
        for text in ["a\\b\n", "#\\n\n", "a*\n", "!a[b]\n", "-n\n", "^a\n"] {
            assert!(configured(text, &circumstances).is_err(), "{text}");
        }
        assert!(configured(&"a\n".repeat(10_001), &circumstances).is_err());
    }

    #[test]
    fn debconf_is_asked_by_name() {
        let stanza = |value: &str| {
            format!(
                "Name: a/b\nValue: no\n\nName: ca-certificates/trust_new_crts\nOwners: x\n{value}\nName: c/d\nValue: ask\n"
            )
        };
        assert_eq!(trusts_new(b""), Ok(true));
        assert_eq!(trusts_new(stanza("\n").as_bytes()), Ok(true));
        assert_eq!(trusts_new(stanza("Value: yes\n").as_bytes()), Ok(true));
        assert_eq!(trusts_new(stanza("Value: no\n").as_bytes()), Ok(false));
        assert!(trusts_new(stanza("Value: ask\n").as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_configured_or_an_error(
            text in "([!#]?( |a/|b|\\.|\n|\r|ä|\\*){0,4}\n?){0,6}",
            trust_new in any::<bool>(),
        ) {
            let available = available(["a/b".to_owned(), "b.ä".to_owned()], "a/b, b").unwrap();
            let circumstances = Circumstances {
                available: &available,
                trust_new,
                is_there: &|name| name.len() > 3,
            };
            if let Ok(once) = configured(&text, &circumstances) {
                prop_assert!(once.ends_with('\n'));
                let made: Vec<&str> = once.split_terminator('\n').collect();
                // What has no end is no line for `read`.
                let lines: Vec<&str> = text
                    .split_inclusive('\n')
                    .filter_map(|line| line.strip_suffix('\n'))
                    .collect();
                prop_assert!(made.len() >= lines.len());
                for (line, made) in lines.iter().zip(made) {
                    let line = line.trim_matches([' ', '\t']);
                    let name = line.strip_prefix('!').unwrap_or(line);
                    prop_assert!(made == name || made.strip_prefix('!') == Some(name), "{line} {made}");
                }
            }
        }
    }
}
