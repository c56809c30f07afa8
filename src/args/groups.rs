//! Flags that several commands share.

#![expect(
    clippy::doc_markdown,
    reason = "these comments are the help that people read in a terminal"
)]

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Image, reports and which findings count.
#[derive(Debug, Args)]
pub(crate) struct InputArgs {
    /// The image: `REPOSITORY[:TAG][@DIGEST]`, or an OCI layout as `oci:PATH[:TAG][@DIGEST]`
    #[arg(value_name = "IMAGE", required = true)]
    pub(crate) image: Option<String>,
    /// Scanner report (Trivy or Grype JSON): a file, a folder of `*.json`, or `-`; can be repeated
    ///
    /// Each report is bound to its platform by the diff IDs in it.
    #[arg(long, short, value_name = "REPORT")]
    pub(crate) report: Vec<String>,
    /// Work on these platforms only; the others pass through unchanged
    #[arg(long, value_name = "PLATFORM", value_delimiter = ',')]
    pub(crate) platform: Vec<String>,
    /// What to do with a platform that no report speaks of
    #[arg(long, value_enum, value_name = "WHAT", default_value_t)]
    pub(crate) unreported_platforms: UnreportedPlatforms,
    /// Use a report even if it was made for another image
    #[arg(long)]
    pub(crate) allow_report_mismatch: bool,
    /// Give up after this time, such as `90s`, `10m` or `1h30m`
    #[arg(long, value_name = "TIME", default_value = "30m")]
    pub(crate) timeout: String,
    /// Severities that are patched, or `all`
    #[arg(
        long,
        value_name = "SEVERITY",
        value_delimiter = ',',
        default_value = "CRITICAL,HIGH",
        help_heading = "Filters"
    )]
    pub(crate) severity: Vec<String>,
    /// Fail when a finding of at least this severity remains, or `none`
    #[arg(
        long,
        value_name = "SEVERITY",
        default_value = "CRITICAL",
        help_heading = "Filters"
    )]
    pub(crate) gate: String,
    /// Leave out findings that have no fix, also at the gate
    #[arg(long, help_heading = "Filters")]
    pub(crate) ignore_unfixed: bool,
    /// Only these vulnerabilities
    #[arg(
        long,
        value_name = "ID",
        value_delimiter = ',',
        help_heading = "Filters"
    )]
    pub(crate) vuln_id: Vec<String>,
    /// Only these binary or source packages
    #[arg(
        long,
        value_name = "NAME",
        value_delimiter = ',',
        help_heading = "Filters"
    )]
    pub(crate) package: Vec<String>,
}

/// See `reseal_pipeline::Unreported`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum UnreportedPlatforms {
    /// Refuse the run
    #[default]
    Fail,
    /// Upgrade everything on it
    PatchAll,
    /// Keep it as it is
    Preserve,
}

/// How the BuildKit daemon is reached.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Builder")]
pub(crate) struct BuilderArgs {
    /// Address of a BuildKit daemon; can be repeated, each for one platform: `linux/arm64=tcp://…`
    ///
    /// unix://, tcp://, docker-container://, podman-container://, nerdctl-container://, kube-pod://, ssh://, docker://
    /// and buildx://. Without it BUILDKIT_HOST is used, then the usual places are searched.
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    pub(crate) addr: Vec<String>,
    /// Folder with `ca.pem`, `cert.pem` and `key.pem` for tcp:// addresses
    #[arg(long, value_name = "FOLDER")]
    pub(crate) tls_dir: Option<PathBuf>,
    /// CA certificate of the daemon
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_ca: Option<PathBuf>,
    /// Client certificate
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Key of the client certificate
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Name that the daemon's certificate has to carry
    #[arg(long, value_name = "NAME")]
    pub(crate) tls_server_name: Option<String>,
}

/// How registries are reached.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Registry")]
pub(crate) struct RegistryArgs {
    /// Registry that is spoken to without TLS; loopback addresses are anyway. Can be repeated
    #[arg(long, value_name = "HOST[:PORT]", value_delimiter = ',')]
    pub(crate) plain_http: Vec<String>,
    /// Further CA certificates for registries, as PEM; can be repeated
    #[arg(long, value_name = "FILE", value_delimiter = ',')]
    pub(crate) registry_ca: Vec<PathBuf>,
    /// Where reads of a registry go first, as in `docker.io=https://mirror.example/hub`; can be repeated
    #[arg(long, value_name = "REGISTRY=MIRROR", value_delimiter = ',')]
    pub(crate) registry_mirror: Vec<String>,
}
