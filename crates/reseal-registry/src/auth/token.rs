//! Trades a login, or none, for a bearer token at the registry's token service.

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Response, Url};
use serde::Deserialize;

use super::Scopes;
use crate::client::{Call, Client, Payload};
use crate::connect::authority;
use crate::credentials::Credential;
use crate::error::StoreError;
use reseal_net::Secret;

const TOKEN_LIMIT: u64 = 1024 * 1024;
/// How long a token holds whose service does not say: the token specification's default, and its minimum.
const SHORTEST_SECONDS: u64 = 60;
const CLIENT_ID: &str = "reseal";

#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<i64>,
}

impl Client {
    /// Returns a token and for how many seconds it holds. Asked once: the caller repeats.
    pub(crate) async fn fetch_token(
        &self,
        realm: &str,
        service: Option<&str>,
        scopes: &Scopes,
        credential: Option<&Credential>,
    ) -> Result<(Secret, u64), StoreError> {
        let realm = Url::parse(realm)
            .ok()
            .filter(|url| url.has_host() && matches!(url.scheme(), "http" | "https"))
            .ok_or_else(|| self.nonsense("it names a token service that is no web address"))?;
        if credential.is_some()
            && realm.scheme() == "http"
            && !self.shared.clients.is_plain(&authority(&realm))
        {
            return Err(self.nonsense(&format!(
                "it wants the login sent to {} without encryption",
                authority(&realm)
            )));
        }
        match credential {
            Some(known) if known.identity_token => {
                let form = [
                    ("grant_type", "refresh_token"),
                    ("refresh_token", known.secret.expose()),
                ];
                let response = self.post(&realm, service, scopes, &form).await?;
                self.read_token(response, scopes).await
            }
            _ => {
                let response = self.get(&realm, service, scopes, credential).await?;
                match (credential, response.status().as_u16()) {
                    // Services that only know the OAuth2 form.
                    (Some(known), 404 | 405) => {
                        self.error_text(response).await;
                        let form = [
                            ("grant_type", "password"),
                            ("username", known.username.as_str()),
                            ("password", known.secret.expose()),
                        ];
                        let response = self.post(&realm, service, scopes, &form).await?;
                        self.read_token(response, scopes).await
                    }
                    _ => self.read_token(response, scopes).await,
                }
            }
        }
    }

    async fn get(
        &self,
        realm: &Url,
        service: Option<&str>,
        scopes: &Scopes,
        credential: Option<&Credential>,
    ) -> Result<Response, StoreError> {
        let mut url = realm.clone();
        {
            let mut query = url.query_pairs_mut();
            if let Some(service) = service {
                query.append_pair("service", service);
            }
            for scope in scopes.strings() {
                query.append_pair("scope", &scope);
            }
            if let Some(known) = credential {
                query.append_pair("account", &known.username);
            }
        }
        let mut call = Call::new(Method::GET, url.clone(), scopes);
        if let Some(known) = credential {
            call = call.header(AUTHORIZATION, self.basic(known)?);
        }
        self.transient_checked(&call, self.once(&call, &url, None).await?)
            .await
    }

    async fn post(
        &self,
        realm: &Url,
        service: Option<&str>,
        scopes: &Scopes,
        grant: &[(&str, &str)],
    ) -> Result<Response, StoreError> {
        // A throw-away address does the form encoding.
        let mut form = realm.clone();
        form.query_pairs_mut()
            .clear()
            .extend_pairs(grant)
            .append_pair("client_id", CLIENT_ID)
            .append_pair("scope", &scopes.strings().join(" "))
            .extend_pairs(service.map(|service| ("service", service)));
        let body = Bytes::from(form.query().unwrap_or_default().to_owned());
        let call = Call::new(Method::POST, realm.clone(), scopes)
            .header(
                CONTENT_TYPE,
                HeaderValue::from_static("application/x-www-form-urlencoded"),
            )
            .body(Payload::Bytes(body));
        self.transient_checked(&call, self.once(&call, realm, None).await?)
            .await
    }

    async fn transient_checked(
        &self,
        call: &Call<'_>,
        response: Response,
    ) -> Result<Response, StoreError> {
        match response.status().as_u16() {
            408 | 429 | 500..=599 => Err(self.refusal(call, response).await),
            _ => Ok(response),
        }
    }

    async fn read_token(
        &self,
        response: Response,
        scopes: &Scopes,
    ) -> Result<(Secret, u64), StoreError> {
        let service = authority(response.url());
        let status = response.status().as_u16();
        match status {
            200 => {}
            // 400 is how OAuth2 refuses a grant.
            400 | 401 | 403 => {
                let message = self.error_text(response).await;
                let message = message.unwrap_or_else(|| {
                    format!("token service {service} answered with status {status}")
                });
                return Err(self.unauthorized(scopes, Some(message)).await);
            }
            _ => {
                return Err(self.nonsense(&format!(
                    "its token service {service} answered with status {status}"
                )));
            }
        }
        let body = self
            .collect(response, "the answer of the token service", TOKEN_LIMIT)
            .await?;
        let unusable = || {
            self.nonsense(&format!(
                "its token service {service} answered without a token"
            ))
        };
        let answer: Answer = serde_json::from_slice(&body).map_err(|_| unusable())?;
        let token = [answer.token, answer.access_token]
            .into_iter()
            .flatten()
            .find(|token| !token.is_empty());
        let seconds = answer
            .expires_in
            .and_then(|seconds| u64::try_from(seconds).ok())
            .unwrap_or(0);
        // More than a year is as good as for ever, and keeps the sum in range.
        let seconds = seconds.clamp(SHORTEST_SECONDS, 366 * 24 * 3600);
        Ok((Secret::new(token.ok_or_else(unusable)?), seconds))
    }
}
