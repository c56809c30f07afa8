//! Media types of manifests, and the two families that they come in.

/// The media types that belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// `application/vnd.oci.…`
    Oci,
    /// `application/vnd.docker.…`, schema 2.
    Docker,
}

/// What a manifest's media type says that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An OCI index or a Docker manifest list.
    Index,
    /// An OCI or Docker schema 2 image manifest.
    Image,
    /// Anything else, such as Docker's schema 1.
    Other,
}

pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
pub(crate) const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub(crate) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub(crate) const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";

impl Family {
    /// Returns the media type of an index.
    pub fn index_type(self) -> &'static str {
        match self {
            Self::Oci => OCI_INDEX,
            Self::Docker => DOCKER_LIST,
        }
    }

    /// Returns the media type of an image manifest.
    pub fn manifest_type(self) -> &'static str {
        match self {
            Self::Oci => OCI_MANIFEST,
            Self::Docker => DOCKER_MANIFEST,
        }
    }

    /// Returns the media type of an image config.
    pub fn config_type(self) -> &'static str {
        match self {
            Self::Oci => OCI_CONFIG,
            Self::Docker => DOCKER_CONFIG,
        }
    }

    /// Returns the media type of a layer that is a gzip-compressed tar.
    pub fn layer_gzip_type(self) -> &'static str {
        match self {
            Self::Oci => OCI_LAYER,
            Self::Docker => DOCKER_LAYER,
        }
    }

    /// The family of a manifest or index; `None` for types that are neither.
    pub(crate) fn of(media_type: &str) -> Option<Self> {
        match media_type {
            OCI_INDEX | OCI_MANIFEST => Some(Self::Oci),
            DOCKER_LIST | DOCKER_MANIFEST => Some(Self::Docker),
            _ => None,
        }
    }
}

impl Kind {
    /// Returns what a media type says.
    pub fn of(media_type: &str) -> Self {
        match media_type {
            OCI_INDEX | DOCKER_LIST => Self::Index,
            OCI_MANIFEST | DOCKER_MANIFEST => Self::Image,
            _ => Self::Other,
        }
    }
}
