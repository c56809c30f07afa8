//! Release files: what a repository says of itself, and the digests of its indexes.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::fields;
use crate::digest::ContentDigest;

/// A release file, as far as it matters. It is as trustworthy as the bytes it was parsed from.
#[derive(Debug, Clone, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "the file format has as many fields that say yes or no"
)]
pub(super) struct ReleaseFile {
    pub(super) origin: String,
    pub(super) label: String,
    pub(super) suite: String,
    pub(super) codename: String,
    pub(super) version: String,
    pub(super) architectures: Vec<String>,
    /// `No-Support-for-Architecture-all: Packages`: what is for all is listed with each.
    pub(super) all_is_listed_with_each: bool,
    pub(super) date: Option<i64>,
    pub(super) valid_until: Option<i64>,
    pub(super) not_automatic: bool,
    pub(super) but_automatic_upgrades: bool,
    pub(super) by_hash: bool,
    /// Size and digest by path.
    pub(super) files: BTreeMap<String, (u64, ContentDigest)>,
}

/// Parses a release file. The error says what is wrong with it.
pub(super) fn parse(text: &[u8]) -> Result<ReleaseFile, String> {
    let mut stanzas = fields::parse(text)
        .map_err(|(line, why)| format!("line {line}: {why}"))?
        .into_iter();
    let Some(stanza) = stanzas.next() else {
        return Err("it is empty".to_owned());
    };
    if stanzas.next().is_some() {
        return Err("it has more than one paragraph".to_owned());
    }
    let text = |name| stanza.get(name).unwrap_or_default().to_owned();
    let is = |name| {
        stanza
            .get(name)
            .is_some_and(|v| v.eq_ignore_ascii_case("yes"))
    };
    let time = |name: &str| match stanza.get(name) {
        None => Ok(None),
        Some(value) => parse_time(value)
            .map(Some)
            .ok_or_else(|| format!("its `{name}` is no date: {}", value.escape_default())),
    };
    let mut files = BTreeMap::new();
    for line in stanza.get("SHA256").unwrap_or_default().lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            [] => {}
            [digest, size, path] => {
                let digest = digest.parse()?;
                let size = size
                    .parse()
                    .map_err(|_| format!("the size of `{}` is no number", path.escape_default()))?;
                if let Some(other) = files.insert(path.to_owned(), (size, digest))
                    && other != (size, digest)
                {
                    return Err(format!("it lists `{}` twice", path.escape_default()));
                }
            }
            _ => return Err("a line of its `SHA256` is not `DIGEST SIZE PATH`".to_owned()),
        }
    }
    let weak = stanza.get("MD5Sum").is_some() || stanza.get("SHA1").is_some();
    if files.is_empty() && weak {
        return Err("it has no SHA-256 digests, and weaker ones prove nothing".to_owned());
    }
    Ok(ReleaseFile {
        origin: text("Origin"),
        label: text("Label"),
        suite: text("Suite"),
        codename: text("Codename"),
        version: text("Version"),
        architectures: stanza.words("Architectures"),
        all_is_listed_with_each: stanza
            .words("No-Support-for-Architecture-all")
            .iter()
            .any(|kind| kind == "Packages"),
        date: time("Date")?,
        valid_until: time("Valid-Until")?,
        not_automatic: is("NotAutomatic"),
        but_automatic_upgrades: is("ButAutomaticUpgrades"),
        by_hash: is("Acquire-By-Hash"),
        files,
    })
}

/// Reads a date as release files have it, `Sat, 11 Jul 2026 10:16:37 UTC`; always in universal time.
pub(super) fn parse_time(text: &str) -> Option<i64> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let [_day, day, month, year, clock, zone] = words[..] else {
        return None;
    };
    if !matches!(zone, "UTC" | "GMT" | "Z" | "+0000" | "-0000" | "+0" | "0") {
        return None;
    }
    let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let month = months.iter().position(|m| m.eq_ignore_ascii_case(month))? + 1;
    // `9:05:53` is written by some repositories.
    let mut parts = clock.split(':');
    let mut part = || parts.next()?.parse::<u8>().ok();
    let (hour, minute, second) = (part()?, part()?, part()?);
    let (day, year): (u8, u16) = (day.parse().ok()?, year.parse().ok()?);
    let text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z");
    text.parse::<Timestamp>().ok().map(Timestamp::as_second)
}

/// Writes a time for people.
pub(super) fn show_time(seconds: i64) -> String {
    Timestamp::from_second(seconds).map_or_else(
        |_| format!("second {seconds}"),
        |time| time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_as_repositories_write_them() {
        for (text, expected) in [
            ("Sat, 11 Jul 2026 10:16:37 UTC", Some(1_783_764_997)),
            ("Thu, 01 Jan 1970 00:00:10 GMT", Some(10)),
            ("Thu, 1 Jan 1970 0:00:10 +0000", Some(10)),
            ("Thu, 01 Jan 1970 00:00:10 CET", None),
            ("Thu, 31 Feb 1970 00:00:10 UTC", None),
            ("1970-01-01", None),
            ("", None),
        ] {
            assert_eq!(parse_time(text), expected, "{text}");
        }
        assert_eq!(show_time(10), "1970-01-01 00:00:10 UTC");
    }

    #[test]
    fn a_release_file_names_itself_and_its_indexes() {
        let digest = ContentDigest::of(b"");
        let text = format!(
            "Origin: Shop\nLabel: Shop Security\nSuite: stable\nCodename: bookworm\nVersion: 12\nDate: Thu, 01 Jan 1970 00:00:10 UTC\n\
             Valid-Until: Thu, 01 Jan 1970 00:00:20 UTC\nNotAutomatic: yes\nButAutomaticUpgrades: yes\nAcquire-By-Hash: yes\n\
             No-Support-for-Architecture-all: Packages\nArchitectures: all amd64\nComponents: main contrib\nMD5Sum:\n d41d8 0 x\n\
             SHA256:\n {digest} 0 main/binary-amd64/Packages\n {digest}        17 main/binary-amd64/Packages.xz\n"
        );
        let file = parse(text.as_bytes()).unwrap();
        assert_eq!(file.label, "Shop Security");
        assert_eq!((file.date, file.valid_until), (Some(10), Some(20)));
        assert!(file.not_automatic && file.but_automatic_upgrades && file.by_hash);
        assert!(file.all_is_listed_with_each);
        assert_eq!(file.files["main/binary-amd64/Packages.xz"], (17, digest));
        for (from, to, expected) in [
            ("SHA256:", "SHA1:", "no SHA-256"),
            ("1970 00:00:20 UTC", "soon", "`Valid-Until` is no date"),
            ("       17 main", " 17 x y main", "not `DIGEST SIZE PATH`"),
            ("       17 main", " x main", "is no number"),
            ("Packages.xz", "Packages", "twice"),
            ("Version: 12", "\nVersion: 12", "more than one paragraph"),
            ("Version: 12", "Version", "line 5"),
        ] {
            let error = parse(text.replace(from, to).as_bytes()).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        assert!(parse(b"").is_err());
    }
}
