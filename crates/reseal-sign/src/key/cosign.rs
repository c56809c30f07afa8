//! cosign's key files: PKCS#8 in `NaCl`'s secretbox, under a key that scrypt makes of a password.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crypto_secretbox::aead::Aead as _;
use crypto_secretbox::{KeyInit as _, XSalsa20Poly1305};
use reseal_registry::Secret;
use serde::{Deserialize, Serialize};

use super::file::private_key;
use super::{FileKey, KeyError, Password, PublicKey, pem};

/// What a file is written with; cosign 2 and 3 do the same.
const COST: u64 = 65_536;
/// The most that is worked through, in time and in memory (1 GiB).
const COST_LIMIT: u64 = 1 << 20;
const BLOCK: u32 = 8;
const PARALLEL: u32 = 1;

/// The two files of a key.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyFiles {
    /// `cosign.key`: PEM, encrypted. It has to be kept from others all the same.
    pub private: String,
    /// `cosign.pub`: PEM.
    pub public: String,
}

impl std::fmt::Debug for KeyFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyFiles")
            .field("public", &self.public)
            .finish_non_exhaustive()
    }
}

/// Makes a new ECDSA P-256 key, in the form that `cosign generate-key-pair` writes.
pub fn generate_key(password: &Secret) -> Result<KeyFiles, KeyError> {
    let key = FileKey::generate()?;
    write(&key.to_pkcs8()?, key.public(), password)
}

/// Writes an existing private key in the form that `cosign import-key-pair` writes. `old` opens the key if it is already
/// in cosign's form, so that this also changes a password.
pub fn import_key(text: &[u8], old: Password<'_>, password: &Secret) -> Result<KeyFiles, KeyError> {
    let pkcs8 = private_key(text, old)?;
    let key = FileKey::from_pkcs8(&pkcs8)?;
    write(&pkcs8, key.public(), password)
}

fn write(pkcs8: &[u8], public: &PublicKey, password: &Secret) -> Result<KeyFiles, KeyError> {
    let (mut salt, mut nonce) = ([0; 32], [0; 24]);
    for bytes in [&mut salt[..], &mut nonce[..]] {
        aws_lc_rs::rand::fill(bytes).map_err(|_| KeyError::Crypto {
            action: "get random bytes",
        })?;
    }
    Ok(KeyFiles {
        private: seal(pkcs8, COST, password, &salt, &nonce)?,
        public: public.to_pem(),
    })
}

// The order of the fields is that of cosign's files.
#[derive(Serialize, Deserialize)]
struct Sealed {
    kdf: Kdf,
    cipher: Cipher,
    ciphertext: String,
}

#[derive(Serialize, Deserialize)]
struct Kdf {
    name: String,
    params: Params,
    salt: String,
}

#[derive(Serialize, Deserialize)]
struct Params {
    #[serde(rename = "N")]
    cost: u64,
    #[serde(rename = "r")]
    block: u32,
    #[serde(rename = "p")]
    parallel: u32,
}

#[derive(Serialize, Deserialize)]
struct Cipher {
    name: String,
    nonce: String,
}

fn seal(
    pkcs8: &[u8],
    cost: u64,
    password: &Secret,
    salt: &[u8; 32],
    nonce: &[u8; 24],
) -> Result<String, KeyError> {
    let key = derive(cost, password, salt)?;
    let ciphertext = XSalsa20Poly1305::new(&key.into())
        .encrypt(nonce.into(), pkcs8)
        .map_err(|_| KeyError::Crypto {
            action: "encrypt the key",
        })?;
    let sealed = Sealed {
        kdf: Kdf {
            name: "scrypt".to_owned(),
            params: Params {
                cost,
                block: BLOCK,
                parallel: PARALLEL,
            },
            salt: STANDARD.encode(salt),
        },
        cipher: Cipher {
            name: "nacl/secretbox".to_owned(),
            nonce: STANDARD.encode(nonce),
        },
        ciphertext: STANDARD.encode(ciphertext),
    };
    let json = serde_json::to_vec(&sealed).expect("strings and numbers are always JSON");
    Ok(pem::write("ENCRYPTED SIGSTORE PRIVATE KEY", &json))
}

/// Opens the contents of a key file's PEM block.
pub(super) fn open(json: &[u8], password: Password<'_>) -> Result<Vec<u8>, KeyError> {
    let sealed: Sealed = serde_json::from_slice(json).map_err(|error| KeyError::Malformed {
        why: format!("it is not in the form of cosign's keys: {error}"),
    })?;
    let refused = |what: String| Err(KeyError::Parameters { what });
    if sealed.kdf.name != "scrypt" {
        return refused(format!("key derivation `{}`", sealed.kdf.name));
    }
    if sealed.cipher.name != "nacl/secretbox" {
        return refused(format!("cipher `{}`", sealed.cipher.name));
    }
    let Params {
        cost,
        block,
        parallel,
    } = sealed.kdf.params;
    if !cost.is_power_of_two() || !(2..=COST_LIMIT).contains(&cost) {
        return refused(format!("scrypt with N = {cost}"));
    }
    if block != BLOCK || parallel != PARALLEL {
        return refused(format!("scrypt with r = {block} and p = {parallel}"));
    }
    let decode = |name: &str, text: &str| {
        STANDARD.decode(text).map_err(|error| KeyError::Malformed {
            why: format!("its {name} is not base64: {error}"),
        })
    };
    let salt = decode("salt", &sealed.kdf.salt)?;
    let nonce: [u8; 24] = decode("nonce", &sealed.cipher.nonce)?
        .try_into()
        .map_err(|_| KeyError::Malformed {
            why: "its nonce has not 24 bytes".to_owned(),
        })?;
    let ciphertext = decode("ciphertext", &sealed.ciphertext)?;
    let key = derive(cost, &password()?, &salt)?;
    XSalsa20Poly1305::new(&key.into())
        .decrypt((&nonce).into(), ciphertext.as_slice())
        .map_err(|_| KeyError::WrongPassword)
}

fn derive(cost: u64, password: &Secret, salt: &[u8]) -> Result<[u8; 32], KeyError> {
    let failed = || KeyError::Crypto {
        action: "derive a key from the password",
    };
    let log = u8::try_from(cost.trailing_zeros()).map_err(|_| failed())?;
    let params = scrypt::Params::new(log, BLOCK, PARALLEL, 32).map_err(|_| failed())?;
    let mut key = [0; 32];
    scrypt::scrypt(password.expose().as_bytes(), salt, &params, &mut key).map_err(|_| failed())?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::load_key;

    fn sealed(cost: u64) -> String {
        let pkcs8 = FileKey::generate().unwrap().to_pkcs8().unwrap();
        seal(&pkcs8, cost, &Secret::new("pass"), &[1; 32], &[2; 24]).unwrap()
    }

    /// Opens a file whose JSON was changed.
    fn changed(change: &dyn Fn(&mut serde_json::Value)) -> Result<FileKey, KeyError> {
        let block = pem::blocks(&sealed(2)).remove(0);
        let mut json = serde_json::from_slice(&block.contents).unwrap();
        change(&mut json);
        let text = pem::write(&block.label, json.to_string().as_bytes());
        load_key(text.as_bytes(), &|| Ok(Secret::new("pass")))
    }

    #[test]
    fn files_of_older_versions_with_a_lower_cost_open() {
        for cost in [2, 32_768] {
            let text = sealed(cost).replace("SIGSTORE", "COSIGN");
            load_key(text.as_bytes(), &|| Ok(Secret::new("pass"))).unwrap();
        }
    }

    #[test]
    fn the_file_is_written_as_cosign_writes_it() {
        let block = pem::blocks(&sealed(2)).remove(0);
        assert_eq!(block.label, "ENCRYPTED SIGSTORE PRIVATE KEY");
        let text = String::from_utf8(block.contents).unwrap();
        let head = r#"{"kdf":{"name":"scrypt","params":{"N":2,"r":8,"p":1},"salt":"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="},"cipher":{"name":"nacl/secretbox","nonce":"AgICAgICAgICAgICAgICAgICAgICAgIC"},"ciphertext":""#;
        assert!(text.starts_with(head), "{text}");
    }

    #[test]
    fn parameters_that_nobody_writes_are_refused_before_the_password_is_asked_for() {
        let block = pem::blocks(&sealed(2)).remove(0);
        for (path, value, part) in [
            (
                "/kdf/params/N",
                serde_json::json!(1_u64 << 21),
                "N = 2097152",
            ),
            ("/kdf/params/N", serde_json::json!(65_535), "N = 65535"),
            ("/kdf/params/N", serde_json::json!(0), "N = 0"),
            ("/kdf/params/N", serde_json::json!(1), "N = 1"),
            (
                "/kdf/params/N",
                serde_json::json!(u64::MAX),
                "N = 18446744073709551615",
            ),
            ("/kdf/params/r", serde_json::json!(1_000_000), "r = 1000000"),
            ("/kdf/params/p", serde_json::json!(9), "p = 9"),
            ("/kdf/name", serde_json::json!("argon2"), "`argon2`"),
            ("/cipher/name", serde_json::json!("aes"), "`aes`"),
        ] {
            let mut json: serde_json::Value = serde_json::from_slice(&block.contents).unwrap();
            *json.pointer_mut(path).unwrap() = value;
            let text = pem::write(&block.label, json.to_string().as_bytes());
            let never =
                || -> Result<Secret, KeyError> { unreachable!("the file is refused first") };
            let error = load_key(text.as_bytes(), &never).unwrap_err();
            assert!(error.to_string().contains(part), "{error}");
        }
    }

    #[test]
    fn damaged_files_are_refused_and_a_changed_one_does_not_open() {
        let damaged: [&dyn Fn(&mut serde_json::Value); 4] = [
            &|json| json["cipher"]["nonce"] = "AAAA".into(),
            &|json| json["kdf"]["salt"] = "!".into(),
            &|json| json["ciphertext"] = 7.into(),
            &|json| *json = serde_json::json!([]),
        ];
        for change in damaged {
            assert!(matches!(changed(change), Err(KeyError::Malformed { .. })));
        }
        assert!(changed(&|_| ()).is_ok());
        assert!(matches!(
            changed(&|json| json["ciphertext"] = "AAAA".into()),
            Err(KeyError::WrongPassword)
        ));
    }
}
