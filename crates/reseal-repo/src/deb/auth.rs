//! Logins for package sources (`apt_auth.conf(5)`).

use std::collections::BTreeMap;

use super::config::fragments;
use crate::error::RepoError;
use crate::settings::Login;
use reseal_net::Secret;

/// Reads `auth.conf` and `auth.conf.d/*.conf`, of the image or of the user: paths are those below the root of either.
pub fn read_auth(files: &BTreeMap<String, Vec<u8>>) -> Result<Vec<Login>, RepoError> {
    let main = files
        .get("etc/apt/auth.conf")
        .or_else(|| files.get("/etc/apt/auth.conf"))
        .map(|bytes| ("etc/apt/auth.conf", bytes.as_slice()));
    let mut out = Vec::new();
    let parts = fragments(files, "etc/apt/auth.conf.d/", &["conf"], false);
    for (path, bytes) in main.into_iter().chain(parts) {
        out.extend(read_logins(path, bytes)?);
    }
    Ok(out)
}

/// Reads one file of logins, in the form of `auth.conf`, which is that of `.netrc`; `place` is what errors call it.
pub fn read_logins(place: &str, bytes: &[u8]) -> Result<Vec<Login>, RepoError> {
    parse(&String::from_utf8_lossy(bytes)).map_err(|why| RepoError::Configuration {
        place: place.to_owned(),
        why: why.to_owned(),
    })
}

fn parse(text: &str) -> Result<Vec<Login>, &'static str> {
    let mut words = text
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .flat_map(str::split_whitespace);
    let mut out: Vec<Login> = Vec::new();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or("it ends in the middle of a login");
        match word {
            "machine" => out.push(machine(value()?)),
            "login" | "account" | "password" => {
                let value = value()?;
                let login = out.last_mut().ok_or("a login comes before any `machine`")?;
                match word {
                    "login" => value.clone_into(&mut login.name),
                    "password" => login.password = Secret::new(value),
                    _ => {}
                }
            }
            // The login that a .netrc has for all other machines is for none here: apt knows no such word.
            "default" => out.push(machine("")),
            // Unknown words are passed over, as apt_auth.conf(5) has it.
            _ => {}
        }
    }
    Ok(out)
}

fn machine(text: &str) -> Login {
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (Some(scheme.to_ascii_lowercase()), rest),
        None => (None, text),
    };
    let (host, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    Login {
        scheme,
        host: host.to_owned(),
        path: path.to_owned(),
        name: String::new(),
        password: Secret::new(""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_are_read_in_order_and_their_passwords_not_shown() {
        let files = BTreeMap::from([
            (
                "etc/apt/auth.conf".to_owned(),
                b"# comment\nmachine a.example:8443/private login me password s3cret\nmachine b.example\n  login you\n  password t0p\n".to_vec(),
            ),
            (
                "etc/apt/auth.conf.d/more.conf".to_owned(),
                b"machine http://c.example/x login c password c".to_vec(),
            ),
            ("etc/apt/auth.conf.d/more.save".to_owned(), b"rubbish".to_vec()),
        ]);
        let logins = read_auth(&files).unwrap();
        let shown: Vec<String> = logins
            .iter()
            .map(|l| {
                format!(
                    "{:?} {}{} {} {}",
                    l.scheme,
                    l.host,
                    l.path,
                    l.name,
                    l.password.expose()
                )
            })
            .collect();
        assert_eq!(
            shown,
            [
                "None a.example:8443/private me s3cret",
                "None b.example you t0p",
                "Some(\"http\") c.example/x c c",
            ]
        );
        assert!(!format!("{logins:?}").contains("s3cret"));
        let other = b"machine x port 1 login me default login you password s3cret".to_vec();
        let files = BTreeMap::from([("etc/apt/auth.conf".to_owned(), other)]);
        let logins = read_auth(&files).unwrap();
        assert_eq!(
            (logins[0].host.as_str(), logins[0].name.as_str()),
            ("x", "me")
        );
        assert_eq!(logins[1].host, "", "the default is no machine's");
        for bad in ["login x", "machine", "machine x login", "s3cret login"] {
            let files = BTreeMap::from([("etc/apt/auth.conf".to_owned(), bad.as_bytes().to_vec())]);
            let error = read_auth(&files).unwrap_err().to_string();
            assert!(!error.contains("s3cret"), "{error}");
        }
    }
}
