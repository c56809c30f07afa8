//! Any bytes are a layer or an error, and what is normalised can be scanned again.
#![no_main]

use std::io::{Cursor, Read};

use libfuzzer_sys::fuzz_target;
use reseal_oci::layer::{
    Classify, Keep, LayerError, Meaning, Wanted, decompress, normalise, read, scan, visit,
};

/// Keeps everything.
struct All;

impl Classify for All {
    fn keep(&self, path: &str) -> Keep {
        match path.len() % 3 {
            0 => Keep::Package,
            1 => Keep::Database,
            _ => Keep::Script,
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let wanted = Wanted {
        exact: vec!["var/lib/dpkg/status".to_owned()],
        prefixes: vec!["etc/".to_owned()],
        limit: 1 << 16,
    };
    if let Ok(tar) = decompress(bytes) {
        let _ = read(tar, &wanted);
    }
    for names in [Meaning::Layer, Meaning::Plain] {
        let _ = visit(bytes, names, &mut |member, contents| {
            let mut kept = contents.take(1 << 16);
            let length = std::io::copy(&mut kept, &mut std::io::sink());
            let length = length.map_err(LayerError::Read)?;
            assert_eq!(length, member.size.min(1 << 16), "{}", member.path);
            Ok(())
        });
    }
    let mut tar = Cursor::new(bytes);
    let Ok(found) = scan(&mut tar) else { return };
    let mut out = Vec::new();
    if normalise(&mut tar, &found, &All, 1_700_000_000, &mut out).is_ok() {
        let mut plain = Vec::new();
        let mut unpacked = decompress(out.as_slice()).expect("our own gzip");
        std::io::copy(&mut unpacked, &mut plain).expect("our own gzip is whole");
        scan(&mut Cursor::new(plain)).expect("our own tar can be read");
    }
});
