//! This machine, by its very name.

use std::net::IpAddr;

/// Tells whether `host[:port]` is this machine by its very name.
pub fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => host.split(':').next().unwrap_or(host),
    };
    name == "localhost"
        || name.ends_with(".localhost")
        || name
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::is_loopback;

    #[test]
    fn only_this_machine_is_loopback() {
        for (host, expected) in [
            ("127.0.0.1", true),
            ("127.0.0.1:3000", true),
            ("[::1]", true),
            ("[::1]:3000", true),
            ("localhost", true),
            ("x.localhost:1", true),
            ("127.0.0.1.example", false),
            ("fulcio.example", false),
            ("", false),
        ] {
            assert_eq!(is_loopback(host), expected, "{host}");
        }
    }
}
