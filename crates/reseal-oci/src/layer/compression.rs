//! Compression of layers, told by their first bytes: media types are not always right.

use std::io::{BufReader, Cursor, Read};

use flate2::read::MultiGzDecoder;

use super::LayerError;

/// How a layer is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Not at all.
    None,
    /// Gzip, possibly in several members.
    Gzip,
    /// Zstandard, possibly in several frames.
    Zstd,
}

/// Tells the compression from the first bytes; four are enough.
pub fn detect(first_bytes: &[u8]) -> Compression {
    match first_bytes {
        [0x1f, 0x8b, ..] => Compression::Gzip,
        // A frame, or a skippable frame before one.
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Compression::Zstd,
        _ => Compression::None,
    }
}

/// Returns the uncompressed bytes of a layer, whatever its compression is.
///
/// # Errors
///
/// When the source fails at once; what is wrong with the compressed data shows while reading.
pub fn decompress<'a, R: Read + 'a>(mut source: R) -> Result<Box<dyn Read + 'a>, LayerError> {
    let mut first = Vec::with_capacity(4);
    source
        .by_ref()
        .take(4)
        .read_to_end(&mut first)
        .map_err(LayerError::Read)?;
    let compression = detect(&first);
    let whole = Cursor::new(first).chain(source);
    Ok(match compression {
        Compression::None => Box::new(whole),
        Compression::Gzip => Box::new(MultiGzDecoder::new(BufReader::with_capacity(
            64 << 10,
            whole,
        ))),
        Compression::Zstd => {
            Box::new(zstd::stream::read::Decoder::new(whole).map_err(LayerError::Read)?)
        }
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn all(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
        let mut out = Vec::new();
        decompress(bytes).unwrap().read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn every_compression_gives_the_same_bytes() {
        let zstd = |bytes: &[u8]| zstd::encode_all(bytes, 3).unwrap();
        let skippable = [0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 9];
        for (compression, packed) in [
            (Compression::None, b"hello world".to_vec()),
            (Compression::Gzip, gzip(b"hello world")),
            (
                Compression::Gzip,
                [gzip(b"hello"), gzip(b""), gzip(b" world")].concat(),
            ),
            (Compression::Zstd, zstd(b"hello world")),
            (
                Compression::Zstd,
                [zstd(b"hello"), skippable.to_vec(), zstd(b" world")].concat(),
            ),
            (
                Compression::Zstd,
                [skippable.to_vec(), zstd(b"hello world")].concat(),
            ),
        ] {
            assert_eq!(detect(&packed), compression);
            assert_eq!(all(&packed).unwrap(), b"hello world");
        }
    }

    #[test]
    fn short_input_is_taken_as_it_is() {
        for input in [&b""[..], b"a", b"abc"] {
            assert_eq!(detect(input), Compression::None);
            assert_eq!(all(input).unwrap(), input);
        }
    }

    #[test]
    fn damaged_input_is_an_error() {
        let packed = gzip(b"hello world");
        assert!(all(&packed[..packed.len() - 3]).is_err());
        assert!(all(&[&packed[..], b"junk"].concat()).is_err());
        let packed = zstd::encode_all(&b"hello world"[..], 3).unwrap();
        assert!(all(&packed[..packed.len() - 3]).is_err());
    }
}
