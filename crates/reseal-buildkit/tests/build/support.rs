//! What the tests of a build share.

use std::collections::BTreeSet;
use std::sync::Arc;

use reseal_buildkit::{
    BuildError, BuildOptions, Client, ExportSink, Exported, Gateway, Output, Ref, SolveEvent, build,
};
use reseal_llb::{Definition, FileAction, Graph, Platform, Src};
use reseal_testkit::buildkitd::{Answer, FakeBuildkitd, Script};
use tokio::sync::mpsc::UnboundedReceiver;

/// A daemon, a client and a folder for what is exported.
pub(crate) struct Setup {
    pub(crate) daemon: FakeBuildkitd,
    pub(crate) client: Client,
    pub(crate) sink: Arc<ExportSink>,
    pub(crate) events: UnboundedReceiver<SolveEvent>,
    pub(crate) options: Option<BuildOptions>,
    pub(crate) dir: tempfile::TempDir,
}

impl Setup {
    pub(crate) async fn new(script: Script) -> Self {
        Self::knowing(script, BTreeSet::new()).await
    }

    pub(crate) async fn answering(answers: Vec<Answer>) -> Self {
        Self::new(Script {
            answers,
            ..Script::default()
        })
        .await
    }

    /// With digests that the sink claims to have.
    pub(crate) async fn knowing(script: Script, known: BTreeSet<String>) -> Self {
        let daemon = FakeBuildkitd::start(script).await;
        let client = Client::over(daemon.channel());
        let dir = tempfile::tempdir().unwrap();
        let sink = ExportSink::new(dir.path().to_owned(), known);
        let (sender, events) = tokio::sync::mpsc::unbounded_channel();
        let options = BuildOptions {
            export: Some(Arc::clone(&sink)),
            ..BuildOptions::new(sender)
        };
        Self {
            daemon,
            client,
            sink,
            events,
            options: Some(options),
            dir,
        }
    }

    pub(crate) fn options(&mut self) -> BuildOptions {
        self.options.take().expect("taken once")
    }

    /// Builds `platforms`, one gateway solve each.
    pub(crate) async fn patch(
        &mut self,
        platforms: &'static [&'static str],
    ) -> Result<Exported, BuildError> {
        let options = self.options();
        build(&self.client, options, |gateway| async move {
            solve_all(&gateway, platforms).await
        })
        .await
    }
}

pub(crate) async fn solve_all(gateway: &Gateway, platforms: &[&str]) -> Result<Output, BuildError> {
    let mut output = Output::default();
    for id in platforms {
        output
            .platforms
            .push(platform_of(id, gateway.solve(&graph(), true).await?));
    }
    Ok(output)
}

pub(crate) fn platform_of(id: &str, result: Ref) -> (String, Platform, Ref, Option<Vec<u8>>) {
    let mut parts = id.split('/');
    let mut next = || parts.next().unwrap_or_default().to_owned();
    let (os, architecture, variant) = (next(), next(), next());
    (
        id.to_owned(),
        Platform::new(&os, &architecture, &variant),
        result,
        None,
    )
}

/// The smallest graph: one file on nothing.
pub(crate) fn graph() -> Definition {
    let mut graph = Graph::new();
    let file = graph.file(
        Src::Scratch,
        vec![FileAction::MakeFile {
            path: "/hello".to_owned(),
            mode: 0o644,
            data: b"hi".to_vec(),
            timestamp: None,
        }],
    );
    graph.definition(file)
}

pub(crate) fn digest(bytes: &[u8]) -> String {
    use sha2::Digest;
    format!("sha256:{:x}", sha2::Sha256::digest(bytes))
}
