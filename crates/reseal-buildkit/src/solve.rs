//! One build: a `Control.Solve` in flight, its session, its status stream and the code that acts as its frontend.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use reseal_llb::Platform;
use reseal_proto::control::{CacheOptions, Exporter, SolveRequest, SolveResponse};
use reseal_proto::gateway::result::Result as Answer;
use reseal_proto::gateway::{self, RefMap, ReturnRequest};
use reseal_proto::rpc;
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::task::AbortOnDropHandle;
use tonic::{Code, Status};

use crate::export::{ExportSink, Exported, read_exported};
use crate::gateway::{Gateway, Ref};
use crate::progress::{SolveEvent, VertexLogs, follow};
use crate::session::{AuthProvider, ContentSource, Services, Session};
use crate::{BuildError, Client, random, status};

/// How long the daemon may take to end a build that was given up, and to say why a session broke.
const GRACE: Duration = Duration::from_secs(5);
/// How long the status stream may go on after the build.
const DRAIN: Duration = Duration::from_secs(5);
/// What the daemon is told when there is nothing to export; it comes back as the solve's error.
const NOTHING: &str = "nothing to export";

/// What a build needs besides its graph.
pub struct BuildOptions {
    /// Credentials for the daemon's pulls; without one every registry is anonymous.
    pub auth: Option<Arc<dyn AuthProvider>>,
    /// Contents of secret mounts, by id.
    pub secrets: BTreeMap<String, Vec<u8>>,
    /// The name and the blobs of an OCI layout that the graph uses as a source.
    pub source: Option<(String, Arc<dyn ContentSource>)>,
    /// Where the exported blobs go; without one nothing is exported.
    pub export: Option<Arc<ExportSink>>,
    /// Attributes of the `oci` exporter; `tar=false` is added.
    pub exporter_attrs: BTreeMap<String, String>,
    /// The ids of the platforms, for the daemon's own messages.
    pub platforms: Vec<String>,
    /// Keeps the build out of the daemon's history.
    pub internal: bool,
    /// Where progress goes. The channel has no bound: the daemon's logs are never dropped, and never waited for.
    pub events: UnboundedSender<SolveEvent>,
}

impl BuildOptions {
    /// Options for a build that exports nothing and knows no secrets.
    pub fn new(events: UnboundedSender<SolveEvent>) -> Self {
        Self {
            auth: None,
            secrets: BTreeMap::new(),
            source: None,
            export: None,
            exporter_attrs: BTreeMap::new(),
            platforms: Vec::new(),
            internal: false,
            events,
        }
    }
}

/// What the frontend hands to the exporter.
#[derive(Debug, Default)]
pub struct Output {
    /// Platform id, platform, result and image config; the order is that of the exported index. Without any, nothing is
    /// exported.
    pub platforms: Vec<(String, Platform, Ref, Option<Vec<u8>>)>,
}

/// Runs `frontend` as the frontend of one build, and exports what it returns.
///
/// The daemon is told the end on every path, also when `frontend` fails. Dropping the returned future resets the solve,
/// which kills what runs on the daemon at once, and ends the session.
pub async fn build<F, Fut>(
    client: &Client,
    options: BuildOptions,
    frontend: F,
) -> Result<Exported, BuildError>
where
    F: FnOnce(Gateway) -> Fut,
    Fut: Future<Output = Result<Output, BuildError>>,
{
    let (build_id, session_id) = (random::identifier()?, random::identifier()?);
    let request = solve_request(&options, &build_id, &session_id);
    let logs = VertexLogs::default();
    let services = Services {
        auth: options.auth,
        authority: client.authority()?,
        secrets: options.secrets,
        source: options.source,
        export: options.export.clone(),
    };
    let session = Session::open(client.control(), &session_id, services).await?;
    let status = AbortOnDropHandle::new(tokio::spawn(follow(
        client.control(),
        build_id.clone(),
        options.events,
        logs.clone(),
    )));

    let mut control = client.control();
    let mut running = Running {
        // The call lives in this future and nowhere else, so dropping one drops the other.
        solve: Box::pin(async move {
            control
                .solve(request)
                .await
                .map(tonic::Response::into_inner)
        }),
        session,
    };
    let opened = Gateway::open(client.bridge(), &build_id, session_id, logs.clone());
    let outcome = running
        .run(opened, frontend, options.export.is_some())
        .await;
    running.session.close().await;
    if tokio::time::timeout(DRAIN, status).await.is_err() {
        tracing::debug!("the status stream did not end in time");
    }

    let ended = outcome.map_err(|error| explain(error, &logs, options.export.as_deref()))?;
    match options.export {
        Some(sink) if !ended.platforms.is_empty() => tokio::task::spawn_blocking(move || {
            read_exported(&sink, ended.response, &ended.platforms)
        })
        .await
        .map_err(|error| BuildError::Export {
            why: error.to_string(),
        })?,
        _ => Ok(Exported::Nothing),
    }
}

fn solve_request(options: &BuildOptions, build_id: &str, session_id: &str) -> SolveRequest {
    let mut request = SolveRequest {
        r#ref: build_id.to_owned(),
        session: session_id.to_owned(),
        // Neither a definition nor a frontend: this is what makes the daemon wait for gateway calls.
        cache: Some(CacheOptions::default()),
        internal: options.internal,
        ..SolveRequest::default()
    };
    if !options.platforms.is_empty() {
        request
            .frontend_attrs
            .insert("platform".to_owned(), options.platforms.join(","));
    }
    if options.export.is_some() {
        let mut attrs = options.exporter_attrs.clone();
        attrs.insert("tar".to_owned(), "false".to_owned());
        let exporter = Exporter {
            r#type: "oci".to_owned(),
            attrs,
        };
        // Daemons before 0.13 know only these two and ignore the list in silence.
        request.exporter_deprecated.clone_from(&exporter.r#type);
        request
            .exporter_attrs_deprecated
            .clone_from(&exporter.attrs);
        request.exporters.push(exporter);
    }
    request
}

/// A build that ended well.
struct Ended {
    response: BTreeMap<String, String>,
    /// The ids of the output's platforms, and whether each is empty and therefore was not exported.
    platforms: Vec<(String, bool)>,
}

/// The parts of a build that end together.
struct Running {
    solve: Pin<Box<dyn Future<Output = Result<SolveResponse, Status>> + Send>>,
    session: Session,
}

impl Running {
    /// Runs the frontend and ends the build.
    async fn run<F, Fut>(
        &mut self,
        opened: impl Future<Output = Result<Gateway, BuildError>>,
        frontend: F,
        exports: bool,
    ) -> Result<Ended, BuildError>
    where
        F: FnOnce(Gateway) -> Fut,
        Fut: Future<Output = Result<Output, BuildError>>,
    {
        let gateway = self.during(opened).await??;
        match self.during(frontend(gateway.clone())).await? {
            Ok(mut output) => {
                let platform = |(id, _, result, _): &(String, Platform, Ref, _)| {
                    (id.clone(), result.is_empty())
                };
                let platforms: Vec<(String, bool)> =
                    output.platforms.iter().map(platform).collect();
                output
                    .platforms
                    .retain(|(_, _, result, _)| !result.is_empty());
                let response = if exports && output.platforms.is_empty() {
                    let told = failure(Code::FailedPrecondition, NOTHING);
                    match self.finish(&gateway, told).await {
                        Err(BuildError::Solve {
                            code: Code::FailedPrecondition,
                            ..
                        }) => BTreeMap::new(),
                        Err(error) => return Err(error),
                        Ok(_) => {
                            return Err(BuildError::Export {
                                why: "the daemon exported something although nothing was returned"
                                    .to_owned(),
                            });
                        }
                    }
                } else {
                    self.finish(&gateway, success(output))
                        .await?
                        .exporter_response
                };
                Ok(Ended {
                    response,
                    platforms,
                })
            }
            Err(error) => {
                let told = failure(code_of(&error), &error.to_string());
                let ended = tokio::time::timeout(GRACE, self.finish(&gateway, told)).await;
                match ended {
                    // The call failed only because the build had already failed: that reason is the better one.
                    Ok(Err(cause)) if is_consequence(&error) => Err(cause),
                    _ => Err(error),
                }
            }
        }
    }

    /// Does `work` while the build is alive.
    async fn during<T>(&mut self, work: impl Future<Output = T>) -> Result<T, BuildError> {
        tokio::select! {
            // The solve comes first: it must be on the wire before the first gateway call.
            biased;
            solved = &mut self.solve => Err(match solved {
                Err(error) => status::classify(&error),
                Ok(_) => BuildError::Solve { code: Code::Internal, vertex: None, message: "the daemon ended the build before it was told to".to_owned() },
            }),
            done = work => Ok(done),
            broken = self.session.broken() => Err(reason(&mut self.solve, broken).await),
        }
    }

    /// Tells the daemon the result and waits for the solve to end.
    async fn finish(
        &mut self,
        gateway: &Gateway,
        request: ReturnRequest,
    ) -> Result<SolveResponse, BuildError> {
        let mut returning = pin!(gateway.finish(request));
        let mut returned = false;
        loop {
            tokio::select! {
                biased;
                solved = &mut self.solve => return solved.map_err(|error| status::classify(&error)),
                result = &mut returning, if !returned => {
                    if let Err(error) = result {
                        return Err(reason(&mut self.solve, status::classify(&error)).await);
                    }
                    returned = true;
                }
                broken = self.session.broken() => return Err(reason(&mut self.solve, broken).await),
            }
        }
    }
}

/// When a part of the build broke, the solve mostly knows why; it gets a moment to say so.
async fn reason(
    solve: &mut Pin<Box<dyn Future<Output = Result<SolveResponse, Status>> + Send>>,
    otherwise: BuildError,
) -> BuildError {
    match tokio::time::timeout(GRACE, solve).await {
        Ok(Err(error)) => match status::classify(&error) {
            BuildError::Cancelled => otherwise,
            cause => cause,
        },
        _ => otherwise,
    }
}

/// Whether an error only says that the build is over.
fn is_consequence(error: &BuildError) -> bool {
    match error {
        BuildError::Lost { .. } | BuildError::Cancelled | BuildError::Session { .. } => true,
        BuildError::Solve { code, message, .. } => {
            *code == Code::NotFound || message.contains("no such job")
        }
        _ => false,
    }
}

fn code_of(error: &BuildError) -> Code {
    match error {
        BuildError::Solve { code, .. } => *code,
        BuildError::Unsupported(_) => Code::Unimplemented,
        BuildError::Cancelled => Code::Cancelled,
        _ => Code::Aborted,
    }
}

fn failure(code: Code, message: &str) -> ReturnRequest {
    ReturnRequest {
        result: None,
        error: Some(rpc::Status {
            code: code.into(),
            message: message.to_owned(),
            details: Vec::new(),
        }),
    }
}

/// One platform is returned the same way as many, so that the exporter always has its name.
fn success(output: Output) -> ReturnRequest {
    if output.platforms.is_empty() {
        return ReturnRequest {
            result: Some(gateway::Result::default()),
            error: None,
        };
    }
    let mut refs = BTreeMap::new();
    let mut metadata = BTreeMap::new();
    let mut platforms = Vec::with_capacity(output.platforms.len());
    for (id, platform, result, config) in output.platforms {
        platforms.push(serde_json::json!({ "ID": id, "Platform": platform_json(&platform) }));
        if let Some(config) = config {
            metadata.insert(format!("containerimage.config/{id}"), config);
        }
        refs.insert(
            id,
            gateway::Ref {
                id: result.id().to_owned(),
                def: None,
            },
        );
    }
    let mapping = serde_json::json!({ "Platforms": platforms }).to_string();
    metadata.insert("refs.platforms".to_owned(), mapping.into_bytes());
    let result = gateway::Result {
        result: Some(Answer::Refs(RefMap { refs })),
        metadata,
        ..Default::default()
    };
    ReturnRequest {
        result: Some(result),
        error: None,
    }
}

fn platform_json(platform: &Platform) -> serde_json::Value {
    let mut json = serde_json::json!({ "architecture": platform.architecture, "os": platform.os });
    let optional = [
        ("variant", &platform.variant),
        ("os.version", &platform.os_version),
    ];
    for (key, value) in optional.into_iter().filter(|(_, value)| !value.is_empty()) {
        json[key] = value.as_str().into();
    }
    if !platform.os_features.is_empty() {
        json["os.features"] = platform.os_features.clone().into();
    }
    json
}

/// Adds what only arrived after the error did: the output of the failed process, and our own side of a failed export.
fn explain(error: BuildError, logs: &VertexLogs, sink: Option<&ExportSink>) -> BuildError {
    match error {
        BuildError::Exec {
            vertex: Some(vertex),
            exit_code,
            message,
            log_tail,
        } => {
            let whole = logs.tail(&vertex);
            let log_tail = if whole.is_empty() { log_tail } else { whole };
            BuildError::Exec {
                vertex: Some(vertex),
                exit_code,
                message,
                log_tail,
            }
        }
        BuildError::Solve {
            code,
            vertex,
            message,
        } => match sink.and_then(ExportSink::take_failure) {
            Some(why) => BuildError::Export { why },
            None => BuildError::Solve {
                code,
                vertex,
                message,
            },
        },
        error => error,
    }
}
