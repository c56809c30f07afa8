//! A cache that can be read is written the same, and any bytes are a shared object or none.
#![no_main]

use libfuzzer_sys::fuzz_target;
use reseal_rootfs::ldcache::{Cache, elf_facts, generator, name_places};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(cache) = Cache::parse(bytes) {
        assert_eq!(cache.write(), bytes);
        let _ = cache.machine();
    }
    let _ = elf_facts(bytes);
    let _ = generator(bytes);
    let _ = name_places(bytes);
});
