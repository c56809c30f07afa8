//! When and how long to wait before a request is sent again.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::error::RepoError;
use crate::settings::{Counters, HttpSettings};

/// A server that asks for a longer pause than this is not waited for.
const LONGEST_PAUSE: Duration = Duration::from_secs(120);

/// Waits before the next try; `false` if there should be none.
pub(super) async fn pause(
    settings: &HttpSettings,
    counters: &Counters,
    error: &RepoError,
    attempt: u32,
) -> bool {
    let reached = counters.bytes_in.load(Ordering::Relaxed) > 0;
    if attempt >= error.again().retries(settings.retries, reached) {
        return false;
    }
    let wait = error
        .retry_after()
        .unwrap_or_else(|| reseal_net::back_off(attempt));
    if wait > LONGEST_PAUSE {
        return false;
    }
    tracing::info!(%error, ?wait, "fetching again");
    settings.sleeper.sleep(wait).await;
    true
}
