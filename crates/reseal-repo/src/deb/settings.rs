//! Which of apt's settings matter, and which nobody but apt can follow.

use std::collections::BTreeMap;

use super::config::{Config, fragments};
use crate::settings::ProxyRule;

/// apt's settings in an image.
#[derive(Debug, Clone, Default)]
pub struct AptSettings {
    /// Settings that change what would be installed, and how, in a way that is not followed here; each in words. While there
    /// is one, the image's own package manager must do the work.
    pub unsupported: Vec<String>,
    /// `APT::Default-Release`.
    pub default_release: Option<String>,
    config: Config,
}

/// Reads `apt.conf.d` and `apt.conf`; `files` are all files of `etc/apt`, by their path in the image.
pub fn read_settings(files: &BTreeMap<String, Vec<u8>>) -> AptSettings {
    let mut config = Config::default();
    let mut unsupported = Vec::new();
    let parts = fragments(files, "etc/apt/apt.conf.d/", &["conf"], true);
    let main = files
        .get("etc/apt/apt.conf")
        .or_else(|| files.get("/etc/apt/apt.conf"))
        .map(|bytes| ("etc/apt/apt.conf", bytes.as_slice()));
    for (path, bytes) in parts.into_iter().chain(main) {
        if let Err((line, why)) = config.read(bytes) {
            unsupported.push(format!("could not read {path}:{line}: {why}"));
        }
    }
    for (name, value) in config.all() {
        if let Some(why) = problem(name, value) {
            unsupported.push(format!(
                "the image's apt has `{name} \"{}\"`, which {why}",
                one_line(value)
            ));
        }
    }
    AptSettings {
        unsupported,
        default_release: config
            .get("APT::Default-Release")
            .filter(|name| !name.is_empty())
            .map(str::to_owned),
        config,
    }
}

impl AptSettings {
    /// Returns the value of a setting, `APT::Get::Something`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.config.get(name)
    }

    /// Returns a setting that is on or off.
    pub fn flag(&self, name: &str) -> Option<bool> {
        self.config.flag(name)
    }

    /// Returns the members of a list, `APT::Never-MarkAuto-Sections`.
    pub fn list(&self, name: &str) -> Vec<&str> {
        self.config.list(name)
    }

    /// Returns a number of seconds, by the repository's label if there is one for it.
    pub(super) fn seconds(&self, name: &str, label: &str) -> Option<i64> {
        let labelled = self.get(&format!("{name}::{label}"));
        labelled.or_else(|| self.get(name))?.parse().ok()
    }

    /// Returns the proxies; later ones count more.
    pub(crate) fn proxies(&self) -> Vec<ProxyRule> {
        let mut out = Vec::new();
        // What holds for http holds for https too, unless that has its own.
        for (scheme, from) in [("http", "http"), ("https", "http"), ("https", "https")] {
            let prefix = format!("acquire::{from}::proxy");
            for (name, value) in self.config.all() {
                let Some(rest) = name.strip_prefix(&prefix) else {
                    continue;
                };
                let host = match rest.strip_prefix("::") {
                    Some(host) => Some(host.to_owned()),
                    None if rest.is_empty() => None,
                    None => continue,
                };
                if !value.is_empty() {
                    let none = value.eq_ignore_ascii_case("false");
                    out.push(ProxyRule {
                        scheme: scheme.to_owned(),
                        host,
                        proxy: if none {
                            "DIRECT".to_owned()
                        } else {
                            value.clone()
                        },
                    });
                }
            }
        }
        out
    }
}

/// Options of dpkg that change nothing here: configuration files are kept as these say, and safe writing is the tar's.
const DPKG_OPTIONS: [&str; 4] = [
    "--force-confold",
    "--force-confdef",
    "--force-unsafe-io",
    "--force-overwrite",
];

/// Pieces of the commands that Debian's own packages and images run around dpkg. What they touch are caches and questions.
const KNOWN_HOOKS: [&str; 4] = [
    "rm -f /var/cache/apt/",
    "/usr/sbin/dpkg-preconfigure --apt",
    "org.freedesktop.PackageKit",
    "/usr/lib/apt/apt.systemd.daily",
];

/// Says what an unfollowed setting does; `None` for one that changes nothing or that is followed.
fn problem(name: &str, value: &str) -> Option<&'static str> {
    let on = super::config::flag(value) == Some(true);
    match name {
        "dpkg::options::" if !DPKG_OPTIONS.contains(&value) => Some("changes how dpkg unpacks"),
        "dpkg::pre-invoke::" | "dpkg::post-invoke::" | "dpkg::pre-install-pkgs::"
            if !KNOWN_HOOKS.iter().any(|known| value.contains(known)) =>
        {
            Some("runs a command when packages are installed")
        }
        "apt::solver" if value != "internal" => Some("replaces the solver"),
        "apt::solver::strict-pinning" if !on => Some("changes which versions are candidates"),
        "apt::ignore-hold" | "apt::get::force-yes" | "apt::force-yes" if on => {
            Some("overrules what is held back")
        }
        "apt::architecture"
        | "apt::architectures"
        | "apt::architectures::"
        | "apt::machine-id"
        | "apt::snapshot"
        | "acquire::snapshot"
        | "apt::get::always-include-phased-updates"
        | "apt::get::never-include-phased-updates"
        | "update-manager::always-include-phased-updates"
        | "update-manager::never-include-phased-updates" => {
            Some("changes which versions are candidates")
        }
        "dpkg::chroot-directory" => Some("changes where dpkg works"),
        _ if name.starts_with("acquire::indextargets::deb::packages") => {
            Some("changes which indexes are read")
        }
        _ if name.starts_with("dir::cache") || name.starts_with("dir::log") => None,
        _ if name == "dir" || name == "rootdir" || name.starts_with("dir::") => {
            Some("changes which files apt reads")
        }
        _ => None,
    }
}

fn one_line(text: &str) -> String {
    let mut out: String = text.chars().take(80).flat_map(char::escape_debug).collect();
    if text.chars().nth(80).is_some() {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> AptSettings {
        let files = BTreeMap::from([(
            "etc/apt/apt.conf.d/50x".to_owned(),
            text.as_bytes().to_vec(),
        )]);
        read_settings(&files)
    }

    #[test]
    fn what_official_images_set_is_no_obstacle() {
        let settings = read(
            r#"
DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/archives/partial/*.deb /var/cache/apt/*.bin || true"; };
APT::Update::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb || true"; };
Dir::Cache::pkgcache ""; Dir::Cache::srcpkgcache "";
Acquire::GzipIndexes "true"; Acquire::CompressionTypes::Order:: "gz"; Acquire::Languages "none";
Apt::AutoRemove::SuggestsImportant "false";
DPkg::Pre-Install-Pkgs {"/usr/sbin/dpkg-preconfigure --apt || true";};
APT { NeverAutoRemove { "^firmware-linux.*"; }; Never-MarkAuto-Sections { "metapackages"; "tasks"; }; };
APT::Install-Recommends "0"; DPkg::Options:: "--force-confold"; Acquire::Retries 3;
"#,
        );
        assert_eq!(settings.unsupported, [""; 0]);
        assert_eq!(
            settings.list("APT::Never-MarkAuto-Sections"),
            ["metapackages", "tasks"]
        );
        assert_eq!(settings.flag("apt::install-recommends"), Some(false));
    }

    #[test]
    fn a_setting_that_only_apt_can_follow_is_named() {
        for (text, expected) in [
            (
                "DPkg::Post-Invoke { \"etckeeper post-install\"; };",
                "runs a command",
            ),
            (
                "DPkg::Options:: \"--path-exclude=/usr/share/doc/*\";",
                "how dpkg unpacks",
            ),
            ("APT::Solver \"aspcud\";", "replaces the solver"),
            ("Dir::Etc::sourcelist \"/x\";", "which files apt reads"),
            ("APT::Architectures { \"amd64\"; };", "which versions"),
            ("#include \"/x\";", "50x:1"),
            ("broken", "50x:1"),
        ] {
            let found = read(text).unsupported;
            assert_eq!(found.len(), 1, "{text}: {found:?}");
            assert!(found[0].contains(expected), "{found:?}");
        }
        let found = read("APT::Default-Release \"bookworm\";");
        assert_eq!(found.default_release.as_deref(), Some("bookworm"));
        assert!(found.unsupported.is_empty());
    }

    #[test]
    fn proxies_are_read_for_both_schemes_and_by_host() {
        let settings = read(
            "Acquire::http::Proxy \"http://p.example:3128\"; Acquire::http::Proxy::near.example \"DIRECT\"; Acquire::https::Proxy \"false\";",
        );
        let shown: Vec<String> = settings
            .proxies()
            .iter()
            .map(|p| format!("{} {:?} {}", p.scheme, p.host, p.proxy))
            .collect();
        assert_eq!(
            shown,
            [
                "http None http://p.example:3128",
                "http Some(\"near.example\") DIRECT",
                "https None http://p.example:3128",
                "https Some(\"near.example\") DIRECT",
                "https None DIRECT",
            ]
        );
    }
}
