//! Files that go elsewhere because another package or the administrator took their place (dpkg-divert(1)).

use std::collections::BTreeMap;

use crate::Refusal;

/// The diversions of an image.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Diversions {
    /// By the path that is taken.
    from: BTreeMap<String, (String, Option<String>)>,
    /// By the path that is used instead.
    to: BTreeMap<String, String>,
}

impl Diversions {
    /// Reads `var/lib/dpkg/diversions`: path, path used instead and package, one a line each; `:` is the administrator.
    pub fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        let bad = |why: &str| Refusal::new("var/lib/dpkg/diversions", why);
        let text = std::str::from_utf8(bytes).map_err(|_| bad("it is not UTF-8"))?;
        let lines: Vec<&str> = text.lines().collect();
        let mut out = Self::default();
        for entry in lines.chunks(3) {
            let &[from, to, package] = entry else {
                return Err(bad("it ends within an entry"));
            };
            if !from.starts_with('/') || !to.starts_with('/') {
                return Err(bad("it has a path that is not absolute"));
            }
            let package = (package != ":").then(|| package.to_owned());
            out.to.insert(to.to_owned(), from.to_owned());
            if out
                .from
                .insert(from.to_owned(), (to.to_owned(), package))
                .is_some()
            {
                return Err(bad("it has a path twice"));
            }
        }
        Ok(out)
    }

    /// Returns the path that `package` has to use for `path`.
    pub fn used<'a>(&'a self, path: &'a str, package: &str) -> &'a str {
        match self.from.get(path) {
            Some((to, by)) if by.as_deref() != Some(package) => to,
            _ => path,
        }
    }

    /// Returns who diverts a path: `Some(None)` is the administrator.
    pub fn by(&self, path: &str) -> Option<Option<&str>> {
        self.from.get(path).map(|(_, by)| by.as_deref())
    }

    /// Returns the path whose diversion uses this one instead: no package may have a file of this name itself.
    pub fn source(&self, path: &str) -> Option<&str> {
        self.to.get(path).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_but_the_diverting_package_uses_the_other_path() {
        let diversions = Diversions::read(
            b"/usr/bin/a\n/usr/bin/a.distrib\n:\n/usr/bin/b\n/usr/bin/b.old\nother\n",
        )
        .unwrap();
        assert_eq!(diversions.used("/usr/bin/a", "one"), "/usr/bin/a.distrib");
        assert_eq!(diversions.used("/usr/bin/b", "one"), "/usr/bin/b.old");
        assert_eq!(diversions.used("/usr/bin/b", "other"), "/usr/bin/b");
        assert_eq!(diversions.used("/usr/bin/c", "one"), "/usr/bin/c");
        assert_eq!(diversions.by("/usr/bin/a"), Some(None));
        assert_eq!(diversions.source("/usr/bin/b.old"), Some("/usr/bin/b"));
        for bad in ["/a\n", "/a\n/b\n", "a\n/b\n:\n", "/a\n/b\n:\n/a\n/c\n:\n"] {
            assert!(Diversions::read(bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert!(Diversions::read(b"").is_ok());
    }
}
