//! No input panics: mutated samples by the thousand, and documents made to hurt.

use proptest::prelude::*;
use reseal_report::{ReportError, parse};

fn samples() -> Vec<Vec<u8>> {
    let folder = format!(
        "{}/../../testdata/report-samples",
        env!("CARGO_MANIFEST_DIR")
    );
    let mut out = Vec::new();
    for folder in [folder.clone(), format!("{folder}/refused")] {
        let mut paths: Vec<_> = std::fs::read_dir(folder)
            .expect("the samples are part of the repository")
            .map(|entry| entry.expect("the folder can be listed").path())
            .filter(|path| path.is_file())
            .collect();
        paths.sort();
        out.extend(
            paths
                .iter()
                .map(|path| std::fs::read(path).expect("the sample can be read")),
        );
    }
    out
}

/// What a mutation puts in: characters with a meaning in JSON, and values of other types.
const PIECES: &[&[u8]] = &[
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b"\\",
    b",",
    b":",
    b"\0",
    b"\n",
    b"\xff",
    b"\xef\xbb\xbf",
    b"null",
    b"true",
    b"-1",
    b"1e999",
    b"\"\\ud800\"",
    b"\"\\u0000\"",
    b"[[[[",
    b"{\"a\":",
    b" ",
    b"99999999999999999999",
];

#[derive(Debug, Clone)]
enum Mutation {
    Insert(usize, usize),
    Replace(usize, u8),
    Remove(usize, usize),
    Copy(usize, usize, usize),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    prop_oneof![
        (any::<usize>(), 0..PIECES.len()).prop_map(|(at, piece)| Mutation::Insert(at, piece)),
        (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| Mutation::Replace(at, byte)),
        (any::<usize>(), 1..200_usize).prop_map(|(at, count)| Mutation::Remove(at, count)),
        (any::<usize>(), any::<usize>(), 1..200_usize)
            .prop_map(|(a, b, n)| Mutation::Copy(a, b, n)),
    ]
}

fn apply(bytes: &mut Vec<u8>, mutation: &Mutation) {
    let place = |at: usize| at % (bytes.len() + 1);
    match *mutation {
        Mutation::Insert(at, piece) => {
            let at = place(at);
            bytes.splice(at..at, PIECES[piece].iter().copied());
        }
        Mutation::Replace(at, byte) => {
            let at = place(at);
            if let Some(old) = bytes.get_mut(at) {
                *old = byte;
            }
        }
        Mutation::Remove(at, count) => {
            let at = place(at);
            let end = (at + count).min(bytes.len());
            bytes.drain(at..end);
        }
        Mutation::Copy(from, to, count) => {
            let (from, to) = (place(from), place(to));
            let piece = bytes[from..(from + count).min(bytes.len())].to_vec();
            bytes.splice(to..to, piece);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_mutated_report_never_panics_and_errors_point_into_it(
        sample in any::<prop::sample::Index>(),
        mutations in prop::collection::vec(mutation(), 1..6),
    ) {
        let samples = samples();
        let mut bytes = sample.get(&samples).clone();
        for mutation in &mutations {
            apply(&mut bytes, mutation);
        }
        match parse(&bytes) {
            Err(error @ (ReportError::Malformed { offset, .. } | ReportError::Truncated { offset })) => {
                prop_assert!(offset <= bytes.len(), "{error}");
                prop_assert!(!error.to_string().contains('\n'));
            }
            Err(error) => prop_assert!(error.hint().is_some()),
            Ok(report) => prop_assert!(serde_json::to_vec(&report).is_ok()),
        }
    }

    #[test]
    fn any_bytes_at_all_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse(&bytes);
    }
}

fn with_name(name: &str) -> String {
    format!(
        r#"{{"SchemaVersion": 2, "Results": [{{"Class": "os-pkgs", "Type": "debian",
            "Vulnerabilities": [{{"VulnerabilityID": "CVE-1", "PkgName": "{name}", "FixedVersion": "{name}"}}]}}]}}"#
    )
}

#[test]
fn strange_names_are_kept_as_data() {
    for (written, read) in [
        (r"a\u0000b", "a\0b"),
        (r"a\nb; rm -rf /", "a\nb; rm -rf /"),
        ("$(touch x)", "$(touch x)"),
        ("-o=Dir::Etc=/", "-o=Dir::Etc=/"),
    ] {
        let report = parse(with_name(written).as_bytes()).unwrap();
        assert_eq!(report.findings[0].package, read);
    }
    let long = "x".repeat(10 << 20);
    assert_eq!(
        parse(with_name(&long).as_bytes()).unwrap().findings[0].package,
        long
    );
}

#[test]
fn deep_and_wide_documents_end_soon() {
    let deep = 1 << 20;
    for text in [
        "[".repeat(deep),
        r#"{"a":"#.repeat(deep),
        format!("{}{}", "[".repeat(deep), "]".repeat(deep)),
        format!(
            r#"{{"SchemaVersion": 2, "Results": {}1{}}}"#,
            "[".repeat(deep),
            "]".repeat(deep)
        ),
    ] {
        assert!(parse(text.as_bytes()).is_err());
    }
    // Nesting in a field that is not read does no harm.
    let unread = format!(
        r#"{{"SchemaVersion": 2, "Metadata": {{"X": {}{}}}}}"#,
        "[".repeat(deep),
        "]".repeat(deep)
    );
    assert!(parse(unread.as_bytes()).is_ok());
    let wide = format!(
        r#"{{"SchemaVersion": 2, "Results": [{}{{}}]}}"#,
        "{},".repeat(200_000)
    );
    assert!(!parse(wide.as_bytes()).unwrap().has_os_result);
}

#[test]
fn a_report_over_the_limit_is_refused_unread() {
    let size = reseal_report::MAX_REPORT_BYTES + 1;
    let limit = reseal_report::MAX_REPORT_BYTES;
    // Zero pages: the vector costs no memory unless somebody reads it.
    assert_eq!(
        parse(&vec![0; size]),
        Err(ReportError::TooLarge { size, limit })
    );
}
