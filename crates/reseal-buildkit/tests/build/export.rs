//! What comes back, and how the daemon is asked for it.

use std::collections::{BTreeMap, BTreeSet};

use reseal_buildkit::{BuildError, Exported, ExportedManifest, Output, build};
use reseal_llb::{Graph, ImageOptions, Platform, Src};
use reseal_testkit::buildkitd::{Answer, Script};

use crate::support::{Setup, digest, graph, platform_of};

fn manifests(exported: Exported) -> BTreeMap<String, ExportedManifest> {
    match exported {
        Exported::Index { manifests, .. } => manifests.into_iter().collect(),
        Exported::Nothing => BTreeMap::new(),
    }
}

#[tokio::test(start_paused = true)]
async fn two_platforms_come_back_with_their_own_layers() {
    let mut setup = Setup::answering(vec![
        Answer::layer(b"amd64 layer"),
        Answer::layer(&vec![7; 3 << 20]),
    ])
    .await;
    let found = manifests(
        setup
            .patch(&["linux/amd64", "linux/arm64/v8"])
            .await
            .unwrap(),
    );
    let first = &found["linux/amd64"];
    assert_eq!(
        first.layers,
        [(
            digest(b"amd64 layer"),
            11,
            "application/vnd.oci.image.layer.v1.tar".to_owned()
        )]
    );
    assert_eq!(first.diff_ids, [digest(b"amd64 layer")]);
    let second = setup
        .sink
        .blob(&found["linux/arm64/v8"].layers[0].0)
        .unwrap();
    assert_eq!(std::fs::read(second).unwrap(), vec![7; 3 << 20]);
}

#[tokio::test(start_paused = true)]
async fn one_platform_is_returned_the_same_way_and_comes_back_as_a_bare_manifest() {
    let mut setup = Setup::answering(vec![Answer::layer(b"layer")]).await;
    let found = manifests(setup.patch(&["linux/arm/v7"]).await.unwrap());
    assert_eq!(found["linux/arm/v7"].layers.len(), 1);
    let returned = setup.daemon.returns().remove(0).result.unwrap();
    let mapping: serde_json::Value =
        serde_json::from_slice(&returned.metadata["refs.platforms"]).unwrap();
    let expected = serde_json::json!({"Platforms": [{"ID": "linux/arm/v7", "Platform": {"architecture": "arm", "os": "linux", "variant": "v7"}}]});
    assert_eq!(mapping, expected);
}

/// `BuildKit` 0.12 dies when it exports an empty result, and so does the fake.
#[tokio::test(start_paused = true)]
async fn an_empty_result_is_reported_without_being_exported() {
    for old in [true, false] {
        let script = Script {
            old,
            answers: vec![Answer::Empty, Answer::layer(b"layer")],
            ..Script::default()
        };
        let mut setup = Setup::new(script).await;
        let found = manifests(setup.patch(&["linux/amd64", "linux/arm64"]).await.unwrap());
        assert_eq!(found["linux/amd64"], ExportedManifest::default());
        assert_eq!(found["linux/arm64"].layers.len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_diff_of_something_and_itself_is_known_to_be_empty_without_asking() {
    let mut setup = Setup::new(Script {
        old: true,
        ..Script::default()
    })
    .await;
    let mut graph = Graph::new();
    let base = graph.image(
        "registry.example/shop/cart@sha256:9c1e",
        &Platform::new("linux", "amd64", ""),
        ImageOptions::default(),
    );
    let Src::From(diff) = graph.diff(Src::From(base), Src::From(base)) else {
        panic!("no diff")
    };
    let definition = graph.definition(diff);
    let options = setup.options();
    let exported = build(&setup.client, options, |gateway| async move {
        Ok(Output {
            platforms: vec![platform_of(
                "linux/amd64",
                gateway.solve(&definition, false).await?,
            )],
        })
    });
    let found = manifests(exported.await.unwrap());
    assert_eq!(found["linux/amd64"], ExportedManifest::default());
    assert!(!setup.daemon.calls().contains(&"gateway.Solve".to_owned()));
    assert!(setup.daemon.returns()[0].error.is_some());
}

#[tokio::test(start_paused = true)]
async fn both_exporter_fields_are_sent_so_that_old_and_new_daemons_export() {
    for old in [true, false] {
        let mut setup = Setup::new(Script {
            old,
            answers: vec![Answer::layer(b"layer")],
            ..Script::default()
        })
        .await;
        let mut options = setup.options();
        options
            .exporter_attrs
            .insert("compression".to_owned(), "uncompressed".to_owned());
        options.platforms = vec!["linux/amd64".to_owned(), "linux/arm64".to_owned()];
        options.internal = true;
        let exported = build(&setup.client, options, |gateway| async move {
            Ok(Output {
                platforms: vec![platform_of(
                    "linux/amd64",
                    gateway.solve(&graph(), true).await?,
                )],
            })
        });
        assert_eq!(
            manifests(exported.await.unwrap()).len(),
            1,
            "old daemon: {old}"
        );
        let request = setup.daemon.solves().remove(0);
        let attrs = BTreeMap::from([
            ("compression".to_owned(), "uncompressed".to_owned()),
            ("tar".to_owned(), "false".to_owned()),
        ]);
        assert_eq!(
            (
                request.exporter_deprecated.as_str(),
                &request.exporter_attrs_deprecated
            ),
            ("oci", &attrs)
        );
        assert_eq!(
            (
                request.exporters[0].r#type.as_str(),
                &request.exporters[0].attrs
            ),
            ("oci", &attrs)
        );
        assert_eq!(
            request.frontend_attrs["platform"],
            "linux/amd64,linux/arm64"
        );
        assert!(request.internal && request.definition.is_none() && request.frontend.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_known_blob_is_not_transferred() {
    let base = digest(b"base layer");
    let script = Script {
        answers: vec![Answer::layer(b"base layer")],
        ..Script::default()
    };
    let mut setup = Setup::knowing(script, BTreeSet::from([base.clone()])).await;
    let found = manifests(setup.patch(&["linux/amd64"]).await.unwrap());
    assert_eq!(found["linux/amd64"].layers[0].0, base);
    assert_eq!(setup.daemon.skipped(), BTreeSet::from([base.clone()]));
    assert_eq!(setup.sink.blob(&base), None);
}

#[tokio::test(start_paused = true)]
async fn a_platforms_config_is_handed_through() {
    let mut setup = Setup::answering(vec![Answer::layer(b"layer")]).await;
    let options = setup.options();
    let exported = build(&setup.client, options, |gateway| async move {
        let mut platform = platform_of("linux/amd64", gateway.solve(&graph(), true).await?);
        platform.3 = Some(br#"{"os":"linux","architecture":"amd64","author":"somebody"}"#.to_vec());
        Ok(Output {
            platforms: vec![platform],
        })
    });
    let config = manifests(exported.await.unwrap())["linux/amd64"]
        .config
        .clone();
    let config = std::fs::read_to_string(setup.sink.blob(&config).unwrap()).unwrap();
    assert!(config.contains("somebody"), "{config}");
}

#[tokio::test(start_paused = true)]
async fn nothing_to_export_is_no_error_on_old_and_new_daemons() {
    for old in [true, false] {
        let mut setup = Setup::new(Script {
            old,
            ..Script::default()
        })
        .await;
        assert_eq!(setup.patch(&[]).await.unwrap(), Exported::Nothing);
        assert_eq!(
            setup.daemon.returns().remove(0).error.unwrap().message,
            "nothing to export"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_folder_that_cannot_be_written_is_named_in_the_error() {
    let mut setup = Setup::answering(vec![Answer::layer(b"layer")]).await;
    let path = setup.dir.path().display().to_string();
    std::fs::remove_dir_all(setup.dir.path()).unwrap();
    let error = setup.patch(&["linux/amd64"]).await.unwrap_err();
    let BuildError::Export { why } = error else {
        panic!("{error:?}")
    };
    assert!(why.contains(&path), "{why}");
}
