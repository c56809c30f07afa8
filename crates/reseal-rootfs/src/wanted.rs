//! Which contents patching without a package manager needs.

use crate::Wanted;

/// Largest of these files, in bytes. The largest known, dpkg's status of a full desktop, has 5 MB.
const LIMIT: u64 = 64 << 20;

/// Where certificates lie. Their contents are of use where they are there, but no image is refused for them.
const CERTIFICATES: [&str; 3] = [
    "etc/ssl/certs/",
    "usr/local/share/ca-certificates/",
    "usr/share/ca-certificates/",
];
/// Largest of those, in bytes.
const CERTIFICATE_LIMIT: u64 = 1 << 20;

/// Tells whether the contents of a file are of use, though nobody asked for them.
pub(crate) fn is_of_use(path: &str, size: u64) -> bool {
    size <= CERTIFICATE_LIMIT && CERTIFICATES.iter().any(|folder| path.starts_with(folder))
}

/// Where dpkg has what it knows of each package.
const INFO: &str = "var/lib/dpkg/info/";
/// What lies there for building other packages and for asking questions: more than all the rest together, and read by
/// nothing that unpacks.
const NOT_FOR_UNPACKING: [&str; 3] = [".shlibs", ".symbols", ".templates"];

/// Tells whether the contents of a file are of no use, though it lies among those that are.
pub(crate) fn is_of_no_use(path: &str) -> bool {
    path.starts_with(INFO) && NOT_FOR_UNPACKING.iter().any(|end| path.ends_with(end))
}

/// Returns the files whose contents tell what an image has installed, from where it would install more, and which files
/// are derived from all packages.
pub fn wanted() -> Wanted {
    let texts = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect();
    Wanted {
        exact: texts(&[
            "etc/ca-certificates.conf",
            "etc/group",
            "etc/ld.so.cache",
            "etc/ld.so.conf",
            "etc/machine-id",
            "etc/os-release",
            "etc/passwd",
            "usr/lib/os-release",
            "usr/sbin/update-ca-certificates",
            "var/cache/debconf/config.dat",
            "var/lib/apt/extended_states",
            "var/lib/dpkg/arch",
            "var/lib/dpkg/diversions",
            "var/lib/dpkg/statoverride",
            "var/lib/dpkg/status",
        ]),
        prefixes: texts(&[
            "etc/apt/",
            "etc/dpkg/",
            "etc/ld.so.conf.d/",
            "usr/share/keyrings/",
            "var/lib/dpkg/alternatives/",
            INFO,
            "var/lib/dpkg/status.d/",
            "var/lib/dpkg/triggers/",
            "var/lib/dpkg/updates/",
        ]),
        limit: LIMIT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_builds_and_questions_need_is_left_out() {
        for (path, no_use) in [
            ("var/lib/dpkg/info/libc6:amd64.symbols", true),
            ("var/lib/dpkg/info/tzdata.templates", true),
            ("var/lib/dpkg/info/tzdata.list", false),
            ("var/lib/dpkg/info/tzdata.md5sums", false),
            ("etc/apt/apt.conf.d/my.templates", false),
        ] {
            assert_eq!(is_of_no_use(path), no_use, "{path}");
        }
    }

    #[test]
    fn what_is_wanted_is_named_by_clean_paths() {
        let wanted = wanted();
        for path in &wanted.exact {
            assert!(!path.starts_with('/') && !path.ends_with('/'), "{path}");
        }
        for prefix in &wanted.prefixes {
            assert!(
                !prefix.starts_with('/') && prefix.ends_with('/'),
                "{prefix}"
            );
        }
    }
}
