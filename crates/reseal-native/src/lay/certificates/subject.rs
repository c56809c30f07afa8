//! What `openssl rehash` reads in a file: one certificate, and the number that its subject's name gives.

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use sha1::{Digest, Sha1};
use x509_cert::Certificate;
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::der::{self, Any, Decode, Encode, Header, Tag, Tagged};
use x509_cert::name::Name;

/// What every block of PEM begins with, and the one that counts here.
const BEGIN: &[u8] = b"-----BEGIN ";
const BEGIN_CERTIFICATE: &[u8] = b"-----BEGIN CERTIFICATE-----";
const END: &[u8] = b"-----END ";
/// Longest line of a block; OpenSSL has rules of its own for longer ones.
const LINE_LIMIT: usize = 76;

/// A file that holds one certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Single {
    /// What links to it are named by.
    pub(super) hash: u32,
    /// The certificate itself.
    pub(super) der: Vec<u8>,
}

/// Reads a file; `None` for one with no certificate or with several, which gets no link.
///
/// # Errors
///
/// What may be read in another way by OpenSSL.
pub(super) fn single(bytes: &[u8]) -> Result<Option<Single>, &'static str> {
    let lines = || {
        bytes
            .split(|byte| *byte == b'\n')
            .map(<[u8]>::trim_ascii_end)
    };
    let begins: Vec<&[u8]> = lines().filter(|line| line.starts_with(BEGIN)).collect();
    if begins.iter().any(|line| *line != BEGIN_CERTIFICATE) {
        return Err("it holds something else than certificates");
    }
    if begins.len() != 1 {
        return Ok(None);
    }
    let mut body = lines()
        .skip_while(|line| !line.starts_with(BEGIN))
        .skip(1)
        .take_while(|line| !line.starts_with(END));
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    if body.any(|line| line.is_empty() || line.len() > LINE_LIMIT || !line.iter().all(plain)) {
        return Err("its certificate is not written as usual");
    }
    let mut found = CertificateDer::pem_slice_iter(bytes);
    let (Some(Ok(der)), None) = (found.next(), found.next()) else {
        return Err("its certificate cannot be read");
    };
    let hash = Certificate::from_der(&der)
        .and_then(|certificate| name_hash(&certificate.tbs_certificate.subject))
        .map_err(|_| "its certificate cannot be read")?;
    Ok(Some(Single {
        hash,
        der: der.to_vec(),
    }))
}

/// Returns what OpenSSL makes of a name (`X509_NAME_hash`): the first four bytes, the lowest first, of the SHA-1 of its
/// canonical form.
fn name_hash(name: &Name) -> der::Result<u32> {
    let mut hasher = Sha1::new();
    for part in &name.0 {
        let mut attributes: Vec<Vec<u8>> = part
            .0
            .iter()
            .map(|attribute| {
                AttributeTypeAndValue {
                    oid: attribute.oid,
                    value: canonical(&attribute.value)?,
                }
                .to_der()
            })
            .collect::<der::Result<_>>()?;
        attributes.sort_unstable();
        let body = attributes.concat();
        hasher.update(Header::new(Tag::Set, body.len())?.to_der()?);
        hasher.update(&body);
    }
    let [a, b, c, d, ..] = <[u8; 20]>::from(hasher.finalize());
    Ok(u32::from_le_bytes([a, b, c, d]))
}

/// Text becomes UTF-8 in lower case (that of ASCII) with single spaces; all else stays.
fn canonical(value: &Any) -> der::Result<Any> {
    let bytes = value.value();
    let wrong = || der::Error::from(der::ErrorKind::Value { tag: value.tag() });
    let text: String = match value.tag() {
        Tag::Utf8String => String::from_utf8(bytes.to_vec()).map_err(|_| wrong())?,
        Tag::PrintableString | Tag::TeletexString | Tag::Ia5String | Tag::VisibleString => {
            bytes.iter().copied().map(char::from).collect()
        }
        Tag::BmpString => {
            let pairs = bytes.chunks(2).map(|pair| match pair {
                [high, low] => {
                    char::from_u32(u32::from(u16::from_be_bytes([*high, *low]))).ok_or_else(wrong)
                }
                _ => Err(wrong()),
            });
            pairs.collect::<der::Result<_>>()?
        }
        _ => return Ok(value.clone()),
    };
    let space = |c: char| matches!(c, ' ' | '\t'..='\r');
    let words: Vec<&str> = text.split(space).filter(|word| !word.is_empty()).collect();
    Any::new(
        Tag::Utf8String,
        words.join(" ").to_ascii_lowercase().into_bytes(),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Certificates with what `openssl x509 -subject_hash` says of them.
    const SINGLE: [(&[u8], u32); 5] = [
        (certificate!("isrg-root-x2"), 0x0b9b_c432),
        // Blanks around and within a name, and a letter that is none of ASCII.
        (certificate!("spaces"), 0x62cd_d50e),
        // Three attributes in one part, and others in two.
        (certificate!("multi"), 0xfff3_7f1f),
        // The same name in two old encodings.
        (certificate!("t61"), 0xb281_b1be),
        (certificate!("bmp"), 0xb281_b1be),
    ];

    #[test]
    fn a_subject_gives_the_number_that_openssl_gives() {
        for (bytes, hash) in SINGLE {
            let found = single(bytes).unwrap().unwrap();
            assert_eq!(found.hash, hash, "{:08x}", found.hash);
        }
        let [(first, _), (second, _), ..] = SINGLE;
        let text = [b"A line before.\n", first].concat();
        let windows = String::from_utf8_lossy(first).replace('\n', "\r\n");
        assert_eq!(single(&text), single(first));
        assert_eq!(single(windows.as_bytes()), single(first));
        for other in [&[first, second].concat()[..], b"", b"hello\n", b"\xff\xfe"] {
            assert_eq!(single(other), Ok(None));
        }
    }

    #[test]
    fn what_openssl_may_read_otherwise_is_refused() {
        let text = String::from_utf8_lossy(SINGLE[0].0);
        let lines: Vec<&str> = text.lines().collect();
        let joined = |lines: &[&str]| lines.join("\n");
        let (begin, end) = (lines[0], lines[lines.len() - 1]);
        let body = &lines[1..lines.len() - 1];
        for bad in [
            text.replace("CERTIFICATE", "TRUSTED CERTIFICATE"),
            text.replace("CERTIFICATE", "X509 CRL"),
            format!("{text}-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
            joined(&lines[..lines.len() - 1]),
            joined(&[begin, &body.concat(), end]),
            joined(&[&[begin, "Proc-Type: 4", ""], body, &[end]].concat()),
            joined(&[&[begin], &body[1..], &[end]].concat()),
            joined(&[begin, "AAAA", end]),
            joined(&[begin, end]),
        ] {
            assert!(single(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_certificate_or_none_or_an_error(
            which in 0..SINGLE.len(),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        ) {
            let pem = SINGLE[which].0;
            let mut bytes = pem.to_vec();
            let mut der = single(pem).unwrap().unwrap().der;
            for (at, byte) in changes {
                let place = at.index(bytes.len());
                bytes[place] = byte;
                let place = at.index(der.len());
                der[place] = byte;
            }
            let _ = single(&bytes);
            if let Ok(certificate) = Certificate::from_der(&der) {
                let _ = name_hash(&certificate.tbs_certificate.subject);
            }
        }
    }
}
