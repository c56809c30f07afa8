//! Any bytes are an os-release or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use reseal_pkg::OsRelease;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(release) = OsRelease::parse(bytes) {
        assert!(!release.id.is_empty());
        let _ = release.family();
    }
});
