//! Identity tokens: what a CI job is given to say who it is.

mod ambient;
mod error;
mod token;

pub use ambient::{KUBERNETES_TOKEN, TokenSource};
pub use error::TokenError;
pub(crate) use token::CLOCK_LEEWAY;
pub use token::{Claims, IdentityToken};

/// The audience that Fulcio asks for unless it is told otherwise.
pub const AUDIENCE: &str = "sigstore";
