//! Hands secret mounts their contents.

use std::collections::BTreeMap;

use reseal_proto::secrets::secrets_server::Secrets;
use reseal_proto::secrets::{GetSecretRequest, GetSecretResponse};
use tonic::{Request, Response, Status};

pub(super) struct SecretsService {
    pub(super) secrets: BTreeMap<String, Vec<u8>>,
}

#[tonic::async_trait]
impl Secrets for SecretsService {
    async fn get_secret(
        &self,
        request: Request<GetSecretRequest>,
    ) -> Result<Response<GetSecretResponse>, Status> {
        let id = request.into_inner().id;
        // NOT_FOUND is how an optional secret mount is told that there is none.
        let data = self
            .secrets
            .get(&id)
            .ok_or_else(|| Status::not_found(format!("no secret `{id}`")))?;
        Ok(Response::new(GetSecretResponse { data: data.clone() }))
    }
}
