//! Fresh identifiers, from the operating system's randomness.

use ring::rand::{SecureRandom, SystemRandom};

/// Returns 32 random bytes.
pub(crate) fn bytes() -> std::io::Result<[u8; 32]> {
    let mut out = [0; 32];
    SystemRandom::new()
        .fill(&mut out)
        .map_err(|_| std::io::Error::other("the operating system gave no randomness"))?;
    Ok(out)
}

/// Returns an identifier of 25 lower-case letters and digits, the shape that `BuildKit`'s own clients use.
pub(crate) fn identifier() -> std::io::Result<String> {
    const ALPHABET: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
    Ok(bytes()?
        .iter()
        .take(25)
        .map(|byte| char::from(ALPHABET[usize::from(byte % 32)]))
        .collect())
}

#[cfg(test)]
mod tests {
    #[test]
    fn two_identifiers_differ_and_have_the_usual_shape() {
        let (one, two) = (super::identifier().unwrap(), super::identifier().unwrap());
        assert_ne!(one, two);
        assert!(
            one.len() == 25
                && one
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()),
            "{one}"
        );
    }
}
