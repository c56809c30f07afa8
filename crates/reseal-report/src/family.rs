//! Names of distributions: every spelling that scanners used, mapped to Trivy's present one.

/// Trivy's present names, in no order that matters.
const FAMILIES: &[&str] = &[
    "activestate",
    "alma",
    "alpine",
    "amazon",
    "azurelinux",
    "bottlerocket",
    "cbl-mariner",
    "centos",
    "centos-stream",
    "chainguard",
    "coreos",
    "debian",
    "echo",
    "fedora",
    "minimos",
    "opensuse",
    "opensuse-leap",
    "opensuse-tumbleweed",
    "oracle",
    "photon",
    "redhat",
    "rocky",
    "slem",
    "sles",
    "ubuntu",
    "wolfi",
];

/// Other spellings: of older versions, of os-release and of Grype.
const SPELLINGS: &[(&str, &str)] = &[
    ("almalinux", "alma"),
    ("amazon linux", "amazon"),
    ("amazonlinux", "amazon"),
    ("amzn", "amazon"),
    ("archlinux", "arch"),
    ("debian gnu/linux", "debian"),
    ("mariner", "cbl-mariner"),
    ("ol", "oracle"),
    ("opensuse.leap", "opensuse-leap"),
    ("opensuse.tumbleweed", "opensuse-tumbleweed"),
    ("oraclelinux", "oracle"),
    ("photon linux", "photon"),
    ("red hat enterprise linux", "redhat"),
    ("rhel", "redhat"),
    ("rockylinux", "rocky"),
    ("suse linux enterprise micro", "slem"),
    ("suse linux enterprise server", "sles"),
];

/// Returns Trivy's present name of a distribution; an unknown one in lower case as it is, and `None`
/// for "there is none".
pub(crate) fn normalise(name: &str) -> Option<String> {
    let name = name.trim().to_ascii_lowercase();
    if name.is_empty() || name == "none" {
        return None;
    }
    Some(known(&name).map_or(name, ToOwned::to_owned))
}

/// Returns the present name of a known distribution, given in lower case.
fn known(name: &str) -> Option<&'static str> {
    let spelled = SPELLINGS.iter().find(|(other, _)| *other == name);
    spelled
        .map(|(_, present)| *present)
        .or_else(|| FAMILIES.iter().copied().find(|family| *family == name))
}

/// Tells whether a result's `Type` is a distribution, not a programming language's package format.
pub(crate) fn is_family(kind: &str) -> bool {
    known(&kind.trim().to_ascii_lowercase()).is_some()
}

/// What the target of an OS result tells: `app:1.0 (amazon 2 (Karoo))`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Told<'a> {
    pub(crate) artifact: &'a str,
    pub(crate) family: &'static str,
    pub(crate) version: &'a str,
}

/// Finds distribution and version in the target of a result.
pub(crate) fn of_target(target: &str) -> Option<Told<'_>> {
    let inner = target.trim_end().strip_suffix(')')?;
    // The version may have brackets of its own and so may the artifact's name: the last bracket
    // that is followed by a distribution's name counts.
    inner.rmatch_indices(" (").find_map(|(at, bracket)| {
        let text = &inner[at + bracket.len()..];
        let lower = text.to_ascii_lowercase();
        let mut ends: Vec<usize> = lower.match_indices(' ').map(|(space, _)| space).collect();
        ends.push(lower.len());
        // `suse linux enterprise server 15` holds shorter names only by chance: the longest counts.
        ends.into_iter().take(MAX_WORDS).rev().find_map(|end| {
            Some(Told {
                artifact: &inner[..at],
                family: known(&lower[..end])?,
                version: version(&text[end..]),
            })
        })
    })
}

/// Words that a distribution's name may have.
const MAX_WORDS: usize = 5;

/// Ubuntu's extended maintenance marks the version in the target, not in the image.
fn version(text: &str) -> &str {
    let text = text.trim();
    text.strip_suffix("-ESM").unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_becomes_the_present_name() {
        for (name, expected) in [
            ("debian", Some("debian")),
            ("Debian GNU/Linux", Some("debian")),
            ("opensuse.leap", Some("opensuse-leap")),
            ("amazonlinux", Some("amazon")),
            ("rockylinux", Some("rocky")),
            ("mariner", Some("cbl-mariner")),
            ("none", None),
            (" ", None),
            ("NewOS", Some("newos")),
        ] {
            assert_eq!(normalise(name).as_deref(), expected, "{name}");
        }
        assert!(is_family("alpine") && !is_family("bundler") && !is_family("jar"));
    }

    #[test]
    fn a_target_tells_distribution_and_version() {
        for (target, expected) in [
            ("app:1.0 (debian 12.5)", Some(("debian", "12.5"))),
            ("a.tar.gz (amazon 2 (Karoo))", Some(("amazon", "2 (Karoo)"))),
            (
                "x (amazon AMI release 2018.03)",
                Some(("amazon", "AMI release 2018.03")),
            ),
            (
                "x (suse linux enterprise server 15.1)",
                Some(("sles", "15.1")),
            ),
            (
                "odd (debian 9).tar (ubuntu 22.04-ESM)",
                Some(("ubuntu", "22.04")),
            ),
            ("x (wolfi)", Some(("wolfi", ""))),
            ("app/Gemfile.lock", None),
            ("app (bundler)", None),
            (")", None),
            ("", None),
        ] {
            let told = of_target(target);
            assert_eq!(
                told.map(|told| (told.family, told.version)),
                expected,
                "{target}"
            );
        }
    }
}
