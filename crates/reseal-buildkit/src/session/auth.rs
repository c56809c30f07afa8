//! Registry credentials for the daemon's pulls. A daemon that knows the token authority gets short-lived tokens and
//! never sees a password.

use std::sync::Arc;

use async_trait::async_trait;
use reseal_net::Secret;
use reseal_proto::auth::auth_server::Auth;
use reseal_proto::auth::{
    CredentialsRequest, CredentialsResponse, FetchTokenRequest, FetchTokenResponse,
    GetTokenAuthorityRequest, GetTokenAuthorityResponse, VerifyTokenAuthorityRequest,
    VerifyTokenAuthorityResponse,
};
use tonic::{Request, Response, Status};

use super::authority::Authority;

/// What a registry accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user; not used with an identity token.
    pub username: String,
    /// Password or identity token.
    pub secret: Secret,
    /// Whether `secret` is an OAuth refresh token instead of a password.
    pub identity_token: bool,
}

/// What a registry's challenge asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRequest {
    /// The registry as the daemon calls it; Docker Hub is `registry-1.docker.io`.
    pub host: String,
    /// The URL of the token service.
    pub realm: String,
    /// The `service` of the challenge.
    pub service: String,
    /// For example `repository:shop/cart:pull`.
    pub scopes: Vec<String>,
    /// The daemon's name for its OAuth client.
    pub client_id: String,
}

/// A registry token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The bearer token.
    pub token: Secret,
    /// Its life in seconds; 0 if the service did not say.
    pub expires_in: i64,
    /// When it was issued, in seconds since 1970; 0 if the service did not say.
    pub issued_at: i64,
}

/// Knows the credentials of registries.
#[async_trait]
pub trait AuthProvider: Send + Sync {
    /// Returns the credentials for a registry host, `None` for anonymous access.
    async fn credentials(&self, host: &str) -> Option<Credentials>;

    /// Fetches a token from the registry's token service; the error goes into the daemon's message.
    async fn token(&self, request: TokenRequest) -> Result<Token, String>;
}

pub(super) struct AuthService {
    /// Without one every registry is anonymous, and the daemon fetches its anonymous tokens itself.
    pub(super) provider: Option<Arc<dyn AuthProvider>>,
    pub(super) authority: Authority,
}

impl AuthService {
    fn provider(&self) -> Result<&dyn AuthProvider, Status> {
        // The daemon's cue to use `Credentials` instead.
        self.provider
            .as_deref()
            .ok_or_else(|| Status::unimplemented("no token authority in this session"))
    }

    async fn has_secret(&self, host: &str) -> Result<bool, Status> {
        Ok(self
            .provider()?
            .credentials(host)
            .await
            .is_some_and(|found| !found.secret.expose().is_empty()))
    }
}

#[tonic::async_trait]
impl Auth for AuthService {
    async fn credentials(
        &self,
        request: Request<CredentialsRequest>,
    ) -> Result<Response<CredentialsResponse>, Status> {
        let host = request.into_inner().host;
        let found = match &self.provider {
            Some(provider) => provider.credentials(&host).await,
            None => None,
        };
        // Anonymous access is two empty strings; an error would fail the pull.
        let answer = found.map_or_else(CredentialsResponse::default, |found| CredentialsResponse {
            username: if found.identity_token {
                String::new()
            } else {
                found.username
            },
            secret: found.secret.expose().to_owned(),
        });
        Ok(Response::new(answer))
    }

    async fn fetch_token(
        &self,
        request: Request<FetchTokenRequest>,
    ) -> Result<Response<FetchTokenResponse>, Status> {
        let FetchTokenRequest {
            client_id,
            host,
            realm,
            service,
            scopes,
        } = request.into_inner();
        let wanted = TokenRequest {
            host,
            realm,
            service,
            scopes,
            client_id,
        };
        let token = self
            .provider()?
            .token(wanted)
            .await
            .map_err(Status::unauthenticated)?;
        Ok(Response::new(FetchTokenResponse {
            token: token.token.expose().to_owned(),
            expires_in: token.expires_in,
            issued_at: token.issued_at,
        }))
    }

    async fn get_token_authority(
        &self,
        request: Request<GetTokenAuthorityRequest>,
    ) -> Result<Response<GetTokenAuthorityResponse>, Status> {
        let GetTokenAuthorityRequest { host, salt } = request.into_inner();
        let secret = self.has_secret(&host).await?;
        Ok(Response::new(GetTokenAuthorityResponse {
            public_key: self.authority.public_key(&host, &salt, secret),
        }))
    }

    async fn verify_token_authority(
        &self,
        request: Request<VerifyTokenAuthorityRequest>,
    ) -> Result<Response<VerifyTokenAuthorityResponse>, Status> {
        let VerifyTokenAuthorityRequest {
            host,
            payload,
            salt,
        } = request.into_inner();
        let secret = self.has_secret(&host).await?;
        Ok(Response::new(VerifyTokenAuthorityResponse {
            signed: self.authority.sign(&host, &salt, secret, &payload),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_never_print() {
        let credentials = Credentials {
            username: "ci".to_owned(),
            secret: Secret::new("hunter2"),
            identity_token: false,
        };
        assert!(!format!("{credentials:?} {}", credentials.secret).contains("hunter2"));
    }
}
