//! Any bytes are a report or an error that points into them and reads as one line.
#![no_main]

use libfuzzer_sys::fuzz_target;
use reseal_report::{ReportError, Scanner, parse};

fuzz_target!(|bytes: &[u8]| match parse(bytes) {
    // Grype may list packages of a distribution that it did not name.
    Ok(report) => assert!(
        report.has_os_result || report.findings.is_empty() || report.scanner == Scanner::Grype
    ),
    Err(error) => {
        assert!(!error.to_string().contains('\n'));
        if let ReportError::Malformed { offset, path, .. } = &error
            && !path.contains("(decoded)")
        {
            assert!(*offset <= bytes.len());
        }
    }
});
