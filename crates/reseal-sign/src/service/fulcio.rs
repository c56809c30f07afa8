//! Certificates for keys that live as long as a run (Fulcio's API, version 2).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;
use serde::Deserialize;
use serde_json::json;
use sigstore_types::DerCertificate;

use super::error::{ServiceError, ServiceName};
use super::http::{Ask, Http, below, shown};
use crate::key::der::{self, oid};
use crate::key::{FileKey, KeyError, pem};
use crate::oidc::IdentityToken;

/// A certificate and what it hangs on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The certificate, DER.
    pub leaf: Vec<u8>,
    /// Its issuers up to the root, DER.
    pub chain: Vec<Vec<u8>>,
    /// From when it counts, in seconds of Unix time.
    pub not_before: i64,
    /// Until when it counts, in seconds of Unix time.
    pub not_after: i64,
    /// The identity in it.
    pub identity: Option<String>,
}

impl Certificate {
    /// Returns the certificate as PEM.
    pub fn leaf_pem(&self) -> String {
        pem::write("CERTIFICATE", &self.leaf)
    }

    /// Returns its issuers as PEM, root last.
    pub fn chain_pem(&self) -> String {
        self.chain
            .iter()
            .map(|certificate| pem::write("CERTIFICATE", certificate))
            .collect()
    }
}

/// What a Fulcio says about the tokens that it takes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
pub struct Issuer {
    /// The issuer, exactly.
    pub issuer_url: String,
    /// Or a pattern in which `*` stands for a part of a name.
    pub wildcard_issuer_url: String,
    /// The audience that a token must have.
    pub audience: String,
}

impl Issuer {
    /// Tells whether it stands for an issuer.
    pub fn matches(&self, issuer: &str) -> bool {
        if self.issuer_url == issuer && !issuer.is_empty() {
            return true;
        }
        let mut parts = self.wildcard_issuer_url.split('*');
        let Some(mut rest) = parts.next().and_then(|head| issuer.strip_prefix(head)) else {
            return false;
        };
        if self.wildcard_issuer_url.is_empty() {
            return false;
        }
        for part in parts {
            let end = rest
                .find(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_')
                .unwrap_or(rest.len());
            // What a star stands for may hold the text after it too, so that every end is tried, the longest first.
            let Some(after) = (0..=end)
                .rev()
                .find_map(|cut| rest.get(cut..)?.strip_prefix(part))
            else {
                return false;
            };
            rest = after;
        }
        rest.is_empty()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Issued {
    signed_certificate_embedded_sct: Option<Signed>,
    signed_certificate_detached_sct: Option<Signed>,
}

#[derive(Deserialize)]
struct Signed {
    chain: Chain,
}

#[derive(Deserialize)]
struct Chain {
    certificates: Vec<String>,
}

/// Gets a certificate for a key.
///
/// The proof that the key is ours is a signed request (PKCS#10) and not the signature over a claim of the token, of which
/// only the issuer's settings say which claim it has to be.
pub async fn certificate(
    http: &Http,
    fulcio: &Url,
    token: &IdentityToken,
    key: &FileKey,
) -> Result<Certificate, crate::SignError> {
    let url = below(fulcio, "api/v2/signingCert");
    let request = pem::write("CERTIFICATE REQUEST", &signing_request(key)?);
    let body = json!({
        "credentials": {"oidcIdentityToken": token.secret().expose()},
        "certificateSigningRequest": STANDARD.encode(request),
    })
    .to_string();
    let ask = Ask {
        service: ServiceName::Fulcio,
        url: &url,
        also: &[],
    };
    let answer = http
        .send(&ask, |client| {
            client
                .post(url.clone())
                .header("content-type", "application/json")
                .body(body.clone())
        })
        .await?;
    Ok(read(&answer.body, key).map_err(|why| ServiceError::Answer {
        service: ServiceName::Fulcio,
        address: shown(&url),
        why,
    })?)
}

/// Asks which tokens are taken. For messages: none is an answer too.
pub(crate) async fn issuers(http: &Http, fulcio: &Url) -> Vec<Issuer> {
    #[derive(Deserialize)]
    struct Configuration {
        #[serde(default)]
        issuers: Vec<Issuer>,
    }
    let url = below(fulcio, "api/v2/configuration");
    let ask = Ask {
        service: ServiceName::Fulcio,
        url: &url,
        also: &[],
    };
    match http.send(&ask, |client| client.get(url.clone())).await {
        Ok(answer) => serde_json::from_slice::<Configuration>(&answer.body)
            .map(|configuration| configuration.issuers)
            .unwrap_or_default(),
        Err(error) => {
            tracing::debug!(%error, "Fulcio does not say which tokens it takes");
            Vec::new()
        }
    }
}

/// A request for a certificate (RFC 2986) without a name: Fulcio takes the name from the token.
fn signing_request(key: &FileKey) -> Result<Vec<u8>, KeyError> {
    let info = der::value(
        der::SEQUENCE,
        &[
            &der::unsigned(&[0]),
            &der::value(der::SEQUENCE, &[]),
            key.public().spki(),
            &der::value(der::CONTEXT_0, &[]),
        ],
    );
    let signature = key.sign_message(&info)?;
    let algorithm = der::value(
        der::SEQUENCE,
        &[&der::value(der::OID, &[oid::ECDSA_WITH_SHA256])],
    );
    Ok(der::value(
        der::SEQUENCE,
        &[&info, &algorithm, &der::bits(&signature)],
    ))
}

fn read(body: &[u8], key: &FileKey) -> Result<Certificate, String> {
    let issued: Issued = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let Some(signed) = issued.signed_certificate_embedded_sct else {
        return Err(if issued.signed_certificate_detached_sct.is_some() {
            "the certificate does not hold the promise of a certificate log (SCT), which verifiers want; connect Fulcio to one".to_owned()
        } else {
            "it holds no certificate".to_owned()
        });
    };
    let mut certificates = Vec::new();
    for text in &signed.chain.certificates {
        certificates.extend(
            pem::blocks(text)
                .into_iter()
                .filter(|block| block.label == "CERTIFICATE")
                .map(|block| block.contents),
        );
    }
    if certificates.is_empty() {
        return Err("it holds no certificate".to_owned());
    }
    let leaf = certificates.remove(0);
    let info = sigstore_crypto::parse_certificate_info(&DerCertificate::new(leaf.clone()))
        .map_err(|error| format!("its certificate cannot be read: {error}"))?;
    if info.public_key.as_bytes() != key.public().spki() {
        return Err("its certificate is for another key".to_owned());
    }
    Ok(Certificate {
        leaf,
        chain: certificates,
        not_before: info.not_before.as_second(),
        not_after: info.not_after.as_second(),
        identity: info.identity.map(|identity| identity.as_str().to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::PublicKey;

    #[test]
    fn a_request_for_a_certificate_proves_the_key() {
        let key = FileKey::generate().unwrap();
        let request = signing_request(&key).unwrap();
        let mut outer = der::Reader::new(&request).enter(der::SEQUENCE).unwrap();
        let info = outer.take(der::SEQUENCE).unwrap();
        let mut algorithm = outer.enter(der::SEQUENCE).unwrap();
        assert_eq!(algorithm.take(der::OID), Some(oid::ECDSA_WITH_SHA256));
        let signature = outer.take(der::BIT_STRING).unwrap();
        assert!(outer.is_empty());
        let signed = der::value(der::SEQUENCE, &[info]);
        key.public().verify(&signed, &signature[1..]).unwrap();
        let mut info = der::Reader::new(info);
        assert_eq!(info.take(der::INTEGER), Some(&[0][..]));
        assert_eq!(info.take(der::SEQUENCE), Some(&[][..]));
        let spki = der::value(der::SEQUENCE, &[info.take(der::SEQUENCE).unwrap()]);
        assert_eq!(&PublicKey::from_spki(spki).unwrap(), key.public());
    }

    #[test]
    fn a_star_stands_for_one_part_of_a_name() {
        let issuer = |exact: &str, pattern: &str| Issuer {
            issuer_url: exact.to_owned(),
            wildcard_issuer_url: pattern.to_owned(),
            audience: String::new(),
        };
        for (known, text, expected) in [
            (issuer("https://a.example", ""), "https://a.example", true),
            (
                issuer("https://a.example", ""),
                "https://a.example/x",
                false,
            ),
            (
                issuer("", "https://*.example/id/*"),
                "https://eu-1.example/id/AB_1",
                true,
            ),
            (
                issuer("", "https://*.example/id/*"),
                "https://a.b.example/id/x",
                false,
            ),
            (
                issuer("", "https://*.example/id/*"),
                "https://a.example/id/x/y",
                false,
            ),
            (
                issuer("", "https://*.example/id/*"),
                "https://evil.test/.example/id/x",
                false,
            ),
            (
                issuer("", "https://oidc.example/*-x"),
                "https://oidc.example/a-x-x",
                true,
            ),
            (issuer("", ""), "", false),
        ] {
            assert_eq!(known.matches(text), expected, "{known:?} {text}");
        }
    }

    #[test]
    fn answers_without_a_usable_certificate_say_what_is_missing() {
        let key = FileKey::generate().unwrap();
        for (body, part) in [
            ("{}", "holds no certificate"),
            (
                r#"{"signedCertificateEmbeddedSct":{"chain":{"certificates":[]}}}"#,
                "holds no certificate",
            ),
            (
                r#"{"signedCertificateDetachedSct":{"chain":{"certificates":["x"]}}}"#,
                "(SCT)",
            ),
            (
                r#"{"signedCertificateEmbeddedSct":{"chain":{"certificates":["-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"]}}}"#,
                "cannot be read",
            ),
            ("no json", "expected"),
        ] {
            let why = read(body.as_bytes(), &key).unwrap_err();
            assert!(why.contains(part), "{body}: {why}");
        }
    }
}
