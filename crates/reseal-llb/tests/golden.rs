//! Every operation, byte for byte as a daemon's own client encodes it, and what it declares.

use std::collections::BTreeSet;

use reseal_llb::{
    CopyOptions, Exec, FileAction, Graph, ImageOptions, Mount, MountKind, Network, Out, Platform,
    Proxy, ResolveMode, RootFs, Sharing, Src, Ulimit,
};

const CART: &str = "registry.example/shop/cart@sha256:9c1e9c1e9c1e9c1e9c1e9c1e9c1e9c1e9c1e9c1e9c1e9c1e9c1e9c1e9c1e9c1e";
const TOOL: &str =
    "registry.example/tool@sha256:9c1e9c1e9c1e9c1e9c1e9c1e9c1e9c1e9c1e9c1e9c1e9c1e9c1e9c1e9c1e9c1e";
const LAYOUT: &str =
    "local/cart@sha256:9c1e9c1e9c1e9c1e9c1e9c1e9c1e9c1e9c1e9c1e9c1e9c1e9c1e9c1e9c1e9c1e";

/// Builds the case in a fresh graph with the `CART` image, and compares the operations and the capabilities, those of
/// the result aside, with `testdata/llb/NAME.hex` and `declared`.
macro_rules! check {
    ($name:literal, $declared:expr, $build:expr) => {
        compare(
            $name,
            include_str!(concat!("../../../testdata/llb/", $name, ".hex")),
            &$declared,
            $build,
        )
    };
}

fn compare(
    name: &str,
    golden: &str,
    declared: &[&str],
    build: impl FnOnce(&mut Graph, Out) -> Out,
) {
    let mut graph = Graph::new();
    let base = graph.image(CART, &arm(), ImageOptions::default());
    let out = build(&mut graph, base);
    let definition = graph.definition(out);
    let got: Vec<String> = definition.def.iter().map(|op| hex(op)).collect();
    assert_eq!(got, operations(golden), "{name}");

    let wanted: BTreeSet<&str> = declared
        .iter()
        .copied()
        .chain(["constraints", "platform"])
        .collect();
    assert_eq!(graph.required_caps(out), wanted, "{name}");
    let in_metadata: BTreeSet<&str> = definition
        .metadata
        .values()
        .flat_map(|metadata| metadata.caps.keys().map(String::as_str))
        .collect();
    assert_eq!(in_metadata, wanted, "{name}");
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn operations(golden: &str) -> Vec<String> {
    let without_comments = |line: &str| line.split('#').next().unwrap_or_default().replace(' ', "");
    golden
        .split("\n-- ")
        .skip(1)
        .map(|operation| operation.lines().skip(1).map(without_comments).collect())
        .collect()
}

fn arm() -> Platform {
    Platform::new("linux", "arm64", "v8")
}

fn exec(root: RootFs, args: &[&str]) -> Exec {
    Exec::new(args.iter().copied(), root, &arm())
}

fn mount(dest: &str, kind: MountKind) -> Mount {
    Mount {
        dest: dest.to_owned(),
        kind,
    }
}

fn output(from: Src) -> MountKind {
    MountKind::Bind {
        from,
        readonly: false,
        output: true,
        selector: None,
    }
}

#[test]
fn an_image() {
    check!("image", ["source.image"], |_, base| base);
}

#[test]
fn an_image_with_options() {
    check!(
        "image-options",
        [
            "source.image",
            "source.image.layerlimit",
            "source.image.resolvemode"
        ],
        |graph, _| {
            let options = ImageOptions {
                resolve_mode: ResolveMode::Pull,
                layer_limit: Some(3),
            };
            graph.image(CART, &arm(), options)
        }
    );
}

#[test]
fn an_image_that_the_daemon_may_have() {
    check!("image-local", ["source.image"], |graph, _| {
        let options = ImageOptions {
            resolve_mode: ResolveMode::PreferLocal,
            layer_limit: None,
        };
        graph.image(CART, &arm(), options)
    });
}

#[test]
fn an_image_for_a_platform_with_every_part() {
    check!("windows", ["source.image"], |graph, _| {
        let platform = Platform {
            os_version: "10.0.20348.1".to_owned(),
            os_features: vec!["win32k".to_owned()],
            ..Platform::new("windows", "amd64", "")
        };
        graph.image(CART, &platform, ImageOptions::default())
    });
}

#[test]
fn an_image_that_the_client_serves() {
    check!("oci-layout", ["source.ocilayout"], |graph, _| graph
        .oci_layout(LAYOUT, "session1", "store1", &arm()));
}

#[test]
fn a_process_on_a_writable_root() {
    check!(
        "exec",
        ["source.image", "exec.meta.base", "exec.mount.bind"],
        |graph, base| {
            graph
                .exec(exec(RootFs::Writable(base), &["/bin/true"]))
                .root()
                .unwrap()
        }
    );
}

#[test]
fn a_process_on_a_read_only_root_counts_its_output_mount_from_0() {
    check!(
        "exec-readonly-root",
        ["source.image", "exec.meta.base", "exec.mount.bind"],
        |graph, base| {
            let out = graph.exec(Exec {
                mounts: vec![mount("/out", output(Src::Scratch))],
                ..exec(RootFs::ReadOnly(base), &["/bin/check"])
            });
            assert_eq!(out.root(), None);
            out.mount("/out").unwrap()
        }
    );
}

#[test]
fn binds_share_inputs_and_count_outputs_in_the_order_of_destinations() {
    let declared = [
        "source.image",
        "exec.meta.base",
        "exec.mount.bind",
        "exec.mount.selector",
        // The Go client does not declare it, though it is what the daemon must have for the mount at `/x`.
        "exec.mount.bind.readwrite-nooutput",
    ];
    check!("exec-binds", declared, |graph, base| {
        let tool = graph.image(TOOL, &arm(), ImageOptions::default());
        let from = Src::From(base);
        let selector = Some("/in".to_owned());
        let out = graph.exec(Exec {
            mounts: vec![
                mount(
                    "/z",
                    MountKind::Bind {
                        from,
                        readonly: true,
                        output: false,
                        selector,
                    },
                ),
                mount("/y", output(Src::Scratch)),
                mount("/t", output(from)),
                mount(
                    "/x",
                    MountKind::Bind {
                        from,
                        readonly: false,
                        output: false,
                        selector: None,
                    },
                ),
            ],
            ..exec(RootFs::ReadOnly(tool), &["/bin/tool", "a b"])
        });
        assert_eq!([out.root(), out.mount("/z"), out.mount("/x")], [None; 3]);
        assert_ne!(out.mount("/t"), out.mount("/y"));
        out.mount("/y").unwrap()
    });
}

#[test]
fn cache_and_memory_mounts() {
    let declared = [
        "source.image",
        "exec.meta.base",
        "exec.mount.bind",
        "exec.mount.cache",
        "exec.mount.cache.sharing",
        "exec.mount.tmpfs",
        "exec.mount.tmpfs.size",
    ];
    check!("exec-mounts", declared, |graph, base| {
        let cache = |id: &str, sharing| MountKind::Cache {
            id: id.to_owned(),
            sharing,
        };
        let out = graph.exec(Exec {
            mounts: vec![
                mount("/c", cache("reseal/c", Sharing::Locked)),
                mount("/d", cache("reseal/d", Sharing::Private)),
                mount("/b", cache("reseal/b", Sharing::Shared)),
                mount("/u", MountKind::Tmpfs { size: Some(65536) }),
                mount("/s", MountKind::Tmpfs { size: None }),
            ],
            ..exec(RootFs::Writable(base), &["/bin/true"])
        });
        assert_eq!([out.mount("/c"), out.mount("/u")], [None; 2]);
        out.root().unwrap()
    });
}

#[test]
fn a_secret() {
    let declared = [
        "source.image",
        "exec.meta.base",
        "exec.mount.bind",
        "exec.mount.secret",
    ];
    check!("exec-secret", declared, |graph, base| {
        let secret = MountKind::Secret {
            id: "token".to_owned(),
            mode: 0o400,
            uid: 1000,
            gid: 1001,
            optional: true,
        };
        let out = graph.exec(Exec {
            mounts: vec![mount("/run/secrets/token", secret)],
            ..exec(RootFs::Writable(base), &["/bin/true"])
        });
        out.root().unwrap()
    });
}

#[test]
fn everything_else_about_a_process() {
    let declared = [
        "source.image",
        "exec.meta.base",
        "exec.mount.bind",
        "exec.meta.network",
        "exec.meta.proxyenv",
        "exec.meta.ulimit",
        "exec.validexitcode",
    ];
    check!("exec-meta", declared, |graph, base| {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let out = graph.exec(Exec {
            env: vec![pair("B", "2"), pair("A", "")],
            cwd: "/srv".to_owned(),
            user: "app".to_owned(),
            network: Network::None,
            proxy: Some(Proxy {
                http: "http://p:1".to_owned(),
                https: "http://p:2".to_owned(),
                ftp: "http://p:3".to_owned(),
                no: "localhost".to_owned(),
                all: "http://p:4".to_owned(),
            }),
            hosts: vec![pair("mirror.example", "10.0.0.7")],
            valid_exit_codes: vec![0, 3],
            ulimits: vec![Ulimit {
                name: "nofile".to_owned(),
                soft: 1024,
                hard: 4096,
            }],
            ..exec(RootFs::Writable(base), &["/bin/sh", "-c", "exit 3"])
        });
        out.root().unwrap()
    });
}

#[test]
fn the_hosts_network() {
    let declared = [
        "source.image",
        "exec.meta.base",
        "exec.mount.bind",
        "exec.meta.network",
    ];
    check!("exec-network-host", declared, |graph, base| {
        let exec = Exec {
            network: Network::Host,
            ..exec(RootFs::Writable(base), &["/bin/true"])
        };
        graph.exec(exec).root().unwrap()
    });
}

#[test]
fn files_out_of_nothing() {
    check!("file-make", ["file.base"], |graph, _| {
        let dir = FileAction::MakeDir {
            path: "/in".to_owned(),
            mode: 0o755,
            parents: false,
            timestamp: Some(0),
        };
        let file = FileAction::MakeFile {
            path: "in/./a".to_owned(),
            mode: 0o100_644,
            data: b"hi\n".to_vec(),
            timestamp: Some(1_700_000_000_000_000_000),
        };
        graph.file(Src::Scratch, vec![dir, file])
    });
}

#[test]
fn edits_of_an_image() {
    check!(
        "file-on-base",
        ["source.image", "file.base"],
        |graph, base| {
            let remove = |path: &str, lenient| FileAction::Remove {
                path: path.to_owned(),
                allow_not_found: lenient,
                allow_wildcard: lenient,
            };
            let dir = FileAction::MakeDir {
                path: "/a/b".to_owned(),
                mode: 0o700,
                parents: true,
                timestamp: None,
            };
            graph.file(
                Src::From(base),
                vec![remove("/tmp/x*", true), dir, remove("/gone", false)],
            )
        }
    );
}

#[test]
fn copies_from_two_images() {
    // The Go client means to declare the patterns too, but looks before it has collected the actions.
    let declared = [
        "source.image",
        "file.base",
        "file.copy.includeexcludepatterns",
    ];
    check!("file-copy", declared, |graph, base| {
        let tool = graph.image(TOOL, &arm(), ImageOptions::default());
        let copy = |from, src: &str, dest: &str, options| FileAction::Copy {
            from: Src::From(from),
            src: src.to_owned(),
            dest: dest.to_owned(),
            options,
        };
        let everything = CopyOptions {
            mode: Some(0o755),
            owner: Some((0, 5)),
            timestamp: None,
            create_dest_path: true,
            contents_only: true,
            follow_symlinks: true,
            allow_wildcard: true,
            allow_empty_wildcard: true,
            include: vec!["a*".to_owned()],
            exclude: vec!["b*".to_owned()],
        };
        graph.file(
            Src::Scratch,
            vec![
                copy(
                    base,
                    "/etc/os-release",
                    "/",
                    CopyOptions {
                        timestamp: Some(0),
                        ..CopyOptions::default()
                    },
                ),
                copy(tool, "/bin/*", "/bin/", everything),
                copy(base, "/x", "/y", CopyOptions::default()),
            ],
        )
    });
}

#[test]
fn a_symbolic_link() {
    // As for the patterns of copies.
    check!(
        "file-symlink",
        ["file.base", "file.symlink.create"],
        |graph, _| {
            let link = FileAction::Symlink {
                target: "../lib/a".to_owned(),
                path: "/bin/a".to_owned(),
                timestamp: Some(0),
            };
            graph.file(Src::Scratch, vec![link])
        }
    );
}

#[test]
fn a_difference() {
    check!(
        "diff",
        [
            "source.image",
            "exec.meta.base",
            "exec.mount.bind",
            "diffop"
        ],
        |graph, base| {
            let root = graph
                .exec(exec(RootFs::Writable(base), &["/bin/true"]))
                .root()
                .unwrap();
            out_of(graph.diff(Src::From(base), Src::From(root)))
        }
    );
}

#[test]
fn a_difference_to_nothing() {
    check!(
        "diff-to-scratch",
        ["source.image", "diffop"],
        |graph, base| { out_of(graph.diff(Src::From(base), Src::Scratch)) }
    );
}

#[test]
fn a_merge_counts_by_position_and_drops_scratch() {
    check!(
        "merge",
        [
            "source.image",
            "exec.meta.base",
            "exec.mount.bind",
            "diffop",
            "mergeop"
        ],
        |graph, base| {
            let root = graph
                .exec(exec(RootFs::Writable(base), &["/bin/true"]))
                .root()
                .unwrap();
            let diff = graph.diff(Src::From(base), Src::From(root));
            out_of(graph.merge(&[Src::From(base), diff, Src::Scratch, Src::From(base)]))
        }
    );
}

fn out_of(src: Src) -> Out {
    match src {
        Src::From(out) => out,
        Src::Scratch => panic!("scratch"),
    }
}
