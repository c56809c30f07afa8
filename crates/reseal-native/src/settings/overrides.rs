//! Owners and modes that the administrator set for paths of packages (dpkg-statoverride(1)).

use std::collections::BTreeMap;

use crate::Refusal;

/// What a path gets instead of what its package says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Override {
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// The permission bits.
    pub mode: u32,
}

/// The overrides of an image, by absolute path.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Overrides(BTreeMap<String, Override>);

impl Overrides {
    /// Reads `var/lib/dpkg/statoverride`; names of users and groups are looked up in the image's `passwd` and `group`.
    pub fn read(bytes: &[u8], passwd: &[u8], group: &[u8]) -> Result<Self, Refusal> {
        let bad = |why: String| Refusal::new("var/lib/dpkg/statoverride", why);
        let text = std::str::from_utf8(bytes).map_err(|_| bad("it is not UTF-8".into()))?;
        let mut out = BTreeMap::new();
        for line in text.lines() {
            let mut words = line.splitn(4, ' ');
            let (Some(user), Some(users), Some(mode), Some(path)) =
                (words.next(), words.next(), words.next(), words.next())
            else {
                return Err(bad("it has a line of fewer than four words".into()));
            };
            let unknown = |who: &str| bad(format!("`{who}` is in neither `passwd` nor `group`"));
            let uid = id(user, passwd).ok_or_else(|| unknown(user))?;
            let gid = id(users, group).ok_or_else(|| unknown(users))?;
            let mode = u32::from_str_radix(mode, 8)
                .ok()
                .filter(|mode| *mode <= 0o7777)
                .ok_or_else(|| bad(format!("`{mode}` is no mode")))?;
            out.insert(path.to_owned(), Override { uid, gid, mode });
        }
        Ok(Self(out))
    }

    /// Returns what a path gets.
    pub fn get(&self, path: &str) -> Option<Override> {
        self.0.get(path).copied()
    }
}

/// Returns the number of a user or group: third word of its line; root is zero everywhere, `#5` is a number itself.
fn id(name: &str, file: &[u8]) -> Option<u32> {
    if let Some(number) = name.strip_prefix('#') {
        return number.parse().ok();
    }
    let text = String::from_utf8_lossy(file);
    let found = text.lines().find_map(|line| {
        let mut words = line.split(':');
        (words.next() == Some(name)).then(|| words.nth(1)?.parse().ok())?
    });
    found.or((name == "root").then_some(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_looked_up_in_the_image() {
        let passwd = b"root:x:0:0::/root:/bin/sh\nmail:x:8:8::/:/bin/sh\n";
        let group = b"root:x:0:\nshadow:x:42:\n";
        let read = |text: &str| Overrides::read(text.as_bytes(), passwd, group);
        let found = read("mail shadow 2755 /usr/bin/a b\nroot #7 644 /c\n").unwrap();
        assert_eq!(
            found.get("/usr/bin/a b"),
            Some(Override {
                uid: 8,
                gid: 42,
                mode: 0o2755
            })
        );
        assert_eq!(
            found.get("/c"),
            Some(Override {
                uid: 0,
                gid: 7,
                mode: 0o644
            })
        );
        assert_eq!(found.get("/d"), None);
        for bad in [
            "root root 644\n",
            "nobody root 644 /a\n",
            "root root 99 /a\n",
            "root root 77777 /a\n",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert!(Overrides::read(b"root root 1 /a\n", b"", b"").is_ok());
    }
}
