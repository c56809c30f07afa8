//! Reads `WWW-Authenticate` (RFC 9110, section 11.6.1).

use std::collections::BTreeMap;

use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};

/// How a registry wants to be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Challenge {
    Basic,
    Bearer {
        realm: String,
        service: Option<String>,
        scope: Option<String>,
    },
}

/// Picks the challenge to answer: Bearer before Basic, others are passed over.
pub(crate) fn read(headers: &HeaderMap) -> Option<Challenge> {
    let all: Vec<(String, BTreeMap<String, String>)> = headers
        .get_all(WWW_AUTHENTICATE)
        .iter()
        .filter_map(|value| std::str::from_utf8(value.as_bytes()).ok())
        .flat_map(parse)
        .collect();
    let bearer = all.iter().find_map(|(scheme, parameters)| {
        let realm = parameters.get("realm").filter(|realm| !realm.is_empty())?;
        scheme
            .eq_ignore_ascii_case("bearer")
            .then(|| Challenge::Bearer {
                realm: realm.clone(),
                service: parameters.get("service").cloned(),
                scope: parameters.get("scope").cloned(),
            })
    });
    bearer.or_else(|| {
        all.iter()
            .any(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"))
            .then_some(Challenge::Basic)
    })
}

/// Splits a header into schemes with their parameters. A word without `=` starts a new scheme.
fn parse(text: &str) -> Vec<(String, BTreeMap<String, String>)> {
    let mut found: Vec<(String, BTreeMap<String, String>)> = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let end = rest.find([' ', '\t', ',', '=']).unwrap_or(rest.len());
        let (word, tail) = rest.split_at(end);
        if word.is_empty() {
            // The end, or a stray `=`: nothing behind it can be trusted.
            return found;
        }
        if let Some(value) = tail.trim_start_matches([' ', '\t']).strip_prefix('=')
            && let Some((_, parameters)) = found.last_mut()
        {
            let (value, tail) = value_of(value.trim_start_matches([' ', '\t']));
            parameters.entry(word.to_ascii_lowercase()).or_insert(value);
            rest = tail;
        } else {
            found.push((word.to_owned(), BTreeMap::new()));
            rest = tail;
        }
    }
}

/// Reads a token or a quoted string; what is behind it comes back too.
fn value_of(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            _ => value.push(c),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        let own = |text: Option<&str>| text.map(str::to_owned);
        Challenge::Bearer {
            realm: realm.into(),
            service: own(service),
            scope: own(scope),
        }
    }

    #[test]
    fn challenges_are_read_in_every_spelling() {
        let table: [(&[&str], Option<Challenge>); 11] = [
            (
                &[
                    r#"Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull,push""#,
                ],
                Some(bearer(
                    "https://auth.example/token",
                    Some("registry.example"),
                    Some("repository:a/b:pull,push"),
                )),
            ),
            (
                &[r#"bearer REALM = "https://a/t" , Service=x"#],
                Some(bearer("https://a/t", Some("x"), None)),
            ),
            (
                &["Bearer realm=https://a/t"],
                Some(bearer("https://a/t", None, None)),
            ),
            (
                &[r#"Bearer realm="a\"b\\c""#],
                Some(bearer(r#"a"b\c"#, None, None)),
            ),
            (&[r#"Basic realm="x""#], Some(Challenge::Basic)),
            (&["Basic"], Some(Challenge::Basic)),
            (
                &[r#"Basic realm="x", Bearer realm="https://a/t",service="s""#],
                Some(bearer("https://a/t", Some("s"), None)),
            ),
            (
                &[r#"Basic realm="x""#, r#"Bearer realm="https://a/t""#],
                Some(bearer("https://a/t", None, None)),
            ),
            (&["Bearer"], None),
            (&["Negotiate abc=="], None),
            (&["=,=\"\\"], None),
        ];
        for (values, expected) in table {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(WWW_AUTHENTICATE, value.parse().unwrap());
            }
            assert_eq!(read(&headers), expected, "{values:?}");
        }
    }

    #[test]
    fn no_header_makes_the_parser_hang_or_panic() {
        for text in [
            "\"",
            "a=\"",
            "a \"b",
            ",,,",
            "é=\"ü\\",
            "Bearer realm=\"x",
            "a=b=c,d",
        ] {
            parse(text);
        }
    }
}
