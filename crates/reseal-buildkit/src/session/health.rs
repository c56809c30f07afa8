//! Answers the daemon's health checks; a session without them is ended after about ten seconds.

use reseal_proto::health::health_check_response::ServingStatus;
use reseal_proto::health::health_server::Health;
use reseal_proto::health::{HealthCheckRequest, HealthCheckResponse};
use tonic::{Request, Response, Status};

pub(super) struct HealthService;

#[tonic::async_trait]
impl Health for HealthService {
    async fn check(
        &self,
        _request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        Ok(Response::new(HealthCheckResponse {
            status: ServingStatus::Serving.into(),
        }))
    }
}
