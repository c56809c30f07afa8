use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    fmt,
};

use reseal_proto::pb;

use crate::{
    Definition, OpMetadata, Platform, capability,
    key::{Key, encode},
};

/// Key in an operation's description under which daemons look for the name that progress shows.
const NAME: &str = "llb.customname";

/// One output of an operation: a file system.
///
/// It names its operation by content, so it stays right however the graph grows, and two outputs are equal when they
/// are the same thing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Out {
    key: Key,
    index: u32,
}

impl Out {
    pub(crate) fn with_index(self, index: u32) -> Self {
        Self { index, ..self }
    }

    fn to_input(self) -> pb::Input {
        pb::Input {
            digest: self.key.to_string(),
            index: i64::from(self.index),
        }
    }
}

impl fmt::Debug for Out {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Out({}, {})", self.key, self.index)
    }
}

/// Where a file system comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Src {
    /// Nowhere: it is empty.
    Scratch,
    /// From an operation.
    From(Out),
}

#[derive(Debug, Clone)]
struct Node {
    bytes: Vec<u8>,
    /// In the order of the operation's inputs.
    inputs: Vec<Key>,
    capabilities: BTreeSet<&'static str>,
    ignore_cache: bool,
    name: Option<String>,
}

/// Operations and what they take from each other.
///
/// An [`Out`] belongs to the graph that made it. In another graph, where its operation is missing, it gives a definition
/// that daemons refuse.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    nodes: BTreeMap<Key, Node>,
}

impl Graph {
    /// Returns an empty graph.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lays file systems over each other, the last on top.
    ///
    /// Scratch has no effect; nothing but scratch is scratch, and one part alone is that part.
    pub fn merge(&mut self, parts: &[Src]) -> Src {
        let mut inputs = Inputs::default();
        let mut only = Src::Scratch;
        for part in parts {
            if let Src::From(out) = *part {
                inputs.push(out);
                only = *part;
            }
        }
        if inputs.len() < 2 {
            return only;
        }
        let merge = pb::MergeOp {
            inputs: (0..)
                .take(inputs.len())
                .map(|input| pb::MergeInput { input })
                .collect(),
        };
        let capabilities = BTreeSet::from([capability::MERGE]);
        Src::From(self.add(
            inputs.0,
            pb::op::Op::Merge(merge),
            None,
            capabilities,
            false,
        ))
    }

    /// Returns what has to be laid over `lower` to get `upper`, deletions included. Over scratch that is `upper` itself.
    ///
    /// When `upper` is one operation above `lower` this is that operation's own layer; further apart it is the layers
    /// between them, not one squashed layer.
    pub fn diff(&mut self, lower: Src, upper: Src) -> Src {
        let Src::From(lower) = lower else {
            return upper;
        };
        let mut inputs = Inputs::default();
        let lower = pb::LowerDiffInput {
            input: inputs.push(lower),
        };
        let upper = pb::UpperDiffInput {
            input: inputs.push_src(upper),
        };
        let diff = pb::DiffOp {
            lower: Some(lower),
            upper: Some(upper),
        };
        Src::From(self.add(
            inputs.0,
            pb::op::Op::Diff(diff),
            None,
            BTreeSet::from([capability::DIFF]),
            false,
        ))
    }

    /// Names the operation of `out` in the daemon's progress; the last name stays. It changes no digest.
    pub fn describe(&mut self, out: Out, name: &str) {
        if let Some(node) = self.nodes.get_mut(&out.key) {
            node.name = Some(name.to_owned());
        }
    }

    /// Returns the digest of the operation of `out`: `sha256:…`, as in the daemon's progress and errors.
    pub fn digest(&self, out: Out) -> String {
        out.key.to_string()
    }

    /// Returns what a daemon needs to build `out`, and nothing that `out` does not use.
    pub fn definition(&self, out: Out) -> Definition {
        let mut definition = Definition {
            def: Vec::new(),
            metadata: BTreeMap::new(),
        };
        for (key, node) in self.needed(out) {
            definition.def.push(node.bytes.clone());
            definition.metadata.insert(key.to_string(), node.metadata());
        }
        // The result: an operation that does nothing but point at an output.
        let last = encode(pb::Op {
            inputs: vec![out.to_input()],
            ..pb::Op::default()
        });
        let metadata = OpMetadata {
            caps: declare(&self.result_caps(out)),
            ..OpMetadata::default()
        };
        definition
            .metadata
            .insert(Key::of(&last).to_string(), metadata);
        definition.def.push(last);
        definition
    }

    /// Returns the capabilities that the definition of `out` declares: a daemon that lacks one refuses to load it.
    pub fn required_caps(&self, out: Out) -> BTreeSet<&'static str> {
        let mut capabilities = self.result_caps(out);
        capabilities.extend(
            self.needed(out)
                .into_iter()
                .flat_map(|(_, node)| node.capabilities.iter().copied()),
        );
        capabilities
    }

    /// The result declares what any operation's metadata uses.
    fn result_caps(&self, out: Out) -> BTreeSet<&'static str> {
        let mut capabilities = BTreeSet::from([capability::CONSTRAINTS, capability::PLATFORM]);
        for (_, node) in self.needed(out) {
            if node.name.is_some() {
                capabilities.insert(capability::DESCRIPTION);
            }
            if node.ignore_cache {
                capabilities.insert(capability::IGNORE_CACHE);
            }
        }
        capabilities
    }

    /// What `out` is made of, inputs before users. Follows the inputs, so the order of additions leaves no trace; without
    /// recursion, so a deep graph does not exhaust the stack.
    fn needed(&self, out: Out) -> Vec<(Key, &Node)> {
        let mut order = Vec::new();
        let mut seen = BTreeSet::new();
        let mut path: Vec<(Key, &Node, usize)> = Vec::new();
        let mut next = Some(out.key);
        loop {
            if let Some(key) = next.take()
                && let Some(node) = self.nodes.get(&key)
                && seen.insert(key)
            {
                path.push((key, node, 0));
            }
            let Some((key, node, position)) = path.last_mut() else {
                return order;
            };
            if let Some(input) = node.inputs.get(*position) {
                *position += 1;
                next = Some(*input);
            } else {
                order.push((*key, *node));
                path.pop();
            }
        }
    }

    /// Adds an operation and returns its first output. An equal one that is there already is that one.
    pub(crate) fn add(
        &mut self,
        inputs: Vec<Out>,
        op: pb::op::Op,
        platform: Option<&Platform>,
        capabilities: BTreeSet<&'static str>,
        ignore_cache: bool,
    ) -> Out {
        let bytes = encode(pb::Op {
            inputs: inputs.iter().copied().map(Out::to_input).collect(),
            op: Some(op),
            platform: platform.map(Platform::to_proto),
            // Empty, but there: so it is in what a daemon's own client makes, and in the digest.
            constraints: Some(pb::WorkerConstraints::default()),
        });
        let key = Key::of(&bytes);
        match self.nodes.entry(key) {
            Entry::Occupied(mut entry) => entry.get_mut().ignore_cache |= ignore_cache,
            Entry::Vacant(entry) => {
                let inputs = inputs.into_iter().map(|input| input.key).collect();
                entry.insert(Node {
                    bytes,
                    inputs,
                    capabilities,
                    ignore_cache,
                    name: None,
                });
            }
        }
        Out { key, index: 0 }
    }
}

impl Node {
    fn metadata(&self) -> OpMetadata {
        OpMetadata {
            ignore_cache: self.ignore_cache,
            description: self
                .name
                .iter()
                .map(|name| (NAME.to_owned(), name.clone()))
                .collect(),
            caps: declare(&self.capabilities),
            ..OpMetadata::default()
        }
    }
}

fn declare(capabilities: &BTreeSet<&'static str>) -> BTreeMap<String, bool> {
    capabilities
        .iter()
        .map(|id| ((*id).to_owned(), true))
        .collect()
}

/// The inputs of an operation, as they get their numbers.
#[derive(Default)]
pub(crate) struct Inputs(pub(crate) Vec<Out>);

impl Inputs {
    /// What stands for "no input"; 0 would be the first one.
    pub(crate) const NONE: i64 = -1;

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Adds an input even when it is there already: merge and diff count by position.
    fn push(&mut self, out: Out) -> i64 {
        self.0.push(out);
        number(self.0.len() - 1)
    }

    fn push_src(&mut self, src: Src) -> i64 {
        match src {
            Src::Scratch => Self::NONE,
            Src::From(out) => self.push(out),
        }
    }

    /// Returns the number of an input, adding it when it is new.
    pub(crate) fn share(&mut self, src: Src) -> i64 {
        let Src::From(out) = src else {
            return Self::NONE;
        };
        match self.0.iter().position(|known| *known == out) {
            Some(position) => number(position),
            None => self.push(out),
        }
    }
}

pub(crate) fn number(position: usize) -> i64 {
    i64::try_from(position).expect("a vector is shorter than i64::MAX")
}
