//! Which login goes to which address.

use reqwest::Url;

use crate::settings::Login;

/// Returns the first login for an address. One without a scheme never goes over an unencrypted connection, one without a port goes
/// to every port of its machine, as `apt_auth.conf(5)` has it.
pub(super) fn find<'a>(logins: &'a [Login], url: &Url) -> Option<&'a Login> {
    logins.iter().find(|login| {
        let scheme = login.scheme.as_deref().unwrap_or("https");
        scheme == url.scheme() && host_fits(&login.host, url) && url.path().starts_with(&login.path)
    })
}

fn host_fits(host: &str, url: &Url) -> bool {
    let name = url.host_str().unwrap_or_default();
    let with_port = url
        .port_or_known_default()
        .map(|port| format!("{name}:{port}"));
    host.eq_ignore_ascii_case(name)
        || with_port.is_some_and(|text| host.eq_ignore_ascii_case(&text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use reseal_net::Secret;

    #[test]
    fn a_login_goes_to_its_own_server_only_and_not_in_the_clear() {
        let login = |scheme: Option<&str>, host: &str, path: &str| Login {
            scheme: scheme.map(str::to_owned),
            host: host.to_owned(),
            path: path.to_owned(),
            name: format!("{host}{path}"),
            password: Secret::new("x"),
        };
        let logins = [
            login(None, "a.example", "/private/"),
            login(Some("http"), "b.example", ""),
            login(None, "c.example:8443", ""),
        ];
        for (url, expected) in [
            ("https://a.example/private/x", Some("a.example/private/")),
            ("https://a.example/public/x", None),
            ("http://a.example/private/x", None),
            (
                "https://a.example:444/private/x",
                Some("a.example/private/"),
            ),
            ("https://c.example:444/x", None),
            ("https://sub.a.example/private/x", None),
            ("http://b.example/", Some("b.example")),
            ("https://b.example/", None),
            ("https://c.example:8443/x", Some("c.example:8443")),
            ("https://c.example/x", None),
        ] {
            let found = find(&logins, &Url::parse(url).unwrap());
            assert_eq!(found.map(|l| l.name.as_str()), expected, "{url}");
        }
    }
}
