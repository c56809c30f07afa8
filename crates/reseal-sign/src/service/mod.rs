//! The services of Sigstore, each with one small request: a certificate authority, transparency logs, timestamp authorities.

mod config;
mod error;
pub mod fulcio;
mod http;
pub mod rekor;
mod rekor_v1;
mod rekor_v2;
pub mod tsa;

pub use config::{Choice, ConfigError, Rekor, Services};
pub use error::{ServiceError, ServiceName};
pub(crate) use http::{Ask, is_loopback, shown};
pub use http::{Http, HttpSettings};
pub use reqwest::Url;
