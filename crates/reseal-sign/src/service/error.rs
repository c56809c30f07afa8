//! What can go wrong between reseal and a service.

use std::fmt;

/// The services, by the names that people know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ServiceName {
    /// The certificate authority.
    Fulcio,
    /// The transparency log.
    Rekor,
    /// A timestamp authority.
    Timestamp,
    /// What gives a CI job its identity token.
    Token,
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fulcio => "Fulcio",
            Self::Rekor => "Rekor",
            Self::Timestamp => "the timestamp authority",
            Self::Token => "the token service",
        })
    }
}

/// Why a service did not do what was asked. Addresses are shown without query and login.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// No answer, or half of one, however often it was tried.
    #[error("could not reach {service} at {address}: {why}")]
    Unreachable {
        /// Which service.
        service: ServiceName,
        /// Where.
        address: String,
        /// The chain of causes.
        why: String,
        /// Whether the certificate of the server is not trusted.
        untrusted: bool,
    },
    /// An answer that is not a success.
    #[error("{service} at {address} refused with status {status}{}", said(message.as_deref()))]
    Refused {
        /// Which service.
        service: ServiceName,
        /// Where.
        address: String,
        /// HTTP status.
        status: u16,
        /// What it said.
        message: Option<String>,
    },
    /// An answer that makes no sense, or belongs to another question.
    #[error("{service} at {address} sent an answer that cannot be used: {why}")]
    Answer {
        /// Which service.
        service: ServiceName,
        /// Where.
        address: String,
        /// What is wrong with it.
        why: String,
    },
    /// The HTTP client could not be made.
    #[error("could not set up the client for signing services: {why}")]
    Settings {
        /// What is wrong with the settings.
        why: String,
    },
}

impl ServiceError {
    /// Returns the service, if one was asked.
    pub fn service(&self) -> Option<ServiceName> {
        match self {
            Self::Unreachable { service, .. }
            | Self::Refused { service, .. }
            | Self::Answer { service, .. } => Some(*service),
            Self::Settings { .. } => None,
        }
    }

    /// Tells whether another service of the same kind may do better.
    pub(crate) fn is_about_the_service(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Answer { .. } => true,
            Self::Refused { status, .. } => *status >= 500 || matches!(status, 404 | 408 | 429),
            Self::Settings { .. } => false,
        }
    }
}

fn said(message: Option<&str>) -> String {
    message.map(|text| format!(": {text}")).unwrap_or_default()
}

/// Makes one line of what a server said.
pub(crate) fn one_line(text: &str) -> Option<String> {
    let line: String = text
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .chars()
        .filter(|c| !c.is_control())
        .take(300)
        .collect();
    (!line.is_empty()).then_some(line)
}
