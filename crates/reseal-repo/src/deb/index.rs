//! Which package lists a release has for a component, and in which form to fetch them.

use super::release::ReleaseFile;
use super::sources::Source;
use crate::digest::ContentDigest;

/// One package list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// The architecture that it is for; `all` for what is for each, empty for a flat repository's.
    pub architecture: String,
    /// Its path from the release file's folder, unpacked.
    pub path: String,
    /// Size and digest unpacked, where the release file names them.
    pub plain: Option<(u64, ContentDigest)>,
    /// The forms that can be fetched, best first.
    pub variants: Vec<Variant>,
    /// Whether the server also has it under its digest.
    pub by_hash: bool,
}

/// One form of a package list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// What is added to the path: `.xz`, `.zst`, `.gz` or nothing.
    pub suffix: &'static str,
    /// Its size.
    pub size: u64,
    /// Its digest.
    pub digest: ContentDigest,
}

/// Forms that can be unpacked here.
const SUFFIXES: [&str; 4] = [".zst", ".xz", ".gz", ""];
/// Forms that exist but cannot.
const OTHERS: [&str; 3] = [".bz2", ".lzma", ".lz4"];

/// Returns the lists of a component of a source, and warnings about those that the release does not have.
pub(super) fn choose(
    file: &ReleaseFile,
    source: &Source,
    component: &str,
    by_hash: bool,
) -> (Vec<Index>, Vec<String>) {
    let (mut out, mut warnings) = (Vec::new(), Vec::new());
    let suite = &source.suite;
    if source.is_flat() {
        out.extend(index(file, "", "Packages", by_hash));
        if out.is_empty() {
            warnings.push(format!("the release of {suite} lists no packages"));
        }
        return (out, warnings);
    }
    let has = |name: &str| file.architectures.iter().any(|known| known == name);
    let mut wanted: Vec<&str> = source.architectures.iter().map(String::as_str).collect();
    if has("all") && !file.all_is_listed_with_each {
        wanted.push("all");
    }
    for architecture in wanted {
        if !file.architectures.is_empty() && !has(architecture) {
            warnings.push(format!("{suite} has nothing for {architecture}"));
            continue;
        }
        let path = format!("{component}/binary-{architecture}/Packages");
        let found = index(file, architecture, &path, by_hash);
        if found.is_none() && architecture != "all" {
            warnings.push(format!(
                "{suite} has no component {component} for {architecture}"
            ));
        }
        out.extend(found);
    }
    (out, warnings)
}

fn index(file: &ReleaseFile, architecture: &str, path: &str, by_hash: bool) -> Option<Index> {
    let entry = |suffix: &str| {
        let name = format!("{path}{suffix}");
        let found = file.files.get(&name);
        found
            .or_else(|| file.files.get(&format!("./{name}")))
            .copied()
    };
    let mut variants: Vec<Variant> = SUFFIXES
        .iter()
        .filter_map(|suffix| {
            let (size, digest) = entry(suffix)?;
            Some(Variant {
                suffix,
                size,
                digest,
            })
        })
        .collect();
    if variants.is_empty() && !OTHERS.iter().any(|suffix| entry(suffix).is_some()) {
        return None;
    }
    prefer_speed(&mut variants);
    Some(Index {
        architecture: architecture.to_owned(),
        path: path.to_owned(),
        plain: entry(""),
        variants,
        by_hash,
    })
}

/// Unpacks gzip in less than half the time of xz: it goes first while it costs at most half as much again to fetch.
fn prefer_speed(variants: &mut [Variant]) {
    let at = |suffix| variants.iter().position(|v| v.suffix == suffix);
    if let (Some(xz), Some(gz)) = (at(".xz"), at(".gz"))
        && variants[gz].size <= variants[xz].size.saturating_add(variants[xz].size / 2)
    {
        variants.swap(xz, gz);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deb::{read_sources, release};
    use std::collections::BTreeMap;

    fn source(line: &str) -> Source {
        let files = BTreeMap::from([("etc/apt/sources.list".to_owned(), line.as_bytes().to_vec())]);
        read_sources(&files, "amd64").unwrap().entries.remove(0)
    }

    fn chosen(head: &str, files: &[(&str, u64)], line: &str) -> (Vec<String>, Vec<String>) {
        let digest = ContentDigest::of(b"");
        let lines = files
            .iter()
            .map(|(path, size)| format!(" {digest} {size} {path}"));
        let list = lines.collect::<Vec<_>>().join("\n");
        let file = release::parse(format!("{head}SHA256:\n{list}").as_bytes()).unwrap();
        let (found, warnings) = choose(&file, &source(line), "main", true);
        let shown = found
            .iter()
            .map(|index| {
                let forms: Vec<&str> = index.variants.iter().map(|v| v.suffix).collect();
                format!("{} {} {:?}", index.architecture, index.path, forms)
            })
            .collect();
        (shown, warnings)
    }

    #[test]
    fn the_form_that_is_ready_first_is_fetched_first() {
        let line = "deb http://x.example/ s main";
        let path = "main/binary-amd64/Packages";
        for (sizes, expected) in [
            (
                vec![("", 50), (".xz", 9), (".gz", 12)],
                vec![".gz", ".xz", ""],
            ),
            (
                vec![("", 50), (".xz", 9), (".gz", 14)],
                vec![".xz", ".gz", ""],
            ),
            (vec![(".zst", 9), (".xz", 9)], vec![".zst", ".xz"]),
            (vec![(".bz2", 9)], vec![]),
        ] {
            let files: Vec<(String, u64)> = sizes
                .iter()
                .map(|(suffix, size)| (format!("{path}{suffix}"), *size))
                .collect();
            let files: Vec<(&str, u64)> = files.iter().map(|(p, s)| (p.as_str(), *s)).collect();
            let (found, _) = chosen("Architectures: amd64\n", &files, line);
            assert_eq!(found, [format!("amd64 {path} {expected:?}")]);
        }
    }

    #[test]
    fn packages_for_all_have_a_list_of_their_own_unless_the_release_says_otherwise() {
        let line = "deb http://x.example/ s main";
        let files = [
            ("main/binary-amd64/Packages", 1),
            ("main/binary-all/Packages", 1),
        ];
        let (found, warnings) = chosen("Architectures: all amd64\n", &files, line);
        assert_eq!((found.len(), warnings.len()), (2, 0));
        let head = "Architectures: all amd64\nNo-Support-for-Architecture-all: Packages\n";
        assert_eq!(chosen(head, &files, line).0.len(), 1);
        assert_eq!(chosen("Architectures: amd64\n", &files, line).0.len(), 1);
    }

    #[test]
    fn what_a_release_does_not_have_is_a_warning() {
        let line = "deb http://x.example/ s main";
        for (head, files, expected) in [
            (
                "Architectures: arm64\n",
                vec![("x", 1)],
                "nothing for amd64",
            ),
            (
                "Architectures: amd64\n",
                vec![("x", 1)],
                "no component main",
            ),
        ] {
            let (found, warnings) = chosen(head, &files, line);
            assert!(found.is_empty());
            assert!(warnings[0].contains(expected), "{warnings:?}");
        }
        let flat = "deb http://x.example/ ./";
        assert_eq!(
            chosen("", &[("./Packages.gz", 1)], flat).0,
            [" Packages [\".gz\"]"]
        );
        assert!(chosen("", &[("x", 1)], flat).1[0].contains("no packages"));
    }
}
