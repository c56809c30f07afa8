//! Timestamps that nobody signed.

use super::der::{expect, value};
use super::{Asked, Reply};

pub(super) fn timestamp(asked: &Asked) -> Result<Reply, String> {
    if asked.header("content-type") != Some("application/timestamp-query") {
        return Ok(Reply::refuse(415, "not a query"));
    }
    let mut all = asked.body.as_slice();
    let mut query = expect(&mut all, 0x30)?;
    if expect(&mut query, 2)? != [1] {
        return Err("another version".to_owned());
    }
    let mut imprint = expect(&mut query, 0x30)?;
    let algorithm = expect(&mut imprint, 0x30)?;
    let digest = expect(&mut imprint, 4)?;
    let nonce = expect(&mut query, 2)?;
    if digest.len() != 32 || expect(&mut query, 1)? != [0xff] || !query.is_empty() {
        return Err("not a query over SHA-256 that wants the certificate".to_owned());
    }
    let oid: &[u8] = &[6, 2, 0x2a, 3];
    let info = value(
        0x30,
        &[
            &[2, 1, 1],
            oid,
            &value(0x30, &[&value(0x30, &[algorithm]), &value(4, &[digest])]),
            &[2, 1, 9],
            &value(0x18, &[b"20250615120001Z"]),
            &value(2, &[nonce]),
        ],
    );
    let inner = value(0x30, &[oid, &value(0xa0, &[&value(4, &[&info])])]);
    let signed = value(0x30, &[&[2, 1, 3], &value(0x31, &[]), &inner]);
    let content = value(0x30, &[oid, &value(0xa0, &[&signed])]);
    let answer = value(0x30, &[&value(0x30, &[&[2, 1, 0]]), &content]);
    Ok(Reply {
        status: 200,
        headers: vec![(
            "content-type".to_owned(),
            "application/timestamp-reply".to_owned(),
        )],
        body: answer,
    })
}
