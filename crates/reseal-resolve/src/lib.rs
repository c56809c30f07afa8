//! Which packages an upgrade needs, by apt's rules.
//!
//! The candidate of each package is chosen by apt's policy (releases, pins); what has to move with the
//! wanted packages is found by a SAT solver over those candidates and what is installed. Knows nothing
//! of files, repositories or images: the caller gives the database and the candidates, and is asked
//! for more of them by name when they matter.
//!
//! **Invariant:** an answer is what apt would do, nothing is removed, and nothing moves that does not
//! have to. Where apt would do something else, or would ask, the answer is [`Unresolved`], in words.
//!
//! ```
//! use reseal_pkg::dpkg::{Candidate, Database};
//! use reseal_resolve::{Preferences, ReleaseInfo, Resolved, Universe, Want, resolve, upgrades_by_source};
//! let installed = Database::parse(
//!     b"Package: libssl3\nStatus: install ok installed\nArchitecture: amd64\nVersion: 3.0.1\n\n\
//!       Package: openssl\nStatus: install ok installed\nArchitecture: amd64\nVersion: 3.0.1\n\
//!       Depends: libssl3 (= 3.0.1)\n",
//! )?;
//! let offer = |text: &str| {
//!     let stanza = format!("{text}\nArchitecture: amd64\nFilename: x.deb\nSize: 1\nSHA256: {:064}\n", 0);
//!     Candidate::parse(stanza.as_bytes()).map(|found| found.expect("it names a file"))
//! };
//! let candidates = [
//!     offer("Package: libssl3\nVersion: 3.0.2")?,
//!     offer("Package: openssl\nVersion: 3.0.2\nDepends: libssl3 (= 3.0.2)")?,
//! ];
//! let universe = Universe {
//!     installed: &installed,
//!     candidates: &candidates,
//!     releases: &[ReleaseInfo::default()],
//!     preferences: &Preferences::default(),
//!     default_release: None,
//!     architecture: "amd64".to_owned(),
//!     foreign: Vec::new(),
//!     by_source: upgrades_by_source(&installed),
//!     known: ["libssl3", "openssl"].map(str::to_owned).into(),
//! };
//! let want = Want::Packages(vec![("libssl3".to_owned(), "amd64".to_owned())]);
//! let Resolved::Done(resolution) = resolve(&universe, &want)? else { panic!("all is known") };
//! assert_eq!(resolution.upgrades, [0, 1]); // openssl 3.0.1 could not stay
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod choice;
mod cone;
mod error;
mod explain;
mod order;
mod policy;
mod pool;
mod preferences;
mod problem;
mod stages;

use std::collections::BTreeSet;

pub use error::Unresolved;
pub use preferences::Preferences;
use reseal_pkg::{
    dpkg::{Candidate, Database},
    version::compare_dpkg,
};

/// What a repository says of one of its indexes: the fields of its release file, and the component.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReleaseInfo {
    /// `Origin`.
    pub origin: String,
    /// `Label`.
    pub label: String,
    /// `Suite`: `stable`, `noble-security`….
    pub suite: String,
    /// `Codename`.
    pub codename: String,
    /// `Version`.
    pub version: String,
    /// The component of the index, `main`; empty for flat repositories.
    pub component: String,
    /// The host that it comes from.
    pub site: String,
    /// `NotAutomatic: yes`.
    pub not_automatic: bool,
    /// `ButAutomaticUpgrades: yes`.
    pub but_automatic_upgrades: bool,
}

/// All that a resolution depends on.
#[derive(Debug, Clone)]
pub struct Universe<'a> {
    /// dpkg's database.
    pub installed: &'a Database,
    /// Every version of the known names, from each release that offers it.
    pub candidates: &'a [Candidate],
    /// What `Candidate::release` counts in.
    pub releases: &'a [ReleaseInfo],
    /// The image's pins.
    pub preferences: &'a Preferences,
    /// `APT::Default-Release`.
    pub default_release: Option<String>,
    /// The image's architecture.
    pub architecture: String,
    /// Others that it may have packages of (`var/lib/dpkg/arch`).
    pub foreign: Vec<String>,
    /// Whether the image's apt upgrades the binaries of one source together; see
    /// [`upgrades_by_source`].
    pub by_source: bool,
    /// The names whose candidates, those by `Provides` included, are all in `candidates`.
    pub known: BTreeSet<String>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Want {
    /// Upgrade these packages, by name and architecture, as `apt-get install --only-upgrade
    /// --no-install-recommends` does, with the binaries of their sources if
    /// [`Universe::by_source`] says so.
    Packages(Vec<(String, String)>),
    /// Upgrade all, as `apt-get upgrade --with-new-pkgs --no-install-recommends` does.
    ///
    /// Phased updates count as for everybody, as they do for apt in an image without a machine id
    /// (`etc/machine-id`); one that has an id and such candidates is for the caller to refuse.
    All,
}

/// What came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolved {
    /// An answer.
    Done(Resolution),
    /// The candidates of these names have to be known first: ask for them, and again.
    NeedsCandidates(BTreeSet<String>),
}

/// The packages that come in; what is not named stays as it is, and nothing goes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resolution {
    /// Newer versions of installed packages, as places in `Universe::candidates`, ascending.
    pub upgrades: Vec<usize>,
    /// Packages that were not there, all needed by others and so to be marked as automatic.
    pub new: Vec<usize>,
    /// Wanted packages that stay as they are, and why.
    pub kept_back: Vec<(String, String)>,
}

/// Tells whether the installed apt upgrades the binaries of one source together: since 2.5.2 it does,
/// unless `APT::Get::Upgrade-By-Source-Package` is off, which is for the caller to look at.
///
/// An image without apt has nothing to be compared with; there, what has to move is enough.
pub fn upgrades_by_source(installed: &Database) -> bool {
    let mut found = installed.find("apt").into_iter();
    found.any(|apt| compare_dpkg(&apt.version, "2.5.2").is_ge())
}

/// Finds what has to come in.
pub fn resolve(universe: &Universe<'_>, want: &Want) -> Result<Resolved, Unresolved> {
    stages::resolve(universe, want)
}
