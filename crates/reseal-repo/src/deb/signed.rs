//! Who signed a release file, and whether it is still, and already, valid.

use std::collections::BTreeMap;

use super::release::{ReleaseFile, show_time};
use super::settings::AptSettings;
use super::sources::{SignedBy, Source};
use crate::error::RepoError;
use crate::openpgp::{ClearSigned, Encoding, Keyring, Signer, verify_clear, verify_detached};

/// apt's default for clocks that differ.
const MAX_FUTURE: i64 = 10;

/// A release file whose text counts.
pub(super) struct Accepted {
    pub(super) text: Vec<u8>,
    /// None if the source is trusted without signature.
    pub(super) signers: Vec<Signer>,
    pub(super) warning: Option<String>,
}

/// Returns the keys that may sign for a source.
pub(super) fn keyring(source: &Source, files: &BTreeMap<String, Vec<u8>>) -> Keyring {
    let mut ring = Keyring::default();
    match &source.signed_by {
        SignedBy::Embedded(text) => ring.add(&source.place, text.as_bytes(), Encoding::Armored),
        SignedBy::Named { keyrings, .. } if !keyrings.is_empty() => {
            for path in keyrings {
                let inside = path.trim_start_matches('/');
                match files.get(inside).or_else(|| files.get(path)) {
                    Some(bytes) => ring.add(path, bytes, encoding(path)),
                    None => ring.missing(path),
                }
            }
        }
        SignedBy::Named { .. } | SignedBy::Trusted => {
            for (path, bytes) in files {
                let path = path.trim_start_matches('/');
                let extension = path.rsplit_once('.').map_or("", |(_, extension)| extension);
                let trusted = path == "etc/apt/trusted.gpg"
                    || path.starts_with("etc/apt/trusted.gpg.d/")
                        && matches!(extension, "gpg" | "asc");
                if trusted {
                    ring.add(path, bytes, encoding(path));
                }
            }
        }
    }
    ring
}

fn encoding(path: &str) -> Encoding {
    match path.rsplit_once('.') {
        Some((_, "asc")) => Encoding::Armored,
        _ => Encoding::Binary,
    }
}

/// Accepts a clear-signed file, or an unsigned one from a source that is trusted anyway.
pub(super) fn accept_inline(
    what: &str,
    bytes: &[u8],
    source: &Source,
    keyring: &Keyring,
    now: i64,
) -> Result<Accepted, RepoError> {
    let split = ClearSigned::split(bytes).map_err(|why| RepoError::untrusted(what, why))?;
    let Some(split) = split else {
        return decide(
            what,
            source,
            bytes.to_vec(),
            Err("it is not signed".to_owned()),
        );
    };
    match verify_clear(&split, keyring, now) {
        Ok((text, signers)) => decide(what, source, text, Ok(signers)),
        Err(why) => decide(what, source, split.signed, Err(why)),
    }
}

/// Accepts a file with its signature in another one.
pub(super) fn accept_detached(
    what: &str,
    bytes: Vec<u8>,
    signature: Option<&[u8]>,
    source: &Source,
    keyring: &Keyring,
    now: i64,
) -> Result<Accepted, RepoError> {
    let verdict = match signature {
        Some(signature) => verify_detached(&bytes, signature, keyring, now),
        None => {
            Err("there is neither `InRelease` nor `Release.gpg`, so it is not signed".to_owned())
        }
    };
    decide(what, source, bytes, verdict)
}

fn decide(
    what: &str,
    source: &Source,
    text: Vec<u8>,
    verdict: Result<Vec<Signer>, String>,
) -> Result<Accepted, RepoError> {
    let place = &source.place;
    if source.trusted == Some(false) {
        return Err(RepoError::untrusted(
            what,
            format!("{place} says that it is not to be trusted"),
        ));
    }
    let verdict = verdict.and_then(|signers| allowed(source, signers));
    match verdict {
        Ok(signers) => Ok(Accepted {
            text,
            signers,
            warning: None,
        }),
        Err(why) if source.trusted == Some(true) => Ok(Accepted {
            text,
            signers: Vec::new(),
            warning: Some(format!(
                "{what} is used only because {place} says that it is trusted: {why}"
            )),
        }),
        Err(why) => Err(RepoError::untrusted(what, why)),
    }
}

/// Keeps the signers that the source names, if it names any by fingerprint.
fn allowed(source: &Source, signers: Vec<Signer>) -> Result<Vec<Signer>, String> {
    let SignedBy::Named { fingerprints, .. } = &source.signed_by else {
        return Ok(signers);
    };
    if fingerprints.is_empty() {
        return Ok(signers);
    }
    let (named, others): (Vec<_>, Vec<_>) = signers.into_iter().partition(|signer| {
        fingerprints
            .iter()
            .any(|print| match print.strip_suffix('!') {
                Some(exact) => exact == signer.key,
                None => *print == signer.certificate || *print == signer.key,
            })
    });
    if named.is_empty() {
        let others: Vec<_> = others.into_iter().map(|signer| signer.key).collect();
        return Err(format!(
            "it is signed by {}, but only {} may",
            others.join(", "),
            fingerprints.join(", ")
        ));
    }
    Ok(named)
}

/// Checks that now is between the dates of a release file, as the image's settings and the source's options bend them.
pub(super) fn check_dates(
    what: &str,
    file: &ReleaseFile,
    source: &Source,
    settings: &AptSettings,
    allow_expired: bool,
    now: i64,
) -> Result<(), RepoError> {
    let label = &file.label;
    let check_date = source
        .check_date
        .or_else(|| settings.flag("Acquire::Check-Date"))
        .unwrap_or(true);
    let future = source
        .date_max_future
        .or_else(|| settings.seconds("Acquire::Max-FutureTime", label))
        .unwrap_or(MAX_FUTURE);
    if check_date
        && let Some(date) = file.date
        && date > now.saturating_add(future)
    {
        return Err(RepoError::NotYetValid {
            what: what.to_owned(),
            when: show_time(date),
        });
    }
    let check = source
        .check_valid_until
        .or_else(|| settings.flag("Acquire::Check-Valid-Until"))
        .unwrap_or(true);
    if !check || allow_expired {
        return Ok(());
    }
    let limit = |own: Option<i64>, name: &str| {
        own.or_else(|| settings.seconds(name, label))
            .filter(|seconds| *seconds > 0)
    };
    let least = limit(source.valid_until_min, "Acquire::Min-ValidTime");
    let most = limit(source.valid_until_max, "Acquire::Max-ValidTime");
    let mut until = file.valid_until;
    if let Some(date) = file.date {
        if let (Some(least), Some(given)) = (least, until) {
            until = Some(given.max(date.saturating_add(least)));
        }
        if let Some(most) = most {
            let end = date.saturating_add(most);
            until = Some(until.map_or(end, |given| given.min(end)));
        }
    }
    match until {
        Some(until) if until < now => Err(RepoError::Expired {
            what: what.to_owned(),
            when: show_time(until),
        }),
        _ => Ok(()),
    }
}
