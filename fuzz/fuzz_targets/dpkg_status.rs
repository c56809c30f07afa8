//! A database that is read comes back byte for byte, and does not differ from itself.
#![no_main]

use libfuzzer_sys::fuzz_target;
use reseal_pkg::dpkg::{Database, auto_marks, changes};

fuzz_target!(|bytes: &[u8]| {
    let _ = auto_marks(bytes);
    if let Ok(database) = Database::parse(bytes) {
        assert_eq!(database.to_bytes(), bytes);
        assert!(changes(&database, &database).is_empty());
    }
});
