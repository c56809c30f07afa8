//! Unpacks the data of a package on a thread of its own, while the package before it is laid down.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, Scope};

use super::with_data;
use crate::ArchiveError;
use crate::order::Deb;

/// Bytes of a piece.
const PIECE: usize = 64 << 10;
/// Pieces that wait: with those on their way 4 MiB at most.
const WAITING: usize = 62;

/// What comes from the thread.
enum Message {
    Piece(Vec<u8>),
    /// There is no more, and all was well.
    End,
    Failed(ArchiveError),
}

/// The data of one package on its way.
pub(crate) struct Ahead {
    messages: Receiver<Message>,
    piece: io::Cursor<Vec<u8>>,
    ended: bool,
    failed: Option<ArchiveError>,
}

impl Ahead {
    /// Starts to unpack; `None` where no thread can be had. Dropping it ends the thread.
    pub(crate) fn start<'scope, 'env: 'scope>(
        scope: &'scope Scope<'scope, 'env>,
        deb: Deb<'env>,
    ) -> Option<Self> {
        let (send, messages) = sync_channel(WAITING);
        let thread = Builder::new().name("unpack".to_owned());
        let started = thread.spawn_scoped(scope, move || {
            let last = match pass_on(deb, &send) {
                Ok(()) => Message::End,
                Err(error) => Message::Failed(error),
            };
            // Whoever waited may have given up.
            let _ = send.send(last);
        });
        started.ok().map(|_| Self {
            messages,
            piece: io::Cursor::default(),
            ended: false,
            failed: None,
        })
    }

    /// Hands the data to `with`, as [`with_data`] does.
    pub(crate) fn with<T, E: From<ArchiveError>>(
        mut self,
        with: impl FnOnce(&mut dyn Read) -> Result<T, E>,
    ) -> Result<T, E> {
        let done = with(&mut self);
        match self.failed {
            Some(error) => Err(error.into()),
            None => done,
        }
    }
}

/// Sends what a package unpacks to, until nobody wants it any more.
fn pass_on(deb: Deb<'_>, to: &SyncSender<Message>) -> Result<(), ArchiveError> {
    let source = (deb.open)()?;
    with_data(source, |data| {
        loop {
            let mut piece = Vec::with_capacity(PIECE);
            data.take(PIECE as u64).read_to_end(&mut piece)?;
            if piece.is_empty() || to.send(Message::Piece(piece)).is_err() {
                return Ok(());
            }
        }
    })
}

impl Read for Ahead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.piece.read(buffer)?;
            if count > 0 || self.ended || buffer.is_empty() {
                return Ok(count);
            }
            match self.messages.recv() {
                Ok(Message::Piece(piece)) => self.piece = io::Cursor::new(piece),
                Ok(Message::End) => self.ended = true,
                Ok(Message::Failed(error)) => {
                    self.failed = Some(error);
                    return Err(io::Error::other("it could not be unpacked"));
                }
                Err(_) => return Err(io::Error::other("the thread that unpacks it has ended")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A package whose data is these bytes, as they are.
    fn package(data: &[u8]) -> Vec<u8> {
        let mut out = b"!<arch>\n".to_vec();
        for (name, contents) in [
            ("debian-binary", &b"2.0\n"[..]),
            ("control.tar", b"xx"),
            ("data.tar", data),
        ] {
            let size = contents.len();
            out.extend(format!("{name:<16}0           0     0     100644  {size:<10}`\n").bytes());
            out.extend(contents);
        }
        out
    }

    /// What comes of reading up to `limit` bytes, ahead and without.
    fn both_ways(bytes: &[u8], limit: u64) -> [Result<Vec<u8>, String>; 2] {
        let open = || Ok(Box::new(bytes) as Box<dyn Read>);
        let deb = Deb {
            name: "one",
            architecture: "all",
            version: "1",
            sha256: "",
            open: &open,
        };
        let read = |data: &mut dyn Read| -> Result<Vec<u8>, ArchiveError> {
            let mut out = Vec::new();
            data.take(limit).read_to_end(&mut out)?;
            Ok(out)
        };
        let ahead = std::thread::scope(|scope| {
            let started = Ahead::start(scope, deb).expect("a thread");
            started.with(read)
        });
        [ahead, with_data(bytes, read)].map(|result| result.map_err(|error| error.to_string()))
    }

    #[test]
    fn the_same_comes_of_it_whoever_unpacks() {
        let long = b"nothing like it".repeat(20 * PIECE);
        for data in [&b""[..], b"short", &long] {
            let [ahead, plain] = both_ways(&package(data), u64::MAX);
            assert!(
                ahead == plain && plain.as_deref() == Ok(data),
                "{}",
                data.len()
            );
        }
        // One that nobody wants the rest of ends as well.
        let [ahead, plain] = both_ways(&package(&long), 1000);
        assert!(ahead == plain && plain.is_ok());
    }

    #[test]
    fn what_is_wrong_is_told_in_the_same_words() {
        let whole = package(&b"7".repeat(100_000));
        for broken in [&b"rubbish"[..], &whole[..150], &whole[..whole.len() - 1]] {
            let [ahead, plain] = both_ways(broken, u64::MAX);
            assert!(plain.is_err());
            assert_eq!(ahead, plain);
        }
    }
}
