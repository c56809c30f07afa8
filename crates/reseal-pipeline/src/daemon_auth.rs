//! Logins for the daemon: it asks through the session, and a daemon that can takes a token and never sees a password.

use async_trait::async_trait;
use reseal_buildkit::{AuthProvider, Credentials, Token, TokenRequest};
use reseal_registry::Registries;

/// Answers the daemon from the same logins that the client uses.
pub(crate) struct DaemonAuth(pub(crate) Registries);

#[async_trait]
impl AuthProvider for DaemonAuth {
    async fn credentials(&self, host: &str) -> Option<Credentials> {
        match self.0.credentials().get(host).await {
            Ok(Some(found)) => Some(Credentials {
                username: found.username,
                secret: found.secret,
                identity_token: found.identity_token,
            }),
            Ok(None) => None,
            Err(error) => {
                tracing::warn!(host, %error, "no login for the daemon");
                None
            }
        }
    }

    async fn token(&self, request: TokenRequest) -> Result<Token, String> {
        let (secret, expires_in) = self
            .0
            .fetch_token(
                &request.host,
                &request.realm,
                &request.service,
                &request.scopes,
            )
            .await
            .map_err(|error| error.to_string())?;
        Ok(Token {
            token: secret,
            expires_in,
            issued_at: 0,
        })
    }
}
