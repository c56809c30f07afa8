//! Ids of the capabilities that operations declare.
//!
//! A daemon refuses a graph that declares an id it does not know, so only ids that daemons announce belong here:
//! `exec.meta.removemountstubs.recursive` and `file.copy.modestring` are defined by them but never announced.

pub(crate) const CONSTRAINTS: &str = "constraints";
pub(crate) const PLATFORM: &str = "platform";
pub(crate) const DESCRIPTION: &str = "meta.description";
pub(crate) const IGNORE_CACHE: &str = "meta.ignorecache";

pub(crate) const IMAGE: &str = "source.image";
pub(crate) const IMAGE_RESOLVE_MODE: &str = "source.image.resolvemode";
pub(crate) const IMAGE_LAYER_LIMIT: &str = "source.image.layerlimit";
pub(crate) const OCI_LAYOUT: &str = "source.ocilayout";

pub(crate) const EXEC: &str = "exec.meta.base";
pub(crate) const EXEC_NETWORK: &str = "exec.meta.network";
pub(crate) const EXEC_PROXY: &str = "exec.meta.proxyenv";
pub(crate) const EXEC_ULIMIT: &str = "exec.meta.ulimit";
pub(crate) const EXEC_VALID_EXIT_CODES: &str = "exec.validexitcode";
pub(crate) const MOUNT_BIND: &str = "exec.mount.bind";
pub(crate) const MOUNT_BIND_THROW_AWAY: &str = "exec.mount.bind.readwrite-nooutput";
pub(crate) const MOUNT_SELECTOR: &str = "exec.mount.selector";
pub(crate) const MOUNT_TMPFS: &str = "exec.mount.tmpfs";
pub(crate) const MOUNT_TMPFS_SIZE: &str = "exec.mount.tmpfs.size";
pub(crate) const MOUNT_CACHE: &str = "exec.mount.cache";
pub(crate) const MOUNT_CACHE_SHARING: &str = "exec.mount.cache.sharing";
pub(crate) const MOUNT_SECRET: &str = "exec.mount.secret";

pub(crate) const FILE: &str = "file.base";
pub(crate) const FILE_COPY_PATTERNS: &str = "file.copy.includeexcludepatterns";
pub(crate) const FILE_SYMLINK: &str = "file.symlink.create";

pub(crate) const MERGE: &str = "mergeop";
pub(crate) const DIFF: &str = "diffop";
