//! Any payload and any annotations are a layer of a `.sig` or `.att` tag or an error; none is a signature by a key that nobody has.
//! The input is the payload and then signature, certificate, chain, log entry and timestamp, each after a NUL.
#![no_main]

use libfuzzer_sys::fuzz_target;
use reseal_sign::store::{
    CERTIFICATE_ANNOTATION, CHAIN_ANNOTATION, Collected, DSSE_ENVELOPE, FoundLegacy,
    LOG_ANNOTATION, SIGNATURE_ANNOTATION, SIMPLE_SIGNING, TIMESTAMP_ANNOTATION,
};
use reseal_sign::verify::{
    Log, Match, TrustedRoot, VerifyPolicy, Who, public_key, verify_attestation, verify_signature,
};

/// The other half was thrown away.
const KEY: &[u8] = b"-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEQ2pPGhJzCP4cmy2nrVqpTFMyAvDc
GrmDAtjq+I33Wx8PEAbx8W0fwQbt6DkAqe82HyNQC89jWSwc36zk6hu0NQ==
-----END PUBLIC KEY-----";

fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.split(|&byte| byte == 0);
    let payload = parts.next().unwrap_or_default();
    let annotations = [
        SIGNATURE_ANNOTATION,
        CERTIFICATE_ANNOTATION,
        CHAIN_ANNOTATION,
        LOG_ANNOTATION,
        TIMESTAMP_ANNOTATION,
    ]
    .into_iter()
    .zip(parts)
    .map(|(name, part)| (name.to_owned(), String::from_utf8_lossy(part).into_owned()))
    .collect();
    let layer = |media_type: &str| FoundLegacy {
        media_type: media_type.to_owned(),
        payload: payload.to_vec(),
        annotations: std::collections::BTreeMap::clone(&annotations),
    };
    let collected = Collected {
        signatures: vec![layer(SIMPLE_SIGNING)],
        attestations: vec![layer(DSSE_ENVELOPE)],
        ..Collected::default()
    };
    let root = TrustedRoot::public_instance().expect("it is part of the program");
    let key = Who::Key(public_key(KEY).expect("it is a key"));
    let nobody = Who::Identity {
        identity: Match::exact("nobody@example.com").expect("it is not empty"),
        issuer: Match::exact("https://example.com").expect("it is not empty"),
        claims: Vec::new(),
    };
    let mut alone = VerifyPolicy::new(key.clone(), None);
    alone.log = Log::Off;
    let subject = "sha256:40f01d08449b765248045c262c4980df742da38ffa4b2f421baf3c03e5d034e6"
        .parse()
        .expect("it is a digest");
    for policy in [
        alone,
        VerifyPolicy::new(key, Some(root.clone())),
        VerifyPolicy::new(nobody, Some(root)),
    ] {
        verify_signature(&collected, &subject, &policy, i64::MAX)
            .expect_err("nobody has this key and this name");
        verify_attestation(
            &collected,
            &subject,
            "https://openvex.dev/ns",
            &policy,
            i64::MAX,
        )
        .expect_err("nobody has this key and this name");
    }
});
