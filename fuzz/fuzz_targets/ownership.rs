//! Every path that a list names is owned, whatever links merge the directories.
#![no_main]

use libfuzzer_sys::fuzz_target;
use reseal_pkg::dpkg::{Ownership, md5sums_paths, parse_list};

fuzz_target!(|input: (String, String, Vec<u8>)| {
    let (from, to, list) = input;
    let ownership = Ownership::from_lists([(String::new(), list.clone())], &[(from, to)]);
    for path in parse_list(&list) {
        // A name that looks like a whiteout is one: a layer cannot hold such a file.
        assert!(path.contains(".wh.") || ownership.owns(&path), "{path:?}");
        let _ = (ownership.owner(&path), Ownership::group(&path));
    }
    let _ = md5sums_paths(&list);
});
