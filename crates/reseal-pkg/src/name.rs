//! The grammar of package names (Debian Policy 5.6.1).

use crate::PkgError;

/// The longest name that is accepted, in bytes: the limit of a file name such as `info/NAME.list`
/// before its suffix.
const MAX_NAME: usize = 255;

/// Checks that a text is a package name: `[a-z0-9][a-z0-9+.-]+`, at most 255 bytes.
///
/// Whatever passes is safe as one argument of a package manager: it cannot start with `-`, hold a
/// path separator, a version (`=`), an architecture (`:`) or white space.
pub fn validate_package_name(name: &str) -> Result<(), PkgError> {
    let fail = |why| {
        Err(PkgError::InvalidName {
            name: name.to_owned(),
            why,
        })
    };
    let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    if name.len() > MAX_NAME {
        return fail("longer than 255 bytes");
    }
    if name.len() < 2 {
        return fail("shorter than two characters");
    }
    if !name.bytes().next().is_some_and(plain) {
        return fail("does not start with a lower-case letter or a digit");
    }
    if !name.bytes().all(|c| plain(c) || b"+.-".contains(&c)) {
        return fail("holds a character other than a-z, 0-9, `+`, `-` and `.`");
    }
    // apt-get reads `NAME-` and `NAME+` as requests to remove and to install NAME; g++ and the like
    // are real names, so only the caller's `NAME=VERSION` form can tell: names stay names here.
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_archive_pass_and_arguments_do_not() {
        for good in [
            "libc6",
            "g++-12",
            "libstdc++6",
            "python3.11",
            "0ad",
            "2ping",
            "x11-common",
        ] {
            assert_eq!(validate_package_name(good), Ok(()), "{good}");
        }
        let long = "a".repeat(256);
        for bad in [
            "",
            "a",
            "-o",
            "--force",
            "Libc6",
            "libc6=1",
            "libc6:amd64",
            "lib c6",
            "libc6\n",
            "../x",
            "a/b",
            "a;b",
            "$(x)",
            "lib\0c6",
            "libé",
            "+a",
            ".a",
            &long,
        ] {
            assert!(validate_package_name(bad).is_err(), "{bad:?}");
        }
        assert_eq!(validate_package_name(&long[1..]), Ok(()));
    }
}
