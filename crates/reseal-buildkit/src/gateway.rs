//! The frontend's side of a build: solves graphs, and looks into their results.

mod result;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use reseal_llb::Definition;
use reseal_proto::gateway::result::Result as Answer;
use reseal_proto::gateway::{
    EvaluateRequest, PingRequest, ReturnRequest, ReturnResponse, SolveRequest,
};
use reseal_proto::pb;
use sha2::{Digest, Sha256};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::{Code, Request, Status};

pub use result::{DirEntry, Ref, Stat};

use crate::client::Bridge;
use crate::progress::VertexLogs;
use crate::{BuildError, Capabilities, CapabilityError, status};

/// The header that ties a gateway call to its build.
const BUILD_HEADER: &str = "buildkit-controlapi-buildid";
/// The daemon waits 3 s for a build to be registered; a busy one may need longer.
const REGISTER_ATTEMPTS: u32 = 5;
/// How long the output of a failed operation may trail behind its error.
const SETTLE: Duration = Duration::from_secs(2);

/// Calls into one running build. Clones share it; after the build every call fails.
#[derive(Debug, Clone)]
pub struct Gateway {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    bridge: Bridge,
    build: MetadataValue<Ascii>,
    session: String,
    capabilities: Capabilities,
    logs: VertexLogs,
}

impl Gateway {
    /// Greets the daemon from inside the build and learns what it can do.
    pub(crate) async fn open(
        mut bridge: Bridge,
        build: &str,
        session: String,
        logs: VertexLogs,
    ) -> Result<Self, BuildError> {
        let build: MetadataValue<Ascii> = build.parse().map_err(|_| BuildError::Session {
            why: format!("`{build}` cannot be a header value"),
        })?;
        let mut attempt = 1;
        let pong = loop {
            let mut request = Request::new(PingRequest {});
            request.metadata_mut().insert(BUILD_HEADER, build.clone());
            match bridge.ping(request).await {
                Ok(pong) => break pong.into_inner(),
                Err(error) if attempt < REGISTER_ATTEMPTS && is_unregistered(&error) => {
                    attempt += 1;
                }
                Err(error) => return Err(status::classify(&error)),
            }
        };
        let mut capabilities = Capabilities::default();
        for cap in pong.frontend_api_caps.into_iter().chain(pong.llb_caps) {
            let reason = [cap.disabled_reason_msg, cap.disabled_reason]
                .into_iter()
                .find(|reason| !reason.is_empty());
            let disabled = (!cap.enabled)
                .then(|| reason.unwrap_or_else(|| "it is switched off in this daemon".to_owned()));
            capabilities.announce(cap.id, disabled);
        }
        Ok(Self {
            inner: Arc::new(Inner {
                bridge,
                build,
                session,
                capabilities,
                logs,
            }),
        })
    }

    /// Returns what the daemon can do.
    pub fn capabilities(&self) -> &Capabilities {
        &self.inner.capabilities
    }

    /// Returns the id of the build's session, which an OCI layout source names.
    pub fn session_id(&self) -> &str {
        &self.inner.session
    }

    /// Solves a graph. Without `evaluate` this only registers it: errors then surface where the result is used.
    ///
    /// Refuses a graph that needs what the daemon cannot do before anything is sent.
    pub async fn solve(&self, definition: &Definition, evaluate: bool) -> Result<Ref, BuildError> {
        let definition = definition.to_proto();
        self.check(&definition)?;
        if is_empty_diff(&definition) {
            return Ok(Ref {
                id: String::new(),
                gateway: self.clone(),
            });
        }
        let request = SolveRequest {
            definition: Some(definition),
            allow_result_return: true,
            allow_result_array_ref: true,
            evaluate,
            ..SolveRequest::default()
        };
        let answer = self.bridge().solve(self.request(request)).await;
        let result = self
            .settled(answer)
            .await?
            .result
            .and_then(|result| result.result);
        let id = match result {
            Some(Answer::Ref(found)) => found.id,
            Some(Answer::RefDeprecated(id)) => id,
            None => String::new(),
            Some(Answer::Refs(_) | Answer::RefsDeprecated(_)) => {
                return Err(BuildError::Solve {
                    code: Code::Internal,
                    vertex: None,
                    message: "the daemon answered one graph with several results".to_owned(),
                });
            }
        };
        Ok(Ref {
            id,
            gateway: self.clone(),
        })
    }

    /// Runs what a lazily solved result needs.
    pub async fn evaluate(&self, result: &Ref) -> Result<(), BuildError> {
        if result.is_empty() {
            return Ok(());
        }
        let answer = self
            .bridge()
            .evaluate(self.request(EvaluateRequest {
                r#ref: result.id.clone(),
            }))
            .await;
        self.settled(answer).await.map(drop)
    }

    /// Ends the build with a result or an error. Exactly one such call lets `Control.Solve` return.
    pub(crate) async fn finish(&self, request: ReturnRequest) -> Result<ReturnResponse, Status> {
        self.bridge()
            .r#return(self.request(request))
            .await
            .map(tonic::Response::into_inner)
    }

    fn check(&self, definition: &pb::Definition) -> Result<(), CapabilityError> {
        let needed: BTreeSet<&str> = definition
            .metadata
            .values()
            .flat_map(|op| &op.caps)
            .filter(|(_, on)| **on)
            .map(|(id, _)| id.as_str())
            .collect();
        needed
            .into_iter()
            .try_for_each(|id| self.inner.capabilities.supports(id))
    }

    fn bridge(&self) -> Bridge {
        self.inner.bridge.clone()
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request
            .metadata_mut()
            .insert(BUILD_HEADER, self.inner.build.clone());
        request
    }

    /// Classifies a failure, and gives a failed process the time to have its output arrive.
    async fn settled<T>(
        &self,
        answer: Result<tonic::Response<T>, Status>,
    ) -> Result<T, BuildError> {
        let error = match answer {
            Ok(answer) => return Ok(answer.into_inner()),
            Err(error) => status::classify(&error),
        };
        match error {
            BuildError::Exec {
                vertex: Some(vertex),
                exit_code,
                message,
                ..
            } => {
                self.inner.logs.settle(&vertex, SETTLE).await;
                let log_tail = self.inner.logs.tail(&vertex);
                Err(BuildError::Exec {
                    vertex: Some(vertex),
                    exit_code,
                    message,
                    log_tail,
                })
            }
            error => Err(error),
        }
    }
}

/// Whether a graph's result is the difference of something and itself. `BuildKit` 0.12 dies when such a result is
/// exported, so it never gets to see one.
fn is_empty_diff(definition: &pb::Definition) -> bool {
    let decode = |bytes: &Vec<u8>| pb::Op::decode(bytes.as_slice()).ok();
    let Some(result) = definition.def.last().and_then(decode) else {
        return false;
    };
    let Some(wanted) = result.inputs.first() else {
        return false;
    };
    let mut operations = definition.def.iter();
    let found =
        operations.find(|bytes| format!("sha256:{:x}", Sha256::digest(bytes)) == wanted.digest);
    let Some(pb::Op {
        inputs,
        op: Some(pb::op::Op::Diff(diff)),
        ..
    }) = found.and_then(decode)
    else {
        return false;
    };
    let input = |index: Option<i64>| usize::try_from(index?).ok().and_then(|at| inputs.get(at));
    let lower = input(diff.lower.map(|lower| lower.input));
    let upper = input(diff.upper.map(|upper| upper.input));
    lower == upper
}

/// Old daemons answer an unknown build with `Unknown` and a text, newer ones with `NotFound`.
pub(crate) fn is_unregistered(status: &Status) -> bool {
    status.code() == Code::NotFound || status.message().contains("no such job")
}
