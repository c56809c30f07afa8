//! Finds and connects `BuildKit` daemons for the pipeline.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::try_join_all;
use reseal_buildkit::{
    Address, Client, ConnectError, ConnectOptions, PrivateDaemon, TlsFiles, dial, discover,
};
use reseal_oci::Platform;
use reseal_pipeline::{Builder, Builders, CLEAN_UP, Event, Events, PipelineError};
use tokio::sync::Mutex;

use crate::settings::BuilderSettings;

/// Daemons of one run.
pub(crate) struct Daemons {
    settings: BuilderSettings,
    /// For a connection, or for the whole search.
    timeout: Duration,
    events: Events,
    private: Mutex<Option<PrivateDaemon>>,
}

impl Daemons {
    /// Returns daemons that are not connected yet. Remarks about the search go to `events`.
    pub(crate) fn new(settings: BuilderSettings, timeout: Duration, events: Events) -> Self {
        Self {
            settings,
            timeout,
            events,
            private: Mutex::new(None),
        }
    }

    /// Ends what was started, within [`CLEAN_UP`].
    pub(crate) async fn end(&self) {
        if tokio::time::timeout(CLEAN_UP, self.close()).await.is_err() {
            tracing::warn!("the private daemon did not end in time");
        }
    }

    fn options(&self) -> Result<ConnectOptions, ConnectError> {
        let mut tls = self.settings.tls.clone();
        if let Some(folder) = &self.settings.tls_dir {
            let from_folder = TlsFiles::from_dir(folder)?;
            tls.ca = tls.ca.or(from_folder.ca);
            if tls.cert.is_none() {
                (tls.cert, tls.key) = (from_folder.cert, from_folder.key);
            }
        }
        Ok(ConnectOptions {
            tls,
            timeout: self.timeout,
            platform: None,
            environment: self.settings.environment.clone(),
            plain_http: self.settings.plain_http.clone(),
        })
    }

    async fn dial(
        &self,
        platform: Option<Platform>,
        address: &Address,
        options: ConnectOptions,
    ) -> Result<Builder, ConnectError> {
        let options = ConnectOptions {
            platform: platform.as_ref().map(ToString::to_string),
            ..options
        };
        let connection = dial(address, &options).await?;
        let why = match &platform {
            Some(platform) => format!("--addr for {platform}"),
            None => "--addr".to_owned(),
        };
        Ok(Builder {
            address: address.to_string(),
            why,
            platform,
            client: Client::new(connection),
        })
    }
}

#[async_trait]
impl Builders for Daemons {
    async fn connect(&self) -> Result<Vec<Builder>, PipelineError> {
        let options = self.options()?;
        if !self.settings.addresses.is_empty() {
            let dials =
                self.settings.addresses.iter().map(|(platform, address)| {
                    self.dial(platform.clone(), address, options.clone())
                });
            return Ok(try_join_all(dials).await?);
        }
        let mut log = |line| self.events.send(Event::Note(line));
        let found = discover(&self.settings.environment, &options, true, &mut log).await?;
        *self.private.lock().await = found.private;
        Ok(vec![Builder {
            address: found.address.to_string(),
            why: found.why,
            platform: None,
            client: Client::new(found.connection),
        }])
    }

    fn named(&self) -> bool {
        let variables = &self.settings.environment.vars;
        !self.settings.addresses.is_empty()
            || variables
                .get("BUILDKIT_HOST")
                .is_some_and(|host| !host.is_empty())
    }

    async fn close(&self) {
        if let Some(daemon) = self.private.lock().await.take() {
            daemon.shutdown().await;
        }
    }
}
