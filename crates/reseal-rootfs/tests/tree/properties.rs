//! Stacking gives what unpacking in order gives.

use std::collections::BTreeMap;

use crate::layers::{Layer, listing, stack};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Op {
    File(String, usize),
    Dir(String),
    Whiteout(String),
    Opaque(String),
    Fifo(String),
}

fn path() -> impl Strategy<Value = String> {
    proptest::collection::vec("[abc]", 1..4).prop_map(|parts| parts.join("/"))
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (path(), 0..3_usize).prop_map(|(path, size)| Op::File(path, size)),
        3 => path().prop_map(Op::Dir),
        2 => path().prop_map(Op::Whiteout),
        1 => path().prop_map(Op::Opaque),
        1 => path().prop_map(Op::Fifo),
    ]
}

fn layer(ops: &[Op]) -> Layer {
    ops.iter().fold(Layer::new(), |layer, op| match op {
        Op::File(path, size) => layer.file(path, vec![0; *size]),
        Op::Dir(path) => layer.dir(path),
        Op::Fifo(path) => layer.fifo(path),
        Op::Opaque(path) => layer.file(&format!("{path}/.wh..wh..opq"), ""),
        Op::Whiteout(path) => {
            let (dir, name) = path.rsplit_once('/').unwrap_or((".", path));
            layer.file(&format!("{dir}/.wh.{name}"), "")
        }
    })
}

/// The plainest way to say it: what the layers below have is hidden first, then everything is written over it.
fn unpack(layers: &[Vec<Op>]) -> Option<BTreeMap<String, String>> {
    let mut root: BTreeMap<String, String> = BTreeMap::new();
    for ops in layers {
        for op in ops {
            match op {
                Op::Whiteout(path) => {
                    root.retain(|at, _| at != path && !at.starts_with(&format!("{path}/")));
                }
                Op::Opaque(path) => root.retain(|at, _| !at.starts_with(&format!("{path}/"))),
                _ => {}
            }
        }
        for op in ops {
            let (path, what) = match op {
                Op::File(path, size) => (path, format!("f{size}")),
                Op::Dir(path) => (path, "d".to_owned()),
                Op::Fifo(path) => (path, "p".to_owned()),
                _ => continue,
            };
            for (at, _) in path.match_indices('/') {
                let above = root.entry(path[..at].to_owned()).or_insert("d".to_owned());
                if above != "d" {
                    return None;
                }
            }
            if what != "d" {
                root.retain(|at, _| !at.starts_with(&format!("{path}/")));
            }
            root.insert(path.clone(), what);
        }
    }
    Some(root)
}

proptest! {
    #[test]
    fn stacking_is_unpacking(layers in proptest::collection::vec(
        proptest::collection::vec(op(), 0..8), 1..5,
    )) {
        let Some(expected) = unpack(&layers) else { return Ok(()) };
        let mut expected: Vec<_> = expected.iter().map(|(path, what)| format!("{path} {what}")).collect();
        expected.sort();
        let stacked = stack(layers.iter().map(|ops| layer(ops))).or_else(|_| {
            // An entry below a file whose whiteout comes later: runtimes fail as well. In the usual order they do not.
            let first = |op: &Op| !matches!(op, Op::Whiteout(_) | Op::Opaque(_));
            stack(layers.iter().map(|ops| {
                let mut ops = ops.clone();
                ops.sort_by_key(first);
                layer(&ops)
            }))
        });
        let mut found = listing(&stacked.unwrap());
        found.sort();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn any_layer_is_a_tree_or_an_error(
        layers in proptest::collection::vec(proptest::collection::vec(op(), 0..6), 1..4),
        links in proptest::collection::vec((path(), "[abc./]{1,6}"), 0..4),
        asked in "[abc./]{0,8}",
    ) {
        let layers = layers.iter().map(|ops| {
            links.iter().fold(layer(ops), |layer, (path, target)| layer.symlink(path, target))
        });
        if let Ok(tree) = stack(layers) {
            let _ = (tree.node(&asked), tree.contents(&asked), tree.children(&asked).count());
            for (path, node) in tree.below("") {
                // Paths without links are their own real paths.
                prop_assert_eq!(tree.node(&path), Some(node));
                let real = tree.real(&path);
                prop_assert_eq!(real.as_deref(), Some(path.as_str()));
            }
        }
    }
}
