//! The blob stores of a session: an OCI layout that the daemon reads from, and the sink that it exports into.

use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use reseal_proto::content::content_server::Content;
use reseal_proto::content::{
    Info, InfoRequest, InfoResponse, ReadContentRequest, ReadContentResponse, WriteAction,
    WriteContentRequest, WriteContentResponse,
};
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

use crate::export::{ExportSink, Ingest, SinkError};

/// The header in which the daemon names the store that it means.
const STORE_HEADER: &str = "buildkit-attachable-store-id";
/// The `oci` exporter with `tar=false` writes into this store.
const EXPORT_STORE: &str = "export";
/// Bytes in one message of a read.
const READ_CHUNK: u64 = 1 << 20;

/// Blobs that the daemon may read as an `oci-layout://` source.
#[async_trait]
pub trait ContentSource: Send + Sync {
    /// Returns a blob's size in bytes, `None` if it is not there.
    async fn size(&self, digest: &str) -> Option<u64>;

    /// Reads exactly `len` bytes from `offset`; both lie inside the size.
    async fn read(&self, digest: &str, offset: u64, len: u64) -> Result<Bytes, io::Error>;
}

pub(super) struct ContentService {
    /// The name inside `oci.store`, and the blobs.
    pub(super) source: Option<(String, Arc<dyn ContentSource>)>,
    pub(super) export: Option<Arc<ExportSink>>,
}

impl ContentService {
    fn store(&self, metadata: &MetadataMap) -> Result<Store, Status> {
        let id = metadata
            .get(STORE_HEADER)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        if id == EXPORT_STORE
            && let Some(sink) = &self.export
        {
            return Ok(Store::Export(Arc::clone(sink)));
        }
        match (&self.source, id.strip_prefix("oci:")) {
            (Some((name, source)), Some(asked)) if name == asked => {
                Ok(Store::Source(Arc::clone(source)))
            }
            _ => Err(Status::not_found(format!(
                "no content store `{id}` in this session"
            ))),
        }
    }
}

#[derive(Clone)]
enum Store {
    Source(Arc<dyn ContentSource>),
    Export(Arc<ExportSink>),
}

impl Store {
    async fn size(&self, digest: &str) -> Result<u64, Status> {
        let size = match self {
            Self::Source(source) => source.size(digest).await,
            Self::Export(sink) => sink
                .blob(digest)
                .and_then(|path| path.metadata().ok())
                .map(|metadata| metadata.len()),
        };
        size.ok_or_else(|| Status::not_found(format!("no blob {digest}")))
    }

    async fn read(&self, digest: &str, offset: u64, length: u64) -> Result<Bytes, Status> {
        let bytes = match self {
            Self::Source(source) => source.read(digest, offset, length).await,
            Self::Export(sink) => {
                let path = sink
                    .blob(digest)
                    .ok_or_else(|| Status::not_found(format!("no blob {digest}")))?;
                blocking(move || crate::export::read_range(&path, offset, length).map(Bytes::from))
                    .await?
            }
        }
        .map_err(|error| Status::data_loss(format!("could not read {digest}: {error}")))?;
        if bytes.len() as u64 == length {
            Ok(bytes)
        } else {
            Err(Status::data_loss(format!(
                "{digest} ends early, at {} instead of {}",
                offset + bytes.len() as u64,
                offset + length
            )))
        }
    }
}

#[tonic::async_trait]
impl Content for ContentService {
    async fn info(&self, request: Request<InfoRequest>) -> Result<Response<InfoResponse>, Status> {
        let store = self.store(request.metadata())?;
        let digest = request.into_inner().digest;
        let size = signed(store.size(&digest).await?)?;
        Ok(Response::new(InfoResponse {
            info: Some(Info {
                digest,
                size,
                ..Info::default()
            }),
        }))
    }

    type ReadStream = BoxStream<'static, Result<ReadContentResponse, Status>>;

    async fn read(
        &self,
        request: Request<ReadContentRequest>,
    ) -> Result<Response<Self::ReadStream>, Status> {
        let store = self.store(request.metadata())?;
        let ReadContentRequest {
            digest,
            offset,
            size,
        } = request.into_inner();
        let total = store.size(&digest).await?;
        let out_of_range = || {
            Status::out_of_range(format!(
                "{digest} has {total} bytes, not {offset} and {size} more"
            ))
        };
        let start = u64::try_from(offset)
            .ok()
            .filter(|start| *start <= total)
            .ok_or_else(out_of_range)?;
        let end = match u64::try_from(size).map_err(|_| out_of_range())? {
            0 => total,
            size => start.saturating_add(size).min(total),
        };
        let chunks = stream::try_unfold(start, move |at| {
            let (store, digest) = (store.clone(), digest.clone());
            async move {
                if at >= end {
                    return Ok(None);
                }
                let data = store.read(&digest, at, READ_CHUNK.min(end - at)).await?;
                let next = at + data.len() as u64;
                Ok(Some((
                    ReadContentResponse {
                        offset: signed(at)?,
                        data,
                    },
                    next,
                )))
            }
        });
        Ok(Response::new(chunks.boxed()))
    }

    type WriteStream = BoxStream<'static, Result<WriteContentResponse, Status>>;

    async fn write(
        &self,
        request: Request<Streaming<WriteContentRequest>>,
    ) -> Result<Response<Self::WriteStream>, Status> {
        let Store::Export(sink) = self.store(request.metadata())? else {
            return Err(Status::permission_denied(
                "this content store is only for reading",
            ));
        };
        let upload = Upload {
            sink,
            ingest: None,
            expected: String::new(),
            total: 0,
        };
        let answers = stream::unfold(Some((request.into_inner(), upload)), |state| async move {
            let (mut requests, mut upload) = state?;
            match requests.message().await {
                Ok(Some(request)) => match upload.take(request).await {
                    Ok(Answer::More(response)) => Some((Ok(response), Some((requests, upload)))),
                    Ok(Answer::Last(response)) => Some((Ok(response), None)),
                    Err(status) => Some((Err(status), None)),
                },
                // Closed without a commit: the daemon gave up, and the half blob goes with `upload`.
                Ok(None) => None,
                Err(status) => Some((Err(status), None)),
            }
        });
        Ok(Response::new(answers.boxed()))
    }
}

/// One blob on its way into the sink.
struct Upload {
    sink: Arc<ExportSink>,
    ingest: Option<Ingest>,
    expected: String,
    total: u64,
}

enum Answer {
    More(WriteContentResponse),
    Last(WriteContentResponse),
}

impl Upload {
    async fn take(&mut self, request: WriteContentRequest) -> Result<Answer, Status> {
        if !request.expected.is_empty() {
            self.expected.clone_from(&request.expected);
        }
        if request.total > 0 {
            self.total = unsigned(request.total)?;
        }
        if !self.expected.is_empty() && self.sink.has(&self.expected) {
            // Makes the daemon skip the blob: this is what keeps base layers where they are.
            return Err(Status::already_exists(format!(
                "{} is already here",
                self.expected
            )));
        }
        let offset = self.append(&request).await?;
        let response = WriteContentResponse {
            action: request.action,
            offset: signed(offset)?,
            total: signed(self.total)?,
            ..Default::default()
        };
        if request.action != i32::from(WriteAction::Commit) {
            return Ok(Answer::More(response));
        }
        let digest = self.commit().await?;
        Ok(Answer::Last(WriteContentResponse { digest, ..response }))
    }

    async fn append(&mut self, request: &WriteContentRequest) -> Result<u64, Status> {
        let reached = self.ingest.as_ref().map_or(0, Ingest::written);
        if request.data.is_empty() {
            return Ok(reached);
        }
        if unsigned(request.offset)? != reached {
            return Err(Status::out_of_range(format!(
                "data at offset {}, but {reached} is next",
                request.offset
            )));
        }
        let (sink, ingest, data) = (
            Arc::clone(&self.sink),
            self.ingest.take(),
            request.data.clone(),
        );
        let ingest = blocking(move || {
            let mut ingest = ingest.map_or_else(|| sink.begin(), Ok)?;
            sink.append(&mut ingest, &data)?;
            Ok(ingest)
        })
        .await?
        .map_err(|error| refusal(&error))?;
        Ok(self.ingest.insert(ingest).written())
    }

    async fn commit(&mut self) -> Result<String, Status> {
        let (sink, ingest, expected, total) = (
            Arc::clone(&self.sink),
            self.ingest.take(),
            self.expected.clone(),
            self.total,
        );
        blocking(move || {
            let ingest = ingest.map_or_else(|| sink.begin(), Ok)?;
            sink.commit(ingest, &expected, total)
        })
        .await?
        .map_err(|error| refusal(&error))
    }
}

fn refusal(error: &SinkError) -> Status {
    match error {
        SinkError::WrongDigest { .. } | SinkError::WrongSize { .. } => {
            Status::failed_precondition(error.to_string())
        }
        SinkError::NotADigest(_) => Status::invalid_argument(error.to_string()),
        SinkError::Write { .. } => Status::resource_exhausted(error.to_string()),
    }
}

/// Files are read, written and hashed away from the threads that answer health checks.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Status> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Status::internal(error.to_string()))
}

fn signed(value: u64) -> Result<i64, Status> {
    i64::try_from(value).map_err(|_| Status::out_of_range("a blob of more than 8 EiB"))
}

fn unsigned(value: i64) -> Result<u64, Status> {
    u64::try_from(value).map_err(|_| Status::invalid_argument(format!("{value} is negative")))
}
