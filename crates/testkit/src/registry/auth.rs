//! Who may do what, and the token service.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, Method, StatusCode};
use serde_json::json;

use super::Inner;
use super::serve::{Answer, refuse};

/// Somebody with rights.
#[derive(Debug, Clone)]
pub struct User {
    /// Name.
    pub name: String,
    /// Password; empty if only the token counts.
    pub password: String,
    /// Refresh token for the `OAuth2` form of the token service.
    pub identity_token: Option<String>,
    /// `(repository or *, pull or push)`.
    pub rights: Vec<(String, String)>,
}

impl User {
    /// Somebody who may do everything.
    pub fn new(name: &str, password: &str) -> Self {
        let rights = ["pull", "push"]
            .map(|action| ("*".to_owned(), action.to_owned()))
            .to_vec();
        Self {
            name: name.to_owned(),
            password: password.to_owned(),
            identity_token: None,
            rights,
        }
    }

    /// Limits the rights to these.
    #[must_use]
    pub fn only(mut self, rights: &[(&str, &str)]) -> Self {
        self.rights = rights
            .iter()
            .map(|&(repository, action)| (repository.to_owned(), action.to_owned()))
            .collect();
        self
    }

    /// Adds a refresh token.
    #[must_use]
    pub fn identity_token(mut self, token: &str) -> Self {
        self.identity_token = Some(token.to_owned());
        self
    }

    fn may(&self, repository: &str, action: &str) -> bool {
        self.rights
            .iter()
            .any(|(name, right)| (name == "*" || name == repository) && right == action)
    }
}

/// How the registry wants to be asked.
#[derive(Debug, Clone, Default)]
pub enum Auth {
    /// Not at all.
    #[default]
    None,
    /// With a password in every request.
    Basic(Vec<User>),
    /// With a token of the service at `/token` of the same address.
    Bearer {
        /// Who gets tokens.
        users: Vec<User>,
        /// Whether tokens to pull are given to everybody.
        anonymous_pull: bool,
        /// Whether the service knows the form with GET; the `OAuth2` form it always knows.
        get: bool,
        /// How long tokens hold by what the service says, in seconds.
        expires_in: Option<i64>,
    },
}

impl Auth {
    /// Bearer with these users, and the usual rest.
    pub fn bearer(users: Vec<User>) -> Self {
        Self::Bearer {
            users,
            anonymous_pull: false,
            get: true,
            expires_in: Some(300),
        }
    }
}

/// Checks a request. `Err` is the answer to one that may not.
pub(super) fn check(
    inner: &Inner,
    headers: &HeaderMap,
    repository: &str,
    action: &str,
) -> Result<(), Answer> {
    let sent = headers
        .get("authorization")
        .and_then(|value| value.to_str().ok());
    match &inner.options.auth {
        Auth::None => Ok(()),
        Auth::Basic(users) => match sent.and_then(|sent| basic(users, sent)) {
            Some(user) if user.may(repository, action) => Ok(()),
            Some(_) => Err(refuse(
                403,
                "DENIED",
                "requested access to the resource is denied",
            )),
            None => Err(refuse(401, "UNAUTHORIZED", "authentication required")
                .header("www-authenticate", "Basic realm=\"fake\"")),
        },
        Auth::Bearer { .. } => {
            let token = sent.and_then(|sent| sent.strip_prefix("Bearer "));
            let state = inner.state();
            let rights = token.and_then(|token| state.tokens.get(token));
            if rights
                .is_some_and(|rights| rights.contains(&(repository.to_owned(), action.to_owned())))
            {
                return Ok(());
            }
            let actions = if action == "push" {
                "pull,push"
            } else {
                action
            };
            let error = if rights.is_some() {
                ",error=\"insufficient_scope\""
            } else {
                ""
            };
            let challenge = format!(
                "Bearer realm=\"http://{}/token\",service=\"fake\",scope=\"repository:{repository}:{actions}\"{error}",
                inner.host
            );
            Err(refuse(401, "UNAUTHORIZED", "authentication required")
                .header("www-authenticate", &challenge))
        }
    }
}

/// Tells whether the login of a request covers something else too: the source of a mount.
pub(super) fn covers(inner: &Inner, headers: &HeaderMap, repository: &str, action: &str) -> bool {
    check(inner, headers, repository, action).is_ok()
}

fn basic<'a>(users: &'a [User], sent: &str) -> Option<&'a User> {
    let pair = STANDARD.decode(sent.strip_prefix("Basic ")?).ok()?;
    let pair = String::from_utf8(pair).ok()?;
    let (name, password) = pair.split_once(':')?;
    users
        .iter()
        .find(|user| user.name == name && !password.is_empty() && user.password == password)
}

/// The token service.
pub(super) fn token(
    inner: &Inner,
    method: &Method,
    query: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Answer {
    let Auth::Bearer {
        users,
        anonymous_pull,
        get,
        expires_in,
    } = &inner.options.auth
    else {
        return refuse(404, "NOT_FOUND", "no such page");
    };
    let everybody = User::new("", "").only(&[("*", "pull")]);
    let (user, parameters) = if method == Method::POST {
        let form = parameters(&String::from_utf8_lossy(body));
        let value = |name: &str| {
            form.get(name)
                .and_then(|values| values.first())
                .cloned()
                .unwrap_or_default()
        };
        let user = match value("grant_type").as_str() {
            "refresh_token" => users
                .iter()
                .find(|user| user.identity_token.as_deref() == Some(&value("refresh_token"))),
            "password" => users
                .iter()
                .find(|user| user.name == value("username") && user.password == value("password")),
            _ => None,
        };
        let Some(user) = user.filter(|_| !value("client_id").is_empty()) else {
            let body =
                json!({"error": "invalid_grant", "error_description": "unknown login"}).to_string();
            return Answer::new(400).body(body);
        };
        (user, form)
    } else {
        if !get {
            return Answer::new(405);
        }
        let user = match headers
            .get("authorization")
            .and_then(|value| value.to_str().ok())
        {
            Some(sent) => basic(users, sent),
            None => Some(&everybody).filter(|_| *anonymous_pull),
        };
        let Some(user) = user else {
            return Answer::new(401)
                .body(json!({"details": "incorrect username or password"}).to_string());
        };
        (user, parameters(query))
    };
    if parameters
        .get("service")
        .and_then(|values| values.first())
        .map(String::as_str)
        != Some("fake")
    {
        return refuse(400, "BAD_SERVICE", "this is the token service of `fake`");
    }
    let mut granted = BTreeSet::new();
    for scope in parameters
        .get("scope")
        .into_iter()
        .flatten()
        .flat_map(|scopes| scopes.split(' '))
    {
        let mut parts = scope.splitn(3, ':');
        if let (Some("repository"), Some(name), Some(actions)) =
            (parts.next(), parts.next(), parts.next())
        {
            let allowed = actions.split(',').filter(|action| user.may(name, action));
            granted.extend(allowed.map(|action| (name.to_owned(), action.to_owned())));
        }
    }
    let mut state = inner.state();
    let token = state.fresh("token");
    state.tokens.insert(token.clone(), granted);
    let mut answer = if method == Method::POST {
        json!({"access_token": token})
    } else {
        json!({"token": token})
    };
    if let Some(seconds) = expires_in {
        answer["expires_in"] = json!(seconds);
    }
    Answer::new(StatusCode::OK.as_u16()).body(answer.to_string())
}

/// Takes a query or form apart.
pub(super) fn parameters(text: &str) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        found.entry(decoded(name)).or_default().push(decoded(value));
    }
    found
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let hex = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match (first, hex.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            (b'+', _) => {
                bytes.push(b' ');
                rest = tail;
            }
            _ => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
