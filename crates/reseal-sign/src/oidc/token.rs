//! JSON web tokens, as far as their holder reads them. Whether one is genuine is for Fulcio to say.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reseal_registry::Secret;
use serde_json::{Number, Value};

use super::TokenError;

/// How far clocks may be apart, in seconds.
pub(crate) const CLOCK_LEEWAY: i64 = 300;

/// What a token says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claims {
    /// `iss`
    pub issuer: String,
    /// `sub`
    pub subject: String,
    /// `aud`, one or more.
    pub audience: Vec<String>,
    /// `exp`, in seconds of Unix time.
    pub expires: Option<i64>,
    /// `iat`, in seconds of Unix time.
    pub issued: Option<i64>,
}

/// A token. It prints as stars.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityToken {
    secret: Secret,
    claims: Claims,
    place: String,
}

impl IdentityToken {
    /// Reads a token that came from a place, which is named in messages.
    pub fn parse(text: &str, place: &str) -> Result<Self, TokenError> {
        let malformed = |why| TokenError::Malformed {
            place: place.to_owned(),
            why,
        };
        let text = text.trim();
        let mut parts = text.split('.');
        let (Some(_), Some(payload), Some(_), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(malformed("it has not three parts"));
        };
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(malformed("there is white space in it"));
        }
        let payload = URL_SAFE_NO_PAD
            .decode(payload.trim_end_matches('='))
            .map_err(|_| malformed("its second part is not base64"))?;
        let value: Value = serde_json::from_slice(&payload)
            .map_err(|_| malformed("its second part is not JSON"))?;
        let text_of = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        let audience = match &value["aud"] {
            Value::String(one) => vec![one.clone()],
            Value::Array(many) => many
                .iter()
                .filter_map(|one| one.as_str().map(str::to_owned))
                .collect(),
            _ => Vec::new(),
        };
        let seconds = |name: &str| value[name].as_number().and_then(seconds);
        Ok(Self {
            secret: Secret::new(text),
            claims: Claims {
                issuer: text_of("iss"),
                subject: text_of("sub"),
                audience,
                expires: seconds("exp"),
                issued: seconds("iat"),
            },
            place: place.to_owned(),
        })
    }

    /// Returns what it says.
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// Returns where it came from.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Returns the token itself.
    pub fn secret(&self) -> &Secret {
        &self.secret
    }

    /// Checks its times against a clock, in seconds of Unix time.
    pub fn check_time(&self, now: i64) -> Result<(), TokenError> {
        if let Some(issued) = self.claims.issued.filter(|at| *at > now + CLOCK_LEEWAY) {
            return Err(TokenError::ClockBehind {
                seconds: issued - now,
            });
        }
        if let Some(expires) = self.claims.expires.filter(|at| *at <= now) {
            return Err(TokenError::Expired {
                place: self.place.clone(),
                seconds: now - expires,
            });
        }
        Ok(())
    }
}

/// Some issuers write seconds with a fraction.
fn seconds(number: &Number) -> Option<i64> {
    let whole = number.to_string();
    number
        .as_i64()
        .or_else(|| whole.split_once('.')?.0.parse().ok())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A token that nobody signed.
    pub(crate) fn unsigned(claims: &Value) -> String {
        format!(
            "{}.{}.{}",
            URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256"}"#),
            URL_SAFE_NO_PAD.encode(claims.to_string()),
            URL_SAFE_NO_PAD.encode("signature")
        )
    }

    #[test]
    fn claims_are_read_in_every_form() {
        let text = unsigned(&serde_json::json!({
            "iss": "https://issuer.example", "sub": "repo:a/b", "aud": ["x", "sigstore"], "exp": 1_700_000_600.5, "iat": 1_700_000_000
        }));
        let token = IdentityToken::parse(&format!("{text}\n"), "the test").unwrap();
        assert_eq!(
            token.claims(),
            &Claims {
                issuer: "https://issuer.example".into(),
                subject: "repo:a/b".into(),
                audience: vec!["x".into(), "sigstore".into()],
                expires: Some(1_700_000_600),
                issued: Some(1_700_000_000),
            }
        );
        assert_eq!(token.secret().expose(), text);
        assert!(!format!("{token:?}").contains(&text));
        let one = IdentityToken::parse(&unsigned(&serde_json::json!({"aud": "y"})), "").unwrap();
        assert_eq!(one.claims().audience, ["y"]);
    }

    #[test]
    fn what_is_no_token_is_refused_and_not_shown() {
        for (text, part) in [
            ("", "three parts"),
            ("secret", "three parts"),
            ("a.secret.c.d", "three parts"),
            ("a.se cret.c", "white space"),
            ("a.!secret!.c", "not base64"),
            ("a.c2VjcmV0.c", "not JSON"),
        ] {
            let error = IdentityToken::parse(text, "the test")
                .unwrap_err()
                .to_string();
            assert!(error.contains(part), "{text}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn times_are_held_against_the_clock() {
        let token = |exp: i64, iat: i64| {
            IdentityToken::parse(&unsigned(&serde_json::json!({"exp": exp, "iat": iat})), "x")
                .unwrap()
        };
        let now = 1_700_000_000;
        assert!(token(now + 600, now).check_time(now).is_ok());
        assert!(token(now + 600, now + CLOCK_LEEWAY).check_time(now).is_ok());
        assert!(matches!(
            token(now - 7, now - 600).check_time(now),
            Err(TokenError::Expired { seconds: 7, .. })
        ));
        assert!(matches!(
            token(now + 4200, now + 3600).check_time(now),
            Err(TokenError::ClockBehind { seconds: 3600 })
        ));
        assert!(
            IdentityToken::parse(&unsigned(&serde_json::json!({})), "x")
                .unwrap()
                .check_time(now)
                .is_ok()
        );
    }
}
