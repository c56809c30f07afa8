//! Platforms of images, and when one satisfies another.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::OciError;
use crate::error::shown;

/// Longest single field of a platform that is accepted, in bytes.
const FIELD_LIMIT: usize = 255;

/// An operating system and a processor, with the names that the OCI image specification takes from Go.
///
/// Serialises as the specification's `platform` object. Fields keep the spelling they were read with;
/// [`Platform::matches`] is the comparison that knows which spellings mean the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Platform {
    /// `linux`, `windows`, `unknown`, …
    #[serde(default)]
    pub os: String,
    /// `amd64`, `arm64`, …
    #[serde(default)]
    pub architecture: String,
    /// `v8`, `v7`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// The version of the operating system; Windows images have one.
    #[serde(
        default,
        rename = "os.version",
        skip_serializing_if = "Option::is_none"
    )]
    pub os_version: Option<String>,
    /// Features that the operating system must have.
    #[serde(default, rename = "os.features", skip_serializing_if = "Vec::is_empty")]
    pub os_features: Vec<String>,
}

impl Platform {
    /// Tells whether an image of this platform is one of the `wanted` platform.
    ///
    /// `arm64` is `arm64/v8`, `amd64` is `amd64/v1`; a wanted platform without variant takes any variant, one without
    /// version takes any version.
    pub fn matches(&self, wanted: &Self) -> bool {
        let (os, architecture, variant) = self.normal();
        let (wanted_os, wanted_architecture, wanted_variant) = wanted.normal();
        os == wanted_os
            && architecture == wanted_architecture
            && (wanted.variant.is_none() || variant == wanted_variant)
            && (wanted.os_version.is_none() || self.os_version == wanted.os_version)
            && wanted
                .os_features
                .iter()
                .all(|feature| self.os_features.contains(feature))
    }

    /// Tells whether it is a Linux platform.
    pub fn is_linux(&self) -> bool {
        self.os == "linux"
    }

    /// Tells whether it is no real platform: `unknown/unknown`, as `BuildKit` marks attestations, or nothing at all.
    pub fn is_unknown(&self) -> bool {
        self.os.is_empty()
            || self.architecture.is_empty()
            || self.os == "unknown"
            || self.architecture == "unknown"
    }

    /// The same platform in the usual names, with the variant that no variant means.
    fn normal(&self) -> (String, String, String) {
        let (architecture, implied) = usual_architecture(&self.architecture);
        let variant = match self
            .variant
            .as_deref()
            .filter(|variant| !variant.is_empty())
        {
            Some(variant) => usual_variant(variant),
            None => implied.unwrap_or(default_variant(&architecture)).to_owned(),
        };
        (usual_os(&self.os), architecture, variant)
    }

    /// Refuses fields that no registry would have by accident; `Err` is the rule.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let fields = [
            Some(&self.os),
            Some(&self.architecture),
            self.variant.as_ref(),
            self.os_version.as_ref(),
        ];
        for field in fields.into_iter().flatten().chain(&self.os_features) {
            if field.len() > FIELD_LIMIT {
                return Err("a field of the platform is too long");
            }
            if field.chars().any(char::is_control) {
                return Err("a field of the platform has a control character");
            }
        }
        Ok(())
    }
}

fn usual_os(os: &str) -> String {
    match os.to_ascii_lowercase().as_str() {
        "macos" => "darwin".to_owned(),
        other => other.to_owned(),
    }
}

/// Go's name of the architecture, and the variant that the other name implies.
fn usual_architecture(name: &str) -> (String, Option<&'static str>) {
    let lower = name.to_ascii_lowercase();
    let (usual, variant) = match lower.as_str() {
        "x86_64" | "x86-64" => ("amd64", None),
        "aarch64" => ("arm64", None),
        "i386" | "i486" | "i586" | "i686" | "x86" => ("386", None),
        "armhf" | "armv7" | "armv7l" => ("arm", Some("v7")),
        "armel" | "armv6" | "armv6l" => ("arm", Some("v6")),
        "armv5" | "armv5l" => ("arm", Some("v5")),
        "ppc64el" => ("ppc64le", None),
        "mips64el" => ("mips64le", None),
        other => (other, None),
    };
    (usual.to_owned(), variant)
}

fn usual_variant(variant: &str) -> String {
    let lower = variant.to_ascii_lowercase();
    if lower.starts_with(|c: char| c.is_ascii_digit()) {
        format!("v{lower}")
    } else {
        lower
    }
}

fn default_variant(architecture: &str) -> &'static str {
    match architecture {
        "arm64" => "v8",
        "amd64" => "v1",
        "arm" => "v7",
        _ => "",
    }
}

impl FromStr for Platform {
    type Err = OciError;

    /// Reads `OS/ARCHITECTURE[/VARIANT]` or a bare architecture, which means Linux, and puts it into Go's names.
    fn from_str(text: &str) -> Result<Self, OciError> {
        let fail = |why| OciError::Platform {
            text: shown(text),
            why,
        };
        let parts: Vec<&str> = text.split('/').collect();
        let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if parts
            .iter()
            .any(|p| p.is_empty() || p.len() > FIELD_LIMIT || !p.chars().all(part))
        {
            return Err(fail(
                "it must be letters, digits, `_`, `-` and `.` between single slashes",
            ));
        }
        let (os, architecture, variant) = match parts[..] {
            [architecture]
                if matches!(
                    usual_os(architecture).as_str(),
                    "linux" | "windows" | "darwin" | "freebsd"
                ) =>
            {
                return Err(fail("the architecture is missing"));
            }
            [architecture] => ("linux", architecture, None),
            [os, architecture] => (os, architecture, None),
            [os, architecture, variant] => (os, architecture, Some(variant)),
            _ => return Err(fail("it has too many parts")),
        };
        let (architecture, implied) = usual_architecture(architecture);
        let variant = variant.map(usual_variant).or(implied.map(str::to_owned));
        Ok(Self {
            os: usual_os(os),
            architecture,
            variant,
            os_version: None,
            os_features: Vec::new(),
        })
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = format!("{}/{}", self.os, self.architecture);
        if let Some(variant) = self
            .variant
            .as_deref()
            .filter(|variant| !variant.is_empty())
        {
            text.push('/');
            text.push_str(variant);
        }
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_other_tools_become_the_usual_ones() {
        for (given, usual) in [
            ("linux/amd64", "linux/amd64"),
            ("x86_64", "linux/amd64"),
            ("linux/aarch64", "linux/arm64"),
            ("Linux/ARM64/8", "linux/arm64/v8"),
            ("linux/armhf", "linux/arm/v7"),
            ("armel", "linux/arm/v6"),
            ("linux/arm/v5", "linux/arm/v5"),
            ("linux/i686", "linux/386"),
            ("macos/arm64", "darwin/arm64"),
            ("linux/ppc64el", "linux/ppc64le"),
        ] {
            let platform: Platform = given.parse().unwrap();
            assert_eq!(platform.to_string(), usual, "{given}");
            assert_eq!(usual.parse::<Platform>().unwrap(), platform, "{given}");
        }
    }

    #[test]
    fn text_that_is_no_platform_is_refused() {
        for bad in [
            "",
            "/",
            "linux",
            "windows",
            "linux/",
            "/amd64",
            "a/b/c/d",
            "linux/amd 64",
            "linux/amd64\n",
        ] {
            assert!(bad.parse::<Platform>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_platform_matches_by_meaning() {
        for (have, wanted, expected) in [
            ("linux/arm64/v8", "linux/arm64", true),
            ("linux/arm64", "linux/arm64/v8", true),
            ("linux/amd64", "linux/amd64/v1", true),
            ("linux/amd64/v3", "linux/amd64", true),
            ("linux/amd64", "linux/amd64/v3", false),
            ("linux/arm/v6", "linux/arm", true),
            ("linux/arm/v6", "linux/arm/v7", false),
            ("linux/arm", "linux/arm/v7", true),
            ("linux/amd64", "linux/arm64", false),
            ("windows/amd64", "linux/amd64", false),
        ] {
            let (have, wanted): (Platform, Platform) =
                (have.parse().unwrap(), wanted.parse().unwrap());
            assert_eq!(have.matches(&wanted), expected, "{have} for {wanted}");
        }
    }

    #[test]
    fn a_wanted_version_must_be_the_same() {
        let json = r#"{"architecture":"amd64","os":"windows","os.version":"10.0.17763.1"}"#;
        let windows: Platform = serde_json::from_str(json).unwrap();
        assert!(windows.matches(&"windows/amd64".parse().unwrap()));
        let other = Platform {
            os_version: Some("10.0.20348.1".into()),
            ..windows.clone()
        };
        assert!(!windows.matches(&other));
        assert!(!windows.is_linux());
    }

    #[test]
    fn an_attestation_has_no_real_platform() {
        let unknown: Platform =
            serde_json::from_str(r#"{"architecture":"unknown","os":"unknown"}"#).unwrap();
        assert!(unknown.is_unknown());
        assert!(!"linux/amd64".parse::<Platform>().unwrap().is_unknown());
    }
}
