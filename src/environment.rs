//! The environment as a value, read once in `main`, so that everything that follows from it is a pure function.

use std::{collections::BTreeMap, path::PathBuf};

/// What the process was started with.
#[derive(Debug, Clone, Default)]
pub(crate) struct Env {
    /// Variables whose name and value are Unicode.
    pub(crate) variables: BTreeMap<String, String>,
    /// Whether standard error is a terminal.
    pub(crate) stderr_terminal: bool,
    /// Whether standard output is a terminal.
    pub(crate) stdout_terminal: bool,
    /// Seconds since 1970.
    pub(crate) now: i64,
    /// A number that no other run has.
    pub(crate) random: u64,
    /// The user id, 0 where there is none.
    pub(crate) uid: u32,
}

/// The CI system, as far as output depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ci {
    /// GitHub Actions and what speaks its workflow commands.
    Github,
    /// GitLab CI.
    Gitlab,
    /// Another one.
    Other,
}

impl Env {
    /// Returns a variable; one that is empty counts as not set.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.variables
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// Returns the first of these variables that is set.
    pub(crate) fn first(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.get(name))
    }

    /// Returns the CI system, if the run is in one.
    pub(crate) fn ci(&self) -> Option<Ci> {
        let on = |name| {
            self.get(name)
                .is_some_and(|value| !matches!(value, "0" | "false"))
        };
        if on("GITHUB_ACTIONS") {
            Some(Ci::Github)
        } else if on("GITLAB_CI") {
            Some(Ci::Gitlab)
        } else {
            on("CI").then_some(Ci::Other)
        }
    }

    /// Returns the home folder.
    pub(crate) fn home(&self) -> Option<PathBuf> {
        self.first(&["HOME", "USERPROFILE"]).map(PathBuf::from)
    }

    /// Returns the folder for temporary files.
    pub(crate) fn temp_dir(&self) -> PathBuf {
        self.first(&["TMPDIR", "TEMP", "TMP"])
            .map_or_else(|| PathBuf::from("/tmp"), PathBuf::from)
    }

    /// Returns whether colours may be used on a stream. `NO_COLOR` wins over `CLICOLOR_FORCE`.
    pub(crate) fn colour(&self, terminal: bool) -> bool {
        if self.get("NO_COLOR").is_some() {
            return false;
        }
        if self.get("CLICOLOR_FORCE").is_some_and(|value| value != "0") {
            return true;
        }
        terminal && self.get("TERM") != Some("dumb")
    }
}

#[cfg(test)]
pub(crate) fn env(variables: &[(&str, &str)]) -> Env {
    Env {
        variables: variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        now: 1_700_000_000,
        random: 0xfeed,
        ..Env::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ci_systems_are_told_apart() {
        for (variables, wanted) in [
            (&[][..], None),
            (&[("CI", "true")], Some(Ci::Other)),
            (&[("CI", "false")], None),
            (&[("CI", "")], None),
            (
                &[("CI", "true"), ("GITHUB_ACTIONS", "true")],
                Some(Ci::Github),
            ),
            (&[("CI", "true"), ("GITLAB_CI", "true")], Some(Ci::Gitlab)),
        ] {
            assert_eq!(env(variables).ci(), wanted, "{variables:?}");
        }
    }

    #[test]
    fn colour_follows_the_terminal_unless_told_otherwise() {
        for (variables, terminal, wanted) in [
            (&[][..], true, true),
            (&[], false, false),
            (&[("TERM", "dumb")], true, false),
            (&[("NO_COLOR", "1")], true, false),
            (&[("NO_COLOR", "")], true, true),
            (&[("CLICOLOR_FORCE", "1")], false, true),
            (&[("CLICOLOR_FORCE", "0")], false, false),
            (&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], false, false),
        ] {
            assert_eq!(env(variables).colour(terminal), wanted, "{variables:?}");
        }
    }
}
