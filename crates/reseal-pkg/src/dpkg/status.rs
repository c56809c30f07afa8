//! Reads `var/lib/dpkg/status` and distroless images' `status.d`.

use super::{
    Package, State, Want,
    paragraph::{Paragraph, split},
};
use crate::PkgError;

/// The kind of file, as errors name it.
const STATUS: &str = "the dpkg status file";

/// dpkg's database: one [`Package`] a stanza, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Database {
    /// Every stanza, also those of removed packages.
    pub packages: Vec<Package>,
}

impl Database {
    /// Reads a status file.
    ///
    /// A stanza without `Status` counts as installed (distroless images have none). A file without
    /// any stanza is an error: an image whose database was emptied must not look free of findings.
    pub fn parse(status: &[u8]) -> Result<Self, PkgError> {
        let packages = split(status, STATUS)?
            .iter()
            .map(package)
            .collect::<Result<Vec<_>, _>>()?;
        if packages.is_empty() {
            return Err(PkgError::EmptyDatabase);
        }
        Ok(Self { packages })
    }

    /// Reads the files of `var/lib/dpkg/status.d`, given by name; `*.md5sums` are passed over.
    pub fn parse_status_d<'a>(
        files: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<Self, PkgError> {
        let mut packages = Vec::new();
        for (name, bytes) in files {
            if name.ends_with(".md5sums") || bytes.trim_ascii().is_empty() {
                continue;
            }
            for paragraph in split(bytes, STATUS)? {
                packages.push(package(&paragraph)?);
            }
        }
        if packages.is_empty() {
            return Err(PkgError::EmptyDatabase);
        }
        Ok(Self { packages })
    }

    /// Returns the packages whose files are there, in the order of the file.
    pub fn installed(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| package.is_present())
    }

    /// Returns the present packages of a name, one per architecture.
    pub fn find(&self, name: &str) -> Vec<&Package> {
        self.installed()
            .filter(|package| package.name == name)
            .collect()
    }

    /// Returns the file again, byte for byte as it was read.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.packages
            .iter()
            .flat_map(|package| package.stanza.iter().copied())
            .collect()
    }
}

fn package(paragraph: &Paragraph<'_>) -> Result<Package, PkgError> {
    let fail = |why| {
        Err(PkgError::Malformed {
            what: STATUS,
            line: paragraph.line,
            why,
        })
    };
    let field = |name| paragraph.field(name);
    let is = |name, value: &str| field(name).is_some_and(|v| v.eq_ignore_ascii_case(value));
    let Some(name) = field("Package").filter(|name| !name.is_empty()) else {
        return fail("a stanza has no `Package`");
    };
    let version = field("Version").unwrap_or_default();
    let (want, state) = field("Status").map_or((Want::Install, State::Installed), |s| words(&s));
    let (source_name, source_version) = source(field("Source"), &name, &version);
    let package = Package {
        architecture: field("Architecture").unwrap_or_default(),
        source_name,
        source_version,
        want,
        state,
        essential: is("Essential", "yes"),
        multi_arch_same: is("Multi-Arch", "same"),
        stanza: paragraph.bytes.to_vec(),
        name,
        version,
    };
    if package.is_present() && package.version.is_empty() {
        return fail("a present package has no `Version`");
    }
    Ok(package)
}

/// Reads `Source: name` or `Source: name (version)`; what it leaves out is the binary's.
pub(super) fn source(field: Option<String>, name: &str, version: &str) -> (String, String) {
    let field = field.unwrap_or_default();
    let (source, rest) = field.split_once('(').unwrap_or((&field, ""));
    let own = rest.trim_end().trim_end_matches(')').trim();
    let or = |text: &str, other: &str| if text.is_empty() { other } else { text }.to_owned();
    (or(source.trim(), name), or(own, version))
}

/// Reads `Status: WANT FLAG STATE`. The flag (`ok`, `reinstreq`) says nothing more than the state.
fn words(status: &str) -> (Want, State) {
    let mut words = status.split_ascii_whitespace();
    let want = match words.next() {
        Some("install") => Want::Install,
        Some("hold") => Want::Hold,
        Some("deinstall") => Want::Deinstall,
        Some("purge") => Want::Purge,
        _ => Want::Unknown,
    };
    let state = match words.nth(1) {
        Some("not-installed") => State::NotInstalled,
        Some("config-files") => State::ConfigFiles,
        Some("half-installed") => State::HalfInstalled,
        Some("unpacked") => State::Unpacked,
        Some("half-configured") => State::HalfConfigured,
        Some("triggers-awaited") => State::TriggersAwaited,
        Some("triggers-pending") => State::TriggersPending,
        Some("installed") => State::Installed,
        _ => State::Unknown,
    };
    (want, state)
}
