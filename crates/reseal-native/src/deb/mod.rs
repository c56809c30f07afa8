//! A Debian package (deb(5)): `debian-binary`, then one tar of control files, then one of the files themselves.

mod ahead;
mod ar;
mod control;

use std::io::{BufReader, Cursor, Read};

use flate2::read::MultiGzDecoder;
use liblzma::{read::XzDecoder, stream::Stream};

pub(crate) use ahead::Ahead;
pub use ar::{Ar, ArMember, Contents};
pub use control::{ControlFile, ControlFiles, Fields};

use crate::ArchiveError;

/// Most memory that unpacking xz may take, in bytes: the highest of the usual levels takes 65 MiB.
const XZ_MEMORY: u64 = 128 << 20;
/// Members before the data that are passed over; only names with `_` in front may be between.
const MEMBERS: usize = 16;

/// Reads the control files of a package.
pub fn read_control(deb: impl Read) -> Result<ControlFiles, ArchiveError> {
    let mut ar = opened(deb)?;
    let name = find(&mut ar, "control.tar")?;
    ControlFiles::read(decompressed(ar.contents(), &name)?)
}

/// Hands the uncompressed `data.tar` of a package to `with`; the whole of it has to be read to know that it is complete.
pub fn with_data<R: Read, T, E: From<ArchiveError>>(
    deb: R,
    with: impl FnOnce(&mut dyn Read) -> Result<T, E>,
) -> Result<T, E> {
    let mut ar = opened(deb)?;
    find(&mut ar, "control.tar")?;
    let name = find(&mut ar, "data.tar")?;
    let mut data = decompressed(ar.contents(), &name)?;
    with(&mut data)
}

/// Checks the first member: the version of the format.
fn opened<R: Read>(deb: R) -> Result<Ar<R>, ArchiveError> {
    let mut ar = Ar::new(deb)?;
    let first = ar.next_member()?;
    if first.as_ref().map(|member| member.name.as_str()) != Some("debian-binary") {
        return Err(ArchiveError::malformed(
            "it does not begin with `debian-binary`",
        ));
    }
    let mut version = Vec::new();
    ar.contents().take(64).read_to_end(&mut version)?;
    if !version.starts_with(b"2.") {
        return Err(ArchiveError::malformed("its format is not version 2"));
    }
    Ok(ar)
}

/// Goes to the member of that name with any extension, past those that tools may add (`_gpgorigin`).
fn find<R: Read>(ar: &mut Ar<R>, stem: &str) -> Result<String, ArchiveError> {
    for _ in 0..MEMBERS {
        let Some(member) = ar.next_member()? else {
            break;
        };
        if member
            .name
            .strip_prefix(stem)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        {
            return Ok(member.name);
        }
        if !member.name.starts_with('_') {
            return Err(ArchiveError::malformed(format!(
                "`{}` is where `{stem}` should be",
                member.name
            )));
        }
    }
    Err(ArchiveError::malformed(format!("it has no `{stem}`")))
}

/// Unpacks what the extension says.
fn decompressed<'a>(
    source: impl Read + 'a,
    name: &str,
) -> Result<Box<dyn Read + 'a>, ArchiveError> {
    let source = BufReader::with_capacity(64 << 10, source);
    let extension = name.split_once(".tar").map_or("", |(_, rest)| rest);
    Ok(match extension {
        "" => Box::new(source),
        ".gz" => Box::new(MultiGzDecoder::new(source)),
        ".xz" => Box::new(XzDecoder::new_stream(
            source,
            Stream::new_stream_decoder(XZ_MEMORY, liblzma::stream::CONCATENATED)
                .map_err(std::io::Error::from)?,
        )),
        ".zst" => Box::new(zstd::stream::read::Decoder::with_buffer(source)?),
        other => {
            return Err(ArchiveError::malformed(format!(
                "its compression `{other}` is not supported"
            )));
        }
    })
}

/// Reads at most `limit` bytes; one more is an error that names `what`.
pub(crate) fn bounded(
    source: &mut dyn Read,
    limit: u64,
    what: &str,
) -> Result<Vec<u8>, ArchiveError> {
    let mut out = Cursor::new(Vec::new());
    let done = std::io::copy(&mut source.take(limit + 1), &mut out)?;
    if done > limit {
        return Err(ArchiveError::malformed(format!(
            "`{what}` is larger than the {limit} bytes that are read"
        )));
    }
    // Many are held at once, and a buffer that grew is up to twice as large.
    let mut out = out.into_inner();
    out.shrink_to_fit();
    Ok(out)
}
