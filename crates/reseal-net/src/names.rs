//! From the name of a machine to a connection.
//!
//! The C library looks names up by modules that it loads when asked, which a static program cannot rely on: they belong to
//! another C library than its own. With the feature `resolver` names are looked up here, by `/etc/hosts` and the name servers
//! of `/etc/resolv.conf`.

use std::io;

use tokio::net::TcpStream;

/// Opens a connection to a machine, which is given by name or address.
///
/// # Errors
///
/// When the name has no address, or none of its addresses accepts; the last one's error.
pub async fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    #[cfg(feature = "resolver")]
    {
        let addresses = own::Resolver::default().addresses(host).await?;
        let addresses: Vec<_> = addresses.map(|address| (address, port).into()).collect();
        TcpStream::connect(addresses.as_slice()).await
    }
    #[cfg(not(feature = "resolver"))]
    TcpStream::connect((host, port)).await
}

#[cfg(feature = "resolver")]
pub(crate) mod own {
    use std::{
        io,
        net::{IpAddr, Ipv4Addr, SocketAddr},
        sync::Arc,
    };

    use hickory_resolver::{
        TokioResolver,
        config::{LookupIpStrategy, NameServerConfig, ResolverConfig},
        net::runtime::TokioRuntimeProvider,
    };
    use reqwest::dns::{Addrs, Name, Resolve, Resolving};
    use tokio::sync::OnceCell;

    /// Looks names up. What it was told is kept as long as it is valid; it belongs to one runtime.
    #[derive(Default, Clone)]
    pub(crate) struct Resolver(Arc<OnceCell<TokioResolver>>);

    impl Resolver {
        /// Returns the addresses of a machine, at least one.
        pub(super) async fn addresses(
            &self,
            host: &str,
        ) -> io::Result<impl Iterator<Item = IpAddr> + use<>> {
            let resolver = self.0.get_or_try_init(|| async { open() }).await?;
            let found = resolver.lookup_ip(host).await.map_err(|error| {
                if error.is_no_records_found() {
                    io::Error::other(format!("no address is known for `{host}`"))
                } else {
                    io::Error::other(error)
                }
            })?;
            Ok(found.into_iter())
        }
    }

    /// Reads the system's configuration. Without any, only a name server on this machine is asked, as resolv.conf(5) has it.
    fn open() -> io::Result<TokioResolver> {
        let mut builder = TokioResolver::builder_tokio().unwrap_or_else(|error| {
            tracing::debug!(%error, "the system names no name server");
            let local = NameServerConfig::udp_and_tcp(Ipv4Addr::LOCALHOST.into());
            let config = ResolverConfig::from_parts(None, Vec::new(), vec![local]);
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        });
        builder.options_mut().ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        builder.build().map_err(io::Error::other)
    }

    impl Resolve for Resolver {
        fn resolve(&self, name: Name) -> Resolving {
            let resolver = self.clone();
            Box::pin(async move {
                let addresses = resolver.addresses(name.as_str()).await?;
                // The port comes from the URL.
                let addresses: Addrs = Box::new(addresses.map(|one| SocketAddr::new(one, 0)));
                Ok(addresses)
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::connect;

    #[tokio::test]
    async fn a_machine_is_reached_by_name_and_by_address() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        for host in ["127.0.0.1", "localhost"] {
            let stream = connect(host, port).await.unwrap();
            assert_eq!(stream.peer_addr().unwrap().port(), port, "{host}");
        }
        drop(listener);
        assert!(connect("localhost", port).await.is_err());
        // No name server has to be asked for this one.
        assert!(connect("nobody.invalid", port).await.is_err());
    }
}
