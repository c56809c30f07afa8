//! The `oci` exporter with `tar=false`: writes layers, configs, manifests and index into the session's content store.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use reseal_proto::content::content_client::ContentClient;
use reseal_proto::content::{WriteAction, WriteContentRequest, WriteContentResponse};
use reseal_proto::gateway::{self, result::Result as Answer};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use super::{Build, Content, Daemon, lock};

const CHUNK: usize = 1 << 20;

/// Exports what was returned; gives the exporter's response.
pub(super) async fn run(
    daemon: &Arc<Daemon>,
    build: &Build,
    kind: &str,
    attrs: &BTreeMap<String, String>,
    result: gateway::Result,
) -> Result<BTreeMap<String, String>, Status> {
    if kind != "oci" || attrs.get("tar").map(String::as_str) != Some("false") {
        return Err(Status::invalid_argument(
            "this daemon only exports to a content store",
        ));
    }
    let Some(Answer::Refs(returned)) = result.result else {
        return Err(Status::invalid_argument(
            "this daemon only exports a map of refs",
        ));
    };
    let mapping = result.metadata.get("refs.platforms").ok_or_else(|| {
        Status::unknown("unable to export multiple refs, missing platforms mapping")
    })?;
    let mapping: Value =
        serde_json::from_slice(mapping).map_err(|error| Status::unknown(error.to_string()))?;
    let platforms = mapping["Platforms"].as_array().cloned().unwrap_or_default();
    if platforms.len() != returned.refs.len() {
        return Err(Status::unknown(format!(
            "number of platforms does not match references {} {}",
            platforms.len(),
            returned.refs.len()
        )));
    }
    let look = || lock(&daemon.sessions).get(&build.session).cloned();
    let channel = daemon
        .find(Duration::from_secs(5), look)
        .await
        .ok_or_else(|| Status::unavailable("no active session"))?;
    let store = Store {
        daemon: Arc::clone(daemon),
        channel,
    };

    let mut manifests = Vec::new();
    for platform in platforms {
        let id = platform["ID"].as_str().unwrap_or_default();
        let found = returned
            .refs
            .get(id)
            .ok_or_else(|| Status::unknown(format!("failed to find ref for ID {id}")))?;
        let content = if found.id.is_empty() {
            Some(Content::default())
        } else {
            lock(&build.results).get(&found.id).cloned()
        };
        if daemon.old
            && content
                .as_ref()
                .is_none_or(|content| content.layer.is_none())
        {
            // BuildKit 0.12 follows a nil pointer here.
            daemon.die();
            return std::future::pending().await;
        }
        let content =
            content.ok_or_else(|| Status::unknown(format!("no such ref: {}", found.id)))?;
        let mut manifest = store
            .image(
                content.layer,
                &platform["Platform"],
                result.metadata.get(&format!("containerimage.config/{id}")),
            )
            .await?;
        manifest["platform"] = platform["Platform"].clone();
        manifests.push(manifest);
    }
    let root = match manifests.as_slice() {
        [only] => only["digest"].clone(),
        _ => store.put_json("index", &json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": manifests})).await?["digest"].clone(),
    };
    Ok(BTreeMap::from([(
        "containerimage.digest".to_owned(),
        root.as_str().unwrap_or_default().to_owned(),
    )]))
}

struct Store {
    daemon: Arc<Daemon>,
    channel: Channel,
}

impl Store {
    async fn image(
        &self,
        layer: Option<Vec<u8>>,
        platform: &Value,
        config: Option<&Vec<u8>>,
    ) -> Result<Value, Status> {
        let mut layers = Vec::new();
        if let Some(layer) = layer {
            let digest = self.put("layer", &layer).await?;
            layers.push(json!({"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest, "size": layer.len()}));
        }
        let mut config: Value = match config {
            Some(config) => serde_json::from_slice(config)
                .map_err(|error| Status::unknown(error.to_string()))?,
            None => json!({"architecture": platform["architecture"], "os": platform["os"]}),
        };
        let diff_ids: Vec<Value> = layers.iter().map(|layer| layer["digest"].clone()).collect();
        config["rootfs"] = json!({"type": "layers", "diff_ids": diff_ids});
        let config = self.put_json("config", &config).await?;
        self.put_json(
            "manifest",
            &json!({"schemaVersion": 2, "config": config, "layers": layers}),
        )
        .await
    }

    async fn put_json(&self, kind: &str, value: &Value) -> Result<Value, Status> {
        let bytes = value.to_string().into_bytes();
        let digest = self.put(kind, &bytes).await?;
        Ok(
            json!({"mediaType": format!("application/vnd.oci.image.{kind}.v1+json"), "digest": digest, "size": bytes.len()}),
        )
    }

    /// Writes one blob the way containerd's client does: announce, send piece by piece, commit.
    async fn put(&self, kind: &str, bytes: &[u8]) -> Result<String, Status> {
        let digest = format!("sha256:{:x}", Sha256::digest(bytes));
        match self.transfer(kind, &digest, bytes).await {
            Ok(()) => {}
            Err(status) if status.code() == Code::AlreadyExists => {
                lock(&self.daemon.skipped).insert(digest.clone());
            }
            Err(status) => return Err(status),
        }
        Ok(digest)
    }

    async fn transfer(&self, kind: &str, digest: &str, bytes: &[u8]) -> Result<(), Status> {
        let (sender, receiver) = tokio::sync::mpsc::channel(1);
        let total = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
        let message = |action: WriteAction, offset: usize, data: &[u8]| WriteContentRequest {
            action: action.into(),
            r#ref: format!("{kind}-{digest}"),
            total,
            expected: digest.to_owned(),
            offset: i64::try_from(offset).unwrap_or(i64::MAX),
            data: data.to_vec().into(),
            ..Default::default()
        };
        let send = async |message| {
            sender
                .send(message)
                .await
                .map_err(|_| Status::aborted("the session stopped reading"))
        };
        send(message(WriteAction::Stat, 0, b"")).await?;
        let mut request = Request::new(ReceiverStream::new(receiver));
        request.metadata_mut().insert(
            "buildkit-attachable-store-id",
            tonic::metadata::MetadataValue::from_static("export"),
        );
        let mut answers = ContentClient::new(self.channel.clone())
            .write(request)
            .await?
            .into_inner();
        expect(answers.message().await?, 0)?;
        for (index, piece) in bytes.chunks(CHUNK).enumerate() {
            send(message(WriteAction::Write, index * CHUNK, piece)).await?;
            expect(answers.message().await?, index * CHUNK + piece.len())?;
        }
        send(message(WriteAction::Commit, bytes.len(), b"")).await?;
        let last = expect(answers.message().await?, bytes.len())?;
        if last.digest != digest {
            return Err(Status::data_loss(format!("committed as {}", last.digest)));
        }
        match answers.message().await? {
            None => Ok(()),
            Some(_) => Err(Status::internal("an answer after the commit")),
        }
    }
}

fn expect(
    answer: Option<WriteContentResponse>,
    offset: usize,
) -> Result<WriteContentResponse, Status> {
    let answer = answer.ok_or_else(|| Status::aborted("a write without an answer"))?;
    if usize::try_from(answer.offset) == Ok(offset) {
        Ok(answer)
    } else {
        Err(Status::data_loss(format!(
            "the session is at offset {}, not at {offset}",
            answer.offset
        )))
    }
}
