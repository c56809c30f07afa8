//! Reads docker's `config.json` and podman's `auth.json`, which share one shape.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;

use super::{Credential, CredentialError};
use reseal_net::Secret;

/// Some tools leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

#[derive(Debug)]
pub(super) struct ConfigFile {
    pub(super) name: String,
    pub(super) logins: BTreeMap<String, Credential>,
    pub(super) helpers: BTreeMap<String, String>,
    pub(super) store: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    auths: Option<BTreeMap<String, Option<WireLogin>>>,
    cred_helpers: Option<BTreeMap<String, String>>,
    creds_store: Option<String>,
}

#[derive(Deserialize)]
struct WireLogin {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
    registrytoken: Option<String>,
}

pub(super) fn parse(name: &str, bytes: &[u8]) -> Result<ConfigFile, CredentialError> {
    let malformed = |why: String| CredentialError::Malformed {
        source_name: name.to_owned(),
        why,
    };
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let wire: Wire = serde_json::from_slice(bytes).map_err(|error| {
        // The parser's own words can quote a value, and a value can be a password.
        let kind = match error.classify() {
            serde_json::error::Category::Data => "a field of an unexpected type",
            serde_json::error::Category::Eof => "the JSON ends too early",
            serde_json::error::Category::Syntax | serde_json::error::Category::Io => {
                "no valid JSON"
            }
        };
        malformed(format!(
            "{kind} at line {}, column {}",
            error.line(),
            error.column()
        ))
    })?;
    let mut logins = BTreeMap::new();
    for (key, login) in wire.auths.unwrap_or_default() {
        let Some(login) = login else { continue };
        let source = format!("{name} (entry `{key}`)");
        let found = login
            .into_credential(source)
            .map_err(|why| malformed(format!("entry `{key}` {why}")))?;
        if let Some(credential) = found {
            logins.insert(normal_key(&key), credential);
        }
    }
    let helpers = wire
        .cred_helpers
        .unwrap_or_default()
        .into_iter()
        .filter(|(_, helper)| !helper.is_empty());
    Ok(ConfigFile {
        name: name.to_owned(),
        logins,
        helpers: helpers
            .map(|(key, helper)| (normal_key(&key), helper))
            .collect(),
        store: wire.creds_store.filter(|helper| !helper.is_empty()),
    })
}

impl WireLogin {
    fn into_credential(self, source: String) -> Result<Option<Credential>, &'static str> {
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let (mut username, mut password) = (
            given(self.username).unwrap_or_default(),
            given(self.password),
        );
        if let Some(auth) = given(self.auth) {
            let (user, secret) = decode(&auth)?;
            username = user;
            password = Some(secret)
                .filter(|secret| !secret.is_empty())
                .or(password);
        }
        let (secret, identity_token, registry_token) = match (
            given(self.identitytoken),
            given(self.registrytoken),
            password,
        ) {
            (Some(token), _, _) => (token, true, false),
            (None, Some(token), _) => (token, false, true),
            (None, None, Some(password)) => (password, false, false),
            // `"host": {}` only says that the login is in the credential store.
            (None, None, None) => return Ok(None),
        };
        Ok(Some(Credential {
            username,
            secret: Secret::new(secret),
            identity_token,
            registry_token,
            source,
        }))
    }
}

fn decode(auth: &str) -> Result<(String, String), &'static str> {
    let compact: String = auth.chars().filter(|c| !c.is_whitespace()).collect();
    let bytes = BASE64
        .decode(compact)
        .map_err(|_| "has an `auth` that is not base64")?;
    let text = String::from_utf8(bytes).map_err(|_| "has an `auth` that is not UTF-8")?;
    let (user, secret) = text
        .split_once(':')
        .ok_or("has an `auth` without a colon")?;
    Ok((user.to_owned(), secret.trim_end_matches('\0').to_owned()))
}

/// Brings the many spellings of a registry to one: no scheme, no slash at the end, no API version, one name for Docker Hub.
pub(super) fn normal_key(key: &str) -> String {
    let bare = key
        .trim()
        .trim_start_matches("https://")
        .trim_start_matches("http://")
        .trim_matches('/');
    let bare = bare
        .strip_suffix("/v1")
        .or_else(|| bare.strip_suffix("/v2"))
        .unwrap_or(bare);
    let (host, path) = bare
        .split_once('/')
        .map_or((bare, None), |(host, path)| (host, Some(path)));
    let host = host.to_ascii_lowercase();
    let host = match host.as_str() {
        "index.docker.io" | "registry-1.docker.io" | "registry.hub.docker.com" => {
            "docker.io".to_owned()
        }
        _ => host,
    };
    path.map_or_else(|| host.clone(), |path| format!("{host}/{path}"))
}
