//! One build against real daemons: the newest and the oldest that is supported.

pub(super) mod support;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reseal_buildkit::{
    BuildError, Credentials, Exported, Gateway, Output, Secret, SolveEvent, build,
};
use reseal_llb::{Exec, Graph, ImageOptions, Mount, MountKind, Platform, RootFs, Sharing, Src};

use support::{
    LayoutSource, Login, amd64, daemons, exporting, image, names_in, only, options, output, shell,
    skipped, token, with_base,
};

#[tokio::test]
async fn an_exec_is_diffed_exported_and_reported_under_our_own_digests() {
    for daemon in daemons().await {
        let Some((mut graph, base)) = with_base() else {
            return;
        };
        let mut exec = shell(
            "echo hello; cat /run/key >/out/key; echo new >/added; rm /etc/debian_version; echo junk >/scratch/junk; echo kept >>/cache/kept",
            RootFs::Writable(base),
        );
        let cache = MountKind::Cache {
            id: "reseal-test/live".to_owned(),
            sharing: Sharing::Locked,
        };
        let output_mount = MountKind::Bind {
            from: Src::Scratch,
            readonly: false,
            output: true,
            selector: None,
        };
        let secret = MountKind::Secret {
            id: "key".to_owned(),
            mode: 0o400,
            uid: 0,
            gid: 0,
            optional: false,
        };
        for (dest, kind) in [
            ("/scratch", MountKind::Tmpfs { size: None }),
            ("/cache", cache),
            ("/out", output_mount),
            ("/run/key", secret),
        ] {
            exec.mounts.push(Mount {
                dest: dest.to_owned(),
                kind,
            });
        }
        let exec = graph.exec(exec);
        let root = exec.root().expect("a writable root");
        let report = exec.mount("/out").expect("an output mount");
        let Src::From(diff) = graph.diff(Src::From(base), Src::From(root)) else {
            panic!("a diff of two different things");
        };
        graph.describe(root, "patch");

        let (mut options, mut events) = options();
        let export = exporting(&mut options);
        options
            .secrets
            .insert("key".to_owned(), b"open sesame".to_vec());
        let (diff_graph, report_graph) = (graph.definition(diff), graph.definition(report));
        let exported = build(&daemon.client, options, |gateway| async move {
            let (diff, report) = (
                gateway.solve(&diff_graph, true).await?,
                gateway.solve(&report_graph, false).await?,
            );
            assert_eq!(
                report.read("/key", 100).await?.as_deref(),
                Some(&b"open sesame"[..])
            );
            assert_eq!(report.read("/missing", 100).await?, None);
            assert_eq!(report.stat("/missing").await?, None);
            assert_eq!(report.stat("/key").await?.map(|stat| stat.size), Some(11));
            let names: Vec<String> = report
                .read_dir("/", None)
                .await?
                .into_iter()
                .map(|entry| entry.path)
                .collect();
            assert_eq!(names, ["key"]);
            assert_eq!(report.read_dir("/missing", None).await?, []);
            Ok(Output {
                platforms: vec![output("linux/amd64", diff)],
            })
        })
        .await
        .unwrap_or_else(|error| panic!("{}: {error:?}", daemon.name));

        let manifest = only(exported);
        assert_eq!(manifest.layers.len(), 1, "{}", daemon.name);
        let (layer, size, media_type) = &manifest.layers[0];
        assert_eq!(layer, &manifest.diff_ids[0], "not compressed");
        assert_eq!(media_type, "application/vnd.oci.image.layer.v1.tar");
        let path = export.sink.blob(layer).expect("the layer was sent");
        let tar = std::fs::read(path).expect("a readable layer");
        assert_eq!(tar.len() as u64, *size);
        let names = names_in(&tar);
        assert!(
            names.contains("added") && names.contains("etc/.wh.debian_version"),
            "{}: {names:?}",
            daemon.name
        );
        assert!(
            !names
                .iter()
                .any(|name| name.contains("junk") || name.contains("kept")),
            "{}: {names:?}",
            daemon.name
        );

        let mut digests = BTreeSet::new();
        let mut logs = Vec::new();
        while let Some(event) = events.recv().await {
            match event {
                SolveEvent::Vertex { digest, .. } => {
                    digests.insert(digest);
                }
                SolveEvent::Log { vertex, data, .. } if vertex == graph.digest(root) => {
                    logs.extend(data);
                }
                _ => {}
            }
        }
        for (name, out) in [("image", base), ("exec", root), ("diff", diff)] {
            assert!(
                digests.contains(&graph.digest(out)),
                "{}: the {name} is reported under another digest",
                daemon.name
            );
        }
        assert_eq!(String::from_utf8_lossy(&logs), "hello\n", "{}", daemon.name);
    }
}

#[tokio::test]
async fn a_failed_process_keeps_its_exit_code_and_output_even_with_a_long_command_line() {
    for daemon in daemons().await {
        for padding in [10, 40_000] {
            let Some((mut graph, base)) = with_base() else {
                return;
            };
            let script = format!("echo last words >&2; exit 7 # {}", "x".repeat(padding));
            let exec = graph.exec(shell(&script, RootFs::Writable(base)));
            let root = exec.root().expect("a writable root");
            let definition = graph.definition(root);
            for evaluate in [true, false] {
                let (mut options, _events) = options();
                let _export = exporting(&mut options);
                let definition = &definition;
                let error = build(&daemon.client, options, |gateway| async move {
                    let result = gateway.solve(definition, evaluate).await?;
                    Ok(Output {
                        platforms: vec![output("linux/amd64", result)],
                    })
                })
                .await
                .expect_err("it exits with 7");
                let BuildError::Exec {
                    vertex,
                    exit_code,
                    message,
                    log_tail,
                } = error
                else {
                    panic!("{}: {error:?}", daemon.name);
                };
                assert_eq!(
                    (vertex, exit_code, log_tail.as_str()),
                    (Some(graph.digest(root)), 7, "last words\n"),
                    "{}",
                    daemon.name
                );
                assert!(
                    message.ends_with("exit code: 7") && message.len() < 5000,
                    "{}: {message}",
                    daemon.name
                );
            }
        }
    }
}

#[tokio::test]
async fn a_dropped_build_kills_its_process() {
    for daemon in daemons().await {
        let Some((mut graph, base)) = with_base() else {
            return;
        };
        let id = format!("reseal-test/cancel/{}", token());
        let with_cache = |mut exec: Exec| {
            let sharing = Sharing::Shared;
            let kind = MountKind::Cache {
                id: id.clone(),
                sharing,
            };
            exec.mounts.push(Mount {
                dest: "/cache".to_owned(),
                kind,
            });
            exec
        };
        let endless = "echo started; while true; do echo tick >>/cache/log; sleep 0.05; done";
        let endless = graph.exec(with_cache(shell(endless, RootFs::Writable(base))));
        let endless = graph.definition(endless.root().expect("a writable root"));

        let (options, mut events) = support::options();
        let client = daemon.client.clone();
        let running = tokio::spawn(async move {
            let solve = |gateway: Gateway| async move {
                gateway.solve(&endless, true).await?;
                Ok(Output::default())
            };
            build(&client, options, solve).await
        });
        let started = async {
            while let Some(event) = events.recv().await {
                if matches!(event, SolveEvent::Log { .. }) {
                    return;
                }
            }
            panic!("{}: it never started", daemon.name);
        };
        tokio::time::timeout(Duration::from_secs(60), started)
            .await
            .expect("it starts");
        running.abort();

        // The daemon may take a moment for the kill; a process that goes on never passes.
        let quiet = "for i in $(seq 30); do a=$(wc -l </cache/log); sleep 1; test $a = $(wc -l </cache/log) && exit 0; done; exit 1";
        let quiet = graph.exec(with_cache(shell(quiet, RootFs::Writable(base))));
        let quiet = graph.definition(quiet.root().expect("a writable root"));
        let (options, _events) = support::options();
        build(&daemon.client, options, |gateway| async move {
            gateway.solve(&quiet, true).await?;
            Ok(Output::default())
        })
        .await
        .unwrap_or_else(|error| panic!("{}: the process went on: {error:?}", daemon.name));
    }
}

#[tokio::test]
async fn an_empty_diff_has_no_layers_and_nothing_at_all_is_no_error() {
    for daemon in daemons().await {
        let Some((mut graph, base)) = with_base() else {
            return;
        };
        let exec = graph.exec(shell("true", RootFs::Writable(base)));
        let root = exec.root().expect("a writable root");
        let Src::From(diff) = graph.diff(Src::From(base), Src::From(base)) else {
            continue;
        };
        let Src::From(unchanged) = graph.diff(Src::From(base), Src::From(root)) else {
            panic!("a diff of two different things");
        };
        for (what, out) in [("same", diff), ("unchanged", unchanged)] {
            for evaluate in [true, false] {
                let definition = graph.definition(out);
                let (mut options, _events) = options();
                let export = exporting(&mut options);
                let exported = build(&daemon.client, options, |gateway| async move {
                    let result = gateway.solve(&definition, evaluate).await?;
                    Ok(Output {
                        platforms: vec![output("linux/amd64", result)],
                    })
                })
                .await
                .unwrap_or_else(|error| panic!("{} {what}: {error:?}", daemon.name));
                let layers = only(exported).layers;
                let names: BTreeSet<String> = layers
                    .iter()
                    .flat_map(|(digest, ..)| {
                        let path = export.sink.blob(digest).expect("a sent layer");
                        names_in(&std::fs::read(path).expect("a readable layer"))
                    })
                    .collect();
                assert_eq!(names, BTreeSet::new(), "{} {what}", daemon.name);
                assert!(
                    what == "unchanged" || layers.is_empty(),
                    "{} {what}",
                    daemon.name
                );
            }
        }
        let (mut options, _events) = options();
        let _export = exporting(&mut options);
        let exported = build(&daemon.client, options, |_| async { Ok(Output::default()) }).await;
        assert!(
            matches!(exported, Ok(Exported::Nothing)),
            "{}: {exported:?}",
            daemon.name
        );
    }
}

/// Two platforms, both without a process, so that no emulator is needed.
#[tokio::test]
async fn two_platforms_come_back_in_order() {
    for daemon in daemons().await {
        let (mut options, _events) = options();
        let export = exporting(&mut options);
        let exported = build(&daemon.client, options, |gateway| async move {
            let mut platforms = Vec::new();
            for (id, architecture) in [("linux/arm64", "arm64"), ("linux/amd64", "amd64")] {
                let mut graph = Graph::new();
                let data = architecture.as_bytes().to_vec();
                let file = reseal_llb::FileAction::MakeFile {
                    path: "/arch".to_owned(),
                    mode: 0o644,
                    data,
                    timestamp: None,
                };
                let file = graph.file(Src::Scratch, vec![file]);
                let result = gateway.solve(&graph.definition(file), false).await?;
                let config =
                    format!(r#"{{"architecture":"{architecture}","os":"linux","author":"{id}"}}"#);
                platforms.push((
                    id.to_owned(),
                    Platform::new("linux", architecture, ""),
                    result,
                    Some(config.into_bytes()),
                ));
            }
            Ok(Output { platforms })
        })
        .await
        .unwrap_or_else(|error| panic!("{}: {error:?}", daemon.name));
        let Exported::Index { manifests, .. } = exported else {
            panic!("{}: nothing", daemon.name);
        };
        assert_eq!(manifests.len(), 2);
        for (id, manifest) in &manifests {
            let config = export.sink.blob(&manifest.config).expect("a sent config");
            let config = std::fs::read_to_string(config).expect("a readable config");
            assert!(config.contains(id), "{}: {id} has {config}", daemon.name);
        }
        assert_eq!(manifests[0].0, "linux/arm64");
    }
}

#[tokio::test]
async fn an_oci_layout_is_a_source_without_any_registry() {
    let Ok(layout) = std::env::var("RESEAL_IT_LAYOUT_BULLSEYE") else {
        return skipped("RESEAL_IT_LAYOUT_BULLSEYE");
    };
    let Some((_, digest)) = image() else { return };
    for daemon in daemons().await {
        let (mut options, _events) = options();
        options.source = Some((
            "base".to_owned(),
            Arc::new(LayoutSource(PathBuf::from(&layout))),
        ));
        let digest = digest.clone();
        build(&daemon.client, options, |gateway| async move {
            let mut graph = Graph::new();
            let base = graph.oci_layout(
                &format!("local/bullseye@{digest}"),
                gateway.session_id(),
                "base",
                &amd64(),
            );
            let definition = graph.definition(base);
            let base = gateway.solve(&definition, true).await?;
            let release = base.read("/etc/os-release", 1 << 16).await?;
            let release = String::from_utf8(release.expect("Debian has one").to_vec());
            assert!(release.expect("text").contains("bullseye"));
            let status = base.read("/var/lib/dpkg/status", 8 << 20).await?;
            assert!(status.is_some_and(|status| status.len() > 10_000));
            assert!(matches!(
                base.read("/var/lib/dpkg/status", 100).await,
                Err(BuildError::TooLarge { limit: 100, .. })
            ));
            Ok(Output::default())
        })
        .await
        .unwrap_or_else(|error| panic!("{}: {error:?}", daemon.name));
    }
}

#[tokio::test]
async fn questions_without_a_graph_are_answered() {
    for daemon in daemons().await {
        let name = daemon.name;
        let version = daemon.client.info().await.expect("a version");
        assert!(
            version.is_some_and(|version| version.contains("0.")),
            "{name}"
        );
        let workers = daemon.client.workers().await.expect("workers");
        assert!(
            workers[0].platforms.iter().any(|id| id == "linux/amd64"),
            "{name}"
        );
        assert!(workers[0].containerd_store(), "{name}");
        let found = daemon.client.capabilities().await.expect("capabilities");
        for id in ["diffop", "mergeop", "exec.mount.cache", "return"] {
            assert_eq!(found.supports(id), Ok(()), "{name}");
        }
        assert!(found.supports("no.such.cap").is_err(), "{name}");
    }
}

#[tokio::test]
async fn the_sessions_credentials_open_a_private_registry() {
    let variable = |name: &str| std::env::var(format!("RESEAL_IT_REGISTRY_AUTH{name}"));
    let (Ok(registry), Ok(user), Ok(password)) =
        (variable(""), variable("_USER"), variable("_PASSWORD"))
    else {
        return skipped("RESEAL_IT_REGISTRY_AUTH");
    };
    for daemon in daemons().await {
        for (secret, works) in [("wrong", false), (password.as_str(), true)] {
            let mut graph = Graph::new();
            // By tag, or a daemon that has the image asks nobody.
            let private = format!("{registry}/test/bullseye:1.4");
            let base = graph.image(&private, &amd64(), ImageOptions::default());
            let exec = graph.exec(shell("true", RootFs::Writable(base)));
            let definition = graph.definition(exec.root().expect("a writable root"));
            let (mut options, _events) = options();
            options.auth = Some(Arc::new(Login(Credentials {
                username: user.clone(),
                secret: Secret::new(secret),
                identity_token: false,
            })));
            let result = build(&daemon.client, options, |gateway| async move {
                gateway.solve(&definition, true).await?;
                Ok(Output::default())
            })
            .await;
            assert_eq!(result.is_ok(), works, "{}: {result:?}", daemon.name);
            if let Err(error) = result {
                let hint = error.hint().unwrap_or_default();
                assert!(hint.contains("log in"), "{}: {error}", daemon.name);
            }
        }
    }
}

#[tokio::test]
async fn an_image_that_does_not_exist_is_an_error_of_the_solve() {
    for daemon in daemons().await {
        let Some((repository, _)) = image() else {
            return;
        };
        let mut graph = Graph::new();
        let missing = format!("{repository}@sha256:{}", "0".repeat(64));
        let base = graph.image(&missing, &amd64(), ImageOptions::default());
        let definition = graph.definition(base);
        let (options, _events) = options();
        let error = build(&daemon.client, options, |gateway| async move {
            gateway
                .solve(&definition, true)
                .await?
                .read("/etc/os-release", 10)
                .await?;
            Ok(Output::default())
        })
        .await
        .expect_err("there is no such image");
        assert!(
            matches!(&error, BuildError::Solve { message, .. } if message.contains("not found")),
            "{}: {error:?}",
            daemon.name
        );
    }
}
