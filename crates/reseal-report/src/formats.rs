//! Recognises documents that are no image report, so that the refusal can name them.

use crate::{ReportError, TRIVY_COMMAND, document::Members};

const TABLE: &str = "a table for people";
const SPDX: &str = "an SPDX document";
const ASFF: &str = "an AWS Security Hub (ASFF) file";

/// Returns the error for a document of another kind.
pub(crate) fn wrong(found: &'static str) -> ReportError {
    ReportError::WrongFormat {
        found,
        command: TRIVY_COMMAND.to_owned(),
    }
}

/// Recognises files that are not text.
pub(crate) fn of_bytes(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0x1f, 0x8b, ..] => Some("a gzip file"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some("a zstd file"),
        [b'P', b'K', 3, 4, ..] => Some("a zip file"),
        _ if bytes.get(257..262) == Some(b"ustar") => Some("a tar archive"),
        _ => None,
    }
}

/// Names a text that does not begin as a JSON object or array does.
pub(crate) fn of_text(text: &str) -> &'static str {
    // What is searched for stands near the beginning; a huge file is not searched to its end.
    let end = text
        .char_indices()
        .nth(HEAD)
        .map_or(text.len(), |(at, _)| at);
    let head = &text[..end];
    let has = |needle: &str| head.contains(needle);
    if head.starts_with('<') {
        return if has("<testsuite") {
            "a JUnit XML file"
        } else {
            "an HTML or XML page"
        };
    }
    if has("SPDXVersion:") {
        return SPDX;
    }
    if has("apiVersion: aquasecurity.github.io") {
        return "a VulnerabilityReport resource of the Trivy operator";
    }
    let is_table = |c| matches!(c, '┌' | '│' | '├' | '═' | '─');
    if head.contains(is_table) || has("Total: ") && has("UNKNOWN: ") || has("\n+---") {
        return TABLE;
    }
    if head.starts_with("NAME ") && has("INSTALLED") {
        return TABLE;
    }
    if (has("\tINFO\t") || has("\tWARN\t") || has(" INFO ") || has(" WARN "))
        && (text.contains("\n{") || text.contains("\n["))
    {
        return "a scanner's log with a report mixed in (was standard error redirected too?)";
    }
    "a text that is not JSON"
}

/// Characters of a text that are looked at.
const HEAD: usize = 1 << 16;

/// Names an object of another kind; `None`: it may be a report.
pub(crate) fn of_object(object: &Members<'_>) -> Option<&'static str> {
    let has = |keys: &[&str]| keys.iter().all(|key| object.has(key));
    let text = |key| object.text(key).unwrap_or_default();
    let descriptor = object.object("descriptor").text("name");
    if text("$schema").contains("sarif") || has(&["version", "runs"]) {
        return Some("a SARIF log");
    }
    if text("bomformat").eq_ignore_ascii_case("cyclonedx") {
        return Some("a CycloneDX document");
    }
    if has(&["spdxversion"]) {
        return Some(SPDX);
    }
    if has(&["detector", "manifests"]) {
        return Some("a GitHub dependency snapshot");
    }
    if object.is_array("matches") && descriptor.as_deref() != Some("grype") {
        return Some("a list of matches that Grype did not write");
    }
    let of_syft = object
        .object("schema")
        .text("url")
        .is_some_and(|url| url.contains("syft"));
    if object.has("artifacts") && (descriptor.as_deref() == Some("syft") || of_syft) {
        return Some("a Syft SBOM, which has no vulnerabilities");
    }
    if has(&["clustername"]) && (object.has("resources") || object.has("findings")) {
        return Some("a report of `trivy k8s`");
    }
    if has(&["id", "title"]) && (object.has("results") || object.has("summarycontrols")) {
        return Some("a report of `trivy --compliance`");
    }
    if text("apiversion").starts_with("aquasecurity.github.io/") {
        return Some("a VulnerabilityReport resource of the Trivy operator");
    }
    if has(&["findings"]) && !has(&["results"]) {
        return Some(ASFF);
    }
    if has(&["vulnerabilities", "scan"]) {
        return Some("a GitLab security report");
    }
    // Their `schemaVersion: 2` must not pass for a report's.
    if !has(&["artifactname"])
        && (object.is_array("manifests") || has(&["config", "layers"]) || has(&["fslayers"]))
    {
        return Some("an image manifest or index");
    }
    None
}

/// Names an array whose first element is not a target of a report.
pub(crate) fn of_array(first: &Members<'_>) -> &'static str {
    if first.has("check_name") && first.has("fingerprint") {
        "a GitLab code quality report"
    } else if first.has("findings") || first.text("schemaversion").is_some() {
        ASFF
    } else if first.has("artifactname") || first.has("matches") {
        "a list of several reports"
    } else {
        "a JSON list of something else"
    }
}
