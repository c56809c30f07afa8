//! The gateway: what a frontend may ask.

use std::sync::Arc;
use std::time::Duration;

use reseal_proto::apicaps::ApiCap;
use reseal_proto::fsutil::Stat;
use reseal_proto::gateway::llb_bridge_server::LlbBridge;
use reseal_proto::gateway::{
    self, EvaluateRequest, EvaluateResponse, PingRequest, PongResponse, ReadDirRequest,
    ReadDirResponse, ReadFileRequest, ReadFileResponse, ResolveImageConfigRequest,
    ResolveImageConfigResponse, ResolveSourceMetaRequest, ResolveSourceMetaResponse, ReturnRequest,
    ReturnResponse, SolveRequest, SolveResponse, StatFileRequest, StatFileResponse,
};
use reseal_proto::pb;
use sha2::{Digest, Sha256};
use tonic::{Request, Response, Status};

use super::{Answer, Build, Content, Daemon, lock};

pub(super) struct BridgeService(pub(super) Arc<Daemon>);

/// One message of a read never exceeds this, as in the real daemon.
const READ_LIMIT: usize = 16 << 20;

impl BridgeService {
    async fn build<T>(&self, request: &Request<T>) -> Result<Arc<Build>, Status> {
        let header = request
            .metadata()
            .get("buildkit-controlapi-buildid")
            .and_then(|value| value.to_str().ok());
        let id = header.ok_or_else(|| Status::unknown("no buildid found in context"))?;
        let look = || lock(&self.0.builds).get(id).cloned();
        self.0
            .find(Duration::from_secs(3), look)
            .await
            .ok_or_else(|| Status::not_found(format!("no such job {id}")))
    }

    async fn content<T>(&self, request: &Request<T>, id: &str) -> Result<Content, Status> {
        let build = self.build(request).await?;
        let found = lock(&build.results).get(id).cloned();
        found.ok_or_else(|| Status::unknown(format!("no such ref: {id:?}")))
    }

    /// What the real daemon checks when it loads a graph, and that the operations come before their users.
    fn load(&self, definition: Option<&pb::Definition>) -> Result<(), Status> {
        use prost::Message;
        let definition = definition.ok_or_else(|| Status::invalid_argument("no definition"))?;
        if definition.def.len() < 2 {
            return Err(Status::invalid_argument(
                "a graph has at least one operation and its result",
            ));
        }
        let mut seen = std::collections::BTreeSet::new();
        for (index, bytes) in definition.def.iter().enumerate() {
            let op = pb::Op::decode(bytes.as_slice())
                .map_err(|error| Status::invalid_argument(error.to_string()))?;
            if let Some(input) = op.inputs.iter().find(|input| !seen.contains(&input.digest)) {
                return Err(Status::invalid_argument(format!(
                    "input {} comes after its user",
                    input.digest
                )));
            }
            if op.op.is_none() != (index + 1 == definition.def.len()) {
                return Err(Status::invalid_argument(
                    "exactly the last operation is the result",
                ));
            }
            let digest = format!("sha256:{:x}", Sha256::digest(bytes));
            for cap in definition
                .metadata
                .get(&digest)
                .into_iter()
                .flat_map(|metadata| metadata.caps.keys())
            {
                if !matches!(self.0.capabilities.get(cap), Some(None)) {
                    return Err(Status::unknown(format!(
                        "failed to load LLB: unknown API capability {cap}"
                    )));
                }
            }
            seen.insert(digest);
        }
        Ok(())
    }
}

#[tonic::async_trait]
impl LlbBridge for BridgeService {
    async fn ping(&self, request: Request<PingRequest>) -> Result<Response<PongResponse>, Status> {
        self.0.called("Ping");
        self.build(&request).await?;
        let llb_caps = self.0.capabilities.iter().map(|(id, off)| ApiCap {
            id: id.clone(),
            enabled: off.is_none(),
            disabled_reason_msg: off.clone().unwrap_or_default(),
            ..Default::default()
        });
        Ok(Response::new(PongResponse {
            llb_caps: llb_caps.collect(),
            ..Default::default()
        }))
    }

    async fn solve(
        &self,
        request: Request<SolveRequest>,
    ) -> Result<Response<SolveResponse>, Status> {
        self.0.called("gateway.Solve");
        let build = self.build(&request).await?;
        let request = request.into_inner();
        if !request.allow_result_return || !request.allow_result_array_ref {
            return Err(Status::invalid_argument("only results by array ref"));
        }
        lock(&self.0.graphs).push(prost::Message::encode_to_vec(&request));
        self.load(request.definition.as_ref())?;
        let graph = request.definition.as_ref().map(|found| &found.def);
        let answer = {
            let mut answers = lock(&self.0.answers);
            let place = answers
                .iter()
                .position(|answer| graph.is_some_and(|graph| answer.fits(graph)));
            place.and_then(|place| answers.remove(place))
        };
        let content = match answer.map(Answer::plain) {
            Some(Answer::Layer { layer, files }) => Content {
                layer: Some(layer),
                files: Arc::new(files),
            },
            Some(Answer::Empty) => Content::default(),
            Some(Answer::Fails(status, progress)) => {
                // As in life, the error overtakes the status stream.
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    build.report(progress);
                });
                return Err(status);
            }
            Some(Answer::Hangs) => {
                self.0.hanging.notify_one();
                std::future::pending().await
            }
            Some(Answer::Dies) => {
                self.0.die();
                std::future::pending().await
            }
            Some(Answer::EndsSession) => {
                lock(&self.0.session_tasks)
                    .drain(..)
                    .for_each(|task| task.abort());
                std::future::pending().await
            }
            None | Some(Answer::For(..)) => {
                return Err(Status::failed_precondition(
                    "a solve that the script does not expect",
                ));
            }
        };
        // A result that is known to be empty has no id.
        let id = if content.layer.is_none() && request.evaluate {
            String::new()
        } else {
            format!("ref{}", lock(&build.results).len())
        };
        lock(&build.results).insert(id.clone(), content);
        let found = gateway::Ref { id, def: None };
        let result = gateway::Result {
            result: Some(gateway::result::Result::Ref(found)),
            ..Default::default()
        };
        Ok(Response::new(SolveResponse {
            result: Some(result),
            ..Default::default()
        }))
    }

    async fn read_file(
        &self,
        request: Request<ReadFileRequest>,
    ) -> Result<Response<ReadFileResponse>, Status> {
        self.0.called("ReadFile");
        let content = self.content(&request, &request.get_ref().r#ref).await?;
        let ReadFileRequest {
            file_path, range, ..
        } = request.into_inner();
        let data = content.files.get(&file_path).ok_or_else(|| {
            Status::unknown(format!("open {file_path}: no such file or directory"))
        })?;
        let data = match range {
            None => data.as_slice(),
            Some(range) => {
                let start = usize::try_from(range.offset)
                    .unwrap_or(usize::MAX)
                    .min(data.len());
                let length = usize::try_from(range.length).unwrap_or(usize::MAX);
                &data[start..start.saturating_add(length).min(data.len())]
            }
        };
        if data.len() > READ_LIMIT {
            return Err(Status::resource_exhausted(
                "grpc: trying to send message larger than max",
            ));
        }
        Ok(Response::new(ReadFileResponse {
            data: data.to_vec().into(),
        }))
    }

    async fn read_dir(
        &self,
        request: Request<ReadDirRequest>,
    ) -> Result<Response<ReadDirResponse>, Status> {
        let content = self.content(&request, &request.get_ref().r#ref).await?;
        let prefix = format!("{}/", request.into_inner().dir_path.trim_end_matches('/'));
        let names = content.files.iter().filter_map(|(path, data)| {
            let name = path
                .strip_prefix(&prefix)
                .filter(|name| !name.contains('/'))?;
            Some(file_stat(name, data))
        });
        let entries: Vec<Stat> = names.collect();
        if entries.is_empty() {
            return Err(Status::unknown(format!(
                "open {prefix}: no such file or directory"
            )));
        }
        Ok(Response::new(ReadDirResponse { entries }))
    }

    async fn stat_file(
        &self,
        request: Request<StatFileRequest>,
    ) -> Result<Response<StatFileResponse>, Status> {
        let content = self.content(&request, &request.get_ref().r#ref).await?;
        let path = request.into_inner().path;
        let data = content
            .files
            .get(&path)
            .ok_or_else(|| Status::unknown(format!("lstat {path}: no such file or directory")))?;
        Ok(Response::new(StatFileResponse {
            stat: Some(file_stat(path.rsplit('/').next().unwrap_or_default(), data)),
        }))
    }

    async fn evaluate(
        &self,
        request: Request<EvaluateRequest>,
    ) -> Result<Response<EvaluateResponse>, Status> {
        self.content(&request, &request.get_ref().r#ref).await?;
        Ok(Response::new(EvaluateResponse {}))
    }

    async fn r#return(
        &self,
        request: Request<ReturnRequest>,
    ) -> Result<Response<ReturnResponse>, Status> {
        self.0.called("Return");
        let build = self.build(&request).await?;
        let request = request.into_inner();
        if request.result.is_some() == request.error.is_some() {
            return Err(Status::invalid_argument("either a result or an error"));
        }
        lock(&self.0.returns).push(request.clone());
        let sender = lock(&build.returned)
            .take()
            .ok_or_else(|| Status::already_exists("the build has returned"))?;
        sender
            .send(request)
            .map_err(|_| Status::cancelled("the build is gone"))?;
        Ok(Response::new(ReturnResponse {}))
    }

    async fn resolve_image_config(
        &self,
        _: Request<ResolveImageConfigRequest>,
    ) -> Result<Response<ResolveImageConfigResponse>, Status> {
        Err(Status::unimplemented("not in this fake"))
    }

    async fn resolve_source_meta(
        &self,
        _: Request<ResolveSourceMetaRequest>,
    ) -> Result<Response<ResolveSourceMetaResponse>, Status> {
        Err(Status::unimplemented("not in this fake"))
    }
}

fn file_stat(name: &str, data: &[u8]) -> Stat {
    Stat {
        path: name.to_owned(),
        mode: 0o644,
        size: i64::try_from(data.len()).unwrap_or(i64::MAX),
        ..Default::default()
    }
}
