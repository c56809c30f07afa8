//! What was read in a report.

use std::collections::BTreeMap;

use reseal_report::{Report, Scanner, Schema, Severity};
use serde::Serialize;

use super::{plural, table::table};
use crate::escape;

/// One report of the JSON document.
#[derive(Serialize)]
struct Named<'a> {
    name: &'a str,
    #[serde(flatten)]
    report: &'a Report,
}

/// Returns the JSON document: everything that was read.
pub(crate) fn json(reports: &[(String, Report)]) -> serde_json::Value {
    let reports: Vec<Named<'_>> = reports
        .iter()
        .map(|(name, report)| Named { name, report })
        .collect();
    serde_json::json!({ "schema": "reseal.dev/report/v1", "reports": reports })
}

/// Returns what a person wants to know of one report.
pub(crate) fn text(name: &str, report: &Report) -> String {
    let unknown = || "not told".to_owned();
    let scanner = match report.scanner {
        Scanner::Trivy => "Trivy",
        Scanner::Grype => "Grype",
    };
    let schema = match report.schema {
        Schema::Legacy => "schema 1",
        Schema::V2 => "schema 2",
        Schema::Grype => "JSON",
    };
    let version = report
        .scanner_version
        .as_deref()
        .unwrap_or("(version not told)");
    let platform = report.platform.as_ref().map_or_else(unknown, |platform| {
        let variant = platform
            .variant
            .as_ref()
            .map(|variant| format!("/{variant}"))
            .unwrap_or_default();
        format!("{}/{}{variant}", platform.os, platform.architecture)
    });
    let family = report.family.as_ref().map_or_else(unknown, |family| {
        let version = report.os_version.as_deref().unwrap_or_default();
        let ended = if report.end_of_life {
            " (past its end of life)"
        } else {
            ""
        };
        format!("{family} {version}{ended}")
    });
    let mut rows = vec![
        ["report".to_owned(), name.to_owned()],
        [
            "scanner".to_owned(),
            format!("{scanner} {version}, {schema}"),
        ],
        ["image".to_owned(), report.artifact_name.clone()],
        ["platform".to_owned(), platform],
        ["distribution".to_owned(), family],
    ];
    for (label, values) in [
        ("repo digest", &report.repo_digests),
        ("diff ID", &report.diff_ids),
    ] {
        rows.extend(values.iter().map(|value| [label.to_owned(), value.clone()]));
    }
    if !report.has_os_result {
        rows.push([
            "warning".into(),
            "no result for OS packages: an image whose system was not recognised looks like this"
                .into(),
        ]);
    }
    if !report.packages.is_empty() {
        rows.push(["packages".into(), report.packages.len().to_string()]);
    }
    rows.push(["findings".into(), counts(report)]);
    if report.other_findings > 0 {
        rows.push([
            "not ours".into(),
            format!(
                "{} of language packages",
                plural(report.other_findings, "finding")
            ),
        ]);
    }
    let mut lines = table("", &rows);
    let mut findings =
        vec![["  SEVERITY", "ID", "PACKAGE", "INSTALLED", "FIXED"].map(String::from)];
    let mut sorted: Vec<_> = report.findings.iter().collect();
    sorted.sort_by(|a, b| {
        b.severity
            .cmp(&a.severity)
            .then_with(|| (&a.package, &a.id).cmp(&(&b.package, &b.id)))
    });
    findings.extend(sorted.into_iter().map(|finding| {
        let fixed = if finding.fixed.is_empty() {
            "no fix".to_owned()
        } else {
            finding.fixed.join(", ")
        };
        [
            format!("  {}", finding.severity),
            finding.id.clone(),
            finding.package.clone(),
            finding.installed.clone(),
            fixed,
        ]
    }));
    if findings.len() > 1 {
        lines.extend(table("", &findings));
    }
    lines.push(String::new());
    lines.join("\n")
}

fn counts(report: &Report) -> String {
    let mut by_severity: BTreeMap<Severity, usize> = BTreeMap::new();
    for finding in &report.findings {
        *by_severity.entry(finding.severity).or_default() += 1;
    }
    let fixable = report
        .findings
        .iter()
        .filter(|finding| finding.is_fixable())
        .count();
    let list: Vec<String> = by_severity
        .iter()
        .rev()
        .map(|(severity, count)| format!("{severity} {count}"))
        .collect();
    let split = if list.is_empty() {
        String::new()
    } else {
        format!(" ({})", list.join(", "))
    };
    escape::line(&format!(
        "{}{split}, {fixable} with a fix",
        report.findings.len()
    ))
}
