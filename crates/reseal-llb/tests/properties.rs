//! What holds for every graph: random programs of calls, and random bytes.

use std::collections::BTreeSet;

use proptest::prelude::*;
use prost::Message;
use reseal_llb::{
    CopyOptions, Definition, Exec, FileAction, Graph, ImageOptions, Mount, MountKind, Network, Out,
    Platform, Proxy, RootFs, Sharing, Src,
};
use reseal_proto::pb;
use sha2::{Digest, Sha256};

/// One call; numbers pick from what the calls before it returned.
#[derive(Debug, Clone)]
enum Call {
    Image(String),
    OciLayout(String),
    Exec {
        args: Vec<String>,
        root: usize,
        readonly: bool,
        mounts: Vec<(String, usize, u8)>,
        proxy: bool,
    },
    File {
        base: usize,
        edits: Vec<(String, usize, u8)>,
    },
    Merge(Vec<usize>),
    Diff(usize, usize),
    Describe(usize, String),
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let picks = || prop::collection::vec(("/[a-c]{1,3}", any::<usize>(), 0..8_u8), 0..6);
    let call = prop_oneof![
        2 => "[a-d]".prop_map(Call::Image),
        1 => "[a-d]".prop_map(Call::OciLayout),
        4 => (prop::collection::vec(".{0,8}", 1..4), any::<usize>(), any::<bool>(), picks(), any::<bool>())
            .prop_map(|(args, root, readonly, mounts, proxy)| Call::Exec { args, root, readonly, mounts, proxy }),
        3 => (any::<usize>(), picks()).prop_map(|(base, edits)| Call::File { base, edits }),
        2 => prop::collection::vec(any::<usize>(), 0..4).prop_map(Call::Merge),
        3 => (any::<usize>(), any::<usize>()).prop_map(|(lower, upper)| Call::Diff(lower, upper)),
        1 => (any::<usize>(), ".{0,8}").prop_map(|(out, name)| Call::Describe(out, name)),
    ];
    prop::collection::vec(call, 1..24)
}

/// What a program has made so far.
struct Run {
    graph: Graph,
    outs: Vec<Out>,
}

impl Run {
    fn of(seed: &str, calls: &[Call]) -> Self {
        let mut run = Self {
            graph: Graph::new(),
            outs: Vec::new(),
        };
        run.go_on(seed, calls);
        run
    }

    /// Runs a program that has nothing in common with one of another seed, in the same graph. It starts with one image,
    /// so that there is always something to pick.
    fn go_on(&mut self, seed: &str, calls: &[Call]) {
        let reference = format!("registry.example/{seed}@sha256:0");
        self.outs = vec![
            self.graph
                .image(&reference, &amd(), ImageOptions::default()),
        ];
        for call in calls {
            self.call(call);
        }
    }

    fn pick(&self, number: usize) -> Out {
        self.outs[number % self.outs.len()]
    }

    /// One number in seven is scratch.
    fn pick_src(&self, number: usize) -> Src {
        if number.is_multiple_of(7) {
            Src::Scratch
        } else {
            Src::From(self.pick(number))
        }
    }

    fn call(&mut self, call: &Call) {
        match call {
            Call::Image(name) => {
                let out = self.graph.image(
                    &format!("registry.example/{name}@sha256:1"),
                    &amd(),
                    ImageOptions::default(),
                );
                self.outs.push(out);
            }
            Call::OciLayout(name) => {
                self.outs.push(self.graph.oci_layout(
                    &format!("local/{name}@sha256:1"),
                    "session",
                    name,
                    &amd(),
                ));
            }
            Call::Exec {
                args,
                root,
                readonly,
                mounts,
                proxy,
            } => {
                let root = self.pick(*root);
                let exec = Exec {
                    mounts: mounts
                        .iter()
                        .map(|(dest, number, kind)| self.mount(dest, *number, *kind))
                        .collect(),
                    network: if *proxy {
                        Network::None
                    } else {
                        Network::Default
                    },
                    proxy: proxy.then(Proxy::default),
                    ..Exec::new(
                        args,
                        if *readonly {
                            RootFs::ReadOnly(root)
                        } else {
                            RootFs::Writable(root)
                        },
                        &amd(),
                    )
                };
                let dests: Vec<String> =
                    exec.mounts.iter().map(|mount| mount.dest.clone()).collect();
                let out = self.graph.exec(exec);
                assert_eq!(out.root().is_none(), *readonly);
                self.outs.extend(out.root());
                self.outs
                    .extend(dests.iter().filter_map(|dest| out.mount(dest)));
            }
            Call::File { base, edits } => {
                let base = self.pick_src(*base);
                let actions = edits
                    .iter()
                    .map(|(path, number, kind)| self.edit(path, *number, *kind))
                    .collect();
                self.outs.push(self.graph.file(base, actions));
            }
            Call::Merge(parts) => {
                let parts: Vec<Src> = parts.iter().map(|number| self.pick_src(*number)).collect();
                self.keep(|graph| graph.merge(&parts));
            }
            Call::Diff(lower, upper) => {
                let (lower, upper) = (self.pick_src(*lower), self.pick_src(*upper));
                self.keep(|graph| graph.diff(lower, upper));
            }
            Call::Describe(out, name) => {
                let out = self.pick(*out);
                self.graph.describe(out, name);
            }
        }
    }

    fn keep(&mut self, make: impl FnOnce(&mut Graph) -> Src) {
        if let Src::From(out) = make(&mut self.graph) {
            self.outs.push(out);
        }
    }

    fn mount(&self, dest: &str, number: usize, kind: u8) -> Mount {
        let from = self.pick_src(number);
        let bind = |readonly, output| MountKind::Bind {
            from,
            readonly,
            output,
            selector: None,
        };
        let kind = match kind {
            0 => bind(true, false),
            1 => bind(false, false),
            2 | 3 => bind(false, true),
            4 => MountKind::Tmpfs {
                size: u64::try_from(number).ok(),
            },
            5 => MountKind::Tmpfs { size: None },
            6 => MountKind::Cache {
                id: dest.to_owned(),
                sharing: Sharing::Shared,
            },
            _ => MountKind::Secret {
                id: dest.to_owned(),
                mode: 0o400,
                uid: 0,
                gid: 0,
                optional: true,
            },
        };
        Mount {
            dest: dest.to_owned(),
            kind,
        }
    }

    fn edit(&self, path: &str, number: usize, kind: u8) -> FileAction {
        let path = path.to_owned();
        match kind {
            0 | 1 => FileAction::MakeFile {
                path,
                mode: 0o644,
                data: number.to_le_bytes().to_vec(),
                timestamp: None,
            },
            2 => FileAction::MakeDir {
                path,
                mode: 0o755,
                parents: true,
                timestamp: Some(0),
            },
            3 => FileAction::Remove {
                path,
                allow_not_found: true,
                allow_wildcard: false,
            },
            4 => FileAction::Symlink {
                target: "..".to_owned(),
                path,
                timestamp: None,
            },
            _ => FileAction::Copy {
                from: self.pick_src(number),
                src: path.clone(),
                dest: path,
                options: CopyOptions::default(),
            },
        }
    }
}

fn amd() -> Platform {
    Platform::new("linux", "amd64", "")
}

fn digest(bytes: &[u8]) -> String {
    let start = "sha256:".to_owned();
    Sha256::digest(bytes)
        .iter()
        .fold(start, |text, byte| text + &format!("{byte:02x}"))
}

fn count<T>(list: &[T]) -> i64 {
    i64::try_from(list.len()).expect("a short list")
}

proptest! {
    #[test]
    fn the_same_calls_give_the_same_bytes(calls in calls()) {
        let [one, other] = [0, 1].map(|_| Run::of("a", &calls));
        prop_assert_eq!(&one.outs, &other.outs);
        for out in one.outs {
            prop_assert_eq!(one.graph.definition(out).encode(), other.graph.definition(out).encode());
        }
    }

    #[test]
    fn decoding_and_encoding_again_changes_nothing(calls in calls()) {
        let run = Run::of("a", &calls);
        for out in run.outs {
            let definition = run.graph.definition(out);
            let bytes = definition.encode();
            let decoded = Definition::decode(&bytes).unwrap();
            prop_assert_eq!(&decoded, &definition);
            prop_assert_eq!(decoded.encode(), bytes);
        }
    }

    #[test]
    fn a_definition_is_closed_sorted_and_holds_each_operation_once(calls in calls()) {
        let run = Run::of("a", &calls);
        for out in run.outs {
            let definition = run.graph.definition(out);
            let mut seen = BTreeSet::new();
            let mut used = BTreeSet::new();
            for bytes in &definition.def {
                let op = pb::Op::decode(bytes.as_slice()).unwrap();
                for input in &op.inputs {
                    prop_assert!(seen.contains(&input.digest), "an input comes after its user");
                    used.insert(input.digest.clone());
                }
                check_op(&op)?;
                prop_assert!(seen.insert(digest(bytes)), "an operation is there twice");
            }
            let last = digest(definition.def.last().unwrap());
            prop_assert!(used.contains(&run.graph.digest(out)));
            used.insert(last);
            prop_assert_eq!(&used, &seen, "something is sent that nothing uses");
            prop_assert_eq!(definition.metadata.keys().collect::<Vec<_>>(), seen.iter().collect::<Vec<_>>());
            prop_assert_eq!(definition.explain().lines().count(), definition.def.len());
        }
    }

    #[test]
    fn the_order_in_which_unrelated_operations_come_leaves_no_trace(left in calls(), right in calls()) {
        let both = |first: (&str, &[Call]), second: (&str, &[Call])| {
            let mut run = Run::of(first.0, first.1);
            let first = run.outs.last().copied().unwrap();
            run.go_on(second.0, second.1);
            (run.graph.clone(), first, run.outs.last().copied().unwrap())
        };
        // Names are given to whole graphs, so the same operation on both sides may not have two.
        let nameless = |calls: Vec<Call>| -> Vec<Call> {
            calls.into_iter().filter(|call| !matches!(call, Call::Describe(..))).collect()
        };
        let (left, right) = (nameless(left), nameless(right));
        let (mut one, l1, r1) = both(("left", &left), ("right", &right));
        let (mut other, r2, l2) = both(("right", &right), ("left", &left));
        prop_assert_eq!((l1, r1), (l2, r2));
        let Src::From(m1) = one.merge(&[Src::From(l1), Src::From(r1)]) else { unreachable!("two parts") };
        let Src::From(m2) = other.merge(&[Src::From(l2), Src::From(r2)]) else { unreachable!("two parts") };
        prop_assert_eq!(one.definition(m1), other.definition(m2));
        prop_assert_eq!(one.required_caps(m1), other.required_caps(m2));
    }

    #[test]
    fn no_bytes_make_decoding_or_explaining_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(definition) = Definition::decode(&bytes) {
            definition.explain();
        }
        // As one operation, and as what explain sees when the caller put the parts together.
        let metadata = std::collections::BTreeMap::new();
        let _ = Definition { def: vec![bytes], metadata }.explain();
    }

    #[test]
    fn a_damaged_definition_is_refused_or_explained(calls in calls(), position: usize, value: u8) {
        let run = Run::of("a", &calls);
        let mut bytes = run.graph.definition(*run.outs.last().unwrap()).encode();
        let position = position % bytes.len();
        bytes[position] = value;
        if let Ok(definition) = Definition::decode(&bytes) {
            prop_assert_eq!(definition.explain().lines().count(), definition.def.len());
        }
    }
}

/// What a daemon's loader asks of every operation.
fn check_op(op: &pb::Op) -> Result<(), TestCaseError> {
    let inputs = count(&op.inputs);
    let input = |number: i64| (-1..inputs).contains(&number);
    let mut platform = false;
    match &op.op {
        None => {
            prop_assert_eq!(inputs, 1);
            prop_assert!(op.constraints.is_none());
            return Ok(());
        }
        Some(pb::op::Op::Source(_)) => platform = true,
        Some(pb::op::Op::Exec(exec)) => {
            platform = true;
            prop_assert!(
                exec.mounts
                    .first()
                    .is_some_and(|mount| mount.dest == "/" && mount.input == 0)
            );
            prop_assert!(exec.mounts.iter().all(|mount| input(mount.input)));
            let outputs: Vec<i64> = exec
                .mounts
                .iter()
                .map(|mount| mount.output)
                .filter(|number| *number != -1)
                .collect();
            prop_assert_eq!(&outputs, &(0..).take(outputs.len()).collect::<Vec<i64>>());
            let binds_only = exec
                .mounts
                .iter()
                .all(|mount| mount.output == -1 || mount.mount_type() == pb::MountType::Bind);
            prop_assert!(binds_only);
        }
        Some(pb::op::Op::File(file)) => {
            for (position, action) in (0..).zip(&file.actions) {
                let before = if position == 0 {
                    input(action.input)
                } else {
                    action.input == inputs + position - 1
                };
                prop_assert!(before && input(action.secondary_input));
                let last = position + 1 == count(&file.actions);
                prop_assert_eq!(action.output, if last { 0 } else { -1 });
            }
        }
        Some(pb::op::Op::Merge(merge)) => {
            prop_assert!(inputs >= 2);
            prop_assert_eq!(
                merge
                    .inputs
                    .iter()
                    .map(|part| part.input)
                    .collect::<Vec<_>>(),
                (0..inputs).collect::<Vec<_>>()
            );
        }
        Some(pb::op::Op::Diff(diff)) => {
            prop_assert_eq!(diff.lower.as_ref().map(|lower| lower.input), Some(0));
            prop_assert_eq!(
                diff.upper.as_ref().map(|upper| upper.input),
                Some(if inputs == 2 { 1 } else { -1 })
            );
        }
    }
    prop_assert_eq!(op.platform.is_some(), platform);
    prop_assert_eq!(&op.constraints, &Some(pb::WorkerConstraints::default()));
    Ok(())
}
