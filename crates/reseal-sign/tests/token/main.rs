//! Keys in a hardware token, played by `SoftHSM`. Skipped where that is not installed.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::path::{Path, PathBuf};
use std::process::Command;

use reseal_registry::Secret;
use reseal_sign::key::{KeyError, KeyReference, PublicKey};

const MODULES: [&str; 3] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
];
const INSIDE: &str = "RESEAL_TEST_TOKEN_MODULE";

fn keys() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/keys")
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Makes a token with keys, and runs the test below in a process of its own: the module takes its folder from the environment.
#[test]
fn a_token_signs_what_its_public_half_verifies() {
    let Some(module) = MODULES.into_iter().find(|path| Path::new(path).exists()) else {
        #[expect(clippy::print_stderr, reason = "a skipped test says why")]
        {
            eprintln!("skipped: SoftHSM is not installed");
        }
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let tokens = folder.path().join("tokens");
    std::fs::create_dir(&tokens).unwrap();
    let settings = folder.path().join("softhsm2.conf");
    let text = format!(
        "directories.tokendir = {}\nlog.level = ERROR\n",
        tokens.display()
    );
    std::fs::write(&settings, text).unwrap();
    let tool = || {
        let mut command = Command::new("softhsm2-util");
        command.env("SOFTHSM2_CONF", &settings);
        command
    };
    run(tool().args([
        "--init-token",
        "--free",
        "--label",
        "reseal token",
        "--pin",
        "1234",
        "--so-pin",
        "5678",
    ]));
    for (id, name) in [
        ("01", "p256"),
        ("02", "p384"),
        ("03", "rsa"),
        ("04", "ed25519"),
    ] {
        let file = keys().join(format!("{name}.pem"));
        let mut import = tool();
        import.args([
            "--import",
            file.to_str().unwrap(),
            "--token",
            "reseal token",
        ]);
        import.args(["--label", name, "--id", id, "--pin", "1234"]);
        if name == "ed25519" {
            // Not every build of the tool knows this kind; what matters then is tested elsewhere.
            import.output().unwrap();
        } else {
            run(&mut import);
        }
    }
    run(Command::new(std::env::current_exe().unwrap())
        .args(["inside", "--exact", "--nocapture"])
        .env("SOFTHSM2_CONF", &settings)
        .env(INSIDE, module));
}

#[tokio::test]
async fn inside() {
    let Ok(module) = std::env::var(INSIDE) else {
        return;
    };
    let none = |_: &str| None;
    let never = || -> Result<Secret, KeyError> { unreachable!("a token has a PIN, no password") };
    let open = |reference: &str, environment: &dyn Fn(&str) -> Option<String>| {
        let reference: KeyReference = reference.parse().unwrap();
        reference.open(environment, &never)
    };
    let of = |rest: &str, pin: &str| {
        format!("pkcs11:token=reseal%20token;{rest}?module-path={module}&pin-value={pin}")
    };
    for name in ["p256", "p384", "rsa"] {
        let signer = open(&of(&format!("object={name}"), "1234"), &none).unwrap();
        let text = std::fs::read(keys().join(format!("{name}.pub"))).unwrap();
        let public = PublicKey::from_pem(&text).unwrap();
        assert_eq!(signer.public_key(), &public);
        for message in [&b"one"[..], b"", &[7; 10_000]] {
            let signature = signer.sign(message).await.unwrap();
            public.verify(message, &signature).unwrap();
        }
    }
    let cosigns = |name: &str| match name {
        "COSIGN_PKCS11_MODULE_PATH" => Some(module.clone()),
        "COSIGN_PKCS11_PIN" => Some("1234".to_owned()),
        _ => None,
    };
    let signer = open("pkcs11:token=reseal%20token;id=%01", &cosigns).unwrap();
    assert!(signer.sign(b"x").await.is_ok());
    for (reference, part) in [
        (of("object=nothing", "1234"), "no private key of this name"),
        (of("object=ed25519", "1234"), ""),
        (
            format!("pkcs11:token=other;object=p256?module-path={module}"),
            "no token fits; there are: `reseal token`",
        ),
    ] {
        let error = open(&reference, &none).err().unwrap();
        assert!(error.to_string().contains(part), "{error}");
    }
    // Sessions of a process share one login, which the ones above have; it ends with the last of them.
    drop(signer);
    let error = open(&of("object=p256", "9999"), &none).err().unwrap();
    assert!(error.to_string().contains("the PIN is wrong"), "{error}");
    assert!(!error.to_string().contains("9999"), "{error}");
}
