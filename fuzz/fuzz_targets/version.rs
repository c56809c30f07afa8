//! The order of versions is antisymmetric and reflexive on any two texts.
#![no_main]

use libfuzzer_sys::fuzz_target;
use reseal_pkg::version::{compare_dpkg, validate_dpkg};

fuzz_target!(|text: &str| {
    let (a, b) = text.split_once('\n').unwrap_or((text, ""));
    assert_eq!(compare_dpkg(a, b), compare_dpkg(b, a).reverse());
    assert!(compare_dpkg(a, a).is_eq());
    let _ = validate_dpkg(a);
});
