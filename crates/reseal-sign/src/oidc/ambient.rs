//! Where a token comes from.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Url;
use reseal_registry::Secret;
use serde::Deserialize;
use serde_json::json;
use tokio::process::Command;

use super::{IdentityToken, TokenError};
use crate::service::{Ask, Http, ServiceError, ServiceName, is_loopback, shown};

/// Where Kubernetes projects a service account's token for cosign; the same file serves here.
pub const KUBERNETES_TOKEN: &str = "/var/run/sigstore/cosign/oidc-token";

/// How long a program of a CI system may take.
const PROGRAM_TIMEOUT: Duration = Duration::from_secs(60);
/// The most that is read of a token file, in bytes.
const TOKEN_LIMIT: u64 = 64 << 10;

/// Where a token comes from. It is asked again when a certificate has run out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenSource {
    /// The token itself.
    Given {
        /// The token.
        token: Secret,
        /// What gave it, for messages.
        place: String,
    },
    /// A file that holds a token and nothing else.
    File(PathBuf),
    /// The token service of GitHub Actions.
    GitHub {
        /// `ACTIONS_ID_TOKEN_REQUEST_URL`
        url: Url,
        /// `ACTIONS_ID_TOKEN_REQUEST_TOKEN`
        bearer: Secret,
    },
    /// `buildkite-agent`
    Buildkite,
    /// `circleci`
    CircleCi,
}

impl TokenSource {
    /// Reads what was given with `--identity-token`: the name of a file with a token, or else the token itself. A text that
    /// is neither counts as a token, which is never shown: it may be a damaged one.
    pub fn given(text: &str) -> Self {
        let path = Path::new(text);
        if path.is_absolute() || path.is_file() {
            Self::File(path.to_owned())
        } else {
            Self::Given {
                token: Secret::new(text.trim()),
                place: "--identity-token".to_owned(),
            }
        }
    }

    /// Finds out what gives tokens here. `environment` gives the value of a variable, `kubernetes` is
    /// [`KUBERNETES_TOKEN`] but for tests.
    ///
    /// In order: `SIGSTORE_ID_TOKEN` (which is also how GitLab hands over one), GitHub Actions, Buildkite, `CircleCI`,
    /// Kubernetes.
    pub fn detect(
        environment: &dyn Fn(&str) -> Option<String>,
        kubernetes: &Path,
    ) -> Result<Self, TokenError> {
        let set = |name: &str| environment(name).filter(|value| !value.trim().is_empty());
        let is = |name: &str| set(name).is_some_and(|value| value == "true");
        if let Some(token) = set("SIGSTORE_ID_TOKEN") {
            return Ok(Self::Given {
                token: Secret::new(token.trim()),
                place: "SIGSTORE_ID_TOKEN".to_owned(),
            });
        }
        if is("GITHUB_ACTIONS") {
            return github(&set);
        }
        if is("BUILDKITE") {
            return Ok(Self::Buildkite);
        }
        if is("CIRCLECI") {
            return Ok(Self::CircleCi);
        }
        if kubernetes.is_file() {
            return Ok(Self::File(kubernetes.to_owned()));
        }
        if is("GITLAB_CI") {
            return Err(TokenError::GitLab);
        }
        Err(TokenError::None {
            looked_for: vec![
                "SIGSTORE_ID_TOKEN".to_owned(),
                "a job of GitHub Actions, GitLab, Buildkite or CircleCI".to_owned(),
                kubernetes.display().to_string(),
            ],
        })
    }

    /// Gets a token for an audience. Tokens that are given as they are have the audience that they have.
    pub(crate) async fn token(
        &self,
        http: &Http,
        audience: &str,
    ) -> Result<IdentityToken, TokenError> {
        match self {
            Self::Given { token, place } => IdentityToken::parse(token.expose(), place),
            Self::File(path) => from_file(path),
            Self::GitHub { url, bearer } => from_github(http, url, bearer, audience).await,
            Self::Buildkite => {
                let arguments = ["oidc", "request-token", "--audience", audience];
                from_program("buildkite-agent", &arguments).await
            }
            Self::CircleCi => {
                let claims = json!({"aud": audience}).to_string();
                let arguments = ["run", "oidc", "get", "--root-issuer", "--claims", &claims];
                from_program("circleci", &arguments).await
            }
        }
    }
}

fn github(set: &dyn Fn(&str) -> Option<String>) -> Result<TokenSource, TokenError> {
    let self_hosted = set("RUNNER_ENVIRONMENT").is_some_and(|kind| kind == "self-hosted")
        || set("GITHUB_SERVER_URL").is_some_and(|server| server != "https://github.com");
    let need = |missing: &'static str| {
        set(missing).ok_or(TokenError::Permission {
            missing,
            self_hosted,
        })
    };
    let text = need("ACTIONS_ID_TOKEN_REQUEST_URL")?;
    let bearer = need("ACTIONS_ID_TOKEN_REQUEST_TOKEN")?;
    let url = Url::parse(&text).map_err(|error| TokenError::Address {
        why: format!("ACTIONS_ID_TOKEN_REQUEST_URL is no address: {error}"),
    })?;
    if url.scheme() != "https" && !is_loopback(&url) {
        return Err(TokenError::Address {
            why: "ACTIONS_ID_TOKEN_REQUEST_URL is not https".to_owned(),
        });
    }
    Ok(TokenSource::GitHub {
        url,
        bearer: Secret::new(bearer),
    })
}

fn from_file(path: &Path) -> Result<IdentityToken, TokenError> {
    use std::io::Read as _;
    let place = path.display().to_string();
    let unreadable = |why: String| TokenError::Unreadable {
        place: place.clone(),
        why,
    };
    let file = std::fs::File::open(path).map_err(|error| unreadable(error.to_string()))?;
    let mut text = String::new();
    file.take(TOKEN_LIMIT)
        .read_to_string(&mut text)
        .map_err(|error| unreadable(error.to_string()))?;
    IdentityToken::parse(&text, &place)
}

async fn from_github(
    http: &Http,
    url: &Url,
    bearer: &Secret,
    audience: &str,
) -> Result<IdentityToken, TokenError> {
    #[derive(Deserialize)]
    struct Answer {
        value: String,
    }
    let mut url = url.clone();
    url.query_pairs_mut().append_pair("audience", audience);
    let ask = Ask {
        service: ServiceName::Token,
        url: &url,
        also: &[],
    };
    let answer = http
        .send(&ask, |client| {
            client
                .get(url.clone())
                .header("accept", "application/json")
                .bearer_auth(bearer.expose())
        })
        .await?;
    let unusable = || ServiceError::Answer {
        service: ServiceName::Token,
        address: shown(&url),
        why: "it holds no token".to_owned(),
    };
    let answer: Answer = serde_json::from_slice(&answer.body).map_err(|_| unusable())?;
    IdentityToken::parse(&answer.value, "GitHub")
}

async fn from_program(
    program: &'static str,
    arguments: &[&str],
) -> Result<IdentityToken, TokenError> {
    let failed = |why: String| TokenError::Program { program, why };
    let run = Command::new(program)
        .args(arguments)
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PROGRAM_TIMEOUT, run)
        .await
        .map_err(|_| {
            failed(format!(
                "it took longer than {} s",
                PROGRAM_TIMEOUT.as_secs()
            ))
        })?
        .map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        // What it wrote may hold anything; the status says enough.
        return Err(failed(output.status.to_string()));
    }
    IdentityToken::parse(&String::from_utf8_lossy(&output.stdout), program)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::token::tests::unsigned;
    use super::*;

    fn detect(variables: &[(&str, &str)]) -> Result<TokenSource, TokenError> {
        let variables: BTreeMap<_, _> = variables.iter().copied().collect();
        TokenSource::detect(
            &|name| variables.get(name).map(|value| (*value).to_owned()),
            Path::new("/nonexistent/token"),
        )
    }

    #[test]
    fn every_system_is_found_by_its_variables() {
        let github = [
            ("GITHUB_ACTIONS", "true"),
            (
                "ACTIONS_ID_TOKEN_REQUEST_URL",
                "https://token.example/x?api-version=2.0",
            ),
            ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "bearer"),
        ];
        assert!(matches!(detect(&github), Ok(TokenSource::GitHub { .. })));
        assert_eq!(
            detect(&[("BUILDKITE", "true")]).unwrap(),
            TokenSource::Buildkite
        );
        assert_eq!(
            detect(&[("CIRCLECI", "true")]).unwrap(),
            TokenSource::CircleCi
        );
        let mut both = github.to_vec();
        both.push(("SIGSTORE_ID_TOKEN", " a.b.c\n"));
        let given = detect(&both).unwrap();
        assert!(matches!(&given, TokenSource::Given { token, .. } if token.expose() == "a.b.c"));
        assert!(!format!("{given:?}").contains("a.b.c"));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("oidc-token");
        std::fs::write(&file, "x").unwrap();
        assert_eq!(
            TokenSource::detect(&|_| None, &file).unwrap(),
            TokenSource::File(file)
        );
    }

    #[test]
    fn what_is_missing_is_named_with_its_remedy() {
        let url = ("ACTIONS_ID_TOKEN_REQUEST_URL", "http://token.example/");
        let bearer = ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "bearer");
        let github = ("GITHUB_ACTIONS", "true");
        for (variables, message, hint) in [
            (
                &[github][..],
                "ACTIONS_ID_TOKEN_REQUEST_URL is not set",
                "id-token: write",
            ),
            (
                &[github, url],
                "ACTIONS_ID_TOKEN_REQUEST_TOKEN is not set",
                "id-token: write",
            ),
            (
                &[github, ("RUNNER_ENVIRONMENT", "self-hosted")],
                "REQUEST_URL is not set",
                "this runner or GitHub server",
            ),
            (
                &[github, ("GITHUB_SERVER_URL", "https://git.example")],
                "REQUEST_URL is not set",
                "this runner or GitHub server",
            ),
            (&[github, url, bearer], "is not https", ""),
            (
                &[("GITLAB_CI", "true")],
                "SIGSTORE_ID_TOKEN is not set",
                "id_tokens",
            ),
            (
                &[("SIGSTORE_ID_TOKEN", " ")],
                "there is no identity token",
                "--identity-token",
            ),
            (&[], "/nonexistent/token", "SIGSTORE_ID_TOKEN"),
        ] {
            let error = detect(variables).unwrap_err();
            assert!(error.to_string().contains(message), "{error}");
            assert!(error.hint().unwrap_or_default().contains(hint), "{error:?}");
        }
    }

    #[tokio::test]
    async fn a_given_text_is_a_file_or_a_token_and_a_damaged_token_is_not_shown() {
        let http = Http::new(crate::service::HttpSettings::default()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, unsigned(&json!({"sub": "file"}))).unwrap();
        let text = unsigned(&json!({"sub": "text"}));
        for (given, subject) in [(file.to_str().unwrap(), "file"), (&text, "text")] {
            let token = TokenSource::given(given).token(&http, "x").await.unwrap();
            assert_eq!(token.claims().subject, subject);
        }
        for damaged in [&text[..40], "hunter2"] {
            let error = TokenSource::given(damaged)
                .token(&http, "x")
                .await
                .unwrap_err();
            let shown = format!("{error} {error:?} {:?}", error.hint());
            assert!(shown.contains("or the name of a file"), "{shown}");
            assert!(!shown.contains(damaged), "{shown}");
        }
        let missing = TokenSource::given("/nonexistent/token")
            .token(&http, "x")
            .await;
        assert!(matches!(missing, Err(TokenError::Unreadable { .. })));
    }

    #[test]
    fn a_token_file_is_read_every_time() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        assert!(matches!(
            from_file(&file),
            Err(TokenError::Unreadable { .. })
        ));
        for subject in ["one", "two"] {
            std::fs::write(&file, unsigned(&json!({"sub": subject}))).unwrap();
            assert_eq!(from_file(&file).unwrap().claims().subject, subject);
        }
    }
}
