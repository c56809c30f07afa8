//! Which findings count.

use std::collections::BTreeSet;

use reseal_plan::Policy;
use reseal_report::Severity;

use crate::{args::InputArgs, failure::Failure};

/// Decides which findings are patched, and which keep the gate shut.
pub(super) fn resolve(args: &InputArgs) -> Result<Policy, Failure> {
    let mut severities = BTreeSet::new();
    for text in &args.severity {
        if text.eq_ignore_ascii_case("all") {
            severities.extend(Severity::ALL);
        } else {
            severities.insert(severity(
                text,
                "--severity",
                "A list of severities, or `all`",
            )?);
        }
    }
    let gate = if args.gate.eq_ignore_ascii_case("none") {
        None
    } else {
        Some(severity(
            &args.gate,
            "--gate",
            "One severity, the lowest that counts, or `none`",
        )?)
    };
    Ok(Policy {
        severities,
        gate,
        ignore_unfixed: args.ignore_unfixed,
        ids: set(&args.vuln_id, "--vuln-id")?,
        packages: set(&args.package, "--package")?,
    })
}

fn severity(text: &str, flag: &str, hint: &str) -> Result<Severity, Failure> {
    text.trim()
        .parse()
        .map_err(|error| Failure::usage(format!("`{flag}`: {error}")).hint(hint))
}

/// An empty entry would match nothing and quietly turn a filter on.
fn set(texts: &[String], flag: &str) -> Result<BTreeSet<String>, Failure> {
    texts
        .iter()
        .map(|text| match text.trim() {
            "" => Err(Failure::usage(format!("`{flag}` has an empty entry"))),
            trimmed => Ok(trimmed.to_owned()),
        })
        .collect()
}
