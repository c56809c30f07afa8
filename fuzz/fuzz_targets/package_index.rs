//! An index is split the same whatever the reader gives at once, and relations read back the same.
#![no_main]

use std::{io::BufReader, ops::ControlFlow};

use libfuzzer_sys::fuzz_target;
use reseal_pkg::dpkg::{Candidate, Relations, split_stream, stanza_field};

fuzz_target!(|index: &[u8]| {
    let stanzas = |capacity| {
        let mut out = Vec::new();
        let reader = BufReader::with_capacity(capacity, index);
        split_stream(reader, &mut |stanza| {
            out.push(stanza.to_vec());
            ControlFlow::Continue(())
        })
        .expect("nothing here is longer than a stanza may be");
        out
    };
    let all = stanzas(4096);
    assert_eq!(all, stanzas(3));
    for stanza in all {
        let _ = Candidate::parse(&stanza);
        let depends = stanza_field(&stanza, "Depends").unwrap_or_default();
        if let Ok(relations) = Relations::parse(&depends, "amd64") {
            let again = Relations::parse(&relations.to_string(), "amd64");
            assert_eq!(again, Ok(relations));
        }
    }
});
