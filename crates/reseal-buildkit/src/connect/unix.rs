//! Sockets on this machine.

use std::path::Path;

use tokio::net::UnixStream;

use super::address::Address;
use super::channel::{BoxIo, Deadline};
use super::error::ConnectError;

/// Opens the socket.
pub(super) async fn open(
    address: &Address,
    path: &Path,
    deadline: Deadline,
) -> Result<BoxIo, ConnectError> {
    let stream = deadline
        .wait(address, "opening the socket", UnixStream::connect(path))
        .await?;
    Ok(Box::new(
        stream.map_err(|error| ConnectError::from_io(address, &error))?,
    ))
}
