use std::collections::BTreeMap;

use prost::Message;
use reseal_proto::pb;

/// What is said about an operation without being part of its identity.
pub use pb::OpMetadata;

/// A graph as it is sent to a daemon.
#[derive(Debug, Clone, PartialEq)]
pub struct Definition {
    /// The encoded operations, inputs before users; the last one only points at the result.
    pub def: Vec<Vec<u8>>,
    /// By the digest of the operation's bytes.
    pub metadata: BTreeMap<String, OpMetadata>,
}

/// Why bytes are not a definition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The whole is not a `pb.Definition`.
    #[error("Could not decode the definition: it is not a protobuf message of that type")]
    Definition(#[source] prost::DecodeError),
    /// One operation is not a `pb.Op`.
    #[error("Could not decode operation {position} of the definition")]
    Op {
        /// Counted from 0.
        position: usize,
        /// What protobuf says.
        #[source]
        source: prost::DecodeError,
    },
}

impl Definition {
    /// Returns the definition as a `pb.Definition` message.
    pub fn encode(&self) -> Vec<u8> {
        self.to_proto().encode_to_vec()
    }

    /// Reads a `pb.Definition`. Every operation must be one; whether a daemon would accept the graph is not checked.
    /// Source positions, which daemons only use in messages, are dropped.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let pb::Definition { def, metadata } =
            pb::Definition::decode(bytes).map_err(DecodeError::Definition)?;
        for (position, op) in def.iter().enumerate() {
            pb::Op::decode(op.as_slice()).map_err(|source| DecodeError::Op { position, source })?;
        }
        Ok(Self { def, metadata })
    }

    /// Returns the message that solve requests carry.
    pub fn to_proto(&self) -> pb::Definition {
        pb::Definition {
            def: self.def.clone(),
            metadata: self.metadata.clone(),
        }
    }
}
