//! Reads os-release(5), which tells the distribution of an image.

use std::iter::Peekable;

use crate::{Family, PkgError};

/// The kind of file, as errors name it.
const OS_RELEASE: &str = "os-release";

/// What os-release says of a distribution. Data of the image: nothing in it is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OsRelease {
    /// `debian`, `ubuntu`…; `linux` where the file has none, as the format says.
    pub id: String,
    /// Distributions that it derives from, the closest first.
    pub id_like: Vec<String>,
    /// `12`, `24.04`; absent in Debian's testing and unstable.
    pub version_id: Option<String>,
    /// `bookworm`, `noble`.
    pub version_codename: Option<String>,
    /// The name for people.
    pub pretty_name: Option<String>,
}

impl OsRelease {
    /// Reads the file by the shell's rules for assignments; nothing in it is ever expanded.
    ///
    /// Lines that the shell would take for something else than an assignment are passed over, as
    /// readers of the format do; an assignment whose quotes do not end is an error. Of a key that is
    /// set twice the last counts.
    pub fn parse(bytes: &[u8]) -> Result<Self, PkgError> {
        let text = String::from_utf8_lossy(bytes);
        let mut out = Self {
            id: "linux".to_owned(),
            id_like: Vec::new(),
            version_id: None,
            version_codename: None,
            pretty_name: None,
        };
        for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            let line = line.trim();
            let Some((key, value)) = line.split_once('=').filter(|_| !line.starts_with('#')) else {
                continue;
            };
            if !key.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_') {
                continue;
            }
            let value = unquote(value).ok_or(PkgError::Malformed {
                what: OS_RELEASE,
                line: index + 1,
                why: "a quote does not end",
            })?;
            let given = Some(value.clone()).filter(|value| !value.is_empty());
            match key {
                "ID" if given.is_some() => out.id = value,
                "ID_LIKE" => {
                    out.id_like = value.split_whitespace().map(ToOwned::to_owned).collect();
                }
                "VERSION_ID" => out.version_id = given,
                "VERSION_CODENAME" => out.version_codename = given,
                "PRETTY_NAME" => out.pretty_name = given,
                _ => {}
            }
        }
        Ok(out)
    }

    /// Returns the distribution, or the error that names an unsupported one.
    ///
    /// Derivatives are not taken for what they derive from: their archives and fixes differ.
    pub fn family(&self) -> Result<Family, PkgError> {
        match self.id.as_str() {
            "debian" => Ok(Family::Debian),
            "ubuntu" => Ok(Family::Ubuntu),
            _ => Err(PkgError::UnsupportedFamily {
                found: self.pretty_name.as_ref().map_or_else(
                    || self.id.clone(),
                    |pretty| format!("{} ({pretty})", self.id),
                ),
            }),
        }
    }
}

/// Removes the shell's quoting from one word; `None` if a quote does not end.
fn unquote(word: &str) -> Option<String> {
    let mut out = String::new();
    let mut chars = word.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\'' => single(&mut chars, &mut out)?,
            '"' => double(&mut chars, &mut out)?,
            '\\' => out.extend(chars.next()),
            // The word ends here; what follows is a comment or a command, neither of them ours.
            c if c.is_whitespace() || c == ';' => break,
            c => out.push(c),
        }
    }
    Some(out)
}

fn single(chars: &mut Peekable<std::str::Chars<'_>>, out: &mut String) -> Option<()> {
    loop {
        match chars.next()? {
            '\'' => return Some(()),
            c => out.push(c),
        }
    }
}

fn double(chars: &mut Peekable<std::str::Chars<'_>>, out: &mut String) -> Option<()> {
    loop {
        match chars.next()? {
            '"' => return Some(()),
            '\\' => match chars.next()? {
                c @ ('$' | '"' | '\\' | '`') => out.push(c),
                c => out.extend(['\\', c]),
            },
            c => out.push(c),
        }
    }
}
