//! How packages are changed.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Who changes the packages.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Engine")]
pub(crate) struct EngineArgs {
    /// What changes the packages
    #[arg(long, value_enum, value_name = "ENGINE", default_value_t)]
    pub(crate) engine: Engine,
    /// Take maintainer scripts that are not known for inert: only for finding out which are
    #[arg(long, hide = true)]
    pub(crate) assume_scripts_inert: bool,
    #[command(flatten)]
    pub(crate) packages: PackageArgs,
}

/// Where packages come from.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Packages")]
pub(crate) struct PackageArgs {
    /// Take packages from this folder of .deb files only, each by its digest; where nothing is repeated it needs `--lock`
    #[arg(long, value_name = "FOLDER")]
    pub(crate) packages: Option<PathBuf>,
    /// Where repositories are read instead, as in `http://deb.example/=https://mirror.example/`; can be
    /// repeated
    #[arg(long, value_name = "FROM=TO", value_delimiter = ',')]
    pub(crate) package_mirror: Vec<String>,
    /// Further CA certificates for package repositories, as PEM; can be repeated
    #[arg(long, value_name = "FILE", value_delimiter = ',')]
    pub(crate) package_ca: Vec<PathBuf>,
    /// Logins for package repositories, in the form of apt's auth.conf (or .netrc); those of the image come after
    #[arg(long, value_name = "FILE")]
    pub(crate) package_auth: Option<PathBuf>,
    /// Folder of what the native engine fetched and learned; `reseal` in the user's cache folder when not given
    #[arg(long, value_name = "FOLDER")]
    pub(crate) cache_dir: Option<PathBuf>,
}

/// See `reseal_pipeline::EngineChoice`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Engine {
    /// The image's package manager where a builder runs the platform itself, else native
    #[default]
    Auto,
    /// Reseal lays the packages down itself: nothing of the image runs, no daemon is needed
    Native,
    /// The image's package manager, inside a BuildKit daemon
    Buildkit,
}
