//! Asks a `docker-credential-*` program. The registry goes to its stdin, the answer comes as JSON; nothing secret is an argument.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;

use super::{Credential, CredentialError};
use reseal_net::Secret;

/// More than any helper says.
const OUTPUT_LIMIT: u64 = 1024 * 1024;

pub(super) struct Helper<'a> {
    /// The part after `docker-credential-`.
    pub(super) name: &'a str,
    pub(super) named_in: &'a str,
    pub(super) path: Option<&'a str>,
    pub(super) timeout: Duration,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "Username", default)]
    username: String,
    #[serde(rename = "Secret", default)]
    secret: String,
}

impl Helper<'_> {
    /// Returns the login for `server`; `None` if the helper knows of none.
    pub(super) async fn get(&self, server: &str) -> Result<Option<Credential>, CredentialError> {
        let program = format!("docker-credential-{}", self.name);
        let failed = |why: String| CredentialError::HelperFailed {
            program: program.clone(),
            named_in: self.named_in.to_owned(),
            registry: server.to_owned(),
            why,
        };
        let file = self
            .find(&program)
            .ok_or_else(|| CredentialError::HelperMissing {
                program: program.clone(),
                named_in: self.named_in.to_owned(),
            })?;
        let run = tokio::time::timeout(self.timeout, run(&file, server));
        let (success, stdout) = run
            .await
            .map_err(|_| failed(format!("no answer within {} s", self.timeout.as_secs())))?
            .map_err(|error| failed(error.to_string()))?;
        if !success {
            let text = String::from_utf8_lossy(&stdout);
            let text = text.trim();
            let unknown = text.contains("credentials not found") || text.contains("no credentials");
            // A failed helper's output is its error text by the protocol, but not every helper keeps to it.
            return if unknown {
                Ok(None)
            } else if text.contains("\"Secret\"") {
                Err(failed("it ended with an error".to_owned()))
            } else {
                Err(failed(
                    crate::text::one_line(text, 200)
                        .unwrap_or_else(|| "it ended with an error".to_owned()),
                ))
            };
        }
        let answer: Answer = serde_json::from_slice(&stdout)
            .map_err(|_| failed("its answer is not the expected JSON".to_owned()))?;
        if answer.secret.is_empty() {
            return Ok(None);
        }
        let identity_token = answer.username == "<token>";
        Ok(Some(Credential {
            username: if identity_token {
                String::new()
            } else {
                answer.username
            },
            secret: Secret::new(answer.secret),
            identity_token,
            registry_token: false,
            source: format!("{program} (named by {})", self.named_in),
        }))
    }

    fn find(&self, program: &str) -> Option<PathBuf> {
        if self.name.is_empty() || self.name.contains(['/', '\\']) {
            return None;
        }
        std::env::split_paths(self.path?)
            .map(|folder| folder.join(program))
            .find(|file| is_executable(file))
    }
}

fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    file.metadata()
        .is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

async fn run(file: &Path, server: &str) -> std::io::Result<(bool, Vec<u8>)> {
    let mut child = Command::new(file)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A helper that does not read its input closes the pipe: its answer tells more than that error.
        let _ = stdin.write_all(server.as_bytes()).await;
    }
    let mut stdout = Vec::new();
    if let Some(pipe) = child.stdout.take() {
        pipe.take(OUTPUT_LIMIT).read_to_end(&mut stdout).await?;
    }
    Ok((child.wait().await?.success(), stdout))
}
