//! A connected daemon, and the questions that need no build.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use reseal_proto::control::control_client::ControlClient;
use reseal_proto::control::{DiskUsageRequest, InfoRequest, ListWorkersRequest};
use reseal_proto::gateway::llb_bridge_client::LlbBridgeClient;
use reseal_proto::pb;
use tonic::Code;
use tonic::transport::Channel;

use crate::connect::Connection;
use crate::session::Authority;
use crate::solve::{BuildOptions, Output, build};
use crate::{BuildError, Capabilities, status};

/// `BuildKit`'s own limit for one message, in bytes.
pub(crate) const MESSAGE_LIMIT: usize = 16 << 20;

/// The daemon's control service.
pub(crate) type Control = ControlClient<Channel>;
/// The daemon's gateway service.
pub(crate) type Bridge = LlbBridgeClient<Channel>;

/// A connected `BuildKit` daemon.
#[derive(Debug, Clone)]
pub struct Client {
    channel: Channel,
    /// Made on first use, because randomness can fail.
    authority: Arc<OnceLock<Authority>>,
    /// Keeps what carries the channel alive, such as a child process.
    _connection: Option<Connection>,
}

/// One worker of a daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worker {
    /// The worker's id.
    pub id: String,
    /// Labels such as `org.mobyproject.buildkit.worker.executor`.
    pub labels: BTreeMap<String, String>,
    /// What it can run, as `os/architecture[/variant]`. The first is native, the others may be emulated.
    pub platforms: Vec<String>,
    /// The daemon's version, absent before 0.11.
    pub version: Option<String>,
}

impl Worker {
    /// Whether results are kept as snapshots, as diffs and exports need: true for every buildkitd of its own, and for
    /// a Docker engine only with the containerd image store.
    pub fn containerd_store(&self) -> bool {
        self.labels
            .contains_key("org.mobyproject.buildkit.worker.snapshotter")
    }
}

impl Client {
    /// Takes over a connection.
    pub fn new(connection: Connection) -> Self {
        Self {
            _connection: Some(connection.clone()),
            ..Self::over(connection.channel)
        }
    }

    /// Speaks over a channel that somebody else keeps open. It must allow header lists of several hundred KiB and must
    /// not limit the time of a request.
    pub fn over(channel: Channel) -> Self {
        Self {
            channel,
            authority: Arc::default(),
            _connection: None,
        }
    }

    /// Returns the daemon's version; `None` for daemons before 0.11, which do not tell.
    pub async fn info(&self) -> Result<Option<String>, BuildError> {
        match self.control().info(InfoRequest {}).await {
            Ok(answer) => Ok(answer
                .into_inner()
                .buildkit_version
                .map(|version| version.version)
                .filter(|version| !version.is_empty())),
            Err(error) if error.code() == Code::Unimplemented => Ok(None),
            Err(error) => Err(status::classify(&error)),
        }
    }

    /// Lists the daemon's workers.
    pub async fn workers(&self) -> Result<Vec<Worker>, BuildError> {
        let answer = self
            .control()
            .list_workers(ListWorkersRequest::default())
            .await
            .map_err(|error| status::classify(&error))?;
        let workers = answer.into_inner().record.into_iter().map(|record| Worker {
            id: record.id,
            labels: record.labels,
            platforms: record.platforms.iter().map(platform_id).collect(),
            version: record
                .buildkit_version
                .map(|version| version.version)
                .filter(|version| !version.is_empty()),
        });
        Ok(workers.collect())
    }

    /// Asks what the daemon can do, in an empty build that leaves no trace in its history.
    pub async fn capabilities(&self) -> Result<Capabilities, BuildError> {
        let (events, _) = tokio::sync::mpsc::unbounded_channel();
        let mut found = Capabilities::default();
        let options = BuildOptions {
            internal: true,
            ..BuildOptions::new(events)
        };
        build(self, options, |gateway| {
            found = gateway.capabilities().clone();
            std::future::ready(Ok(Output::default()))
        })
        .await?;
        Ok(found)
    }

    /// Tells whether the daemon has an image unpacked that it pulled by this digest of its manifest.
    ///
    /// No call says so in so many words: the daemon names the image in the description of the layers that came with it,
    /// and a layer that it has only heard of has no size. An image all of whose layers came with others is not found.
    pub async fn has_unpacked(&self, digest: &str) -> Result<bool, BuildError> {
        let request = DiskUsageRequest {
            filter: vec![format!("description~=\"{digest}\"")],
            ..DiskUsageRequest::default()
        };
        let answer = self
            .control()
            .disk_usage(request)
            .await
            .map_err(|error| status::classify(&error))?;
        let of_image = format!("@{digest}");
        let mut layers = answer
            .into_inner()
            .record
            .into_iter()
            .filter(|record| record.description.ends_with(&of_image))
            .peekable();
        Ok(layers.peek().is_some() && layers.all(|record| record.size > 0))
    }

    pub(crate) fn authority(&self) -> std::io::Result<Authority> {
        if let Some(authority) = self.authority.get() {
            return Ok(authority.clone());
        }
        let fresh = Authority::new()?;
        Ok(self.authority.get_or_init(|| fresh).clone())
    }

    pub(crate) fn control(&self) -> Control {
        ControlClient::new(self.channel.clone())
            .max_decoding_message_size(MESSAGE_LIMIT)
            .max_encoding_message_size(MESSAGE_LIMIT)
    }

    pub(crate) fn bridge(&self) -> Bridge {
        LlbBridgeClient::new(self.channel.clone())
            .max_decoding_message_size(MESSAGE_LIMIT)
            .max_encoding_message_size(MESSAGE_LIMIT)
    }
}

fn platform_id(platform: &pb::Platform) -> String {
    let parts = [&platform.os, &platform.architecture, &platform.variant];
    parts
        .into_iter()
        .filter(|part| !part.is_empty())
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join("/")
}
