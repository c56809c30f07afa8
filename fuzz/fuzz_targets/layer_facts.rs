//! Layers add up to a tree or an error, and their stored facts are read as they were written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use reseal_rootfs::{LayerFacts, Tree, wanted};

fuzz_target!(|bytes: &[u8]| {
    // Stored facts first, then a layer: both are bytes of strangers.
    let stored = LayerFacts::from_bytes(bytes.to_vec());
    let read = LayerFacts::from_layer(bytes, &wanted());
    for facts in [stored, read].into_iter().flatten() {
        let again = LayerFacts::from_bytes(facts.as_bytes().to_vec());
        assert_eq!(again.expect("facts can be read again"), facts);
        let Ok(tree) = Tree::stack([facts.clone(), facts]) else {
            continue;
        };
        for (path, node) in tree.below("").take(1000) {
            assert_eq!(tree.node(&path), Some(node), "{path}");
            let _ = tree.contents(&path);
        }
    }
});
