//! Any bytes are a bundle, a trusted root or an error; none is a signature by a key that nobody has.
#![no_main]

use libfuzzer_sys::fuzz_target;
use reseal_oci::{Descriptor, Digest};
use reseal_sign::store::{Collected, FoundBundle};
use reseal_sign::verify::{
    Log, Match, SIGN_PREDICATE, TrustedRoot, VerifyPolicy, Who, public_key, verify_attestation,
    verify_signature,
};

/// The other half was thrown away.
const KEY: &[u8] = b"-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEQ2pPGhJzCP4cmy2nrVqpTFMyAvDc
GrmDAtjq+I33Wx8PEAbx8W0fwQbt6DkAqe82HyNQC89jWSwc36zk6hu0NQ==
-----END PUBLIC KEY-----";

fuzz_target!(|bytes: &[u8]| {
    let _ = TrustedRoot::parse(bytes);
    let _ = public_key(bytes);
    let root = TrustedRoot::public_instance().expect("it is part of the program");
    let key = Who::Key(public_key(KEY).expect("it is a key"));
    let nobody = Who::Identity {
        identity: Match::pattern("nobody@example[.]com").expect("it is a pattern"),
        issuer: Match::exact("https://example.com").expect("it is not empty"),
        claims: Vec::new(),
    };
    let mut alone = VerifyPolicy::new(key.clone(), None);
    alone.log = Log::Off;
    let collected = Collected {
        bundles: vec![FoundBundle {
            descriptor: Descriptor::new(
                "application/vnd.oci.image.manifest.v1+json",
                Digest::of(bytes),
                1,
            ),
            bytes: bytes.to_vec(),
            predicate_type: None,
        }],
        ..Collected::default()
    };
    let subject = "sha256:40f01d08449b765248045c262c4980df742da38ffa4b2f421baf3c03e5d034e6"
        .parse()
        .expect("it is a digest");
    for policy in [
        alone,
        VerifyPolicy::new(key, Some(root.clone())),
        VerifyPolicy::new(nobody, Some(root)),
    ] {
        let refused = verify_signature(&collected, &subject, &policy, i64::MAX)
            .expect_err("nobody has this key and this name");
        let _ = (refused.to_string(), refused.hint());
        verify_attestation(&collected, &subject, SIGN_PREDICATE, &policy, i64::MAX)
            .expect_err("nobody has this key and this name");
    }
});
