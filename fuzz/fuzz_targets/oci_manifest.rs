//! Any bytes are a manifest, an index, a config or an error; a rebuilt index without replacements
//! keeps its children.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use reseal_oci::{Family, ImageConfig, ImageManifest, Index, RawManifest, assemble};

fuzz_target!(|bytes: &[u8]| {
    for family in [Family::Oci, Family::Docker] {
        let raw = RawManifest::new(family.index_type(), bytes.to_vec());
        if let Ok(index) = Index::parse(&raw)
            && let Ok(rebuilt) = assemble(&index, &BTreeMap::new(), &BTreeMap::new())
        {
            let again = Index::parse(&rebuilt.index).expect("what is rebuilt can be read");
            assert_eq!(again.children, index.children);
        }
        let _ = ImageManifest::parse(&RawManifest::new(family.manifest_type(), bytes.to_vec()));
    }
    let _ = ImageConfig::parse(bytes);
});
