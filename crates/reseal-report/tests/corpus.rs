//! Golden test over a corpus of real reports, which is not part of the repository: `RESEAL_SHARED`,
//! else `../shared`, is where it lies. Its index tells how many findings each report has.

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

/// The cells of one line of a Markdown table.
fn cells(line: &str) -> Vec<&str> {
    line.trim_matches('|').split('|').map(str::trim).collect()
}

fn os_findings(report: &Report) -> (usize, usize) {
    let fixable = report.findings.iter().filter(|finding| finding.is_fixable()).count();
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
        let found = [findings, fixable, report.other_findings, report.packages.len()];
        let expected = [number(4), number(5), number(6), number(7)];
        if found != expected {
            wrong.push(format!("{file}: expected {expected:?}, found {found:?}"));
        }
        let architecture = report.platform.map_or(String::new(), |p| p.architecture);
        if architecture != row[8] {
            wrong.push(format!("{file}: architecture `{architecture}`, expected `{}`", row[8]));
        }
        let distro = row[2].trim_end_matches(" EOSL");
        if row[3].starts_with('2') && distro != "-" {
            let (family, version) = distro.split_once(' ').unwrap();
            let family = family.replace("opensuse.", "opensuse-");
            if report.family.as_deref() != Some(&family)
                || report.os_version.as_deref() != Some(version)
                || report.end_of_life != row[2].ends_with(" EOSL")
            {
                wrong.push(format!("{file}: {:?} {:?}", report.family, report.os_version));
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
            if path.extension().is_some_and(|extension| extension == "json") {
                let report = parse(&std::fs::read(&path).unwrap());
                let report = report.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                assert_eq!(report.family.is_some(), report.has_os_result, "{}", path.display());
                count += 1;
            }
        }
    }
    println!("{count} reports read");
}
