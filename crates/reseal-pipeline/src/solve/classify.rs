//! What went wrong in an exec, in the user's terms.

use reseal_buildkit::BuildError;
use reseal_plan::exit;

use crate::error::PipelineError;

/// Tells a package manager that failed from a daemon that failed.
pub(super) fn classify(error: BuildError, platform: &str) -> PipelineError {
    let BuildError::Exec {
        exit_code,
        log_tail,
        ..
    } = &error
    else {
        return PipelineError::Build(error);
    };
    let (message, mut hint) = match *exit_code {
        exit::NO_APT => (
            "the image has no apt-get",
            "Patch an image that has a package manager",
        ),
        exit::UPDATE => (
            "apt could not update its indexes",
            "Check that the repositories of the image can be reached from the daemon; proxies are taken from HTTP_PROXY and HTTPS_PROXY",
        ),
        exit::UPGRADE => (
            "apt could not upgrade the packages",
            "See the output of apt above; held or broken packages are named there",
        ),
        exit::BROKEN => (
            "dpkg left packages half installed",
            "See the output of dpkg above",
        ),
        exit::CONFIGURE => (
            "dpkg could not configure the packages",
            "See the output of dpkg above; `--engine buildkit` lets the image's own package manager do all of it",
        ),
        126 | 127 => (
            "the image has no /bin/sh that runs",
            "Patch an image that has a shell and a package manager",
        ),
        _ => ("the package manager failed", "See its output above"),
    };
    for (sign, meaning) in [
        (
            "is expired",
            "The repository's signed index is past its Valid-Until: the mirror lags, or the release is archived. Point the image at an archive, or set `Acquire::Check-Valid-Until \"false\"` in its apt configuration",
        ),
        (
            "is not valid yet",
            "The clock of the daemon is behind: set it right",
        ),
        (
            "EXPKEYSIG",
            "The keys of the repository have expired: update the image's keyring package, or use a newer base image",
        ),
        (
            "NO_PUBKEY",
            "The image has no key for one of its repositories: add it, or remove the repository",
        ),
        (
            "does not have a Release file",
            "The repositories of this release are gone, as happens after its end of life: point the image's sources at the distribution's archive, or move to a newer base image",
        ),
        (
            "404  Not Found",
            "A file is gone from the repository: run again with `--no-cache`; if the release is past its end of life, use the distribution's archive",
        ),
        (
            "No space left on device",
            "The daemon's disk is full: free space or prune its cache",
        ),
        (
            "exec format error",
            "The daemon cannot run this platform: install an emulator (qemu-user-static with binfmt_misc), or name a native node with `--addr PLATFORM=ADDRESS`",
        ),
    ] {
        if log_tail.contains(sign) {
            hint = meaning;
            break;
        }
    }
    PipelineError::Install {
        platform: platform.to_owned(),
        message: format!("{message} (exit code {exit_code})"),
        log: log_tail.clone(),
        hint: hint.to_owned(),
    }
}
