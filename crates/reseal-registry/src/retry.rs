//! What a registry says about its limits, and how long it is waited for.

use std::time::Duration;

use reqwest::header::HeaderMap;

/// A server that asks for a longer pause than this is not waited for: the run fails at once and says how long it would be.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_secs(120);

/// Reads the quota headers that registries send, in words.
pub(crate) fn quota(headers: &HeaderMap) -> Option<String> {
    let mut parts = Vec::new();
    for (word, names) in [
        ("limit", ["ratelimit-limit", "x-ratelimit-limit"]),
        (
            "remaining",
            ["ratelimit-remaining", "x-ratelimit-remaining"],
        ),
        ("reset", ["ratelimit-reset", "x-ratelimit-reset"]),
    ] {
        let value = names
            .iter()
            .find_map(|name| headers.get(*name)?.to_str().ok());
        if let Some(value) = value.and_then(|value| crate::text::one_line(value, 60)) {
            parts.push(format!("{word} {value}"));
        }
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quota_headers_become_words() {
        let mut headers = HeaderMap::new();
        assert_eq!(quota(&headers), None);
        headers.insert("ratelimit-limit", "100;w=21600".parse().unwrap());
        headers.insert("x-ratelimit-remaining", "0".parse().unwrap());
        assert_eq!(
            quota(&headers).as_deref(),
            Some("limit 100;w=21600, remaining 0")
        );
    }
}
