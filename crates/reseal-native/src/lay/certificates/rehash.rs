//! What `openssl rehash` does with the links of a directory.
//!
//! A link is named by the number of a subject's name and, as names may be alike, a number more. Links that are right stay;
//! numbers that are free then go to the certificates without one, in the order in which the files come.

use std::collections::{BTreeMap, BTreeSet};

/// Most certificates of one name.
const COLLISIONS: usize = 256;

/// What a name in the directory stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    /// A link by number.
    Link(Number, String),
    /// A certificate: the number of its subject's name and itself.
    Certificate(u32, Vec<u8>),
}

/// The name of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Number {
    /// A link to a list of what was revoked.
    revoked: bool,
    hash: u32,
    id: u16,
}

impl Number {
    /// Reads a link's name; `None` for what OpenSSL takes for any other name.
    ///
    /// # Errors
    ///
    /// Names that OpenSSL reads, and would write in another way.
    pub(super) fn parse(name: &str) -> Result<Option<Self>, &'static str> {
        let Some((hash, rest)) = name.split_at_checked(8).and_then(|(hash, rest)| {
            let all = hash.bytes().all(|byte| byte.is_ascii_hexdigit());
            Some((hash, rest.strip_prefix('.')?)).filter(|_| all)
        }) else {
            return Ok(None);
        };
        let digits = rest.strip_prefix(['r', 'R']).unwrap_or(rest);
        if digits.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return Ok(None);
        }
        let number = Self {
            revoked: digits.len() < rest.len(),
            hash: u32::from_str_radix(hash, 16).unwrap_or_default(),
            id: digits.parse().unwrap_or_default(),
        };
        if number.name() == name {
            Ok(Some(number))
        } else {
            Err("its name is that of a link to a certificate, written in another way")
        }
    }

    fn name(self) -> String {
        let suffix = if self.revoked { "r" } else { "" };
        format!("{:08x}.{suffix}{}", self.hash, self.id)
    }
}

/// What becomes of a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Change {
    /// It becomes a link.
    Link(String, String),
    /// It goes.
    Gone(String),
}

/// Names of one number.
#[derive(Default)]
struct Bucket<'a> {
    entries: Vec<Entry<'a>>,
    needed: usize,
}

struct Entry<'a> {
    file: &'a str,
    certificate: Option<&'a [u8]>,
    id: Option<u16>,
}

/// Tells what `openssl rehash` changes; the names are in the order in which it comes to them.
///
/// # Errors
///
/// More certificates of one name than it takes.
pub(super) fn changes<'a>(
    items: impl IntoIterator<Item = (&'a str, &'a Item)>,
) -> Result<BTreeSet<Change>, &'static str> {
    let mut buckets: BTreeMap<(bool, u32), Bucket<'a>> = BTreeMap::new();
    for (name, item) in items {
        match item {
            Item::Link(number, target) => {
                let bucket = buckets.entry((number.revoked, number.hash)).or_default();
                bucket.add(target, None, Some(number.id))?;
            }
            Item::Certificate(hash, der) => {
                let bucket = buckets.entry((false, *hash)).or_default();
                bucket.add(name, Some(der), None)?;
            }
        }
    }
    let mut out = BTreeSet::new();
    for ((revoked, hash), bucket) in buckets {
        let name = |id| Number { revoked, hash, id }.name();
        let stays = |entry: &Entry<'_>| entry.id.filter(|id| usize::from(*id) < bucket.needed);
        let used: BTreeSet<u16> = bucket.entries.iter().filter_map(stays).collect();
        let mut free = (0..=u16::MAX).filter(|id| !used.contains(id));
        let mut gone = Vec::new();
        for entry in &bucket.entries {
            if stays(entry).is_some() {
                continue;
            }
            if entry.certificate.is_some() {
                // OpenSSL knows which are taken only as far as it has to, in groups of eight.
                let known = |id: &u16| usize::from(*id) < bucket.needed.next_multiple_of(8);
                let id = free
                    .next()
                    .filter(known)
                    .ok_or("too many of its links are stale")?;
                out.insert(Change::Link(name(id), entry.file.to_owned()));
                gone.retain(|other| *other != id);
            } else if let Some(id) = entry.id {
                let again =
                    |change: &Change| matches!(change, Change::Link(link, _) if *link == name(id));
                // What was made just now would go with it.
                out.retain(|change| !again(change));
                gone.push(id);
            }
        }
        out.extend(gone.into_iter().map(|id| Change::Gone(name(id))));
    }
    Ok(out)
}

impl<'a> Bucket<'a> {
    fn add(
        &mut self,
        file: &'a str,
        certificate: Option<&'a [u8]>,
        id: Option<u16>,
    ) -> Result<(), &'static str> {
        let known = |entry: &Entry<'_>| certificate.is_some() && entry.certificate == certificate;
        if self.entries.iter().any(known) {
            return Ok(());
        }
        let at = match self.entries.iter().position(|entry| entry.file == file) {
            Some(at) => at,
            None if self.needed >= COLLISIONS => return Err("too many names are alike"),
            None => {
                self.entries.push(Entry {
                    file,
                    certificate: None,
                    id: None,
                });
                self.entries.len() - 1
            }
        };
        let entry = &mut self.entries[at];
        entry.id = match (entry.id, id) {
            (Some(old), Some(new)) => Some(old.min(new)),
            (old, new) => old.or(new),
        };
        if certificate.is_some() && entry.certificate.is_none() {
            entry.certificate = certificate;
            self.needed += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(items: &[(&str, &str)], expected: &[&str]) {
        let items: Vec<(&str, Item)> = items
            .iter()
            .map(|(name, what)| {
                let item = match Number::parse(name).unwrap() {
                    Some(number) => Item::Link(number, (*what).to_owned()),
                    None => Item::Certificate(0xab, what.as_bytes().to_vec()),
                };
                (*name, item)
            })
            .collect();
        let found = changes(items.iter().map(|(name, item)| (*name, item))).unwrap();
        let shown: Vec<String> = found
            .into_iter()
            .map(|change| match change {
                Change::Link(name, target) => format!("{name} -> {target}"),
                Change::Gone(name) => format!("{name} gone"),
            })
            .collect();
        assert_eq!(shown, expected);
    }

    #[test]
    fn free_numbers_go_to_those_without_a_link() {
        check(
            &[("a.pem", "one"), ("b.pem", "two")],
            &["000000ab.0 -> a.pem", "000000ab.1 -> b.pem"],
        );
        check(
            &[("000000ab.1", "a.pem"), ("a.pem", "one"), ("b.pem", "two")],
            &["000000ab.0 -> b.pem"],
        );
        // Too high a number is not kept.
        check(
            &[("000000ab.1", "a.pem"), ("a.pem", "one")],
            &["000000ab.0 -> a.pem"],
        );
    }

    #[test]
    fn the_same_certificate_gets_one_link() {
        check(
            &[("a.pem", "one"), ("b.pem", "one")],
            &["000000ab.0 -> a.pem"],
        );
        // One that has a link is not known for the same before its turn.
        check(
            &[("000000ab.0", "b.pem"), ("a.pem", "one"), ("b.pem", "one")],
            &["000000ab.1 -> a.pem"],
        );
    }

    #[test]
    fn stale_links_go_unless_their_number_is_used() {
        check(
            &[("000000ac.0", "a.pem"), ("000000ac.r3", "b")],
            &["000000ac.0 gone", "000000ac.r3 gone"],
        );
        check(
            &[
                ("000000ab.0", "gone.pem"),
                ("000000ab.1", "a.pem"),
                ("a.pem", "one"),
            ],
            &["000000ab.1 -> a.pem"],
        );
        // A number may be given anew and go again, as OpenSSL has it.
        check(
            &[("a.pem", "one"), ("000000ab.0", "x"), ("000000ab.1", "y")],
            &["000000ab.1 gone"],
        );
        check(
            &[("000000ab.0", "x"), ("000000ab.1", "y"), ("a.pem", "one")],
            &["000000ab.1 -> a.pem"],
        );
    }

    #[test]
    fn names_of_links_are_read_strictly() {
        for name in [
            "a.pem",
            "12345678.pem",
            "1234567.0",
            "12345678",
            "ünïcödéx.0",
            "12345678.crl",
        ] {
            assert_eq!(Number::parse(name), Ok(None), "{name}");
        }
        for name in [
            "1234ABCD.0",
            "12345678.",
            "12345678.00",
            "12345678.+1",
            "12345678.R0",
            "12345678.65536",
        ] {
            assert!(Number::parse(name).is_err(), "{name}");
        }
        assert_eq!(
            Number::parse("0000abcd.r12").unwrap().unwrap().name(),
            "0000abcd.r12"
        );
    }
}
