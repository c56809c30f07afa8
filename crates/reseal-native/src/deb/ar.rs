//! The `ar` archive around a package (deb(5)): a magic, then members with 60-byte headers.

use std::io::{self, Read};

use crate::ArchiveError;

const MAGIC: &[u8; 8] = b"!<arch>\n";
const HEADER: usize = 60;

/// One member, as its header tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArMember {
    /// The name, without the slash that some tools end it with.
    pub name: String,
    /// The size in bytes.
    pub size: u64,
}

/// Reads the members of an `ar` archive, one after the other.
#[derive(Debug)]
pub struct Ar<R> {
    source: R,
    /// Bytes of the current member, its padding included, that were not read yet.
    left: u64,
    padding: u64,
}

impl<R: Read> Ar<R> {
    /// Checks the magic.
    pub fn new(mut source: R) -> Result<Self, ArchiveError> {
        let mut magic = [0; 8];
        fill(&mut source, &mut magic)?;
        if &magic != MAGIC {
            return Err(ArchiveError::malformed("it is no `ar` archive"));
        }
        Ok(Self {
            source,
            left: 0,
            padding: 0,
        })
    }

    /// Passes over what is left of a member and returns the next; `None` at the end.
    pub fn next_member(&mut self) -> Result<Option<ArMember>, ArchiveError> {
        let rest = self.left + self.padding;
        let passed = io::copy(&mut self.source.by_ref().take(rest), &mut io::sink())?;
        // dpkg takes a last member without its padding, too.
        if passed < self.left {
            return Err(truncated());
        }
        (self.left, self.padding) = (0, 0);
        let mut header = [0; HEADER];
        let mut filled = 0;
        while filled < HEADER {
            match self.source.read(&mut header[filled..]) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => return Err(truncated()),
                Ok(done) => filled += done,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        let member = parse(&header)?;
        self.left = member.size;
        self.padding = member.size % 2;
        Ok(Some(member))
    }

    /// Reads the current member's bytes; an early end of the archive is an error.
    pub fn contents(&mut self) -> Contents<'_, R> {
        Contents(self)
    }
}

/// The bytes of a member.
#[derive(Debug)]
pub struct Contents<'a, R>(&'a mut Ar<R>);

impl<R: Read> Read for Contents<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.0.left).unwrap_or(usize::MAX);
        let most = most.min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let done = self.0.source.read(&mut buffer[..most])?;
        if done == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.0.left -= done as u64;
        Ok(done)
    }
}

fn fill(source: &mut impl Read, buffer: &mut [u8]) -> Result<(), ArchiveError> {
    source.read_exact(buffer).map_err(|error| {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            truncated()
        } else {
            error.into()
        }
    })
}

fn truncated() -> ArchiveError {
    ArchiveError::malformed("it ends within its `ar` archive")
}

/// Reads name and size of a header; times, owners and modes mean nothing in a package.
fn parse(header: &[u8; HEADER]) -> Result<ArMember, ArchiveError> {
    let bad = |why: &str| Err(ArchiveError::malformed(why));
    if &header[58..] != b"`\n" {
        return bad("a header of its `ar` archive does not end as it should");
    }
    let name = header[..16].trim_ascii_end();
    let name = name.strip_suffix(b"/").unwrap_or(name);
    if name.is_empty() || !name.iter().all(u8::is_ascii_graphic) {
        return bad("a member of its `ar` archive has no usable name");
    }
    let digits = header[48..58].trim_ascii_end();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return bad("a member of its `ar` archive has no size");
    }
    let size = digits
        .iter()
        .fold(0_u64, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    Ok(ArMember {
        name: String::from_utf8_lossy(name).into_owned(),
        size,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        for (name, bytes) in members {
            out.extend(
                format!(
                    "{name:<16}0           0     0     100644  {:<10}`\n",
                    bytes.len()
                )
                .as_bytes(),
            );
            out.extend(*bytes);
            if bytes.len() % 2 == 1 {
                out.push(b'\n');
            }
        }
        out
    }

    fn all(bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>, ArchiveError> {
        let mut ar = Ar::new(bytes)?;
        let mut out = Vec::new();
        while let Some(member) = ar.next_member()? {
            let mut contents = Vec::new();
            ar.contents().read_to_end(&mut contents)?;
            out.push((member.name, contents));
        }
        Ok(out)
    }

    #[test]
    fn members_come_with_their_bytes() {
        let bytes = archive(&[("a", b"odd"), ("b/", b"even"), ("c", b"")]);
        assert_eq!(
            all(&bytes).unwrap(),
            [
                ("a".to_owned(), b"odd".to_vec()),
                ("b".to_owned(), b"even".to_vec()),
                ("c".to_owned(), Vec::new())
            ]
        );
    }

    #[test]
    fn what_is_not_read_of_a_member_is_passed_over() {
        let bytes = archive(&[("a", b"12345"), ("b", b"67")]);
        let mut ar = Ar::new(bytes.as_slice()).unwrap();
        ar.next_member().unwrap();
        let mut two = [0; 2];
        ar.contents().read_exact(&mut two).unwrap();
        assert_eq!(ar.next_member().unwrap().unwrap().name, "b");
    }

    #[test]
    fn every_cut_and_every_broken_header_is_an_error() {
        let bytes = archive(&[("a", b"1234"), ("b", b"67")]);
        for end in 1..bytes.len() {
            let at_a_border = end == 8 || end == 8 + 60 + 4;
            assert_eq!(all(&bytes[..end]).is_ok(), at_a_border, "{end}");
        }
        for (at, byte) in [(0, b'?'), (8 + 58, b'x'), (8 + 48, b'-'), (8, b'\xff')] {
            let mut broken = bytes.clone();
            broken[at] = byte;
            assert!(all(&broken).is_err(), "{at}");
        }
    }
}
