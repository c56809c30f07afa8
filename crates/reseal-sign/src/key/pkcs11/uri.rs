//! `pkcs11:` URIs (RFC 7512), as far as they name one key.

use reseal_registry::Secret;

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Uri {
    pub(super) token: Option<String>,
    pub(super) serial: Option<String>,
    pub(super) slot: Option<u64>,
    pub(super) object: Option<String>,
    pub(super) id: Option<Vec<u8>>,
    pub(super) module: Option<String>,
    pub(super) pin: Option<Secret>,
    pub(super) pin_file: Option<String>,
}

impl Uri {
    /// Reads a URI. No error holds its text, which may hold a PIN.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let rest = text
            .strip_prefix("pkcs11:")
            .ok_or("it does not begin with `pkcs11:`")?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut uri = Self::default();
        let parts = path.split(';').chain(query.split('&'));
        for part in parts.filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').ok_or("a part of it has no `=`")?;
            let bytes = decode(value).ok_or_else(|| format!("`{name}` is not well escaped"))?;
            if name == "id" {
                uri.id = Some(bytes);
                continue;
            }
            let value = String::from_utf8(bytes).map_err(|_| format!("`{name}` is not text"))?;
            match name {
                "token" => uri.token = Some(value),
                "serial" => uri.serial = Some(value),
                "object" => uri.object = Some(value),
                "slot-id" => {
                    let number = value.parse().map_err(|_| "`slot-id` is no number")?;
                    uri.slot = Some(number);
                }
                "module-path" => uri.module = Some(value),
                "pin-value" => uri.pin = Some(Secret::new(value)),
                "pin-source" => {
                    let path = value.strip_prefix("file:").unwrap_or(&value);
                    uri.pin_file = Some(path.strip_prefix("//").unwrap_or(path).to_owned());
                }
                // They narrow down what the others name well enough.
                "type"
                | "manufacturer"
                | "model"
                | "module-name"
                | "library-manufacturer"
                | "library-description"
                | "library-version"
                | "slot-manufacturer"
                | "slot-description" => {}
                _ => return Err(format!("`{name}` is unknown")),
            }
        }
        if uri.object.is_none() && uri.id.is_none() {
            return Err("add `object=` or `id=`".to_owned());
        }
        Ok(uri)
    }
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
            let value = digit(bytes.next())? * 16 + digit(bytes.next())?;
            out.push(u8::try_from(value).ok()?);
        } else {
            out.push(byte);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_names_token_key_module_and_pin() {
        let uri = Uri::parse("pkcs11:token=My%20Token;object=k;id=%01%ff;slot-id=7;type=private?module-path=/lib/x.so&pin-value=12%3b4").unwrap();
        assert_eq!(
            uri,
            Uri {
                token: Some("My Token".into()),
                object: Some("k".into()),
                id: Some(vec![1, 0xff]),
                slot: Some(7),
                module: Some("/lib/x.so".into()),
                pin: Some(Secret::new("12;4")),
                ..Uri::default()
            }
        );
        let file = Uri::parse("pkcs11:object=k?pin-source=file:///run/pin").unwrap();
        assert_eq!(file.pin_file.as_deref(), Some("/run/pin"));
    }

    #[test]
    fn other_uris_are_refused_without_showing_a_pin() {
        for (text, part) in [
            ("pkcs11:token=t?pin-value=9876", "add `object=`"),
            (
                "pkcs11:object=a%2?pin-value=9876",
                "`object` is not well escaped",
            ),
            ("pkcs11:object=%ff?pin-value=9876", "`object` is not text"),
            ("pkcs11:object=k;slot-id=x?pin-value=9876", "no number"),
            (
                "pkcs11:object=k;color=red?pin-value=9876",
                "`color` is unknown",
            ),
            ("pkcs11:object=k?pin-value", "has no `=`"),
            ("object=k", "does not begin"),
        ] {
            let why = Uri::parse(text).unwrap_err();
            assert!(why.contains(part), "{text}: {why}");
            assert!(!why.contains("9876"), "{why}");
        }
    }
}
