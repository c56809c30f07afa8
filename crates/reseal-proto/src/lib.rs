//! The messages, clients and servers of the part of `BuildKit`'s protocols that reseal speaks.
//!
//! Knows nothing of connections, sessions or graphs: everything here is generated from `proto/` by `cargo xtask codegen`
//! and checked in, so building needs neither protoc nor the network. Without the feature `grpc` only the messages are
//! compiled and no gRPC stack is pulled in.
//!
//! **Invariant:** every map is ordered, so a message encodes to the same bytes every time.
//!
//! ```
//! use prost::Message;
//! use reseal_proto::pb;
//!
//! let source = pb::SourceOp { identifier: "docker-image://registry.example/shop/cart@sha256:9c1e".to_owned(), ..Default::default() };
//! assert_eq!(pb::SourceOp::decode(source.encode_to_vec().as_slice()), Ok(source));
//! ```

/// The generated code, nested as the packages are: the files refer to each other by `super` paths.
#[allow(
    clippy::all,
    clippy::pedantic,
    missing_docs,
    unreachable_pub,
    reason = "generated; `expect` would fail in those files that trip none of these"
)]
mod wire {
    pub mod containerd {
        pub mod services {
            pub mod content {
                pub mod v1 {
                    include!("gen/containerd.services.content.v1.rs");
                }
            }
        }
    }
    pub mod fsutil {
        pub mod types {
            include!("gen/fsutil.types.rs");
        }
    }
    pub mod google {
        pub mod rpc {
            include!("gen/google.rpc.rs");
        }
    }
    pub mod grpc {
        pub mod health {
            pub mod v1 {
                include!("gen/grpc.health.v1.rs");
            }
        }
    }
    pub mod moby {
        pub mod buildkit {
            pub mod secrets {
                pub mod v1 {
                    include!("gen/moby.buildkit.secrets.v1.rs");
                }
            }
            pub mod v1 {
                include!("gen/moby.buildkit.v1.rs");
                pub mod apicaps {
                    include!("gen/moby.buildkit.v1.apicaps.rs");
                }
                pub mod frontend {
                    include!("gen/moby.buildkit.v1.frontend.rs");
                }
                pub mod types {
                    include!("gen/moby.buildkit.v1.types.rs");
                }
            }
        }
        pub mod filesync {
            pub mod v1 {
                include!("gen/moby.filesync.v1.rs");
            }
        }
    }
    pub mod pb {
        include!("gen/pb.rs");
    }
}

#[doc(inline)]
pub use wire::{
    // Package `containerd.services.content.v1`: the blob store that a client offers in its session.
    containerd::services::content::v1 as content,
    fsutil::types as fsutil,
    google::rpc,
    grpc::health::v1 as health,
    moby::buildkit::secrets::v1 as secrets,
    moby::buildkit::v1 as control,
    moby::buildkit::v1::apicaps,
    moby::buildkit::v1::frontend as gateway,
    moby::buildkit::v1::types,
    pb,
};

/// Package `moby.filesync.v1`, the part about registry credentials.
pub mod auth {
    pub use crate::wire::moby::filesync::v1::{
        CredentialsRequest, CredentialsResponse, FetchTokenRequest, FetchTokenResponse,
        GetTokenAuthorityRequest, GetTokenAuthorityResponse, VerifyTokenAuthorityRequest,
        VerifyTokenAuthorityResponse,
    };
    #[cfg(feature = "grpc")]
    pub use crate::wire::moby::filesync::v1::{auth_client, auth_server};
}

/// Package `moby.filesync.v1`, the part about files.
pub mod filesync {
    pub use crate::wire::moby::filesync::v1::BytesMessage;
    #[cfg(feature = "grpc")]
    pub use crate::wire::moby::filesync::v1::{
        file_send_client, file_send_server, file_sync_client, file_sync_server,
    };
}
