//! From a process as callers describe it to the operation that is sent.

use std::collections::BTreeSet;

use reseal_proto::pb;

use super::{Exec, ExecOut, Mount, MountKind, Network, Proxy, ROOT, RootFs, Sharing, Ulimit};
use crate::{
    Graph, Src, capability,
    graph::{Inputs, number},
};

/// What stands for "no output"; 0 would be the first one.
const NO_OUTPUT: i64 = -1;

impl Graph {
    /// Adds a process.
    pub fn exec(&mut self, exec: Exec) -> ExecOut {
        let mut capabilities = BTreeSet::from([capability::EXEC, capability::MOUNT_BIND]);
        for (used, id) in [
            (exec.network != Network::Default, capability::EXEC_NETWORK),
            (exec.proxy.is_some(), capability::EXEC_PROXY),
            (!exec.ulimits.is_empty(), capability::EXEC_ULIMIT),
            (
                !exec.valid_exit_codes.is_empty(),
                capability::EXEC_VALID_EXIT_CODES,
            ),
        ] {
            if used {
                capabilities.insert(id);
            }
        }

        let (root, writable) = match exec.root {
            RootFs::Writable(out) => (out, true),
            RootFs::ReadOnly(out) => (out, false),
        };
        let mut layout = Layout::default();
        layout.bind(
            ROOT.to_owned(),
            Src::From(root),
            !writable,
            writable,
            String::new(),
        );
        let mut mounts = exec.mounts;
        // By destination, as daemons' own clients do; secrets behind everything else, also as they do.
        mounts.sort_by(|a, b| (a.is_secret(), &a.dest).cmp(&(b.is_secret(), &b.dest)));
        for mount in mounts {
            layout.mount(mount, &mut capabilities);
        }

        let op = pb::op::Op::Exec(pb::ExecOp {
            meta: Some(pb::Meta {
                args: exec.args,
                env: exec
                    .env
                    .into_iter()
                    .map(|(name, value)| format!("{name}={value}"))
                    .collect(),
                cwd: if exec.cwd.is_empty() {
                    ROOT.to_owned()
                } else {
                    exec.cwd
                },
                user: exec.user,
                proxy_env: exec.proxy.map(Proxy::into_proto),
                extra_hosts: exec
                    .hosts
                    .into_iter()
                    .map(|(host, ip)| pb::HostIp { host, ip })
                    .collect(),
                ulimit: exec.ulimits.into_iter().map(Ulimit::into_proto).collect(),
                remove_mount_stubs_recursive: exec.remove_mount_stubs,
                valid_exit_codes: exec.valid_exit_codes,
                ..pb::Meta::default()
            }),
            mounts: layout.mounts,
            network: match exec.network {
                Network::Default => pb::NetMode::Unset,
                Network::Host => pb::NetMode::Host,
                Network::None => pb::NetMode::None,
            }
            .into(),
            ..pb::ExecOp::default()
        });
        let first = self.add(
            layout.inputs.0,
            op,
            Some(&exec.platform),
            capabilities,
            exec.ignore_cache,
        );
        let outputs = (0..)
            .zip(layout.outputs)
            .map(|(index, dest)| (dest, first.with_index(index)))
            .collect();
        ExecOut { outputs }
    }
}

impl Mount {
    fn is_secret(&self) -> bool {
        matches!(self.kind, MountKind::Secret { .. })
    }
}

/// Mounts as they get their input and output numbers.
#[derive(Default)]
struct Layout {
    inputs: Inputs,
    mounts: Vec<pb::Mount>,
    /// Destinations of the mounts with an output. Daemons count outputs by position, whatever the number in the mount.
    outputs: Vec<String>,
}

impl Layout {
    fn bind(&mut self, dest: String, from: Src, readonly: bool, output: bool, selector: String) {
        let input = self.inputs.share(from);
        let number = if output {
            number(self.outputs.len())
        } else {
            NO_OUTPUT
        };
        if output {
            self.outputs.push(dest.clone());
        }
        self.mounts.push(pb::Mount {
            input,
            selector,
            dest,
            output: number,
            readonly,
            ..pb::Mount::default()
        });
    }

    fn mount(&mut self, Mount { dest, kind }: Mount, capabilities: &mut BTreeSet<&'static str>) {
        let plain = |dest: String, kind: pb::MountType| pb::Mount {
            input: Inputs::NONE,
            dest,
            output: NO_OUTPUT,
            mount_type: kind.into(),
            ..pb::Mount::default()
        };
        match kind {
            MountKind::Bind {
                from,
                readonly,
                output,
                selector,
            } => {
                let output = output && !readonly;
                if !output && !readonly {
                    capabilities.insert(capability::MOUNT_BIND_THROW_AWAY);
                }
                let selector = selector.unwrap_or_default();
                if !selector.is_empty() {
                    capabilities.insert(capability::MOUNT_SELECTOR);
                }
                self.bind(dest, from, readonly, output, selector);
            }
            MountKind::Tmpfs { size } => {
                capabilities.insert(capability::MOUNT_TMPFS);
                // 0 is how the wire says "no limit", and nothing holds more than i64::MAX bytes.
                let size = size.map_or(0, |bytes| i64::try_from(bytes).unwrap_or(i64::MAX));
                if size > 0 {
                    capabilities.insert(capability::MOUNT_TMPFS_SIZE);
                }
                let tmpfs_opt = Some(pb::TmpfsOpt { size });
                self.mounts.push(pb::Mount {
                    tmpfs_opt,
                    ..plain(dest, pb::MountType::Tmpfs)
                });
            }
            MountKind::Cache { id, sharing } => {
                capabilities.extend([capability::MOUNT_CACHE, capability::MOUNT_CACHE_SHARING]);
                let sharing = match sharing {
                    Sharing::Shared => pb::CacheSharingOpt::Shared,
                    Sharing::Private => pb::CacheSharingOpt::Private,
                    Sharing::Locked => pb::CacheSharingOpt::Locked,
                };
                let cache_opt = Some(pb::CacheOpt {
                    id,
                    sharing: sharing.into(),
                });
                self.mounts.push(pb::Mount {
                    cache_opt,
                    ..plain(dest, pb::MountType::Cache)
                });
            }
            MountKind::Secret {
                id,
                mode,
                uid,
                gid,
                optional,
            } => {
                capabilities.insert(capability::MOUNT_SECRET);
                let secret_opt = Some(pb::SecretOpt {
                    id,
                    uid,
                    gid,
                    mode,
                    optional,
                });
                self.mounts.push(pb::Mount {
                    secret_opt,
                    ..plain(dest, pb::MountType::Secret)
                });
            }
        }
    }
}

impl Proxy {
    fn into_proto(self) -> pb::ProxyEnv {
        pb::ProxyEnv {
            http_proxy: self.http,
            https_proxy: self.https,
            ftp_proxy: self.ftp,
            no_proxy: self.no,
            all_proxy: self.all,
        }
    }
}

impl Ulimit {
    fn into_proto(self) -> pb::Ulimit {
        pb::Ulimit {
            name: self.name,
            soft: self.soft,
            hard: self.hard,
        }
    }
}
