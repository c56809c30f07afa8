//! Certificates that nobody signed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use serde_json::{Value, json};

use super::der::{expect, take, value};
use super::{Options, Reply};

const ECDSA_SHA256: &[u8] = &[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
const P256: &[u8] = &[
    0x30, 0x13, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1,
    7,
];

pub(super) fn certificate(options: &Options, body: &[u8]) -> Result<Reply, String> {
    let request: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let token = request["credentials"]["oidcIdentityToken"]
        .as_str()
        .ok_or("no token")?;
    if token.split('.').count() != 3 {
        return Err("There was an error processing the identity token".to_owned());
    }
    let pem = STANDARD
        .decode(
            request["certificateSigningRequest"]
                .as_str()
                .ok_or("no request")?,
        )
        .map_err(|error| error.to_string())?;
    let mut spki = proved(&pem)?;
    if options.other_key {
        let last = spki.len() - 1;
        spki[last] ^= 1;
    }
    let leaf = pem_of(&leaf(options, &spki));
    let root = pem_of(&value(0x30, &[]));
    Ok(Reply::json(
        200,
        &json!({"signedCertificateEmbeddedSct": {"chain": {"certificates": [leaf, root]}}}),
    ))
}

/// Returns the key of a request whose signature proves it.
fn proved(pem: &[u8]) -> Result<Vec<u8>, String> {
    let text = std::str::from_utf8(pem).map_err(|error| error.to_string())?;
    let body = text
        .strip_prefix("-----BEGIN CERTIFICATE REQUEST-----\n")
        .and_then(|rest| rest.strip_suffix("-----END CERTIFICATE REQUEST-----\n"))
        .ok_or("not a request in PEM")?;
    let der = STANDARD
        .decode(body.replace('\n', ""))
        .map_err(|error| error.to_string())?;
    let mut all = der.as_slice();
    let mut request = expect(&mut all, 0x30)?;
    let (_, mut info, signed) = take(&mut request)?;
    if expect(&mut request, 0x30)? != ECDSA_SHA256 {
        return Err("another algorithm".to_owned());
    }
    let signature = expect(&mut request, 3)?;
    if expect(&mut info, 2)? != [0] || !expect(&mut info, 0x30)?.is_empty() {
        return Err("a version or a name".to_owned());
    }
    let (_, mut key, spki) = take(&mut info)?;
    expect(&mut info, 0xa0)?;
    let (_, _, algorithm) = take(&mut key)?;
    let point = expect(&mut key, 3)?;
    if algorithm != P256 || !all.is_empty() || !info.is_empty() {
        return Err("another kind of key".to_owned());
    }
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &point[1..])
        .verify(signed, &signature[1..])
        .map_err(|_| "The signature supplied in the request could not be verified".to_owned())?;
    Ok(spki.to_vec())
}

fn leaf(options: &Options, spki: &[u8]) -> Vec<u8> {
    let algorithm = value(0x30, &[ECDSA_SHA256]);
    let name = value(0x30, &[]);
    let (from, until) = &options.validity;
    let validity = value(
        0x30,
        &[
            &value(0x18, &[from.as_bytes()]),
            &value(0x18, &[until.as_bytes()]),
        ],
    );
    // subjectAltName, with a URI
    let identity = value(0x30, &[&value(0x86, &[options.identity.as_bytes()])]);
    let extension = value(
        0x30,
        &[
            &[6, 3, 0x55, 0x1d, 0x11],
            &[1, 1, 0xff],
            &value(4, &[&identity]),
        ],
    );
    let extensions = value(0xa3, &[&value(0x30, &[&extension])]);
    let signed = value(
        0x30,
        &[
            &value(0xa0, &[&[2, 1, 2]]),
            &[2, 1, 7],
            &algorithm,
            &name,
            &validity,
            &name,
            spki,
            &extensions,
        ],
    );
    value(0x30, &[&signed, &algorithm, &value(3, &[&[0, 0]])])
}

fn pem_of(der: &[u8]) -> String {
    format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        STANDARD.encode(der)
    )
}
