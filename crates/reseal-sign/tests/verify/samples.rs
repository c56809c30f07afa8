//! No bytes make it panic, and no change of a byte makes it accept what was not signed. The same is done with more patience by
//! the fuzz targets `bundle` and `legacy_layer`.

use reseal_sign::verify::verify_attestation;

use crate::world::*;

/// A small generator of numbers that is the same each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit as u64).unwrap()
    }
}

fn mangle(bytes: &mut Vec<u8>, numbers: &mut Numbers) {
    for _ in 0..=numbers.below(3) {
        if bytes.is_empty() {
            return;
        }
        let at = numbers.below(bytes.len());
        match numbers.below(4) {
            0 => bytes[at] = u8::try_from(numbers.below(256)).unwrap(),
            1 => {
                bytes.remove(at);
            }
            2 => {
                let piece: Vec<u8> = bytes[at..].iter().take(20).copied().collect();
                let to = numbers.below(bytes.len());
                bytes.splice(to..to, piece);
            }
            _ => bytes.truncate(at.max(1)),
        }
    }
}

#[test]
fn mangled_bundles_are_refused_or_say_what_was_signed() {
    let mut numbers = Numbers(7);
    for (name, policy) in [
        ("new-p256", key_alone("p256")),
        ("new-p256-rekor1", key_logged("p256")),
        ("new-rsa-rekor2", key_logged("rsa")),
        ("new-alice-rekor2", alice()),
    ] {
        let genuine = case(name);
        for _ in 0..150 {
            let mut forged = genuine.clone();
            mangle(&mut forged.collected.bundles[0].bytes, &mut numbers);
            if let Ok(found) = forged.verify(&policy) {
                let whole = genuine.verify(&policy).unwrap();
                assert_eq!(found[0].annotations, whole[0].annotations, "{name}");
                assert_eq!(found[0].signer, whole[0].signer, "{name}");
            }
        }
    }
}

#[test]
fn mangled_layers_are_refused_or_say_what_was_signed() {
    let mut numbers = Numbers(11);
    for (name, policy) in [
        ("old-p256", key_alone("p256")),
        ("old-p256-rekor1", key_logged("p256")),
        ("old-alice-rekor1-tsa", alice()),
    ] {
        for _ in 0..150 {
            let mut forged = case(name);
            let layer = &mut forged.collected.signatures[0];
            let which = numbers.below(layer.annotations.len() + 1);
            let payload = layer.payload.clone();
            if which == 0 {
                mangle(&mut layer.payload, &mut numbers);
            } else {
                let text = layer.annotations.values_mut().nth(which - 1).unwrap();
                let mut bytes = text.clone().into_bytes();
                mangle(&mut bytes, &mut numbers);
                *text = String::from_utf8_lossy(&bytes).into_owned();
            }
            let unchanged = forged.collected.signatures[0].payload == payload;
            if forged.verify(&policy).is_ok() {
                assert!(unchanged, "{name}");
            }
        }
    }
}

#[test]
fn mangled_envelopes_are_refused_or_say_what_was_signed() {
    let mut numbers = Numbers(13);
    let genuine = case("old-attest-p256");
    let policy = key_alone("p256");
    let verify =
        |case: &Case| verify_attestation(&case.collected, &case.subject, OPENVEX, &policy, NOW);
    let whole = verify(&genuine).unwrap();
    for _ in 0..500 {
        let mut forged = genuine.clone();
        mangle(&mut forged.collected.attestations[0].payload, &mut numbers);
        if let Ok(found) = verify(&forged) {
            assert_eq!(found[0].predicate, whole[0].predicate);
        }
    }
}
