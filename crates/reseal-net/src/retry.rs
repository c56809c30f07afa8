//! When a request is sent again.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::RETRY_AFTER;

use crate::tls_errors;

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(30);

/// Returns the pause after the failed try number `attempt` (from 0): it doubles, and half of it is left to chance so that jobs
/// which were refused together do not come back together.
pub fn back_off(attempt: u32) -> Duration {
    // A fresh hasher is randomly seeded: chance enough here, and no crate for it.
    with_jitter(attempt, RandomState::new().hash_one(attempt))
}

fn with_jitter(attempt: u32, random: u64) -> Duration {
    let full = FIRST_PAUSE
        .saturating_mul(1 << attempt.min(16))
        .min(LONGEST_BACK_OFF);
    let half = full / 2;
    let per_mille = u32::try_from(random % 1001).unwrap_or(0);
    half + half * per_mille / 1000
}

/// Reads `Retry-After`: seconds, or an HTTP date.
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or(Duration::ZERO))
}

/// How often a failed request is worth sending again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// Never: the same will fail in the same way.
    Never,
    /// Twice at most, unless the server was reached before: most often its name is wrong or nothing listens there, and somebody waits.
    Briefly,
    /// As often as the settings say.
    Often,
}

impl Again {
    /// Judges an exchange that brought no answer, or half of one.
    pub fn after(error: &reqwest::Error) -> Self {
        let final_in_tls = |cause: &rustls::Error| {
            matches!(
                cause,
                rustls::Error::InvalidCertificate(_) | rustls::Error::InvalidMessage(_)
            )
        };
        if error.is_builder() || tls_errors(error).any(final_in_tls) {
            Self::Never
        } else if error.is_connect() {
            Self::Briefly
        } else {
            Self::Often
        }
    }

    /// Returns how many tries may follow the first one; `most` by the settings, `reached`: the server has answered before.
    pub fn retries(self, most: u32, reached: bool) -> u32 {
        match self {
            Self::Never => 0,
            Self::Briefly if !reached => most.min(2),
            Self::Briefly | Self::Often => most,
        }
    }
}

/// Tells whether a request that was refused with this status may be accepted a moment later.
pub fn may_pass(status: u16) -> bool {
    matches!(status, 408 | 500 | 502 | 503 | 504)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound_and_vary_by_half() {
        for (attempt, low, high) in [
            (0, 250, 500),
            (1, 500, 1000),
            (3, 2000, 4000),
            (6, 15_000, 30_000),
            (40, 15_000, 30_000),
        ] {
            assert_eq!(with_jitter(attempt, 0), Duration::from_millis(low));
            assert_eq!(with_jitter(attempt, 1000), Duration::from_millis(high));
            let real = back_off(attempt);
            assert!(real >= Duration::from_millis(low) && real <= Duration::from_millis(high));
        }
    }

    #[test]
    fn a_server_that_was_never_reached_is_not_asked_for_long() {
        for (again, reached, retries) in [
            (Again::Never, true, 0),
            (Again::Briefly, false, 2),
            (Again::Briefly, true, 5),
            (Again::Often, false, 5),
        ] {
            assert_eq!(again.retries(5, reached), retries, "{again:?} {reached}");
        }
        assert_eq!(Again::Briefly.retries(1, false), 1);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777); // 1994-11-06 08:49:37
        for (text, expected) in [
            ("7", Some(7)),
            (" 0 ", Some(0)),
            ("Sun, 06 Nov 1994 08:50:07 GMT", Some(30)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("soon", None),
            ("-4", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            assert_eq!(
                retry_after(&headers, now),
                expected.map(Duration::from_secs),
                "{text}"
            );
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
