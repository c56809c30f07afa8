//! The daemon's end of a session: an HTTP/2 client inside a byte stream.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{BoxStream, StreamExt};
use reseal_proto::auth::auth_client::AuthClient;
use reseal_proto::auth::{
    FetchTokenRequest, GetTokenAuthorityRequest, VerifyTokenAuthorityRequest,
};
use reseal_proto::control::BytesMessage;
use reseal_proto::health::HealthCheckRequest;
use reseal_proto::health::health_client::HealthClient;
use ring::signature::{ED25519, UnparsedPublicKey};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tonic::transport::Channel;
use tonic::{Code, Request, Status, Streaming};

use super::{Daemon, channel_over, lock};

const HEALTH_PERIOD: Duration = Duration::from_secs(5);
const HEALTH_METHOD: &str = "/grpc.health.v1.health/check";

/// Takes a session over: pumps its bytes, and watches its health.
pub(super) fn accept(
    daemon: &Arc<Daemon>,
    request: Request<Streaming<BytesMessage>>,
) -> Result<BoxStream<'static, Result<BytesMessage, Status>>, Status> {
    let header = |name: &str| {
        request
            .metadata()
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned)
    };
    let id = header("x-docker-expose-session-uuid")
        .filter(|id| !id.is_empty())
        .ok_or_else(|| Status::invalid_argument("a session has an id"))?;
    header("x-docker-expose-session-sharedkey")
        .ok_or_else(|| Status::invalid_argument("a session has a shared key, even if empty"))?;
    let methods = request
        .metadata()
        .get_all("x-docker-expose-session-grpc-method");
    let mut methods = methods.iter().filter_map(|value| value.to_str().ok());
    if !methods.any(|method| method.eq_ignore_ascii_case(HEALTH_METHOD)) {
        return Err(Status::invalid_argument("a session serves health checks"));
    }
    let (ours, theirs) = tokio::io::duplex(256 << 10);
    let (mut outward, mut inward) = tokio::io::split(theirs);
    let mut incoming = request.into_inner();
    let (sender, receiver) = tokio::sync::mpsc::channel::<Result<BytesMessage, Status>>(4);

    let daemon = Arc::clone(daemon);
    let ended = Arc::clone(&daemon);
    let session = id.clone();
    let pump_in = async move {
        while let Ok(Some(message)) = incoming.message().await {
            if inward.write_all(&message.data).await.is_err() {
                break;
            }
        }
        lock(&ended.sessions).remove(&session);
        ended.called("session ended");
        ended.session_ended.notify_one();
    };
    let pump_out = async move {
        let mut piece = vec![0; 32 << 10];
        while let Ok(read) = outward.read(&mut piece).await {
            let data = bytes::Bytes::copy_from_slice(&piece[..read]);
            if read == 0 || sender.send(Ok(BytesMessage { data })).await.is_err() {
                break;
            }
        }
    };
    let watched = Arc::clone(&daemon);
    let task = tokio::spawn(async move {
        let serve = async move {
            let channel = channel_over(ours).await;
            lock(&watched.sessions).insert(id, channel.clone());
            watched.arrived.notify_waiters();
            watch(&watched, channel).await;
        };
        // The session ends with the client's half, or with its health.
        tokio::select! {
            () = pump_in => {}
            ((), ()) = async { tokio::join!(pump_out, serve) } => {}
        }
    });
    lock(&daemon.session_tasks).push(task.abort_handle());
    Ok(tokio_stream::wrappers::ReceiverStream::new(receiver).boxed())
}

/// Checks the session's health at once and then every five seconds; two failures in a row end it.
async fn watch(daemon: &Daemon, channel: Channel) {
    if daemon.silent {
        return std::future::pending().await;
    }
    let mut failures = 0;
    while failures < 2 {
        let check = HealthClient::new(channel.clone())
            .check(HealthCheckRequest::default())
            .await;
        let serving = check.is_ok_and(|answer| answer.into_inner().status == 1);
        failures = if serving { 0 } else { failures + 1 };
        *lock(&daemon.health_checks) += usize::from(serving);
        tokio::time::sleep(HEALTH_PERIOD).await;
    }
}

pub(super) async fn fetch_token(
    channel: Channel,
    host: &str,
    scope: &str,
) -> Result<Option<String>, Status> {
    let mut auth = AuthClient::new(channel);
    let (salt, payload) = (
        b"salt of this daemon".to_vec(),
        b"payload of this pull".to_vec(),
    );
    let asked = GetTokenAuthorityRequest {
        host: host.to_owned(),
        salt: salt.clone(),
    };
    let key = match auth.get_token_authority(asked).await {
        Ok(answer) => answer.into_inner().public_key,
        Err(error) if matches!(error.code(), Code::Unimplemented | Code::Unavailable) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let proof = VerifyTokenAuthorityRequest {
        host: host.to_owned(),
        payload: payload.clone(),
        salt,
    };
    let signed = auth
        .verify_token_authority(proof)
        .await?
        .into_inner()
        .signed;
    let (signature, message) = signed
        .split_at_checked(64)
        .ok_or_else(|| Status::permission_denied("a signature has 64 bytes"))?;
    if message != payload
        || UnparsedPublicKey::new(&ED25519, &key)
            .verify(message, signature)
            .is_err()
    {
        return Err(Status::permission_denied(
            "the session does not hold the key that it shows",
        ));
    }
    let wanted = FetchTokenRequest {
        client_id: "buildkit-client".to_owned(),
        host: host.to_owned(),
        realm: format!("https://{host}/token"),
        service: host.to_owned(),
        scopes: vec![scope.to_owned()],
    };
    Ok(Some(auth.fetch_token(wanted).await?.into_inner().token))
}
