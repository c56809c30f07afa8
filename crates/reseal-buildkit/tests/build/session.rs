//! What the daemon may ask while a build runs.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use reseal_buildkit::{
    AuthProvider, BuildError, BuildOptions, ContentSource, Credentials, Output, Secret, Token,
    TokenRequest, build,
};
use reseal_proto::auth::CredentialsRequest;
use reseal_proto::auth::auth_client::AuthClient;
use reseal_proto::content::content_client::ContentClient;
use reseal_proto::content::{InfoRequest, ReadContentRequest};
use reseal_proto::secrets::GetSecretRequest;
use reseal_proto::secrets::secrets_client::SecretsClient;
use reseal_testkit::buildkitd::{FakeBuildkitd, Script};
use tonic::transport::Channel;
use tonic::{Code, Request};

use crate::support::{Setup, graph};

struct Keys;

#[async_trait]
impl AuthProvider for Keys {
    async fn credentials(&self, host: &str) -> Option<Credentials> {
        let identity_token = host == "identity.example";
        (host != "anonymous.example").then(|| Credentials {
            username: "ci".to_owned(),
            secret: Secret::new("hunter2"),
            identity_token,
        })
    }

    async fn token(&self, request: TokenRequest) -> Result<Token, String> {
        match request.host.as_str() {
            "broken.example" => Err("the token service is down".to_owned()),
            host => Ok(Token {
                token: Secret::new(format!("token for {} at {host}", request.scopes.join(" "))),
                expires_in: 300,
                issued_at: 0,
            }),
        }
    }
}

struct Blobs(BTreeMap<String, Vec<u8>>);

#[async_trait]
impl ContentSource for Blobs {
    async fn size(&self, digest: &str) -> Option<u64> {
        self.0.get(digest).map(|blob| blob.len() as u64)
    }

    async fn read(&self, digest: &str, offset: u64, len: u64) -> Result<Bytes, io::Error> {
        let blob = self.0.get(digest).ok_or(io::ErrorKind::NotFound)?;
        let start = usize::try_from(offset).unwrap();
        Ok(Bytes::copy_from_slice(
            &blob[start..start + usize::try_from(len).unwrap()],
        ))
    }
}

/// Runs `ask` as the daemon, inside a session with those options.
async fn asking<F: Future<Output = ()>>(
    change: impl FnOnce(&mut BuildOptions),
    ask: impl FnOnce(Arc<FakeBuildkitd>, Channel) -> F,
) {
    let mut setup = Setup::answering(vec![]).await;
    let mut options = setup.options();
    options.export = None;
    change(&mut options);
    let daemon = Arc::new(setup.daemon);
    build(&setup.client, options, |_| async {
        let session = loop {
            match daemon.session() {
                Some(session) => break session,
                None => tokio::task::yield_now().await,
            }
        };
        ask(Arc::clone(&daemon), session).await;
        Ok(Output::default())
    })
    .await
    .unwrap();
}

#[tokio::test(start_paused = true)]
async fn health_checks_are_answered_for_as_long_as_the_build_runs() {
    asking(
        |_| {},
        |daemon, _| async move {
            tokio::time::sleep(Duration::from_secs(301)).await;
            assert_eq!(daemon.health_checks(), 61);
        },
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_fell_silent_is_given_up() {
    let mut setup = Setup::new(Script {
        silent: true,
        answers: vec![reseal_testkit::buildkitd::Answer::Hangs],
        ..Script::default()
    })
    .await;
    let before = tokio::time::Instant::now();
    let options = setup.options();
    let error = build(&setup.client, options, |gateway| async move {
        gateway
            .solve(&graph(), true)
            .await
            .map(|_| Output::default())
    });
    let error = error.await.unwrap_err();
    assert!(
        matches!(&error, BuildError::Session { why } if why.contains("60 s")),
        "{error:?}"
    );
    assert!(before.elapsed() < Duration::from_secs(80));
    setup.daemon.cancelled().await;
}

#[tokio::test(start_paused = true)]
async fn credentials_are_told_per_host_and_anonymous_access_is_empty() {
    asking(
        |options| options.auth = Some(Arc::new(Keys)),
        |_, session| async move {
            let table = [
                ("registry.example", ("ci", "hunter2")),
                ("identity.example", ("", "hunter2")),
                ("anonymous.example", ("", "")),
            ];
            for (host, expected) in table {
                let answer = AuthClient::new(session.clone())
                    .credentials(CredentialsRequest {
                        host: host.to_owned(),
                    })
                    .await
                    .unwrap()
                    .into_inner();
                assert_eq!(
                    (answer.username.as_str(), answer.secret.as_str()),
                    expected,
                    "{host}"
                );
            }
        },
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_daemon_gets_a_token_after_the_authority_has_proved_itself() {
    asking(
        |options| options.auth = Some(Arc::new(Keys)),
        |daemon, _| async move {
            for host in ["registry.example", "anonymous.example"] {
                let token = daemon
                    .fetch_token(host, "repository:shop/cart:pull")
                    .await
                    .unwrap()
                    .unwrap();
                assert_eq!(
                    token,
                    format!("token for repository:shop/cart:pull at {host}")
                );
            }
            let refused = daemon
                .fetch_token("broken.example", "repository:shop/cart:pull")
                .await
                .unwrap_err();
            assert_eq!(
                (refused.code(), refused.message()),
                (Code::Unauthenticated, "the token service is down")
            );
        },
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn without_a_provider_there_is_no_authority_and_every_registry_is_anonymous() {
    asking(
        |_| {},
        |daemon, session| async move {
            assert_eq!(
                daemon
                    .fetch_token("registry.example", "repository:a:pull")
                    .await
                    .unwrap(),
                None
            );
            let answer = AuthClient::new(session)
                .credentials(CredentialsRequest {
                    host: "registry.example".to_owned(),
                })
                .await
                .unwrap()
                .into_inner();
            assert_eq!((answer.username.as_str(), answer.secret.as_str()), ("", ""));
        },
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn secrets_are_given_by_id_and_a_missing_one_is_not_found() {
    asking(
        |options| {
            options
                .secrets
                .insert("apt-auth".to_owned(), b"machine example".to_vec());
        },
        |_, session| async move {
            let mut secrets = SecretsClient::new(session);
            let mut get = async |id: &str| {
                secrets
                    .get_secret(GetSecretRequest {
                        id: id.to_owned(),
                        ..Default::default()
                    })
                    .await
            };
            assert_eq!(
                get("apt-auth").await.unwrap().into_inner().data,
                b"machine example"
            );
            assert_eq!(get("other").await.unwrap_err().code(), Code::NotFound);
        },
    )
    .await;
}

fn to_store<T>(store: &'static str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request
        .metadata_mut()
        .insert("buildkit-attachable-store-id", store.parse().unwrap());
    request
}

async fn read(
    session: &Channel,
    store: &'static str,
    digest: &str,
    offset: i64,
    size: i64,
) -> Result<Vec<u8>, Code> {
    let request = ReadContentRequest {
        digest: digest.to_owned(),
        offset,
        size,
    };
    let mut client = ContentClient::new(session.clone());
    let mut stream = client
        .read(to_store(store, request))
        .await
        .map_err(|status| status.code())?
        .into_inner();
    let mut content = Vec::new();
    while let Some(piece) = stream.message().await.map_err(|status| status.code())? {
        assert_eq!(usize::try_from(piece.offset - offset), Ok(content.len()));
        content.extend_from_slice(&piece.data);
    }
    Ok(content)
}

#[tokio::test(start_paused = true)]
async fn blobs_of_the_source_are_read_in_ranges() {
    let blob: Vec<u8> = (0..3_000_000_u32).map(|at| at.to_le_bytes()[0]).collect();
    let source = Arc::new(Blobs(BTreeMap::from([(
        "sha256:aa".to_owned(),
        blob.clone(),
    )])));
    asking(
        |options| options.source = Some(("base".to_owned(), source)),
        |_, session| async move {
            let info = InfoRequest {
                digest: "sha256:aa".to_owned(),
            };
            let info = ContentClient::new(session.clone())
                .info(to_store("oci:base", info))
                .await
                .unwrap()
                .into_inner()
                .info
                .unwrap();
            assert_eq!(info.size, 3_000_000);
            let read = async |store, digest: &str, offset, size| {
                read(&session, store, digest, offset, size).await
            };
            assert!(read("oci:base", "sha256:aa", 0, 0).await.unwrap() == blob);
            assert_eq!(
                read("oci:base", "sha256:aa", 0, 512).await.unwrap(),
                blob[..512]
            );
            assert_eq!(
                read("oci:base", "sha256:aa", 2_999_999, 10).await.unwrap(),
                blob[2_999_999..]
            );
            assert_eq!(
                read("oci:base", "sha256:aa", 3_000_000, 0).await.unwrap(),
                b""
            );
            assert_eq!(
                read("oci:base", "sha256:aa", 3_000_001, 0).await,
                Err(Code::OutOfRange)
            );
            assert_eq!(
                read("oci:base", "sha256:aa", -1, 0).await,
                Err(Code::OutOfRange)
            );
            assert_eq!(
                read("oci:base", "sha256:bb", 0, 0).await,
                Err(Code::NotFound)
            );
            assert_eq!(
                read("oci:other", "sha256:aa", 0, 0).await,
                Err(Code::NotFound)
            );
            assert_eq!(read("export", "sha256:aa", 0, 0).await, Err(Code::NotFound));
        },
    )
    .await;
}
