//! A package that an index offers.

use super::{relation::Relations, status::source, stream::stanza_field};
use crate::{PkgError, validate_package_name, version::validate_dpkg};

/// How a package lives with others of its name from other architectures (`Multi-Arch`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum MultiArch {
    /// One architecture at a time, for its own only.
    #[default]
    No,
    /// Once per architecture, side by side; all in the same version.
    Same,
    /// One at a time, and it serves every architecture.
    Foreign,
    /// As `No`, but `NAME:any` is served for every architecture.
    Allowed,
}

impl MultiArch {
    /// Reads the field's value; what dpkg does not know counts as `no`.
    pub fn parse(value: Option<&str>) -> Self {
        match value.unwrap_or_default().to_ascii_lowercase().as_str() {
            "same" => Self::Same,
            "foreign" => Self::Foreign,
            "allowed" => Self::Allowed,
            _ => Self::No,
        }
    }
}

/// One stanza of a `Packages` index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The binary package's name.
    pub name: String,
    /// Its architecture; `all` where it is for each.
    pub architecture: String,
    /// Its version.
    pub version: String,
    /// The source package's name.
    pub source_name: String,
    /// The source package's version.
    pub source_version: String,
    /// How it lives with others of its name.
    pub multi_arch: MultiArch,
    /// `Essential: yes`.
    pub essential: bool,
    /// `Protected: yes`, or apt's older `Important: yes`.
    pub protected: bool,
    /// `Pre-Depends` and `Depends`.
    pub depends: Relations,
    /// `Conflicts`.
    pub conflicts: Relations,
    /// `Breaks`.
    pub breaks: Relations,
    /// `Replaces`.
    pub replaces: Relations,
    /// `Provides`.
    pub provides: Relations,
    /// Where it is, from the repository's root.
    pub filename: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its SHA-256 in 64 lower-case hexadecimal digits.
    pub sha256: String,
    /// `Phased-Update-Percentage`: how many machines in a hundred are to take it by now.
    pub phased: Option<u8>,
    /// Which release it is from: an index that the caller sets.
    pub release: usize,
}

impl Candidate {
    /// Reads a stanza of an index.
    ///
    /// `None` for one that names no file, as a status file's: there is nothing to install. A stanza
    /// without name, version, architecture, size or SHA-256, or with a relation that cannot be read,
    /// is an error that names the package.
    pub fn parse(stanza: &[u8]) -> Result<Option<Self>, PkgError> {
        let field = |name| stanza_field(stanza, name).map(std::borrow::Cow::into_owned);
        let Some(filename) = field("Filename").filter(|name| !name.is_empty()) else {
            return Ok(None);
        };
        let name = field("Package").unwrap_or_default();
        let fail = |why| {
            Err(PkgError::InvalidStanza {
                package: name.clone(),
                why,
            })
        };
        let needed = |key, why| match field(key).filter(|value| !value.is_empty()) {
            Some(value) => Ok(value),
            None => Err(PkgError::InvalidStanza {
                package: name.clone(),
                why,
            }),
        };
        validate_package_name(&name)?;
        let version = needed("Version", "it has no `Version`")?;
        validate_dpkg(&version)?;
        let architecture = needed("Architecture", "it has no `Architecture`")?;
        let Ok(size) = needed("Size", "it has no `Size`")?.parse() else {
            return fail("its `Size` is no number");
        };
        let sha256 = needed("SHA256", "it has no `SHA256`")?.to_ascii_lowercase();
        if sha256.len() != 64 || !sha256.bytes().all(|c| c.is_ascii_hexdigit()) {
            return fail("its `SHA256` is not 64 hexadecimal digits");
        }
        let relations = |key| Relations::parse(&field(key).unwrap_or_default(), &architecture);
        let is = |key, value: &str| field(key).is_some_and(|v| v.eq_ignore_ascii_case(value));
        let mut depends = relations("Pre-Depends")?;
        depends.0.extend(relations("Depends")?.0);
        let (source_name, source_version) = source(field("Source"), &name, &version);
        Ok(Some(Self {
            multi_arch: MultiArch::parse(field("Multi-Arch").as_deref()),
            essential: is("Essential", "yes"),
            protected: is("Protected", "yes") || is("Important", "yes"),
            depends,
            conflicts: relations("Conflicts")?,
            breaks: relations("Breaks")?,
            replaces: relations("Replaces")?,
            provides: relations("Provides")?,
            // apt caps what is no percentage at all: such a package is for everybody.
            phased: field("Phased-Update-Percentage").and_then(|v| v.parse().ok()),
            release: 0,
            name,
            architecture,
            version,
            source_name,
            source_version,
            filename,
            size,
            sha256,
        }))
    }
}
