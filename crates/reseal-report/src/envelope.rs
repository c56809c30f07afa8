//! Takes reports out of what signing tools wrap them in: DSSE envelopes, in-toto statements and the
//! vulnerability predicate of cosign.

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde_json::value::RawValue;

use crate::{
    Report, ReportError,
    document::{Document, Members, parse},
};

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// Decodes base64 of either alphabet, with or without padding.
pub(crate) fn decode_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD
        .decode(text)
        .or_else(|_| URL_SAFE.decode(text))
        .ok()
}

/// Returns the report in an envelope; `None`: the object is no envelope.
pub(crate) fn open<'a>(
    document: Document<'a>,
    members: &Members<'a>,
) -> Option<Result<Report, ReportError>> {
    if members.has("payloadtype")
        && let Some(payload) = members.get("payload")
    {
        return Some(signed(document, payload));
    }
    if members.has("predicatetype")
        && let Some(predicate) = members.get("predicate")
    {
        return Some(document.open(predicate));
    }
    let scanner = members.object("scanner");
    let result = scanner.get("result")?;
    Some(document.open(result).map(|mut report| {
        report.scanner_version = report.scanner_version.or_else(|| scanner.text("version"));
        report
    }))
}

fn signed<'a>(document: Document<'a>, payload: &'a RawValue) -> Result<Report, ReportError> {
    let text: String = document.read(payload.get())?;
    let bytes = decode_base64(&text).ok_or_else(|| ReportError::Malformed {
        path: "$.payload".to_owned(),
        offset: 0,
        why: "the payload is not base64".to_owned(),
    })?;
    parse(&bytes, document.depth_within()?).map_err(|error| match error {
        // The offset counts bytes of the decoded payload, so the path says which text it is in.
        ReportError::Malformed { path, offset, why } => ReportError::Malformed {
            path: path.replacen('$', "$.payload (decoded)", 1),
            offset,
            why,
        },
        other => other,
    })
}
