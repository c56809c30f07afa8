//! os-release: real files, the shell's quoting, and files made to hurt.

use proptest::prelude::*;
use reseal_pkg::{Family, OsRelease, PkgError};

#[test]
fn a_debian_file_is_read() {
    let text = b"PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\n\
        VERSION=\"12 (bookworm)\"\nVERSION_CODENAME=bookworm\nID=debian\nHOME_URL=\"https://www.debian.org/\"\n";
    let release = OsRelease::parse(text).unwrap();
    assert_eq!(release.family(), Ok(Family::Debian));
    assert_eq!(release.version_id.as_deref(), Some("12"));
    assert_eq!(release.version_codename.as_deref(), Some("bookworm"));
    assert_eq!(
        release.pretty_name.as_deref(),
        Some("Debian GNU/Linux 12 (bookworm)")
    );
    assert_eq!(release.id_like, Vec::<String>::new());
}

#[test]
fn only_the_distribution_itself_is_supported_and_others_are_named() {
    for (text, expected) in [
        ("ID=ubuntu\nID_LIKE=debian", Ok(Family::Ubuntu)),
        ("ID=\"debian\"", Ok(Family::Debian)),
        ("ID=kali\nID_LIKE=debian", Err("kali")),
        (
            "ID=alpine\nPRETTY_NAME='Alpine Linux v3.20'",
            Err("alpine (Alpine Linux v3.20)"),
        ),
        ("", Err("linux")),
        ("ID=Debian", Err("Debian")),
    ] {
        let found = OsRelease::parse(text.as_bytes()).unwrap().family();
        let expected = expected.map_err(|found| PkgError::UnsupportedFamily {
            found: found.to_owned(),
        });
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn values_are_unquoted_as_a_shell_would_and_never_expanded() {
    for (line, value) in [
        (r#"ID="a b""#, "a b"),
        ("ID='a \"b'", "a \"b"),
        (r#"ID="a\"b\\c\$d\`e""#, "a\"b\\c$d`e"),
        (r#"ID="a\nb""#, "a\\nb"),
        (r"ID=a\ b", "a b"),
        ("ID=de\"bi\"'an'", "debian"),
        ("ID=\"$(touch /x)\"", "$(touch /x)"),
        ("ID=$HOME", "$HOME"),
        ("ID=debian # not a comment of the format", "debian"),
        ("ID=one\nID=two", "two"),
        ("  ID=debian\r", "debian"),
        ("\u{feff}ID=debian", "debian"),
        ("#ID=no\nnonsense\n=x\nA B=c\nID=debian", "debian"),
        ("ID=", "linux"),
    ] {
        assert_eq!(
            OsRelease::parse(line.as_bytes()).unwrap().id,
            value,
            "{line:?}"
        );
    }
    for (text, line) in [("ID=\"debian", 1), ("\nID='x\n", 2), ("A=\"x\\", 1)] {
        let found = OsRelease::parse(text.as_bytes());
        assert!(
            matches!(found, Err(PkgError::Malformed { line: l, .. }) if l == line),
            "{text:?}"
        );
    }
}

#[test]
fn messages_escape_and_cut_what_the_image_says() {
    let text = format!("ID=x\u{1b}[31m\nPRETTY_NAME={}", "y".repeat(1 << 20));
    let error = OsRelease::parse(text.as_bytes())
        .unwrap()
        .family()
        .unwrap_err();
    let message = error.to_string();
    assert!(
        message.len() < 400 && !message.contains('\u{1b}'),
        "{message:?}"
    );
    assert!(error.hint().is_some());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_file_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), lines in "(ID|VERSION_ID|X)?=?[a\"'\\\\$ \n]{0,30}") {
        let _ = OsRelease::parse(&bytes);
        if let Ok(release) = OsRelease::parse(lines.as_bytes()) {
            let _ = release.family();
        }
    }
}
