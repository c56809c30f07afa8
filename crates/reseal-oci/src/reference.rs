//! Names of images in registries, by the grammar and the short forms that Docker made usual.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::shown;
use crate::{Digest, OciError};

const DOCKER_HUB: &str = "docker.io";
/// Longest `host/path` that registries accept, in bytes.
const NAME_LIMIT: usize = 255;

/// A repository of a registry, in full: `docker.io/library/debian`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Repository {
    registry: String,
    path: String,
}

impl Repository {
    /// Returns the registry's host, with its port if one was named.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// Returns the path below the registry.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Tells whether the registry is on this machine, by its name alone: plain HTTP is usual there.
    pub fn is_loopback(&self) -> bool {
        let host = match self
            .registry
            .strip_prefix('[')
            .and_then(|rest| rest.split_once(']'))
        {
            Some((address, _)) => {
                return address
                    .parse::<Ipv6Addr>()
                    .is_ok_and(|address| address.is_loopback());
            }
            None => self.registry.split(':').next().unwrap_or_default(),
        };
        host == "localhost"
            || host.ends_with(".localhost")
            || host
                .parse::<Ipv4Addr>()
                .is_ok_and(|address| address.is_loopback())
    }
}

impl FromStr for Repository {
    type Err = OciError;

    fn from_str(text: &str) -> Result<Self, OciError> {
        let fail = |why| OciError::reference(text, why);
        if text.is_empty() {
            return Err(OciError::EmptyReference);
        }
        if text.contains("://") {
            return Err(fail("an image has no URL scheme"));
        }
        let (registry, path) = match text.split_once('/') {
            Some((host, path))
                if host.contains(['.', ':']) || host == "localhost" || host.starts_with('[') =>
            {
                (host.to_ascii_lowercase(), path)
            }
            _ => (DOCKER_HUB.to_owned(), text),
        };
        if !is_host(&registry) {
            return Err(fail("the registry's host or port is malformed"));
        }
        let registry = match registry.as_str() {
            "index.docker.io" | "registry-1.docker.io" => DOCKER_HUB.to_owned(),
            _ => registry,
        };
        if path.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(fail("a repository's name must be in lower case"));
        }
        if !path.split('/').all(is_component) {
            return Err(fail("the repository's name is malformed"));
        }
        let path = if registry == DOCKER_HUB && !path.contains('/') {
            format!("library/{path}")
        } else {
            path.to_owned()
        };
        if registry.len() + 1 + path.len() > NAME_LIMIT {
            return Err(fail("the repository's name is too long"));
        }
        Ok(Self { registry, path })
    }
}

fn is_host(registry: &str) -> bool {
    let (host, port) = match registry
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
    {
        Some((address, rest)) => {
            if address.parse::<Ipv6Addr>().is_err() {
                return false;
            }
            match rest.strip_prefix(':') {
                Some(port) => (None, Some(port)),
                None if rest.is_empty() => (None, None),
                None => return false,
            }
        }
        None => match registry.split_once(':') {
            Some((host, port)) => (Some(host), Some(port)),
            None => (Some(registry), None),
        },
    };
    let label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    host.is_none_or(|host| host.split('.').all(label))
        && port.is_none_or(|port| {
            port.bytes().all(|b| b.is_ascii_digit())
                && port.parse::<u16>().is_ok_and(|port| port > 0)
        })
}

/// Runs of lower-case letters and digits, with one `.`, one or two `_` or any number of `-` between them.
fn is_component(component: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let ends = [component.bytes().next(), component.bytes().last()];
    ends.into_iter().all(|end| end.is_some_and(alphanumeric))
        && component
            .split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            .all(|gap| matches!(gap, "" | "." | "_" | "__") || gap.bytes().all(|b| b == b'-'))
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.path)
    }
}

impl fmt::Debug for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A valid tag: a letter, digit or `_`, then at most 127 of these, `.` and `-`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(String);

impl Tag {
    /// Returns the tag's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Tag {
    type Err = OciError;

    fn from_str(text: &str) -> Result<Self, OciError> {
        let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        let valid = text.len() <= 128
            && text.bytes().next().is_some_and(word)
            && text.bytes().all(|b| word(b) || b == b'.' || b == b'-');
        if valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(OciError::Tag { text: shown(text) })
        }
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// An image in a registry, by tag, by digest or by both; by the tag `latest` when it was named by neither.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// Where it is.
    pub repository: Repository,
    /// The tag, which may move.
    pub tag: Option<Tag>,
    /// The digest, which wins over the tag.
    pub digest: Option<Digest>,
}

impl FromStr for Reference {
    type Err = OciError;

    fn from_str(text: &str) -> Result<Self, OciError> {
        if text.is_empty() {
            return Err(OciError::EmptyReference);
        }
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => {
                // The text may be a URL with a password in it, so none of it is repeated.
                let digest = digest.parse().map_err(|_| {
                    OciError::reference("…@…", "what follows the `@` must be a digest")
                })?;
                (name, Some(digest))
            }
            None => (text, None),
        };
        let (name, tag) = match name.rsplit_once(':') {
            // A colon before the last slash belongs to the registry's port.
            Some((name, tag)) if !tag.contains('/') && !tag.ends_with(']') => {
                (name, Some(tag.parse()?))
            }
            _ => (name, None),
        };
        let tag = match (tag, &digest) {
            (None, None) => Some("latest".parse()?),
            (tag, _) => tag,
        };
        Ok(Self {
            repository: name.parse()?,
            tag,
            digest,
        })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

/// One certain image in a registry: it cannot change under our hands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PinnedRef {
    /// Where it is.
    pub repository: Repository,
    /// Its identity.
    pub digest: Digest,
}

impl fmt::Display for PinnedRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.repository, self.digest)
    }
}

impl FromStr for PinnedRef {
    type Err = OciError;

    /// Reads a reference that has a digest; a tag beside it is dropped.
    fn from_str(text: &str) -> Result<Self, OciError> {
        let reference: Reference = text.parse()?;
        match reference.digest {
            Some(digest) => Ok(Self {
                repository: reference.repository,
                digest,
            }),
            None => Err(OciError::reference(text, "it must have a digest")),
        }
    }
}

/// As text in JSON, both ways.
macro_rules! as_string {
    ($($type:ty),*) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

as_string!(Repository, Tag, Reference, PinnedRef);
