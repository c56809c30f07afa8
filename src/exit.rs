//! Exit codes: the only place that knows them. The table in `docs/exit-codes.md` is checked against this one.

use reseal_pipeline::Class;

/// Nothing to patch, with `--detailed-exitcode` only.
pub(crate) const UNCHANGED: u8 = 3;
/// Usage errors that clap finds.
pub(crate) const USAGE: u8 = 2;

/// Why a run ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// An error of this class.
    Class(Class),
    /// Ctrl-C.
    Interrupted,
    /// SIGTERM.
    Terminated,
}

/// Every reason with its code, its name in JSON and what it means.
pub(crate) const TABLE: &[(Reason, u8, &str, &str)] = &[
    (
        Reason::Class(Class::Internal),
        1,
        "internal",
        "internal error, a bug",
    ),
    (
        Reason::Class(Class::Usage),
        USAGE,
        "usage",
        "usage or configuration",
    ),
    (
        Reason::Class(Class::NoFix),
        10,
        "no_fix",
        "a gated finding has no fix",
    ),
    (
        Reason::Class(Class::Residual),
        11,
        "residual",
        "a gated finding remains after the patch",
    ),
    (
        Reason::Class(Class::Install),
        12,
        "install",
        "packages could not be resolved or installed",
    ),
    (
        Reason::Class(Class::NewFinding),
        13,
        "new_finding",
        "a gated finding is there only after the patch",
    ),
    (
        Reason::Class(Class::Unreachable),
        20,
        "unreachable",
        "no BuildKit daemon answers",
    ),
    (
        Reason::Class(Class::Capability),
        21,
        "capability",
        "the BuildKit daemon lacks a capability",
    ),
    (Reason::Class(Class::Solve), 22, "solve", "the solve failed"),
    (
        Reason::Class(Class::RegistryAuth),
        30,
        "registry_auth",
        "the registry refused the credentials",
    ),
    (
        Reason::Class(Class::RegistryTransport),
        31,
        "registry_transport",
        "the registry could not be used",
    ),
    (
        Reason::Class(Class::RateLimited),
        32,
        "rate_limited",
        "the registry asks to come back later",
    ),
    (
        Reason::Class(Class::Report),
        40,
        "report",
        "a report is unreadable or unsupported",
    ),
    (
        Reason::Class(Class::Mismatch),
        41,
        "mismatch",
        "a report does not match the image",
    ),
    (
        Reason::Class(Class::Signing),
        50,
        "signing",
        "signing failed; the digest is in the registry, unsigned",
    ),
    (
        Reason::Class(Class::Signature),
        51,
        "signature",
        "a signature or attestation is missing or not valid",
    ),
    (
        Reason::Class(Class::Promotion),
        60,
        "promotion",
        "a tag moved meanwhile, a proof is missing, or bytes are not what their digest says",
    ),
    (
        Reason::Class(Class::Timeout),
        124,
        "timeout",
        "the time given by --timeout is up",
    ),
    (Reason::Interrupted, 130, "interrupted", "Ctrl-C (SIGINT)"),
    (Reason::Terminated, 143, "terminated", "SIGTERM"),
];

impl Reason {
    /// Returns the exit code.
    pub(crate) fn code(self) -> u8 {
        self.row().1
    }

    /// Returns the stable name that JSON output uses.
    pub(crate) fn name(self) -> &'static str {
        self.row().2
    }

    fn row(self) -> &'static (Self, u8, &'static str, &'static str) {
        // The first row is "internal": a class that the table does not know yet is a bug of ours.
        TABLE.iter().find(|row| row.0 == self).unwrap_or(&TABLE[0])
    }
}

/// Shown below `--help`.
pub(crate) const SUMMARY: &str = "\
Environment:
  Every flag but --quiet has a twin: --log-format is RESEAL_LOG_FORMAT. A flag wins over its twin, a twin over the default.
  BUILDKIT_HOST, BUILDX_BUILDER, DOCKER_HOST, DOCKER_CONTEXT  where the daemon is
  DOCKER_CONFIG, DOCKER_AUTH_CONFIG, REGISTRY_AUTH_FILE       where credentials are
  HTTP_PROXY, HTTPS_PROXY, NO_PROXY, ALL_PROXY                for reseal and for the package manager
  SSL_CERT_FILE, SSL_CERT_DIR                                 trusted certificates
  SOURCE_DATE_EPOCH, TMPDIR, NO_COLOR, CLICOLOR_FORCE, BUILDKIT_PROGRESS, RUNNER_DEBUG

Exit codes:
    0  done and verified, or nothing to do
    1  internal error, a bug
    2  usage or configuration
    3  nothing to patch, with --detailed-exitcode
   10  a gated finding has no fix
   11  a gated finding remains after the patch
   12  packages could not be resolved or installed
   13  a gated finding is there only after the patch
   20  no BuildKit daemon answers
   21  the BuildKit daemon lacks a capability
   22  the solve failed
   30  the registry refused the credentials
   31  the registry could not be used
   32  the registry asks to come back later
   40  a report is unreadable or unsupported
   41  a report does not match the image
   50  signing failed; the digest is in the registry, unsigned
   51  a signature or attestation is missing or not valid
   60  a tag moved meanwhile, a proof is missing, or bytes are not what their digest says
  124  the time given by --timeout is up
  130  Ctrl-C (SIGINT)
  143  SIGTERM";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_and_names_are_distinct() {
        assert_eq!(
            TABLE.iter().map(|row| row.1).collect::<BTreeSet<_>>().len(),
            TABLE.len()
        );
        assert_eq!(
            TABLE.iter().map(|row| row.2).collect::<BTreeSet<_>>().len(),
            TABLE.len()
        );
        assert!(TABLE.iter().all(|row| row.1 != UNCHANGED && row.1 != 0));
    }

    #[test]
    fn help_lists_every_code() {
        for (_, code, _, meaning) in TABLE {
            assert!(
                SUMMARY.contains(&format!("{code:>5}  {meaning}")),
                "{code} is missing in --help"
            );
        }
    }

    #[test]
    fn the_page_about_exit_codes_lists_every_code() {
        let page = include_str!("../docs/exit-codes.md");
        for (_, code, name, meaning) in TABLE {
            assert!(
                page.contains(&format!("| {code} | `{name}` | {meaning}")),
                "{code} is missing in docs/exit-codes.md"
            );
        }
        assert!(page.contains(&format!("| {UNCHANGED} |")));
    }
}
