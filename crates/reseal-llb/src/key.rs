//! The encoding that gives an operation its identity.

use std::fmt;

use prost::Message;
use reseal_proto::pb;
use sha2::{Digest, Sha256};

/// SHA-256 of an encoded operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key([u8; 32]);

impl Key {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Encodes an operation with its oneof last.
///
/// Daemons since 0.18 decode and encode every operation again, with an encoder that writes oneofs after all other
/// fields, and report under the digest of that. prost writes by field number, which would put `op` before `platform`.
pub(crate) fn encode(mut op: pb::Op) -> Vec<u8> {
    let kind = pb::Op {
        op: op.op.take(),
        ..pb::Op::default()
    };
    let mut bytes = op.encode_to_vec();
    bytes.extend(kind.encode_to_vec());
    bytes
}
