//! The addresses of a machine by its name: from `/etc/hosts`, else from the name servers of `/etc/resolv.conf`.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use hickory_resolver::{
    Hosts, TokioResolver,
    config::LookupIpStrategy,
    net::NetError,
    proto::{
        op::Query,
        rr::{Name as HostName, RecordType},
    },
};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::OnceCell;

use crate::is_loopback;

/// Looks names up. What it was told is kept as long as it is valid; it belongs to one runtime.
#[derive(Default, Clone)]
pub(crate) struct Resolver(Arc<OnceCell<System>>);

/// What the system tells of names.
struct System {
    hosts: Hosts,
    /// An error if it names no name server.
    servers: Result<TokioResolver, NetError>,
}

impl Resolver {
    /// Returns the addresses of a machine, at least one.
    pub(crate) async fn addresses(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let system = self.0.get_or_init(|| async { System::read() }).await;
        system.addresses(host).await
    }
}

impl System {
    async fn addresses(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        if let Ok(address) = host.parse() {
            return Ok(vec![address]);
        }
        let known = self.hosts_file(host);
        if !known.is_empty() {
            return Ok(known);
        }
        if is_loopback(host) {
            return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
        }
        let unknown =
            |why: &str| io::Error::other(format!("no address is known for `{host}`{why}"));
        let servers = self.servers.as_ref().map_err(|error| {
            unknown(&format!(
                ", and /etc/resolv.conf names no name server: {error}"
            ))
        })?;
        let found = servers.lookup_ip(host).await.map_err(|error| {
            if error.is_no_records_found() {
                unknown("")
            } else {
                io::Error::other(format!("the name servers of /etc/resolv.conf do not tell the address of `{host}`: {error}"))
            }
        })?;
        Ok(found.into_iter().collect())
    }

    fn read() -> Self {
        Self {
            hosts: Hosts::from_system().unwrap_or_default(),
            servers: TokioResolver::builder_tokio().and_then(|mut builder| {
                builder.options_mut().ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
                builder.build()
            }),
        }
    }

    /// Returns the addresses in `/etc/hosts`. For a name that has one there no server is asked, not even for its address of
    /// the other family: where there is no network, the answer would have to be waited for.
    fn hosts_file(&self, host: &str) -> Vec<IpAddr> {
        let Ok(name) = HostName::from_utf8(host) else {
            return Vec::new();
        };
        [RecordType::A, RecordType::AAAA]
            .into_iter()
            .filter_map(|kind| {
                self.hosts
                    .lookup_static_host(&Query::query(name.clone(), kind))
            })
            .flat_map(|found| {
                found
                    .answers()
                    .iter()
                    .filter_map(|record| record.data.ip_addr())
                    .collect::<Vec<_>>()
            })
            .collect()
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.clone();
        Box::pin(async move {
            let addresses = resolver.addresses(name.as_str()).await?;
            // The port comes from the URL.
            let addresses = addresses.into_iter().map(|one| SocketAddr::new(one, 0));
            Ok(Box::new(addresses) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn system(hosts_file: &str) -> System {
        let mut hosts = Hosts::default();
        hosts.read_hosts_conf(hosts_file.as_bytes()).unwrap();
        let none = io::Error::from(io::ErrorKind::NotFound);
        System {
            hosts,
            servers: Err(none.into()),
        }
    }

    async fn told(system: &System, host: &str) -> Vec<String> {
        let addresses = system.addresses(host).await.unwrap();
        addresses.iter().map(ToString::to_string).collect()
    }

    #[tokio::test]
    async fn no_server_is_asked_for_what_the_hosts_file_has() {
        let system = system(
            "192.0.2.7 my.registry other # and more\n2001:db8::7 other\nnonsense\n127.0.0.9 localhost\n",
        );
        assert_eq!(told(&system, "my.registry").await, ["192.0.2.7"]);
        assert_eq!(told(&system, "MY.registry").await, ["192.0.2.7"]);
        assert_eq!(told(&system, "other").await, ["192.0.2.7", "2001:db8::7"]);
        assert_eq!(told(&system, "localhost").await, ["127.0.0.9"]);
        assert_eq!(told(&system, "192.0.2.1").await, ["192.0.2.1"]);
    }

    #[tokio::test]
    async fn without_a_name_server_only_this_machine_is_known() {
        let system = system("");
        assert_eq!(told(&system, "localhost").await, ["127.0.0.1", "::1"]);
        let error = system.addresses("my.registry").await.unwrap_err();
        let said = error.to_string();
        assert!(
            said.contains("`my.registry`") && said.contains("/etc/resolv.conf"),
            "{said}"
        );
        let too_long = "x.".repeat(200);
        for name in ["", ".", "\0", "a b", &too_long] {
            assert!(system.addresses(name).await.is_err(), "{name:?}");
        }
    }
}
