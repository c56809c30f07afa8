//! Times for configurations: they say when the content was made, not when this program ran.

use jiff::Timestamp;

/// Returns seconds since 1970 as RFC 3339 in UTC; times out of range become 1970.
pub(crate) fn from_epoch(seconds: i64) -> String {
    Timestamp::from_second(seconds)
        .unwrap_or(Timestamp::UNIX_EPOCH)
        .to_string()
}

/// Returns the later of the base's time and `epoch`: a layer cannot be older than what it lies on.
pub(crate) fn at_least(base: Option<&str>, epoch: i64) -> String {
    let epoch = Timestamp::from_second(epoch).unwrap_or(Timestamp::UNIX_EPOCH);
    let base = base.and_then(|text| text.parse::<Timestamp>().ok());
    base.map_or(epoch, |base| base.max(epoch)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_is_not_older_than_its_base() {
        assert_eq!(
            at_least(Some("2024-05-01T10:00:00.5Z"), 0),
            "2024-05-01T10:00:00.5Z"
        );
        assert_eq!(
            at_least(Some("2001-01-01T00:00:00Z"), 1_700_000_000),
            "2023-11-14T22:13:20Z"
        );
    }

    #[test]
    fn a_base_without_a_readable_time_does_not_matter() {
        assert_eq!(at_least(Some("yesterday"), 0), "1970-01-01T00:00:00Z");
        assert_eq!(from_epoch(i64::MAX), "1970-01-01T00:00:00Z");
    }
}
