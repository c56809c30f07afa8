//! Golden test over a corpus of real reports, which is not part of the repository: `RESEAL_SHARED`,
//! else `../shared`, is where it lies. Its index tells how many findings each report has.

#![expect(clippy::print_stderr, reason = "a skipped test says why")]

use std::path::PathBuf;

use reseal_report::{Report, ReportError, parse};

fn corpus() -> Option<PathBuf> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let shared = std::env::var_os("RESEAL_SHARED").map_or(root.join("../shared"), PathBuf::from);
    let corpus = shared.join("data/reports");
    if corpus.join("INDEX.md").is_file() {
        return Some(corpus);
    }
    eprintln!("skipped: there is no corpus at {}", corpus.display());
    None
}

/// Files that have findings twice, which count twice in the index: how many more.
const REPEATED: &[(&str, usize)] = &[("centos8.2-legacy-jenkins.json", 1)];

/// The cells of one line of a Markdown table.
fn cells(line: &str) -> Vec<&str> {
    line.trim_matches('|').split('|').map(str::trim).collect()
}

fn os_findings(report: &Report) -> (usize, usize) {
    let fixable = report
        .findings
        .iter()
        .filter(|finding| finding.is_fixable())
        .count();
    (report.findings.len(), fixable)
}

#[test]
fn every_report_of_the_corpus_gives_the_counts_of_its_index() {
    let Some(corpus) = corpus() else { return };
    let index = std::fs::read_to_string(corpus.join("INDEX.md")).unwrap();
    let mut wrong = Vec::new();
    let mut seen = 0;
    for line in index.lines().filter(|line| line.contains(".json |")) {
        let row = cells(line);
        if row.len() < 10 {
            continue;
        }
        let file = row[0];
        let number = |cell: usize| row[cell].parse::<usize>().unwrap();
        let bytes = std::fs::read(corpus.join(file)).unwrap();
        let report = match parse(&bytes) {
            Ok(report) => report,
            Err(error) => {
                wrong.push(format!("{file}: {error}"));
                continue;
            }
        };
        seen += 1;
        let (findings, fixable) = os_findings(&report);
        let repeated = REPEATED.iter().find(|(name, _)| *name == file);
        let (findings, fixable) = repeated.map_or((findings, fixable), |(_, more)| {
            (findings + more, fixable + more)
        });
        let found = [
            findings,
            fixable,
            report.other_findings,
            report.packages.len(),
        ];
        let expected = [number(4), number(5), number(6), number(7)];
        if found != expected {
            wrong.push(format!("{file}: expected {expected:?}, found {found:?}"));
        }
        let architecture = report.platform.map_or(String::new(), |p| p.architecture);
        if architecture != row[8] {
            wrong.push(format!(
                "{file}: architecture `{architecture}`, expected `{}`",
                row[8]
            ));
        }
        let distro = row[2].trim_end_matches(" EOSL");
        if row[3].starts_with('2') && distro != "-" {
            let (family, version) = distro.split_once(' ').unwrap();
            let family = family.replace("opensuse.", "opensuse-");
            if report.family.as_deref() != Some(&family)
                || report.os_version.as_deref() != Some(version)
                || report.end_of_life != row[2].ends_with(" EOSL")
            {
                wrong.push(format!(
                    "{file}: {:?} {:?}",
                    report.family, report.os_version
                ));
            }
        }
    }
    assert!(seen > 50, "the index was not understood: {seen} rows");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_json_file_of_the_corpus_is_read() {
    let Some(corpus) = corpus() else { return };
    let mut count = 0;
    for folder in [corpus.clone(), corpus.join("made-here")] {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path
                .extension()
                .is_some_and(|extension| extension == "json")
            {
                let report = parse(&std::fs::read(&path).unwrap());
                let report = report.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                // The reverse does not hold: a scan for licences alone knows the distribution too.
                assert!(
                    !report.has_os_result || report.family.is_some(),
                    "{}",
                    path.display()
                );
                count += 1;
            }
        }
    }
    assert!(count > 70, "only {count} reports were found");
}

#[test]
fn every_other_format_of_the_corpus_is_refused_by_name() {
    let Some(corpus) = corpus() else { return };
    let name = |error: ReportError| match error {
        ReportError::WrongFormat { found, .. } => found.to_owned(),
        ReportError::NotAnImage { artifact_type } => format!("type {artifact_type}"),
        other => panic!("{other}"),
    };
    for (file, expected) in [
        (
            "made-here-debian11-trivy0.59.1-cyclonedx.json",
            "a CycloneDX document",
        ),
        (
            "made-here-debian11-trivy0.59.1-github.json",
            "a GitHub dependency snapshot",
        ),
        (
            "made-here-debian11-trivy0.59.1-spdx-json.json",
            "an SPDX document",
        ),
        (
            "made-here-debian11-trivy0.59.1-table.txt",
            "a table for people",
        ),
        ("trivy-cyclonedx.json", "a CycloneDX document"),
        ("trivy-json-misconfig-only.json", "type repository"),
        ("trivy-json-of-cyclonedx-sbom.json", "type cyclonedx"),
        ("trivy-json-secrets-only.json", "type repository"),
        ("trivy-json-vm-amazon2.json", "type vm"),
        ("trivy-json-vm-ubuntu.json", "type vm"),
        ("trivy-k8s-kbom-cyclonedx.json", "type cyclonedx"),
        ("trivy-spdx.json", "an SPDX document"),
        (
            "trivy-template-gitlab-codequality.json",
            "a GitLab code quality report",
        ),
        ("trivy-template-junit.xml", "a JUnit XML file"),
    ] {
        let bytes = std::fs::read(corpus.join("other-formats").join(file)).unwrap();
        assert_eq!(
            parse(&bytes).map_err(name),
            Err(expected.to_owned()),
            "{file}"
        );
    }
}

#[test]
fn the_corpus_reports_of_grype_are_read() {
    let Some(corpus) = corpus() else { return };
    for (file, family, version) in [
        ("grype-redhat8.7.json", "redhat", "8.7"),
        ("grype-wolfi.json", "wolfi", "20230201"),
    ] {
        let bytes = std::fs::read(corpus.join("other-formats").join(file)).unwrap();
        let report = parse(&bytes).unwrap();
        assert_eq!(report.family.as_deref(), Some(family), "{file}");
        assert_eq!(report.os_version.as_deref(), Some(version), "{file}");
        assert!(!report.diff_ids.is_empty(), "{file}");
        assert!(report.platform.is_some() && report.has_os_result, "{file}");
        assert!(report.findings.len() + report.other_findings > 10, "{file}");
    }
}
