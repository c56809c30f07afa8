//! No file of an image, and nothing a server sends, makes a panic.

use std::collections::BTreeMap;

use proptest::prelude::*;
use reseal_repo::deb::{read_auth, read_settings, read_sources};
use reseal_repo::openpgp::{ClearSigned, Encoding, Keyring, verify_clear, verify_detached};

use crate::key::{Key, NOW, Oddity};

/// Text made of the pieces that the formats are made of, and of anything.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[ \\t\\n]{1,3}",
        "[A-Za-z:/.\\-+=%]{1,9}",
        any::<char>().prop_map(String::from),
        prop::sample::select(vec![
            "deb ",
            "http://x/",
            "[",
            "]",
            "{",
            "}",
            "\"",
            ";",
            "::",
            "/*",
            "*/",
            "//",
            "#clear ",
            "Types: deb\n",
            "URIs:",
            "Signed-By:",
            "Suites: x\n",
            "\n\n",
            " .\n",
            "machine ",
            "login ",
            "password ",
            "%4",
            "@",
            "Acquire::http::Proxy ",
            "-----BEGIN PGP SIGNED MESSAGE-----\n",
            "-----BEGIN PGP SIGNATURE-----\n",
            "-----END PGP SIGNATURE-----\n",
            "-----BEGIN PGP PUBLIC KEY BLOCK-----\n",
            "-----END PGP PUBLIC KEY BLOCK-----\n",
            "- -",
        ])
        .prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn files_of_an_image_are_read_or_refused(text in text()) {
        for name in ["sources.list", "sources.list.d/x.sources", "apt.conf", "auth.conf"] {
            let files = BTreeMap::from([(format!("etc/apt/{name}"), text.clone().into_bytes())]);
            let _ = read_sources(&files, "amd64");
            let _ = read_settings(&files);
            let _ = read_auth(&files);
        }
        if let Ok(Some(signed)) = ClearSigned::split(text.as_bytes()) {
            prop_assert!(verify_clear(&signed, &Keyring::default(), NOW).is_err());
        }
    }

    #[test]
    fn keys_and_signatures_with_wrong_bytes_are_left_out(at in 0_usize..400, bit in 0_u8..8, cut in 0_usize..400) {
        let key = Key::new(1, Oddity::Subkey);
        let mut keys = key.binary();
        let at = at % keys.len();
        keys[at] ^= 1 << bit;
        let mut keyring = Keyring::default();
        keyring.add("keys", &keys, Encoding::Binary);
        keyring.add("keys", &keys[..cut.min(keys.len())], Encoding::Binary);
        keyring.add("keys", &keys, Encoding::Armored);
        let mut signature = key.detached(b"data").into_bytes();
        let _ = verify_detached(b"data", &signature, &keyring, NOW);
        let at = cut % signature.len();
        signature[at] ^= 1 << bit;
        let mut whole = Keyring::default();
        whole.add("keys", &key.binary(), Encoding::Binary);
        let _ = verify_detached(b"data", &signature, &whole, NOW);
        prop_assert!(verify_detached(b"Data", &signature, &whole, NOW).is_err());
    }
}
