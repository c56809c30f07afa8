//! Package sources (sources.list(5)) of an image.

mod deb822;
mod one_line;

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Url;

use super::config::{flag, fragments};
use crate::error::RepoError;
use crate::settings::Login;
use reseal_net::Secret;

/// All package sources of an image that are enabled and concern its architectures, in apt's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sources {
    /// One for each address, suite and set of options.
    pub entries: Vec<Source>,
    /// The architecture of the image.
    pub architecture: String,
}

/// Where packages come from, and who may sign for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The repository's root, with a slash at the end and without login.
    pub uri: String,
    /// The suite; one that ends in a slash is the path of a flat repository.
    pub suite: String,
    /// The components; none for a flat repository.
    pub components: Vec<String>,
    /// Those of the image's architectures that are taken from here, its own one first.
    pub architectures: Vec<String>,
    /// Who may sign.
    pub signed_by: SignedBy,
    /// `Trusted`: yes allows unsigned indexes, no trusts not even signed ones.
    pub trusted: Option<bool>,
    /// `By-Hash`.
    pub by_hash: Option<bool>,
    /// `Check-Valid-Until`.
    pub check_valid_until: Option<bool>,
    /// `Valid-Until-Min` in seconds.
    pub valid_until_min: Option<i64>,
    /// `Valid-Until-Max` in seconds.
    pub valid_until_max: Option<i64>,
    /// `Check-Date`.
    pub check_date: Option<bool>,
    /// `Date-Max-Future` in seconds.
    pub date_max_future: Option<i64>,
    /// `InRelease-Path`, from the folder of the release.
    pub inrelease_path: Option<String>,
    /// A login that was in the address.
    pub login: Option<Login>,
    /// File and line, for messages.
    pub place: String,
}

/// Who may sign a source's indexes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignedBy {
    /// Every key in `etc/apt/trusted.gpg` and `trusted.gpg.d`.
    Trusted,
    /// The keys of these keyrings, and if there are fingerprints, only those; without keyrings they are looked for among the
    /// trusted ones. A fingerprint with `!` at the end does not stand for its subkeys.
    Named {
        /// Absolute paths in the image.
        keyrings: Vec<String>,
        /// In upper-case hexadecimal digits.
        fingerprints: Vec<String>,
    },
    /// The keys in the source file itself.
    Embedded(String),
}

impl Source {
    /// Tells whether the repository has no suites and components.
    pub fn is_flat(&self) -> bool {
        self.suite.ends_with('/')
    }

    /// Returns the address of the folder that the release file is in, with a slash at the end.
    pub fn release_url(&self) -> String {
        if self.is_flat() {
            let path = self.suite.trim_start_matches("./").trim_start_matches('/');
            format!("{}{path}", self.uri)
        } else {
            format!("{}dists/{}/", self.uri, self.suite)
        }
    }

    /// Returns the host: what pins call the origin's site.
    pub fn site(&self) -> String {
        let url = Url::parse(&self.uri).ok();
        url.and_then(|url| url.host_str().map(str::to_owned))
            .unwrap_or_default()
    }
}

/// Reads the sources for an image of one architecture.
///
/// `files` are all files of `etc/apt`, by their path in the image. Sources that only apt can use (`cdrom:`, `mirror+…:`) are
/// an error of class [`crate::Class::Unsupported`]: without them, candidates would be missing.
pub fn read_sources(
    files: &BTreeMap<String, Vec<u8>>,
    architecture: &str,
) -> Result<Sources, RepoError> {
    read_sources_for(files, architecture, &[])
}

/// Reads the sources for an image that also takes packages of other architectures (`dpkg --add-architecture`).
pub fn read_sources_for(
    files: &BTreeMap<String, Vec<u8>>,
    architecture: &str,
    foreign: &[String],
) -> Result<Sources, RepoError> {
    let mut architectures = vec![architecture.to_owned()];
    architectures.extend(foreign.iter().filter(|name| *name != architecture).cloned());
    let mut entries = Vec::new();
    let main = files
        .get("etc/apt/sources.list")
        .or_else(|| files.get("/etc/apt/sources.list"))
        .map(|bytes| ("etc/apt/sources.list", bytes.as_slice()));
    let parts = fragments(
        files,
        "etc/apt/sources.list.d/",
        &["list", "sources"],
        false,
    );
    for (path, bytes) in main.into_iter().chain(parts) {
        let read = if path.ends_with(".sources") {
            deb822::read(path, bytes)?
        } else {
            one_line::read(path, bytes)?
        };
        for raw in read {
            entries.extend(raw.resolve(&architectures)?);
        }
    }
    agree(&entries)?;
    Ok(Sources {
        entries,
        architecture: architecture.to_owned(),
    })
}

/// As apt, insists on one answer to the question who may sign for a release.
fn agree(entries: &[Source]) -> Result<(), RepoError> {
    let mut seen: BTreeMap<String, &Source> = BTreeMap::new();
    for entry in entries {
        let first = seen.entry(entry.release_url()).or_insert(entry);
        for (name, same) in [
            ("Signed-By", first.signed_by == entry.signed_by),
            ("Trusted", first.trusted == entry.trusted),
        ] {
            if !same {
                return Err(RepoError::Configuration {
                    place: entry.place.clone(),
                    why: format!(
                        "its `{name}` differs from that for the same release in {}",
                        first.place
                    ),
                });
            }
        }
    }
    Ok(())
}

/// A source as it was written, in either form; names of options are those of the deb822 form in lower case.
#[derive(Default)]
struct Raw {
    place: String,
    uri: String,
    suite: String,
    components: Vec<String>,
    options: BTreeMap<String, String>,
}

impl Raw {
    /// Makes a source of it; `None` if it has nothing for these architectures.
    fn resolve(self, architectures: &[String]) -> Result<Option<Source>, RepoError> {
        let native = architectures.first().map_or("", String::as_str);
        let wrong = |why: &str| RepoError::Configuration {
            place: self.place.clone(),
            why: why.to_owned(),
        };
        let unsupported = |what: &str, why: &str| RepoError::Unsupported {
            what: format!("{what} in {}", self.place),
            why: why.to_owned(),
        };
        for (name, harmless) in [("snapshot", "no"), ("include", ""), ("exclude", "")] {
            if let Some(value) = self.options.get(name)
                && !value.eq_ignore_ascii_case(harmless)
            {
                return Err(unsupported(
                    &format!("the option `{name}`"),
                    "only apt knows what it leaves out",
                ));
            }
        }
        if let Some(targets) = self.options.get("targets")
            && !words(targets).contains(&"Packages")
        {
            return Err(unsupported(
                "the option `targets`",
                "it leaves out the packages themselves",
            ));
        }
        let uri = self.uri.replace("$(ARCH)", native);
        let suite = self.suite.replace("$(ARCH)", native);
        let (uri, login) = address(&uri).map_err(|problem| match problem {
            Address::Wrong(why) => wrong(&why),
            Address::Scheme(scheme) => unsupported(
                &format!("the source `{scheme}:`"),
                "only http and https are fetched",
            ),
        })?;
        if suite.is_empty() || suite.split('/').any(|part| part == "..") {
            return Err(wrong("it has no usable suite"));
        }
        if suite.ends_with('/') != self.components.is_empty() {
            return Err(wrong(
                "a suite needs components, and the path of a flat repository ends in `/` and has none",
            ));
        }
        let wanted = self.architectures(architectures);
        if wanted.is_empty() {
            return Ok(None);
        }
        let option = |name: &str| self.options.get(name).map(String::as_str);
        let yes_no = |name: &str| match option(name) {
            None => Ok(None),
            Some(value) => flag(value)
                .map(Some)
                .ok_or_else(|| wrong(&format!("its `{name}` is neither yes nor no"))),
        };
        let seconds = |name: &str| match option(name) {
            None => Ok(None),
            Some(value) => match value.parse::<i64>() {
                Ok(number) if number >= 0 => Ok(Some(number)),
                _ => Err(wrong(&format!("its `{name}` is no number of seconds"))),
            },
        };
        let by_hash = match option("by-hash") {
            Some("force") => Some(true),
            _ => yes_no("by-hash")?,
        };
        Ok(Some(Source {
            architectures: wanted,
            signed_by: signed_by(option("signed-by").unwrap_or_default())
                .map_err(|why| wrong(&why))?,
            trusted: yes_no("trusted")?,
            by_hash,
            check_valid_until: yes_no("check-valid-until")?,
            valid_until_min: seconds("valid-until-min")?,
            valid_until_max: seconds("valid-until-max")?,
            check_date: yes_no("check-date")?,
            date_max_future: seconds("date-max-future")?,
            inrelease_path: option("inrelease-path").map(str::to_owned),
            uri,
            suite,
            components: unique(self.components),
            login,
            place: self.place,
        }))
    }

    fn architectures(&self, known: &[String]) -> Vec<String> {
        let option = |name: &str| self.options.get(name).map(|value| words(value));
        let mut set: BTreeSet<&str> = match option("architectures") {
            Some(names) => names.into_iter().collect(),
            None => known.iter().map(String::as_str).collect(),
        };
        set.extend(option("architectures-add").unwrap_or_default());
        for name in option("architectures-remove").unwrap_or_default() {
            set.remove(name);
        }
        known
            .iter()
            .filter(|name| set.contains(name.as_str()))
            .cloned()
            .collect()
    }
}

fn words(text: &str) -> Vec<&str> {
    text.split([',', ' ', '\t', '\n'])
        .filter(|word| !word.is_empty())
        .collect()
}

fn unique(names: Vec<String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    names
        .into_iter()
        .filter(|name| seen.insert(name.clone()))
        .collect()
}

enum Address {
    Wrong(String),
    Scheme(String),
}

/// Checks an address; returns it with a slash at the end, and its login apart.
fn address(text: &str) -> Result<(String, Option<Login>), Address> {
    let Some((scheme, _)) = text.split_once(':') else {
        return Err(Address::Wrong("its address has no scheme".to_owned()));
    };
    let scheme = scheme.to_ascii_lowercase();
    if scheme != "http" && scheme != "https" {
        return Err(Address::Scheme(scheme.escape_default().to_string()));
    }
    // The parser's own message is left out: the address may hold a password.
    let mut url =
        Url::parse(text).map_err(|_| Address::Wrong("its address cannot be read".to_owned()))?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err(Address::Wrong(
            "its address has a query or fragment".to_owned(),
        ));
    }
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    let login = (!url.username().is_empty()).then(|| Login {
        scheme: Some(scheme),
        host: match (url.host_str(), url.port()) {
            (Some(host), Some(port)) => format!("{host}:{port}"),
            (host, _) => host.unwrap_or_default().to_owned(),
        },
        path: url.path().to_owned(),
        name: decoded(url.username()),
        password: Secret::new(decoded(url.password().unwrap_or_default())),
    });
    let _ = url.set_username("");
    let _ = url.set_password(None);
    Ok((url.into(), login))
}

/// Undoes percent encoding.
fn decoded(text: &str) -> String {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&c, more)) = rest.split_first() {
        let pair = more
            .get(..2)
            .and_then(|pair| std::str::from_utf8(pair).ok());
        if c == b'%'
            && let Some(byte) = pair.and_then(|pair| u8::from_str_radix(pair, 16).ok())
        {
            out.push(byte);
            rest = &more[2..];
        } else {
            out.push(c);
            rest = more;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn signed_by(text: &str) -> Result<SignedBy, String> {
    if text.contains("-----BEGIN PGP PUBLIC KEY BLOCK-----") {
        let lines: Vec<&str> = text
            .lines()
            .map(str::trim)
            // An empty line would end the paragraph, so it is written as a dot.
            .map(|line| if line == "." { "" } else { line })
            .collect();
        return Ok(SignedBy::Embedded(lines.join("\n")));
    }
    let (mut keyrings, mut fingerprints) = (Vec::new(), Vec::new());
    for word in words(text) {
        let print = word.trim_start_matches("0x").to_ascii_uppercase();
        let digits = print.trim_end_matches('!');
        if word.starts_with('/') {
            keyrings.push(word.to_owned());
        } else if matches!(digits.len(), 40 | 64) && digits.bytes().all(|c| c.is_ascii_hexdigit()) {
            fingerprints.push(print);
        } else {
            return Err(format!(
                "its `Signed-By` is neither an absolute path nor a fingerprint: {}",
                word.escape_default()
            ));
        }
    }
    if keyrings.is_empty() && fingerprints.is_empty() {
        return Ok(SignedBy::Trusted);
    }
    Ok(SignedBy::Named {
        keyrings,
        fingerprints,
    })
}

#[cfg(test)]
mod tests;
