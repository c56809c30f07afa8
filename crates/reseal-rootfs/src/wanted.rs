//! Which contents patching without a package manager needs.

use crate::Wanted;

/// Largest of these files, in bytes. The largest known, dpkg's status of a full desktop, has 5 MB.
const LIMIT: u64 = 64 << 20;

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
            "etc/ssl/certs/",
            "usr/local/share/ca-certificates/",
            "usr/share/ca-certificates/",
            "usr/share/keyrings/",
            "var/lib/dpkg/alternatives/",
            "var/lib/dpkg/info/",
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
