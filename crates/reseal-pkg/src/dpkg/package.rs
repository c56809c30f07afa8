//! One package of dpkg's database.

use serde::Serialize;

use super::{MultiArch, Relations, stanza_field};
use crate::PkgError;

/// What the administrator wants of a package: the first word of `Status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Want {
    /// To have it; also meant by a stanza without `Status` (distroless images).
    Install,
    /// To keep exactly this version.
    Hold,
    /// To be rid of it, less its configuration files.
    Deinstall,
    /// To be rid of it all.
    Purge,
    /// Nothing was said, or a word that dpkg does not know.
    Unknown,
}

/// How far dpkg got with a package: the third word of `Status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Nothing of it is there.
    NotInstalled,
    /// Only its configuration files are.
    ConfigFiles,
    /// Unpacking was begun and did not end.
    HalfInstalled,
    /// Its files are there, it is not configured.
    Unpacked,
    /// Configuring was begun and did not end.
    HalfConfigured,
    /// It waits for another package's trigger.
    TriggersAwaited,
    /// Its own trigger has to run.
    TriggersPending,
    /// It is there and configured.
    Installed,
    /// A word that dpkg does not know.
    Unknown,
}

/// One stanza of the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// The binary package's name.
    pub name: String,
    /// Its architecture: `all`, `amd64`…; empty where the stanza has none.
    pub architecture: String,
    /// Its version; empty for packages that are not there.
    pub version: String,
    /// The source package's name; the binary's unless the stanza says otherwise.
    pub source_name: String,
    /// The source package's version; the binary's unless the stanza says otherwise.
    pub source_version: String,
    /// What the administrator wants.
    pub want: Want,
    /// How far dpkg got.
    pub state: State,
    /// `Essential: yes`.
    pub essential: bool,
    /// `Multi-Arch: same`: may be there once per architecture, and its info files are named so.
    pub multi_arch_same: bool,
    /// The stanza as it was read, the empty lines after it included.
    pub stanza: Vec<u8>,
}

impl Package {
    /// Returns an installed package that is its own source, without a stanza.
    pub fn new(name: &str, architecture: &str, version: &str) -> Self {
        Self {
            name: name.to_owned(),
            architecture: architecture.to_owned(),
            version: version.to_owned(),
            source_name: name.to_owned(),
            source_version: version.to_owned(),
            want: Want::Install,
            state: State::Installed,
            essential: false,
            multi_arch_same: false,
            stanza: Vec::new(),
        }
    }

    /// Tells whether files of the package are there. More than `Installed`: an unpacked or half
    /// configured library is just as vulnerable.
    pub fn is_present(&self) -> bool {
        !matches!(self.state, State::NotInstalled | State::ConfigFiles)
    }

    /// Tells whether the administrator pinned the package to its version.
    pub fn is_held(&self) -> bool {
        self.want == Want::Hold
    }

    /// Returns the stem of its files under `info/`: `NAME:ARCH` for `Multi-Arch: same`, else `NAME`.
    pub fn info_stem(&self) -> String {
        if self.multi_arch_same {
            format!("{}:{}", self.name, self.architecture)
        } else {
            self.name.clone()
        }
    }

    /// Returns what a field of the stanza says of other packages; nothing if it is not there.
    pub fn relations(&self, field: &str) -> Result<Relations, PkgError> {
        let value = stanza_field(&self.stanza, field).unwrap_or_default();
        Relations::parse(&value, &self.architecture)
    }

    /// Returns how it lives with others of its name.
    pub fn multi_arch(&self) -> MultiArch {
        MultiArch::parse(stanza_field(&self.stanza, "Multi-Arch").as_deref())
    }
}
