//! The cleartext signature framework (RFC 9580, 7): text and signature in one file.

const BEGIN: &[u8] = b"-----BEGIN PGP SIGNED MESSAGE-----";
const SIGNATURE: &[u8] = b"-----BEGIN PGP SIGNATURE-----";
const END: &[u8] = b"-----END PGP SIGNATURE-----";

/// A clear-signed file, taken apart. Nothing is verified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClearSigned {
    /// Exactly the bytes that are signed: lines end in CR LF, the last one has no end.
    pub(crate) signed: Vec<u8>,
    /// The armoured signatures.
    pub(crate) armor: Vec<u8>,
}

impl ClearSigned {
    /// Splits a file; `None` if it is not clear-signed at all, an error if it is but something is wrong.
    ///
    /// There may be one message only, with nothing before or after it: what is not signed must not be there to be read.
    pub fn split(file: &[u8]) -> Result<Option<Self>, String> {
        let mut lines = file.split(|c| *c == b'\n').map(trim_end);
        if lines.next() != Some(BEGIN) {
            return Ok(None);
        }
        for line in lines.by_ref() {
            if line.is_empty() {
                break;
            }
            if !line.starts_with(b"Hash: ") {
                return Err("it has an armour header that signed text must not have".to_owned());
            }
        }
        let mut signed = Vec::with_capacity(file.len());
        let mut first = true;
        loop {
            let line = lines.next().ok_or("its signature is missing")?;
            if line == SIGNATURE {
                break;
            }
            let line = match line {
                [b'-', b' ', rest @ ..] => rest,
                [b'-', ..] => return Err("a line that must be escaped is not".to_owned()),
                line => line,
            };
            if !std::mem::take(&mut first) {
                signed.extend_from_slice(b"\r\n");
            }
            signed.extend_from_slice(line);
        }
        let mut armor = [SIGNATURE, b"\n"].concat();
        loop {
            let line = lines.next().ok_or("its signature has no end")?;
            armor.extend_from_slice(line);
            armor.push(b'\n');
            if line == END {
                break;
            }
        }
        if lines.any(|line| !line.is_empty()) {
            return Err("there is something after the signature".to_owned());
        }
        Ok(Some(Self { signed, armor }))
    }
}

/// Removes what the framework does not sign: blanks at the end of a line.
fn trim_end(line: &[u8]) -> &[u8] {
    let end = line
        .iter()
        .rposition(|c| !matches!(c, b' ' | b'\t' | b'\r'))
        .map_or(0, |last| last + 1);
    &line[..end]
}

#[cfg(test)]
mod tests {
    use super::ClearSigned;

    const GOOD: &str = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nOrigin: x  \n- -----\n\n-----BEGIN PGP SIGNATURE-----\n\nabcd\n-----END PGP SIGNATURE-----\n";

    #[test]
    fn the_signed_bytes_are_unescaped_and_end_in_cr_lf() {
        let split = ClearSigned::split(GOOD.as_bytes()).unwrap().unwrap();
        assert_eq!(split.signed, b"Origin: x\r\n-----\r\n");
        assert_eq!(
            split.armor,
            b"-----BEGIN PGP SIGNATURE-----\n\nabcd\n-----END PGP SIGNATURE-----\n"
        );
        let windows = GOOD.replace('\n', "\r\n");
        assert_eq!(ClearSigned::split(windows.as_bytes()), Ok(Some(split)));
    }

    #[test]
    fn what_is_not_exactly_one_signed_text_is_refused() {
        assert_eq!(ClearSigned::split(b"Origin: x\n"), Ok(None));
        assert_eq!(ClearSigned::split(b""), Ok(None));
        assert_eq!(
            ClearSigned::split(format!("x\n{GOOD}").as_bytes()),
            Ok(None)
        );
        for (from, to, expected) in [
            ("Hash: SHA256", "Comment: x", "armour header"),
            (
                "\n\nabcd",
                "\n\nabcd\n-----END PGP SIGNATURE-----\nmore",
                "after the signature",
            ),
            ("- -----", "-----", "must be escaped"),
            ("-----BEGIN PGP SIGNATURE-----", "", "must be escaped"),
            ("-----END PGP SIGNATURE-----\n", "", "has no end"),
        ] {
            let error = ClearSigned::split(GOOD.replace(from, to).as_bytes()).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        let twice = format!("{GOOD}{GOOD}");
        assert!(ClearSigned::split(twice.as_bytes()).is_err());
    }
}
