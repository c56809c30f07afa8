//! A key that never leaves its token (`SoftHSM` plays one), by the command line.

use super::judges::{Judge, Proofs, Trust};
use super::support::{Image, Services, places};
use super::told::Bench;
use crate::site::text;

#[tokio::test(flavor = "multi_thread")]
async fn both_cosigns_accept_what_a_token_signed() {
    let Some(bench) = Bench::open() else { return };
    let of = |name: &str| bench.servers.get(name);
    let (key, pin) = (of("PKCS11_KEY"), of("PKCS11_PIN"));
    let vars = [
        ("SOFTHSM2_CONF", of("PKCS11_CONF")),
        ("COSIGN_PKCS11_PIN", pin),
    ];
    let trust = Trust::Key(of("PKCS11_PUBLIC").into());
    for place in places(bench.site) {
        for (services, more) in [
            (Services::None, vec!["--tlog", "off"]),
            (
                Services::Rekor1,
                vec!["--signing-config", of("SIGNING_CONFIG_REKOR1")],
            ),
            (
                Services::Rekor2,
                vec![
                    "--signing-config",
                    of("SIGNING_CONFIG_REKOR2"),
                    "--trusted-root",
                    of("TRUSTED_ROOT"),
                ],
            ),
        ] {
            let case = format!("{} {services:?}", place.name);
            let image = Image::push(&place).await;
            let reference = image.reference(&image.index);
            let args = ["sign", &reference, "--key", key, "--recursive"];
            let told = bench.accepts(&[&args[..], &more].concat(), &vars);
            assert!(!told.contains(pin), "{case}: the PIN is told");
            let proofs = Proofs::of(services);
            for subject in [&image.index, &image.child] {
                let reference = image.reference(subject);
                Judge::NewCosign.accepts_signature(&case, &reference, &trust, proofs);
                if services != Services::Rekor2 {
                    Judge::OldCosign.accepts_signature(&case, &reference, &trust, proofs);
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_says_why_it_does_not_sign_and_keeps_its_pin() {
    let Some(bench) = Bench::open() else { return };
    let image = Image::push(&places(bench.site)[0]).await;
    let reference = image.reference(&image.index);
    let conf = bench.servers.get("PKCS11_CONF").to_owned();
    let key = bench.servers.get("PKCS11_KEY").to_owned();
    let wrong = format!("{key}&pin-value=wrong-and-secret");
    let nobody = key.replace("object=sign", "object=nobody");
    let pin = bench.servers.get("PKCS11_PIN").to_owned();
    for (key, pin, why) in [
        (&wrong, None, "the PIN is wrong"),
        (&nobody, Some(&pin), "no private key of this name"),
    ] {
        let mut command = bench.command("reseal", &[("SOFTHSM2_CONF", &conf)]);
        command.args(["sign", &reference, "--key", key, "--tlog", "off", "--debug"]);
        if let Some(pin) = pin {
            command.env("COSIGN_PKCS11_PIN", pin);
        }
        let output = command.output().expect("reseal starts");
        let told = text(&output.stdout) + &text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains(why), "{told}");
        assert!(!told.contains("wrong-and-secret"), "{told}");
    }
}
