//! A package's archive, control files and records: whatever is read can be written, and the stanza that is written is read
//! as it was.
#![no_main]

use libfuzzer_sys::fuzz_target;
use reseal_native::database::{Standing, conffiles, stanza, triggers};
use reseal_native::{ArchiveError, Fields, deb};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(control) = deb::read_control(bytes) {
        let _ = control.fields();
    }
    let _ = deb::with_data(bytes, |data| {
        std::io::copy(data, &mut std::io::sink()).map_err(ArchiveError::from)
    });
    let _ = conffiles::declared(bytes);
    let _ = triggers::parse(bytes);
    if let Ok(fields) = Fields::parse(bytes) {
        let standing = Standing {
            status: "install ok installed",
            ..Standing::default()
        };
        if let Ok(written) = stanza::write(&fields, &standing) {
            let again = Fields::parse(&written).expect("what was written can be read");
            let stays = Standing {
                status: again.get("Status").unwrap_or_default(),
                ..Standing::default()
            };
            assert_eq!(stanza::write(&again, &stays).expect("it was written before"), written);
        }
    }
});
