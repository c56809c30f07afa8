//! What was typed. Nothing is decided here: see `settings`.

#![expect(
    clippy::doc_markdown,
    reason = "these comments are the help that people read in a terminal"
)]

mod engine;
mod environment;
mod groups;
mod lock;
mod sign;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use engine::{Engine, EngineArgs, PackageArgs};
pub(crate) use environment::command;
pub(crate) use groups::{BuilderArgs, InputArgs, RegistryArgs, UnreportedPlatforms};
pub(crate) use lock::{CacheAction, CacheArgs, FetchArgs, ReproduceArgs};
pub(crate) use sign::{
    AttestArgs, KeyArgs, KeyCommand, PromoteArgs, RollbackArgs, SignArgs, SignatureForm,
    SignerArgs, Switch, TrustArgs, VerifySignatureArgs,
};

use crate::exit;

/// Patches the OS packages of container images, and proves it.
#[derive(Debug, Parser)]
#[command(name = "reseal", version, max_term_width = 100, after_help = exit::SUMMARY, after_long_help = exit::SUMMARY)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Every flag has an environment twin: `--log-format` is `RESEAL_LOG_FORMAT`. A flag wins over its twin.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct GlobalArgs {
    /// How progress is shown on standard error
    ///
    /// `auto` is `tty` on a terminal, and `plain` elsewhere, in CI, and with debug logging. BUILDKIT_PROGRESS is
    /// honoured. `rawjson` writes one JSON object a line.
    #[arg(long, global = true, value_enum, value_name = "MODE")]
    pub(crate) progress: Option<Progress>,
    /// Show nothing but errors, and a line a minute: the same as `--progress quiet`, and stronger than any other
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// What standard output carries: for people and pipes, or one JSON document
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "FORMAT",
        default_value_t
    )]
    pub(crate) format: Format,
    /// Log more; twice for everything
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Log everything; RUNNER_DEBUG=1 does the same
    #[arg(long, global = true)]
    pub(crate) debug: bool,
    /// Form of the log on standard error
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "FORMAT",
        default_value_t
    )]
    pub(crate) log_format: Format,
}

/// See [`GlobalArgs::progress`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Progress {
    Auto,
    Plain,
    Tty,
    Quiet,
    Rawjson,
}

/// For people or for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Format {
    #[default]
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "there is one value in a process")]
pub(crate) enum Command {
    Patch(PatchArgs),
    Plan(PlanArgs),
    Verify(VerifyArgs),
    Fetch(FetchArgs),
    Reproduce(ReproduceArgs),
    Report(ReportArgs),
    Sign(SignArgs),
    Attest(AttestArgs),
    VerifySignature(VerifySignatureArgs),
    Promote(PromoteArgs),
    Rollback(RollbackArgs),
    Key(KeyArgs),
    Cache(CacheArgs),
    Doctor(DoctorArgs),
    /// Prints the version
    Version,
    /// Prints a completion script for a shell
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
}

/// Patches an image from scanner reports, pushes it by digest, verifies it and moves a tag last
///
/// Standard output carries one line, the pinned reference of the result. Without a report, everything is upgraded that the
/// distribution has newer. The source is never changed.
#[derive(Debug, Args)]
#[command(after_help = PATCH_EXAMPLES)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch on the command line"
)]
pub(crate) struct PatchArgs {
    #[command(flatten)]
    pub(crate) input: InputArgs,
    /// Tag of the result: a tag, or a template such as `{{tag}}-patched`
    ///
    /// Templates know {{tag}} (tag of the source), {{sha}} (first 12 digits of the source digest, when IMAGE names it),
    /// {{run_id}} (of the CI run) and {{env:NAME}}. Without a tag the result is reachable by digest only.
    #[arg(long, short, value_name = "TAG", help_heading = "Result")]
    pub(crate) tag: Option<String>,
    /// Where the result goes: another repository, or an OCI layout as `oci:PATH`
    ///
    /// The repository or layout of the source when not given.
    #[arg(long, value_name = "REPOSITORY", help_heading = "Result")]
    pub(crate) to: Option<String>,
    /// Move the tag to the source digest when there was nothing to patch
    #[arg(long, help_heading = "Result")]
    pub(crate) tag_unchanged: bool,
    /// Write the result as JSON to this file, also when the gate is shut
    #[arg(long, value_name = "FILE", help_heading = "Result")]
    pub(crate) metadata_file: Option<std::path::PathBuf>,
    /// Write the digest of the result to this file, when the run succeeds
    #[arg(long, value_name = "FILE", help_heading = "Result")]
    pub(crate) digest_file: Option<std::path::PathBuf>,
    /// Exit with 3 instead of 0 when there was nothing to patch
    #[arg(long, help_heading = "Result")]
    pub(crate) detailed_exitcode: bool,
    /// Keep the original of this platform when patching it fails; can be repeated
    #[arg(
        long,
        value_name = "PLATFORM",
        value_delimiter = ',',
        help_heading = "Patching"
    )]
    pub(crate) allow_platform_failure: Vec<String>,
    /// Fail when a maintainer script writes outside its package's own files
    #[arg(long, help_heading = "Patching")]
    pub(crate) strict_layer: bool,
    /// Run the package manager even if the daemon did so within this hour
    #[arg(long, help_heading = "Patching")]
    pub(crate) no_cache: bool,
    /// Lay down exactly the packages of this lock, which `plan --lock` wrote; implies `--engine native`
    #[arg(long, value_name = "FILE", help_heading = "Engine")]
    pub(crate) lock: Option<std::path::PathBuf>,
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
    #[command(flatten)]
    pub(crate) signer: SignerArgs,
    /// Sign, but attest nothing; `promote` asks for what is attested
    #[arg(long, help_heading = "Signing")]
    pub(crate) no_attest: bool,
    #[command(flatten)]
    pub(crate) builder: BuilderArgs,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
}

/// Shows what `patch` would do: no daemon is needed and nothing is written
///
/// With `--engine native` or `--lock` the packages are chosen and fetched as the native engine would, so that the plan has
/// the exact versions, and one that does not qualify is named.
#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub(crate) input: InputArgs,
    /// Also choose the packages that the native engine would lay down, and write them to this file by digest
    #[arg(
        id = "write_lock",
        long = "lock",
        value_name = "FILE",
        help_heading = "Engine"
    )]
    pub(crate) lock: Option<std::path::PathBuf>,
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
}

/// Reads the package databases of an image and says which findings of the reports are gone
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    pub(crate) input: InputArgs,
    /// Report of a scan of the patched image, which has to agree; can be repeated
    #[arg(long, value_name = "FILE")]
    pub(crate) rescan_report: Vec<String>,
    /// Attest that the image passed, for `promote`; IMAGE names a digest
    #[arg(long)]
    pub(crate) attest: bool,
    /// Also fetch the packages that the native engine laid down, by digest, and compare every file of the patch layers
    #[arg(long, help_heading = "Packages")]
    pub(crate) against_packages: bool,
    /// Write the result as JSON to this file, also when the gate is shut
    #[arg(long, value_name = "FILE")]
    pub(crate) metadata_file: Option<std::path::PathBuf>,
    #[command(flatten)]
    pub(crate) packages: PackageArgs,
    #[command(flatten)]
    pub(crate) signer: SignerArgs,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
}

/// Shows what reseal reads in a report: scanner, image, platform, layers and findings
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// Report files, folders of `*.json`, or `-` for standard input
    #[arg(required = true, value_name = "REPORT")]
    pub(crate) reports: Vec<String>,
}

/// Checks the daemon, the registry, credentials, clock and disk in under five seconds
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Also check that this image can be read
    pub(crate) image: Option<String>,
    #[command(flatten)]
    pub(crate) builder: BuilderArgs,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
}

const PATCH_EXAMPLES: &str = "\
Examples:
  reseal patch registry.example/shop/cart:1.4 -r report.json -t '{{tag}}-patched'
  reseal patch IMAGE -r reports/ --platform linux/amd64,linux/arm64
  trivy image -f json IMAGE | reseal patch IMAGE -r - --to oci:out
  reseal patch oci:in -t patched --to oci:out
  reseal patch IMAGE -r report.json -t 1.4-patched --sign-key cosign.key

See `reseal --help` for exit codes and environment.";
