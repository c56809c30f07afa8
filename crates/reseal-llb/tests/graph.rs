//! What holds for graphs as a whole: names, equal operations, what is sent, what is shown.

use reseal_llb::{
    DecodeError, Definition, Exec, FileAction, Graph, ImageOptions, Mount, MountKind, Network, Out,
    Platform, Proxy, RootFs, Sharing, Src,
};

const IMAGE: &str = "registry.example/shop/cart@sha256:9c1e";

fn arm() -> Platform {
    Platform::new("linux", "arm64", "v8")
}

fn image(graph: &mut Graph, reference: &str) -> Out {
    graph.image(reference, &arm(), ImageOptions::default())
}

fn run(graph: &mut Graph, base: Out, program: &str) -> Out {
    graph
        .exec(Exec::new([program], RootFs::Writable(base), &arm()))
        .root()
        .expect("a writable root")
}

#[test]
fn the_digest_of_an_output_is_the_key_of_its_operation() {
    let mut graph = Graph::new();
    let base = image(&mut graph, IMAGE);
    let root = run(&mut graph, base, "/bin/true");
    let definition = graph.definition(root);
    assert_eq!(definition.def.len(), 3);
    for out in [base, root] {
        assert!(
            definition.metadata.contains_key(&graph.digest(out)),
            "{out:?}"
        );
    }
}

#[test]
fn equal_operations_are_one_and_different_ones_are_two() {
    let mut graph = Graph::new();
    let base = image(&mut graph, IMAGE);
    assert_eq!(image(&mut graph, IMAGE), base);
    assert_ne!(
        image(&mut graph, "registry.example/shop/cart@sha256:0000"),
        base
    );
    assert_ne!(
        graph.image(
            IMAGE,
            &Platform::new("linux", "arm64", ""),
            ImageOptions::default()
        ),
        base
    );
    assert_eq!(
        run(&mut graph, base, "/bin/true"),
        run(&mut graph, base, "/bin/true")
    );
}

#[test]
fn names_change_the_metadata_and_nothing_else() {
    let mut plain = Graph::new();
    let base = image(&mut plain, IMAGE);
    let mut named = plain.clone();
    named.describe(base, "first");
    named.describe(base, "base image");

    let (plain_definition, definition) = (plain.definition(base), named.definition(base));
    assert_eq!(definition.def, plain_definition.def);
    let description =
        |definition: &Definition| definition.metadata[&plain.digest(base)].description.clone();
    assert!(description(&plain_definition).is_empty());
    assert_eq!(
        description(&definition).into_iter().collect::<Vec<_>>(),
        [("llb.customname".to_owned(), "base image".to_owned())]
    );
    assert!(named.required_caps(base).contains("meta.description"));
    assert!(!plain.required_caps(base).contains("meta.description"));
}

#[test]
fn ignoring_the_cache_is_metadata_too_and_stays_when_the_operation_comes_again() {
    let mut graph = Graph::new();
    let base = image(&mut graph, IMAGE);
    let once = Exec::new(["/bin/true"], RootFs::Writable(base), &arm());
    let root = graph
        .exec(Exec {
            ignore_cache: true,
            ..once.clone()
        })
        .root()
        .unwrap();
    assert_eq!(graph.exec(once).root(), Some(root));
    assert!(graph.definition(root).metadata[&graph.digest(root)].ignore_cache);
    assert!(graph.required_caps(root).contains("meta.ignorecache"));
}

#[test]
fn only_what_the_result_needs_is_sent() {
    let mut graph = Graph::new();
    let base = image(&mut graph, IMAGE);
    let root = run(&mut graph, base, "/bin/true");
    let used = graph.definition(base);
    run(&mut graph, root, "/bin/false");
    image(&mut graph, "registry.example/other@sha256:1111");
    assert_eq!(graph.definition(base), used);
    assert_eq!(used.def.len(), 2);
    assert!(!graph.required_caps(base).contains("exec.meta.base"));
}

#[test]
fn scratch_vanishes_from_merges_and_lower_sides() {
    let mut graph = Graph::new();
    let base = Src::From(image(&mut graph, IMAGE));
    assert_eq!(graph.merge(&[]), Src::Scratch);
    assert_eq!(graph.merge(&[Src::Scratch, Src::Scratch]), Src::Scratch);
    assert_eq!(graph.merge(&[Src::Scratch, base, Src::Scratch]), base);
    assert_eq!(graph.diff(Src::Scratch, base), base);
    assert_eq!(graph.diff(Src::Scratch, Src::Scratch), Src::Scratch);
}

#[test]
fn the_order_of_mounts_and_an_empty_working_directory_make_no_difference() {
    let mut graph = Graph::new();
    let base = image(&mut graph, IMAGE);
    let tmpfs = |dest: &str| Mount {
        dest: dest.to_owned(),
        kind: MountKind::Tmpfs { size: None },
    };
    let exec = Exec::new(["/bin/true"], RootFs::Writable(base), &arm());
    let one = graph.exec(Exec {
        mounts: vec![tmpfs("/a"), tmpfs("/b")],
        ..exec.clone()
    });
    let other = graph.exec(Exec {
        mounts: vec![tmpfs("/b"), tmpfs("/a")],
        cwd: String::new(),
        ..exec
    });
    assert_eq!(one, other);
}

#[test]
fn a_read_only_mount_is_no_output_even_when_asked_for() {
    let mut graph = Graph::new();
    let base = image(&mut graph, IMAGE);
    let kind = MountKind::Bind {
        from: Src::From(base),
        readonly: true,
        output: true,
        selector: None,
    };
    let exec = Exec {
        mounts: vec![Mount {
            dest: "/in".to_owned(),
            kind,
        }],
        ..Exec::new(["/bin/true"], RootFs::Writable(base), &arm())
    };
    assert_eq!(graph.exec(exec).mount("/in"), None);
}

#[test]
fn an_enormous_memory_mount_is_the_largest_the_wire_can_say() {
    let mut graph = Graph::new();
    let base = image(&mut graph, IMAGE);
    let mut with = |size| {
        let kind = MountKind::Tmpfs { size: Some(size) };
        graph.exec(Exec {
            mounts: vec![Mount {
                dest: "/t".to_owned(),
                kind,
            }],
            ..Exec::new(["/bin/true"], RootFs::Writable(base), &arm())
        })
    };
    assert_eq!(with(u64::MAX), with(u64::MAX >> 1));
    assert_ne!(with(u64::MAX), with(1));
}

#[test]
fn a_graph_as_deep_as_it_likes_is_encoded() {
    let mut graph = Graph::new();
    let mut out = image(&mut graph, IMAGE);
    for step in 0..20_000 {
        let remove = FileAction::Remove {
            path: format!("/{step}"),
            allow_not_found: true,
            allow_wildcard: false,
        };
        out = graph.file(Src::From(out), vec![remove]);
    }
    assert_eq!(graph.definition(out).def.len(), 20_002);
}

#[test]
fn an_output_of_another_graph_gives_a_definition_with_a_missing_input_and_no_panic() {
    let mut other = Graph::new();
    let foreign = image(&mut other, IMAGE);
    let mut graph = Graph::new();
    graph.describe(foreign, "nothing");
    assert_eq!(graph.definition(foreign).def.len(), 1);
    let root = run(&mut graph, foreign, "/bin/true");
    assert_eq!(graph.definition(root).def.len(), 2);
}

#[test]
fn what_is_no_definition_is_refused() {
    assert!(matches!(
        Definition::decode(b"\xff"),
        Err(DecodeError::Definition(_))
    ));
    // Two operations: an empty one and a byte that is no field.
    let broken = b"\x0a\x00\x0a\x01\xff";
    let error = Definition::decode(broken).unwrap_err();
    assert!(
        matches!(error, DecodeError::Op { position: 1, .. }),
        "{error:?}"
    );
    assert_eq!(
        error.to_string(),
        "Could not decode operation 1 of the definition"
    );
}

#[test]
fn an_explanation_has_one_line_an_operation_and_no_values() {
    let mut graph = Graph::new();
    let base = image(&mut graph, IMAGE);
    graph.describe(base, "base \"image\"\n");
    let files = graph.file(
        Src::Scratch,
        vec![
            FileAction::MakeDir {
                path: "/in".to_owned(),
                mode: 0o755,
                parents: true,
                timestamp: None,
            },
            FileAction::MakeFile {
                path: "/in/a".to_owned(),
                mode: 0o600,
                data: b"inside".to_vec(),
                timestamp: None,
            },
            FileAction::Copy {
                from: Src::From(base),
                src: "/etc/os-release".to_owned(),
                dest: "/b\n".to_owned(),
                options: reseal_llb::CopyOptions::default(),
            },
            FileAction::Symlink {
                target: "a".to_owned(),
                path: "/in/c".to_owned(),
                timestamp: None,
            },
            FileAction::Remove {
                path: "/b".to_owned(),
                allow_not_found: true,
                allow_wildcard: false,
            },
        ],
    );
    let mount = |dest: &str, kind| Mount {
        dest: dest.to_owned(),
        kind,
    };
    let bind = |from, readonly, output, selector: Option<&str>| MountKind::Bind {
        from,
        readonly,
        output,
        selector: selector.map(str::to_owned),
    };
    let exec = graph.exec(Exec {
        env: vec![
            ("TOKEN".to_owned(), "hunter2".to_owned()),
            ("A".to_owned(), String::new()),
        ],
        user: "app".to_owned(),
        network: Network::None,
        proxy: Some(Proxy {
            http: "http://me:hunter2@proxy".to_owned(),
            ..Proxy::default()
        }),
        ignore_cache: true,
        mounts: vec![
            mount("/a", bind(Src::From(files), true, false, Some("/in"))),
            mount("/b", bind(Src::Scratch, false, true, None)),
            mount(
                "/c",
                MountKind::Cache {
                    id: "reseal/c".to_owned(),
                    sharing: Sharing::Locked,
                },
            ),
            mount("/d", MountKind::Tmpfs { size: Some(1) }),
            mount(
                "/e",
                MountKind::Secret {
                    id: "s".to_owned(),
                    mode: 0,
                    uid: 0,
                    gid: 0,
                    optional: false,
                },
            ),
            mount("/f", bind(Src::From(base), false, false, None)),
        ],
        ..Exec::new(["/bin/sh", "a b"], RootFs::Writable(base), &arm())
    });
    let Src::From(diff) = graph.diff(Src::From(base), Src::From(exec.root().unwrap())) else {
        panic!("scratch")
    };
    let Src::From(merge) = graph.merge(&[Src::From(diff), Src::From(exec.mount("/b").unwrap())])
    else {
        panic!("scratch")
    };

    let text = graph.definition(merge).explain();
    let lines: Vec<String> = text
        .lines()
        .map(|line| {
            line.split(' ')
                .enumerate()
                .filter(|(i, _)| *i != 1)
                .map(|(_, word)| word)
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect();
    assert_eq!(
        lines,
        [
            r#"#1 source linux/arm64/v8 docker-image://registry.example/shop/cart@sha256:9c1e "base \"image\"\n""#,
            r"#2 file on scratch: mkdir /in 0755, mkfile /in/a 0600 6 bytes, copy #1:/etc/os-release /b\n, symlink /in/c -> a, rm /b",
            r#"#3 exec linux/arm64/v8 ["/bin/sh", "a b"] in / as app env TOKEN,A with proxies network none; / #1 -> output 0; /a #2:/in read-only; /b scratch -> output 1; /c cache reseal/c locked; /d tmpfs; /f #1 thrown away; /e secret s ignore-cache"#,
            "#4 diff #1 #3",
            "#5 merge #4 #3.1",
            "#6 result #5",
        ]
    );
    assert!(!text.contains("hunter2"));
    assert!(
        graph
            .digest(diff)
            .contains(text.lines().nth(3).unwrap().split(' ').nth(1).unwrap())
    );
}

#[test]
fn debug_output_shows_no_proxy() {
    let proxy = Proxy {
        https: "http://me:hunter2@proxy".to_owned(),
        no: "localhost".to_owned(),
        ..Proxy::default()
    };
    let text = format!("{proxy:?}");
    assert!(!text.contains("hunter2"), "{text}");
    assert!(text.contains("localhost"), "{text}");
}

#[test]
fn a_platform_prints_as_its_parts() {
    assert_eq!(arm().to_string(), "linux/arm64/v8");
    assert_eq!(
        Platform::new("linux", "amd64", "").to_string(),
        "linux/amd64"
    );
}
