//! apt's marks of packages that came as a dependency (`extended_states`).

use std::collections::BTreeSet;

use reseal_pkg::dpkg::{auto_marks, extended_states::Mark};

/// Returns the file with marks for packages (name, architecture) that it has none of yet, at its end; `None` when there is
/// nothing to add.
pub fn marked(before: &[u8], new: &BTreeSet<Mark>) -> Option<Vec<u8>> {
    let present = auto_marks(before);
    let missing: Vec<_> = new.difference(&present).collect();
    if missing.is_empty() {
        return None;
    }
    let mut out = before.to_vec();
    if !out.is_empty() {
        while !out.ends_with(b"\n\n") {
            out.push(b'\n');
        }
    }
    for (name, architecture) in missing {
        out.extend(
            format!("Package: {name}\nArchitecture: {architecture}\nAuto-Installed: 1\n\n")
                .as_bytes(),
        );
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_go_to_the_end_and_never_twice() {
        let mark = |name: &str| (name.to_owned(), "amd64".to_owned());
        let one = "Package: a\nArchitecture: amd64\nAuto-Installed: 1\n\n";
        let two = "Package: b\nArchitecture: amd64\nAuto-Installed: 1\n\n";
        let both: BTreeSet<_> = [mark("a"), mark("b")].into();
        let expected = format!("{one}{two}").into_bytes();
        for before in [one, one.trim_end()] {
            assert_eq!(marked(before.as_bytes(), &both), Some(expected.clone()));
        }
        assert_eq!(marked(b"", &both), Some(expected.clone()));
        assert_eq!(marked(&expected, &both), None);
    }
}
