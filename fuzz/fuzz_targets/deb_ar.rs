//! The archive around a package: sizes that lie, names that are none.
#![no_main]

use std::io::Read;

use libfuzzer_sys::fuzz_target;
use reseal_native::deb::Ar;

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut ar) = Ar::new(bytes) else { return };
    while let Ok(Some(member)) = ar.next_member() {
        let mut contents = Vec::new();
        if ar.contents().read_to_end(&mut contents).is_ok() {
            assert_eq!(contents.len() as u64, member.size);
        }
    }
});
