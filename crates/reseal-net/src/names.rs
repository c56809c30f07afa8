//! From the name of a machine to a connection.
//!
//! The C library looks names up by modules that it loads when asked, which a static program cannot rely on: they belong to
//! another C library than its own. With the feature `resolver` names are looked up here, by `/etc/hosts` and the name servers
//! of `/etc/resolv.conf`.

use std::io;
#[cfg(feature = "resolver")]
use std::net::SocketAddr;

use tokio::net::TcpStream;

/// Opens a connection to a machine, which is given by name or address.
///
/// # Errors
///
/// When the name has no address, or none of its addresses accepts; the last one's error.
pub async fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    #[cfg(feature = "resolver")]
    {
        let addresses = crate::resolver::Resolver::default().addresses(host).await?;
        let addresses = addresses.into_iter().map(|address| (address, port).into());
        TcpStream::connect(addresses.collect::<Vec<SocketAddr>>().as_slice()).await
    }
    #[cfg(not(feature = "resolver"))]
    TcpStream::connect((host, port)).await
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
