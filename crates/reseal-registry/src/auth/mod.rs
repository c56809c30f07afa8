//! Logs in: answers challenges, keeps tokens as long as they are good, asks for no right that a request does not need.

pub(crate) mod challenge;
pub(crate) mod scope;
mod token;

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{HeaderMap, HeaderValue};

use crate::client::Client;
use crate::credentials::Credential;
use crate::error::StoreError;
use challenge::Challenge;
use reseal_net::Secret;
use scope::Scopes;

/// How often the answer to a challenge is given: at first, and once more if the registry then names a right that it had not.
const MOST_ROUNDS: u32 = 2;

/// What is known of one registry's logins.
#[derive(Default)]
pub(crate) struct HostLogins {
    /// How it asked last time: the next request is sent with a login at once.
    challenge: Mutex<Option<Challenge>>,
    /// Held while a token is fetched, so that many requests at once fetch one.
    tokens: tokio::sync::Mutex<Vec<Kept>>,
}

struct Kept {
    scopes: Scopes,
    header: HeaderValue,
    expires: SystemTime,
}

impl HostLogins {
    fn challenge(&self) -> Option<Challenge> {
        self.challenge
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn learn(&self, challenge: &Challenge) {
        *self
            .challenge
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(challenge.clone());
    }
}

impl Client {
    /// Returns the login to send without being asked.
    pub(crate) async fn prepared(
        &self,
        logins: &HostLogins,
        scopes: &Scopes,
    ) -> Result<Option<HeaderValue>, StoreError> {
        match logins.challenge() {
            None => Ok(None),
            Some(challenge) => self.login(logins, &challenge, scopes, None).await,
        }
    }

    /// Returns the login to send after a 401, or the error that there is none better.
    pub(crate) async fn answered(
        &self,
        logins: &HostLogins,
        headers: &HeaderMap,
        scopes: &mut Scopes,
        spent: Option<HeaderValue>,
        round: u32,
        message: Option<String>,
    ) -> Result<Option<HeaderValue>, StoreError> {
        let Some(challenge) = challenge::read(headers) else {
            return Err(self.unauthorized(scopes, message).await);
        };
        if round > 0 {
            // The login was refused. There is one more chance: a right that the registry only names now.
            let Challenge::Bearer {
                scope: Some(wanted),
                ..
            } = &challenge
            else {
                return Err(self.unauthorized(scopes, message).await);
            };
            let wanted = Scopes::parse([wanted.as_str()]);
            if round >= MOST_ROUNDS || scopes.covers(&wanted) {
                return Err(self.unauthorized(scopes, message).await);
            }
            *scopes = scopes.clone().and(&wanted);
        }
        logins.learn(&challenge);
        match self
            .login(logins, &challenge, scopes, spent.as_ref())
            .await?
        {
            Some(header) if spent.as_ref() != Some(&header) => Ok(Some(header)),
            _ => Err(self.unauthorized(scopes, message).await),
        }
    }

    async fn login(
        &self,
        logins: &HostLogins,
        challenge: &Challenge,
        scopes: &Scopes,
        spent: Option<&HeaderValue>,
    ) -> Result<Option<HeaderValue>, StoreError> {
        let credential = self.credential(scopes).await?;
        let (realm, service) = match (challenge, &credential) {
            (Challenge::Basic, None) => return Ok(None),
            (Challenge::Basic, Some(known)) => return self.basic(known).map(Some),
            (Challenge::Bearer { .. }, Some(known)) if known.registry_token => {
                return self.bearer(&known.secret).map(Some);
            }
            (Challenge::Bearer { realm, service, .. }, _) => (realm, service.as_deref()),
        };
        let mut tokens = logins.tokens.lock().await;
        let now = self.shared.settings.sleeper.now();
        tokens.retain(|kept| kept.expires > now && Some(&kept.header) != spent);
        if let Some(kept) = tokens.iter().find(|kept| kept.scopes.covers(scopes)) {
            return Ok(Some(kept.header.clone()));
        }
        let (secret, seconds) = self
            .fetch_token(realm, service, scopes, credential.as_ref())
            .await?;
        let header = self.bearer(&secret)?;
        // A token that ends while a request is on its way is refused: stop using it a little earlier.
        let expires = now + Duration::from_secs(seconds) * 9 / 10;
        tokens.push(Kept {
            scopes: scopes.clone(),
            header: header.clone(),
            expires,
        });
        Ok(Some(header))
    }

    /// Finds the login that the user has configured for the registry, or for this repository of it.
    pub(crate) async fn credential(
        &self,
        scopes: &Scopes,
    ) -> Result<Option<Credential>, StoreError> {
        let key = scopes.repository().map_or_else(
            || self.registry.clone(),
            |path| format!("{}/{path}", self.registry),
        );
        Ok(self.shared.settings.credentials.get(&key).await?)
    }

    /// Says where the login came from, for messages.
    pub(crate) async fn login_source(&self, scopes: &Scopes) -> Option<String> {
        self.credential(scopes)
            .await
            .ok()
            .flatten()
            .map(|found| found.source)
    }

    pub(crate) async fn unauthorized(
        &self,
        scopes: &Scopes,
        message: Option<String>,
    ) -> StoreError {
        StoreError::Unauthorized {
            registry: self.registry.clone(),
            scope: scopes.to_string(),
            looked_in: self.shared.settings.credentials.looked_in(),
            used: self.login_source(scopes).await,
            message,
        }
    }

    pub(crate) fn basic(&self, credential: &Credential) -> Result<HeaderValue, StoreError> {
        let pair = format!("{}:{}", credential.username, credential.secret.expose());
        self.sensitive(&format!("Basic {}", STANDARD.encode(pair)))
    }

    fn bearer(&self, token: &Secret) -> Result<HeaderValue, StoreError> {
        self.sensitive(&format!("Bearer {}", token.expose()))
    }

    fn sensitive(&self, text: &str) -> Result<HeaderValue, StoreError> {
        let mut header = HeaderValue::from_str(text)
            .map_err(|_| self.nonsense("its token has characters that no header can have"))?;
        header.set_sensitive(true);
        Ok(header)
    }
}
