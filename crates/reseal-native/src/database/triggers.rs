//! Which package is interested in which trigger: the control file `triggers` (deb-triggers(5)) and `var/lib/dpkg/triggers`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::ArchiveError;

/// One line of a control file `triggers`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directive {
    /// The package wants to be told; otherwise it tells others.
    pub interest: bool,
    /// The name of the trigger, or the path.
    pub trigger: String,
    /// Nobody waits for it.
    pub noawait: bool,
}

/// Reads a control file `triggers`.
pub fn parse(bytes: &[u8]) -> Result<Vec<Directive>, ArchiveError> {
    let text = String::from_utf8_lossy(bytes);
    let mut out = Vec::new();
    for line in text.lines() {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (word, trigger) = line
            .split_once(|c: char| c.is_ascii_whitespace())
            .unwrap_or((line, ""));
        let (interest, noawait) = match word {
            "interest" | "interest-await" => (true, false),
            "interest-noawait" => (true, true),
            "activate" | "activate-await" => (false, false),
            "activate-noawait" => (false, true),
            _ => {
                return Err(ArchiveError::malformed(format!(
                    "its file `triggers` has the unknown directive `{word}`"
                )));
            }
        };
        let trigger = trigger.trim_ascii();
        if trigger.is_empty() || !trigger.bytes().all(|c| c.is_ascii_graphic()) {
            return Err(ArchiveError::malformed(
                "its file `triggers` has a directive without a usable trigger",
            ));
        }
        out.push(Directive {
            interest,
            trigger: trigger.to_owned(),
            noawait,
        });
    }
    Ok(out)
}

/// A package that is interested, by dpkg's name for it (`NAME` or `NAME:ARCH`).
#[derive(Debug, Clone, PartialEq, Eq)]
struct Interested {
    package: String,
    noawait: bool,
}

/// All interests of an image.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Interests {
    /// By path, in the order of the file `File`.
    paths: Vec<(String, Interested)>,
    /// By name, one file each.
    names: BTreeMap<String, Vec<Interested>>,
}

impl Interests {
    /// Reads the files of `var/lib/dpkg/triggers`, by name.
    pub fn read<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        let mut out = Self::default();
        for (name, bytes) in files {
            let text = String::from_utf8_lossy(bytes);
            match name {
                "Unincorp" | "Lock" => {}
                "File" => out.paths.extend(text.lines().filter_map(|line| {
                    let (path, package) = line.split_once(' ')?;
                    Some((path.to_owned(), interested(package)))
                })),
                _ => {
                    let packages: Vec<_> = text
                        .lines()
                        .filter(|line| !line.is_empty())
                        .map(interested)
                        .collect();
                    if !packages.is_empty() {
                        out.names.insert(name.to_owned(), packages);
                    }
                }
            }
        }
        out
    }

    /// Forgets what the old version of a package was interested in and notes what the new one is, at the end as dpkg does.
    pub fn replace(&mut self, old: (&str, &[Directive]), new: (&str, &[Directive])) {
        for directive in old.1.iter().filter(|directive| directive.interest) {
            if directive.trigger.starts_with('/') {
                self.paths
                    .retain(|(path, who)| path != &directive.trigger || who.package != old.0);
            } else if let Some(packages) = self.names.get_mut(&directive.trigger) {
                packages.retain(|who| who.package != old.0);
                if packages.is_empty() {
                    self.names.remove(&directive.trigger);
                }
            }
        }
        for directive in new.1.iter().filter(|directive| directive.interest) {
            let who = Interested {
                package: new.0.to_owned(),
                noawait: directive.noawait,
            };
            if directive.trigger.starts_with('/') {
                let present = self.paths.iter_mut().find(|(path, other)| {
                    path == &directive.trigger && other.package == who.package
                });
                match present {
                    Some((_, other)) => *other = who,
                    None => self.paths.push((directive.trigger.clone(), who)),
                }
            } else {
                let packages = self.names.entry(directive.trigger.clone()).or_default();
                packages.retain(|other| other.package != who.package);
                packages.push(who);
            }
        }
    }

    /// Returns the packages that are interested in a trigger or in exactly this path.
    pub fn of<'a>(&'a self, trigger: &'a str) -> impl Iterator<Item = &'a str> {
        let names = self.names.get(trigger).into_iter().flatten();
        self.paths
            .iter()
            .filter(move |(path, _)| path == trigger)
            .map(|(_, who)| who)
            .chain(names)
            .map(|who| who.package.as_str())
    }

    /// Tells whether any package is interested in any path.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.paths.iter().map(|(path, _)| path.as_str())
    }

    /// Returns the files again, by name.
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let option = |who: &Interested| if who.noawait { "/noawait" } else { "" };
        let mut out = BTreeMap::new();
        if !self.paths.is_empty() {
            let mut text = String::new();
            for (path, who) in &self.paths {
                let _ = writeln!(text, "{path} {}{}", who.package, option(who));
            }
            out.insert("File".to_owned(), text.into_bytes());
        }
        for (name, packages) in &self.names {
            let mut text = String::new();
            for who in packages {
                let _ = writeln!(text, "{}{}", who.package, option(who));
            }
            out.insert(name.clone(), text.into_bytes());
        }
        out
    }
}

fn interested(line: &str) -> Interested {
    let (package, option) = line.split_once('/').unwrap_or((line, ""));
    Interested {
        package: package.to_owned(),
        noawait: option == "noawait",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_are_read_with_their_options() {
        let found = parse(
            b"# triggers\ninterest /usr/share/a\n interest-noawait b \nactivate-noawait ldconfig\nactivate c\n",
        )
        .unwrap();
        let shown: Vec<_> = found
            .iter()
            .map(|d| (d.interest, d.trigger.as_str(), d.noawait))
            .collect();
        assert_eq!(
            shown,
            [
                (true, "/usr/share/a", false),
                (true, "b", true),
                (false, "ldconfig", true),
                (false, "c", false)
            ]
        );
        assert!(parse(b"wait for\n").is_err());
        assert!(parse(b"interest\n").is_err());
    }

    #[test]
    fn interests_move_to_the_end_as_dpkg_moves_them() {
        let mut interests = Interests::read([
            ("File", &b"/usr/share/a one\n/usr/share/b two/noawait\n"[..]),
            ("update", b"one\ntwo:amd64/noawait\n"),
            ("gone", b"one\n"),
            ("Unincorp", b"x y\n"),
        ]);
        let old = parse(b"interest /usr/share/a\ninterest update\ninterest gone\n").unwrap();
        let new = parse(b"interest-noawait /usr/share/a\ninterest update\n").unwrap();
        interests.replace(("one", &old), ("one", &new));
        let files = interests.files();
        let text = |name: &str| String::from_utf8(files[name].clone()).unwrap();
        assert_eq!(
            text("File"),
            "/usr/share/b two/noawait\n/usr/share/a one/noawait\n"
        );
        assert_eq!(text("update"), "two:amd64/noawait\none\n");
        assert!(!files.contains_key("gone"));
        assert_eq!(
            interests.of("update").collect::<Vec<_>>(),
            ["two:amd64", "one"]
        );
        assert_eq!(interests.of("/usr/share/b").collect::<Vec<_>>(), ["two"]);
        assert_eq!(interests.of("/usr/share").count(), 0);
    }
}
