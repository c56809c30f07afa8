//! SHA-256 of content, and readers that compute it on the way.

use std::fmt;
use std::io::{self, Read, Write};
use std::str::FromStr;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The SHA-256 of some content. Written as 64 lower-case hexadecimal digits, without the name of the algorithm: as indexes do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContentDigest([u8; 32]);

impl ContentDigest {
    /// Computes the digest.
    pub fn of(content: &[u8]) -> Self {
        Self(Sha256::digest(content).into())
    }

    /// Computes the digest of all that is left in a reader, and how many bytes that were.
    pub(crate) fn of_reader(reader: &mut dyn Read) -> io::Result<(Self, u64)> {
        let mut hasher = Hasher::default();
        let size = io::copy(reader, &mut hasher)?;
        Ok((hasher.finish(), size))
    }
}

/// A sink that computes the digest of what is written to it.
#[derive(Default)]
pub(crate) struct Hasher(Sha256);

impl Hasher {
    pub(crate) fn finish(self) -> ContentDigest {
        ContentDigest(self.0.finalize().into())
    }
}

impl Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Pieces that wait for [`HasherAside`]; each is as long as what was read at once.
const WAITING: usize = 4;

/// Computes the digest on a thread of its own, beside whoever reads: the lists of an archive have 50 MB.
pub(crate) struct HasherAside {
    pieces: SyncSender<Vec<u8>>,
    /// Those that were read, to be filled again.
    spare: Receiver<Vec<u8>>,
    thread: JoinHandle<ContentDigest>,
}

impl HasherAside {
    pub(crate) fn start() -> io::Result<Self> {
        let (pieces, queue) = sync_channel::<Vec<u8>>(WAITING);
        let (done, spare) = sync_channel(WAITING);
        let thread = thread::Builder::new()
            .name("sha256".to_owned())
            .spawn(move || {
                let mut hasher = Hasher::default();
                for piece in &queue {
                    hasher.0.update(&piece);
                    // With enough of them this one may go.
                    let _ = done.try_send(piece);
                }
                hasher.finish()
            })?;
        Ok(Self {
            pieces,
            spare,
            thread,
        })
    }

    pub(crate) fn update(&self, bytes: &[u8]) -> io::Result<()> {
        let mut piece = self.spare.try_recv().unwrap_or_default();
        piece.clear();
        piece.extend_from_slice(bytes);
        self.pieces.send(piece).map_err(|_| ended())
    }

    pub(crate) fn finish(self) -> io::Result<ContentDigest> {
        drop(self.pieces);
        self.thread.join().map_err(|_| ended())
    }
}

fn ended() -> io::Error {
    io::Error::other("the thread that computes the digest has ended")
}

impl FromStr for ContentDigest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{}` is no SHA-256 digest", text.escape_default());
        if text.len() != 64 || !text.is_ascii() {
            return Err(wrong());
        }
        let mut out = [0; 32];
        for (index, byte) in out.iter_mut().enumerate() {
            let pair = &text[2 * index..2 * index + 2];
            if !pair.bytes().all(|c| c.is_ascii_hexdigit()) {
                return Err(wrong());
            }
            *byte = u8::from_str_radix(pair, 16).map_err(|_| wrong())?;
        }
        Ok(Self(out))
    }
}

impl TryFrom<String> for ContentDigest {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<ContentDigest> for String {
    fn from(digest: ContentDigest) -> Self {
        digest.to_string()
    }
}

impl fmt::Display for ContentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ContentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::ContentDigest;

    #[test]
    fn a_digest_is_64_hexadecimal_digits_and_nothing_else() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(ContentDigest::of(b"").to_string(), empty);
        assert_eq!(empty.parse(), Ok(ContentDigest::of(b"")));
        assert_eq!(
            empty.to_uppercase().parse::<ContentDigest>(),
            Ok(ContentDigest::of(b""))
        );
        for bad in [
            "",
            "e3b0",
            &empty.replace('e', "g"),
            &format!("+{}", &empty[1..]),
            &"é".repeat(32),
        ] {
            assert!(bad.parse::<ContentDigest>().is_err(), "{bad}");
        }
    }
}
