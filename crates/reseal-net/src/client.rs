//! What all HTTP clients have in common.

use std::time::Duration;

use reqwest::{Client, ClientBuilder, redirect::Policy};
use rustls::ClientConfig;

/// How long a server may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// Starts to make an HTTP client. Its caller follows redirects itself, and so knows what must not go to another host.
/// A client of `local` servers uses no proxy, which has another loopback.
pub fn client(tls: ClientConfig, user_agent: &str, local: bool) -> ClientBuilder {
    let builder = Client::builder()
        .use_preconfigured_tls(tls)
        .user_agent(user_agent)
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(Policy::none());
    #[cfg(feature = "resolver")]
    let builder = builder.dns_resolver(std::sync::Arc::new(crate::resolver::Resolver::default()));
    if local { builder.no_proxy() } else { builder }
}
