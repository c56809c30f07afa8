//! Questions to the daemon, and looks into results.

use std::collections::BTreeMap;

use reseal_buildkit::{BuildError, Output, build};
use reseal_testkit::buildkitd::{Answer, Script};

use crate::support::{Setup, graph};

#[tokio::test(start_paused = true)]
async fn the_version_is_told_unless_the_daemon_is_too_old_to_know() {
    let new = Setup::answering(vec![]).await;
    assert_eq!(new.client.info().await.unwrap().as_deref(), Some("v0.32.2"));
    let old = Setup::new(Script {
        version: None,
        ..Script::default()
    })
    .await;
    assert_eq!(old.client.info().await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn workers_list_their_platforms() {
    let setup = Setup::answering(vec![]).await;
    let workers = setup.client.workers().await.unwrap();
    assert_eq!(workers[0].platforms, ["linux/amd64", "linux/arm/v7"]);
    assert_eq!(workers[0].version.as_deref(), Some("v0.32.2"));
    assert!(workers[0].containerd_store());
}

#[tokio::test(start_paused = true)]
async fn capabilities_come_from_a_build_that_leaves_no_trace() {
    let mut script = Script::default();
    script
        .capabilities
        .insert("mergeop".to_owned(), Some("switched off".to_owned()));
    let setup = Setup::new(script).await;
    let found = setup.client.capabilities().await.unwrap();
    assert_eq!(found.supports("diffop"), Ok(()));
    assert_eq!(
        found.supports("mergeop").unwrap_err().reason,
        "switched off"
    );
    let request = setup.daemon.solves().remove(0);
    assert!(
        request.internal && request.exporters.is_empty() && request.exporter_deprecated.is_empty()
    );
    assert!(setup.daemon.returns()[0].error.is_none());
}

#[tokio::test(start_paused = true)]
async fn files_are_read_in_pieces_up_to_a_limit() {
    let big: Vec<u8> = (0..20_u32 << 20).map(|at| at.to_le_bytes()[1]).collect();
    let size = big.len() as u64;
    let files = BTreeMap::from([
        ("/big".to_owned(), big.clone()),
        ("/etc/empty".to_owned(), Vec::new()),
        ("/etc/four".to_owned(), vec![1; 4 << 20]),
    ]);
    let mut setup = Setup::answering(vec![Answer::Layer {
        layer: b"layer".to_vec(),
        files,
    }])
    .await;
    let mut options = setup.options();
    options.export = None;
    build(&setup.client, options, |gateway| async move {
        let found = gateway.solve(&graph(), false).await?;
        gateway.evaluate(&found).await?;
        assert!(found.read("/big", size).await?.unwrap() == big);
        assert!(matches!(found.read("/big", size - 1).await, Err(BuildError::TooLarge { limit, .. }) if limit == size - 1));
        assert_eq!(found.read("/etc/empty", 0).await?.unwrap().len(), 0);
        assert_eq!(found.read("/etc/four", u64::MAX).await?.unwrap().len(), 4 << 20);
        assert_eq!(found.read("/missing", 10).await?, None);
        let stat = found.stat("/etc/four").await?.unwrap();
        assert!(stat.is_file() && !stat.is_dir() && !stat.is_symlink() && stat.size == 4 << 20);
        assert_eq!(found.stat("/missing").await?, None);
        let names: Vec<String> = found.read_dir("/etc", None).await?.into_iter().map(|entry| entry.path).collect();
        assert_eq!(names, ["empty", "four"]);
        assert_eq!(found.read_dir("/missing", None).await?, []);
        Ok(Output::default())
    })
    .await
    .unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_empty_result_has_no_files_and_asks_nothing() {
    let mut setup = Setup::answering(vec![Answer::Empty]).await;
    let mut options = setup.options();
    options.export = None;
    build(&setup.client, options, |gateway| async move {
        let found = gateway.solve(&graph(), true).await?;
        assert!(found.is_empty());
        gateway.evaluate(&found).await?;
        assert_eq!(found.read("/any", 10).await?, None);
        assert_eq!(found.stat("/any").await?, None);
        assert_eq!(found.read_dir("/", None).await?, []);
        Ok(Output::default())
    })
    .await
    .unwrap();
    assert!(!setup.daemon.calls().contains(&"ReadFile".to_owned()));
}
