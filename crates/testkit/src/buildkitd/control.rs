//! The daemon's front door.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::stream::{self, BoxStream, StreamExt};
use reseal_proto::control::control_server::Control;
use reseal_proto::control::{
    BytesMessage, DiskUsageRequest, DiskUsageResponse, InfoRequest, InfoResponse,
    ListWorkersRequest, ListWorkersResponse, PruneRequest, SolveRequest, SolveResponse,
    StatusRequest, StatusResponse, UsageRecord,
};
use reseal_proto::types::{BuildkitVersion, WorkerRecord};
use reseal_proto::{gateway, pb};
use tokio::sync::{Notify, oneshot};
use tonic::{Request, Response, Status, Streaming};

use super::{Build, Daemon, export, lock, session};

pub(super) struct ControlService(pub(super) Arc<Daemon>);

/// Notes a solve that was dropped before it ended, which is how a cancelled call looks from here.
struct CancelGuard {
    daemon: Arc<Daemon>,
    build: Arc<Build>,
    done: bool,
}

impl Drop for CancelGuard {
    fn drop(&mut self) {
        self.build.end();
        if !self.done {
            self.daemon.called("cancelled");
            self.daemon.cancelled.notify_one();
        }
    }
}

#[tonic::async_trait]
impl Control for ControlService {
    async fn solve(
        &self,
        request: Request<SolveRequest>,
    ) -> Result<Response<SolveResponse>, Status> {
        let daemon = &self.0;
        let request = request.into_inner();
        daemon.called("Solve");
        lock(&daemon.solves).push(request.clone());
        if let Some(refusal) = &daemon.refuse {
            return Err(refusal.clone());
        }
        if request.definition.is_some() || !request.frontend.is_empty() {
            return Err(Status::invalid_argument(
                "this daemon only forwards gateway calls",
            ));
        }
        if request.r#ref.is_empty() || lock(&daemon.builds).contains_key(&request.r#ref) {
            return Err(Status::already_exists("the ref of a build must be fresh"));
        }
        let (sender, receiver) = oneshot::channel();
        let build = Arc::new(Build {
            session: request.session.clone(),
            results: Mutex::default(),
            returned: Mutex::new(Some(sender)),
            progress: Mutex::default(),
            changed: Notify::new(),
            over: Mutex::new(false),
        });
        lock(&daemon.builds).insert(request.r#ref.clone(), Arc::clone(&build));
        daemon.arrived.notify_waiters();
        let mut guard = CancelGuard {
            daemon: Arc::clone(daemon),
            build: Arc::clone(&build),
            done: false,
        };
        let returned = receiver
            .await
            .map_err(|_| Status::internal("the frontend went away"))?;
        let outcome = self.end(&request, &build, returned).await;
        guard.done = true;
        lock(&daemon.builds).remove(&request.r#ref);
        outcome.map(|exporter_response| Response::new(SolveResponse { exporter_response }))
    }

    type StatusStream = BoxStream<'static, Result<StatusResponse, Status>>;

    async fn status(
        &self,
        request: Request<StatusRequest>,
    ) -> Result<Response<Self::StatusStream>, Status> {
        let daemon = Arc::clone(&self.0);
        daemon.called("Status");
        let id = request.into_inner().r#ref;
        let look = || lock(&daemon.builds).get(&id).cloned();
        let build = daemon
            .find(Duration::from_secs(6), look)
            .await
            .ok_or_else(|| Status::not_found(format!("no such job {id}")))?;
        let updates = stream::unfold((build, 0), |(build, next)| async move {
            loop {
                let changed = build.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                let update = lock(&build.progress).get(next).cloned();
                if let Some(update) = update {
                    return Some((Ok(update), (build.clone(), next + 1)));
                }
                if *lock(&build.over) {
                    return None;
                }
                changed.await;
            }
        });
        Ok(Response::new(updates.boxed()))
    }

    type SessionStream = BoxStream<'static, Result<BytesMessage, Status>>;

    async fn session(
        &self,
        request: Request<Streaming<BytesMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        self.0.called("Session");
        session::accept(&self.0, request).map(Response::new)
    }

    async fn list_workers(
        &self,
        _request: Request<ListWorkersRequest>,
    ) -> Result<Response<ListWorkersResponse>, Status> {
        let platform = |architecture: &str, variant: &str| pb::Platform {
            os: "linux".to_owned(),
            architecture: architecture.to_owned(),
            variant: variant.to_owned(),
            ..Default::default()
        };
        let record = WorkerRecord {
            id: "worker".to_owned(),
            labels: BTreeMap::from([(
                "org.mobyproject.buildkit.worker.snapshotter".to_owned(),
                "overlayfs".to_owned(),
            )]),
            platforms: vec![platform("amd64", ""), platform("arm", "v7")],
            buildkit_version: self.0.version.clone().map(|version| BuildkitVersion {
                version,
                ..Default::default()
            }),
        };
        Ok(Response::new(ListWorkersResponse {
            record: vec![record],
        }))
    }

    async fn info(&self, _request: Request<InfoRequest>) -> Result<Response<InfoResponse>, Status> {
        let version = self
            .0
            .version
            .clone()
            .ok_or_else(|| Status::unimplemented("unknown method Info"))?;
        Ok(Response::new(InfoResponse {
            buildkit_version: Some(BuildkitVersion {
                version,
                ..Default::default()
            }),
        }))
    }

    async fn disk_usage(
        &self,
        _request: Request<DiskUsageRequest>,
    ) -> Result<Response<DiskUsageResponse>, Status> {
        Err(Status::unimplemented("not in this fake"))
    }

    type PruneStream = BoxStream<'static, Result<UsageRecord, Status>>;

    async fn prune(
        &self,
        _request: Request<PruneRequest>,
    ) -> Result<Response<Self::PruneStream>, Status> {
        Err(Status::unimplemented("not in this fake"))
    }
}

impl ControlService {
    async fn end(
        &self,
        request: &SolveRequest,
        build: &Build,
        returned: gateway::ReturnRequest,
    ) -> Result<BTreeMap<String, String>, Status> {
        if let Some(error) = returned.error {
            let code = tonic::Code::from(error.code);
            let prefix = if self.0.old {
                format!("{code:?}: ")
            } else {
                String::new()
            };
            return Err(Status::new(code, format!("{prefix}{}", error.message)));
        }
        let result = returned
            .result
            .ok_or_else(|| Status::invalid_argument("neither a result nor an error"))?;
        // Old daemons never look at the list; new ones look at the old fields only without a list.
        let listed = request.exporters.first().filter(|_| !self.0.old);
        let exporter = listed.map_or(
            (
                &request.exporter_deprecated,
                &request.exporter_attrs_deprecated,
            ),
            |listed| (&listed.r#type, &listed.attrs),
        );
        if exporter.0.is_empty() {
            return Ok(BTreeMap::new());
        }
        export::run(&self.0, build, exporter.0, exporter.1, result).await
    }
}
