//! Commands around locks and the cache.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{PackageArgs, RegistryArgs};

/// Collects the packages that a lock names in a folder, for a site without a network
///
/// There, `reseal patch --lock FILE --packages FOLDER` needs nothing but the registry.
#[derive(Debug, Args)]
pub(crate) struct FetchArgs {
    /// The lock, which `reseal plan --lock` wrote
    #[arg(long = "lock", value_name = "FILE")]
    pub(crate) lock: PathBuf,
    /// The folder; it is created
    #[arg(long, value_name = "FOLDER")]
    pub(crate) to: PathBuf,
    /// Give up after this time, such as `90s`, `10m` or `1h30m`
    #[arg(long, value_name = "TIME", default_value = "30m")]
    pub(crate) timeout: String,
    #[command(flatten)]
    pub(crate) packages: PackageArgs,
}

/// Makes a patched image again from what it says about itself, and compares the digest
///
/// Works for images that `--engine native` patched. Nothing is published; packages come from the repositories that the
/// image names, or from `--packages`.
#[derive(Debug, Args)]
pub(crate) struct ReproduceArgs {
    /// The image: `REPOSITORY[:TAG][@DIGEST]`, or an OCI layout as `oci:PATH[:TAG][@DIGEST]`
    #[arg(value_name = "IMAGE")]
    pub(crate) image: String,
    /// Give up after this time, such as `90s`, `10m` or `1h30m`
    #[arg(long, value_name = "TIME", default_value = "30m")]
    pub(crate) timeout: String,
    #[command(flatten)]
    pub(crate) packages: PackageArgs,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
}

/// Shows or clears what the native engine fetched and learned
#[derive(Debug, Args)]
pub(crate) struct CacheArgs {
    /// What to do
    #[arg(value_enum, default_value_t)]
    pub(crate) what: CacheAction,
    /// The folder; `reseal` in the user's cache folder when not given
    #[arg(long, value_name = "FOLDER")]
    pub(crate) cache_dir: Option<PathBuf>,
}

/// See [`CacheArgs::what`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum CacheAction {
    /// Say where it is and how large
    #[default]
    Show,
    /// Remove everything in it
    Clear,
}
