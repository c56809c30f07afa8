//! When and how long to wait before a request is sent again.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use crate::error::RepoError;
use crate::settings::HttpSettings;

/// A server that asks for a longer pause than this is not waited for.
const LONGEST_PAUSE: Duration = Duration::from_secs(120);
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(30);

/// Waits before the next try; `false` if there should be none.
pub(super) async fn pause(settings: &HttpSettings, error: &RepoError, attempt: u32) -> bool {
    if attempt >= settings.retries || !error.is_transient() {
        return false;
    }
    let wait = error.retry_after().unwrap_or_else(|| {
        // A fresh hasher is randomly seeded: chance enough here, and no crate for it.
        back_off(attempt, RandomState::new().hash_one(attempt))
    });
    if wait > LONGEST_PAUSE {
        return false;
    }
    tracing::debug!(%error, ?wait, "fetching again");
    settings.sleeper.sleep(wait).await;
    true
}

/// Doubles with every try; half of it is left to chance, so that jobs that were refused together do not come back together.
fn back_off(attempt: u32, random: u64) -> Duration {
    let full = FIRST_PAUSE
        .saturating_mul(1 << attempt.min(16))
        .min(LONGEST_BACK_OFF);
    let half = full / 2;
    let per_mille = u32::try_from(random % 1001).unwrap_or(0);
    half + half * per_mille / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound_and_vary_by_half() {
        for (attempt, low, high) in [(0, 250, 500), (3, 2000, 4000), (40, 15_000, 30_000)] {
            assert_eq!(back_off(attempt, 0), Duration::from_millis(low));
            assert_eq!(back_off(attempt, 1000), Duration::from_millis(high));
        }
    }
}
