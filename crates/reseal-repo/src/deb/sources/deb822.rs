//! The form with one paragraph for a set of sources.

use std::collections::BTreeMap;

use super::Raw;
use crate::deb::config::flag;
use crate::deb::fields::{self, Fields};
use crate::error::RepoError;

/// The fields that become options. Others mean nothing to apt.
const OPTIONS: [&str; 17] = [
    "Architectures",
    "Architectures-Add",
    "Architectures-Remove",
    "By-Hash",
    "Check-Date",
    "Check-Valid-Until",
    "Date-Max-Future",
    "Exclude",
    "Include",
    "InRelease-Path",
    "Languages",
    "Signed-By",
    "Snapshot",
    "Targets",
    "Trusted",
    "Valid-Until-Max",
    "Valid-Until-Min",
];

/// Reads a file.
pub(super) fn read(path: &str, bytes: &[u8]) -> Result<Vec<Raw>, RepoError> {
    let fail = |line: usize, why: &str| RepoError::Configuration {
        place: format!("{path}:{line}"),
        why: why.to_owned(),
    };
    let stanzas = fields::parse(bytes).map_err(|(line, why)| fail(line, why))?;
    let mut out = Vec::new();
    for stanza in &stanzas {
        let fail = |why: &str| fail(stanza.line, why);
        if stanza
            .get("Enabled")
            .is_some_and(|v| flag(v) == Some(false))
        {
            continue;
        }
        let types = needed(stanza, "Types").map_err(fail)?;
        if types.iter().any(|kind| kind != "deb" && kind != "deb-src") {
            return Err(fail("a source is of type `deb` or `deb-src`"));
        }
        if !types.iter().any(|kind| kind == "deb") {
            continue;
        }
        let uris = needed(stanza, "URIs").map_err(fail)?;
        let suites = needed(stanza, "Suites").map_err(fail)?;
        let options: BTreeMap<String, String> = OPTIONS
            .iter()
            .filter_map(|name| Some((name.to_ascii_lowercase(), stanza.get(name)?.to_owned())))
            .collect();
        for uri in &uris {
            for suite in &suites {
                out.push(Raw {
                    place: format!("{path}:{}", stanza.line),
                    uri: uri.clone(),
                    suite: suite.clone(),
                    components: stanza.words("Components"),
                    options: options.clone(),
                });
            }
        }
    }
    Ok(out)
}

fn needed(stanza: &Fields, name: &'static str) -> Result<Vec<String>, &'static str> {
    let words = stanza.words(name);
    if words.is_empty() {
        return Err(match name {
            "Types" => "the field `Types` is missing",
            "URIs" => "the field `URIs` is missing",
            _ => "the field `Suites` is missing",
        });
    }
    Ok(words)
}
