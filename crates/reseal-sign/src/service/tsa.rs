//! Signed timestamps (RFC 3161).

use reqwest::Url;
use sha2::{Digest as _, Sha256};

use super::error::{ServiceError, ServiceName, one_line};
use super::http::{Ask, Http, shown};
use crate::key::der::{self, Reader, oid};

/// Gets a timestamp over bytes (their SHA-256). The answer is kept whole, as bundles and annotations hold it.
pub async fn timestamp(http: &Http, tsa: &Url, bytes: &[u8]) -> Result<Vec<u8>, ServiceError> {
    let unusable = |why: String| ServiceError::Answer {
        service: ServiceName::Timestamp,
        address: shown(tsa),
        why,
    };
    let imprint: [u8; 32] = Sha256::digest(bytes).into();
    let mut nonce = [0; 8];
    aws_lc_rs::rand::fill(&mut nonce)
        .map_err(|_| unusable("no random bytes are to be had".to_owned()))?;
    let query = request(&imprint, nonce);
    let ask = Ask {
        service: ServiceName::Timestamp,
        url: tsa,
        also: &[],
    };
    let answer = http
        .send(&ask, |client| {
            client
                .post(tsa.clone())
                .header("content-type", "application/timestamp-query")
                .header("accept", "application/timestamp-reply")
                .body(query.clone())
        })
        .await?;
    check(&answer.body, &imprint, nonce).map_err(unusable)?;
    Ok(answer.body)
}

fn request(imprint: &[u8; 32], nonce: [u8; 8]) -> Vec<u8> {
    let algorithm = der::value(
        der::SEQUENCE,
        &[
            &der::value(der::OID, &[oid::SHA256]),
            &der::value(der::NULL, &[]),
        ],
    );
    der::value(
        der::SEQUENCE,
        &[
            &der::unsigned(&[1]),
            &der::value(
                der::SEQUENCE,
                &[&algorithm, &der::value(der::OCTET_STRING, &[imprint])],
            ),
            &der::unsigned(&nonce),
            // The certificate comes along, so that a verifier needs the root alone.
            &der::value(der::BOOLEAN, &[&[0xff]]),
        ],
    )
}

/// Tells whether an answer is a granted timestamp over what was asked for. Its signature is the verifier's business.
fn check(answer: &[u8], imprint: &[u8; 32], nonce: [u8; 8]) -> Result<(), String> {
    let mut outer = Reader::new(answer)
        .enter(der::SEQUENCE)
        .ok_or("it is no timestamp answer")?;
    let mut status = outer.enter(der::SEQUENCE).ok_or("it has no status")?;
    match status.take(der::INTEGER).ok_or("it has no status")? {
        [0 | 1] => {}
        code => {
            let words = status
                .enter(der::SEQUENCE)
                .and_then(|mut texts| texts.next())
                .and_then(|(_, text)| one_line(&String::from_utf8_lossy(text)))
                .unwrap_or_default();
            return Err(format!("it was not granted (status {code:?}) {words}")
                .trim_end()
                .to_owned());
        }
    }
    let info = token_info(outer).ok_or("its token cannot be read")?;
    let (found, echoed) = parse_info(info).ok_or("its token cannot be read")?;
    if found != imprint {
        return Err("it is over something else".to_owned());
    }
    let digits = |bytes: &[u8]| -> Vec<u8> {
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        bytes[zeros..].to_vec()
    };
    if echoed.map(digits) != Some(digits(&nonce)) {
        return Err("it answers another question (the nonce differs)".to_owned());
    }
    Ok(())
}

/// Finds the `TSTInfo` in the signed data.
fn token_info(mut response: Reader<'_>) -> Option<&[u8]> {
    let mut content = response.enter(der::SEQUENCE)?;
    content.take(der::OID)?;
    let mut signed = content.enter(der::CONTEXT_0)?.enter(der::SEQUENCE)?;
    signed.take(der::INTEGER)?;
    signed.take(der::SET)?;
    let mut inner = signed.enter(der::SEQUENCE)?;
    inner.take(der::OID)?;
    inner.enter(der::CONTEXT_0)?.take(der::OCTET_STRING)
}

/// Returns the imprint and the nonce.
fn parse_info(info: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let mut info = Reader::new(info).enter(der::SEQUENCE)?;
    info.take(der::INTEGER)?;
    info.take(der::OID)?;
    let mut imprint = info.enter(der::SEQUENCE)?;
    imprint.take(der::SEQUENCE)?;
    let imprint = imprint.take(der::OCTET_STRING)?;
    info.take(der::INTEGER)?;
    info.take(der::GENERALIZED_TIME)?;
    let mut nonce = None;
    while let Some((tag, contents)) = info.next() {
        if tag == der::INTEGER {
            nonce = Some(contents);
        }
    }
    Some((imprint, nonce))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: [u8; 8] = [0, 0x80, 1, 2, 3, 4, 5, 6];

    fn answer(status: u8, imprint: &[u8], nonce: &[u8]) -> Vec<u8> {
        let oid = der::value(der::OID, &[&[0x2a, 3]]);
        let info = der::value(
            der::SEQUENCE,
            &[
                &der::unsigned(&[1]),
                &oid,
                &der::value(
                    der::SEQUENCE,
                    &[
                        &der::value(der::SEQUENCE, &[&oid]),
                        &der::value(der::OCTET_STRING, &[imprint]),
                    ],
                ),
                &der::unsigned(&[9]),
                &der::value(der::GENERALIZED_TIME, &[b"20250101000000Z"]),
                &der::value(der::SEQUENCE, &[&der::unsigned(&[1])]),
                &der::unsigned(nonce),
            ],
        );
        let inner = der::value(
            der::SEQUENCE,
            &[
                &oid,
                &der::value(der::CONTEXT_0, &[&der::value(der::OCTET_STRING, &[&info])]),
            ],
        );
        let signed = der::value(
            der::SEQUENCE,
            &[&der::unsigned(&[3]), &der::value(der::SET, &[]), &inner],
        );
        let content = der::value(
            der::SEQUENCE,
            &[&oid, &der::value(der::CONTEXT_0, &[&signed])],
        );
        let text = der::value(der::SEQUENCE, &[&der::value(0x0c, &[b"no  such policy"])]);
        let status = der::value(der::SEQUENCE, &[&der::unsigned(&[status]), &text]);
        der::value(der::SEQUENCE, &[&status, &content])
    }

    #[test]
    fn the_request_has_the_imprint_and_wants_the_certificate() {
        let bytes = request(&[7; 32], NONCE);
        let mut expected = vec![0x30, 67, 2, 1, 1, 0x30, 49, 0x30, 13, 6, 9];
        expected.extend(oid::SHA256);
        expected.extend([5, 0, 4, 32]);
        expected.extend([7; 32]);
        expected.extend([2, 8, 0, 0x80, 1, 2, 3, 4, 5, 6, 1, 1, 0xff]);
        assert_eq!(bytes, expected);
    }

    #[test]
    fn a_granted_answer_to_our_question_is_taken() {
        for status in [0, 1] {
            check(&answer(status, &[7; 32], &NONCE), &[7; 32], NONCE).unwrap();
        }
    }

    #[test]
    fn other_answers_are_refused() {
        let good = answer(0, &[7; 32], &NONCE);
        for (bytes, part) in [
            (
                answer(2, &[7; 32], &NONCE),
                "not granted (status [2]) no such policy",
            ),
            (answer(0, &[8; 32], &NONCE), "over something else"),
            (answer(0, &[7; 32], &[1]), "nonce differs"),
            (good[..good.len() - 1].to_vec(), "no timestamp answer"),
            (b"<html>".to_vec(), "no timestamp answer"),
            (Vec::new(), "no timestamp answer"),
        ] {
            let why = check(&bytes, &[7; 32], NONCE).unwrap_err();
            assert!(why.contains(part), "{why}");
        }
    }
}
