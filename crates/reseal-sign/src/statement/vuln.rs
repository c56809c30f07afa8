//! cosign's record of a vulnerability scan: what is known to remain in the image.

use serde_json::{Value, json};

use super::facts::{Facts, Finding, Platform, Verdict};

/// A scan of the patched image by somebody else, if there was one.
#[derive(Debug, Clone, PartialEq)]
pub struct Scan {
    /// The scanner, a URI: `pkg:github/aquasecurity/trivy@v0.60.0`.
    pub uri: String,
    /// Its version.
    pub version: String,
    /// When its database was made, RFC 3339.
    pub database: Option<String>,
    /// Its report, JSON.
    pub result: Value,
}

/// Returns the predicate: the report of a scanner, or without one reseal's own verdicts in the shape of Trivy's reports.
pub fn vuln(facts: &Facts, scan: Option<&Scan>) -> Value {
    let run = &facts.run;
    let scanner = match scan {
        Some(scan) => json!({
            "uri": scan.uri,
            "version": scan.version,
            "db": {"uri": "", "version": "", "lastUpdate": scan.database},
            "result": scan.result,
        }),
        None => json!({
            "uri": format!("pkg:generic/reseal@{}", run.version),
            "version": run.version,
            "db": {"uri": "", "version": ""},
            "result": remaining(facts),
        }),
    };
    json!({
        "invocation": {
            "parameters": null,
            "uri": run.url.as_deref().unwrap_or_default(),
            "event_id": "",
            "builder.id": run.builder,
        },
        "scanner": scanner,
        "metadata": {"scanStartedOn": run.started, "scanFinishedOn": run.finished},
    })
}

fn remaining(facts: &Facts) -> Value {
    let image = format!("{}@{}", facts.patched.name, facts.patched.digest.as_str());
    let results: Vec<Value> = facts
        .platforms
        .iter()
        .map(|platform| result(&image, platform))
        .collect();
    json!({
        "SchemaVersion": 2,
        "ArtifactName": image,
        "ArtifactType": "container_image",
        "Results": results,
    })
}

fn result(image: &str, platform: &Platform) -> Value {
    let left: Vec<Value> = platform.findings.iter().filter_map(vulnerability).collect();
    json!({
        "Target": format!("{image} ({})", platform.platform),
        "Class": "os-pkgs",
        "Type": platform.distribution.id,
        "Vulnerabilities": left,
    })
}

fn vulnerability(finding: &Finding) -> Option<Value> {
    let status = match finding.verdict {
        Verdict::Fixed | Verdict::Removed => return None,
        // What Trivy calls a finding whose state nobody has told.
        Verdict::CannotTell => "unknown",
        Verdict::NoFixAvailable | Verdict::Excepted if finding.fixed.is_none() => "affected",
        // It is the fix that exists, not the finding that is gone: that is what the word means in Trivy's reports.
        Verdict::NotFixed | Verdict::NoFixAvailable | Verdict::Excepted => "fixed",
    };
    Some(json!({
        "VulnerabilityID": finding.id,
        "PkgName": finding.package,
        "InstalledVersion": finding.now.as_ref().unwrap_or(&finding.installed),
        "FixedVersion": finding.fixed.as_deref().unwrap_or_default(),
        "Status": status,
        "Severity": finding.severity,
    }))
}
