//! What must hold of any control file: the bodies of the fuzz targets, on mutated samples.

use proptest::prelude::*;
use reseal_native::Fields;
use reseal_native::database::{Standing, conffiles, stanza, triggers};

const SAMPLE: &str = "Package: one\nVersion: 0:1.0-1\nArchitecture: amd64\nPriority: Optional\nMulti-Arch: same\n\
    Depends: a (>= 1) | b:any, c\nReplaces: d (<< 2)\nConffiles:\n /etc/x 00\nX-Own: \nDescription: x\n y\n .\n";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_stanza_that_was_written_is_written_the_same_again(
        changes in prop::collection::vec((0..SAMPLE.len(), any::<u8>()), 0..6),
        cut in 0..SAMPLE.len(),
    ) {
        let mut bytes = SAMPLE.as_bytes().to_vec();
        for (at, byte) in changes {
            bytes[at] = byte;
        }
        if cut % 2 == 0 {
            bytes.drain(..cut);
        }
        let _ = conffiles::declared(&bytes);
        let _ = triggers::parse(&bytes);
        let standing = Standing { status: "install ok installed", ..Standing::default() };
        let written = Fields::parse(&bytes).and_then(|fields| stanza::write(&fields, &standing));
        if let Ok(written) = written {
            let again = Fields::parse(&written)?;
            prop_assert_eq!(stanza::write(&again, &standing)?, written);
        }
    }
}
