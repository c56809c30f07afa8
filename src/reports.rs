//! Reads reports from disk and standard input.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use reseal_pipeline::{Class, NamedReport};

use crate::{exit::Reason, failure::Failure};

/// The largest report that is read, in bytes.
const LIMIT: u64 = 256 << 20;

/// Loads what `-r` names: files, folders of `*.json` in the order of their names, and `-` for standard input, once.
pub(crate) fn load(names: &[String]) -> Result<Vec<NamedReport>, Failure> {
    if names.iter().filter(|name| *name == "-").count() > 1 {
        return Err(Failure::usage("standard input can be read once only").hint("Give `-r -` once"));
    }
    let mut reports = Vec::new();
    for name in names {
        if name == "-" {
            let input = std::io::stdin().lock();
            reports.push(NamedReport {
                name: "standard input".into(),
                bytes: read(input, "standard input", LIMIT)?,
            });
        } else if name.is_empty() {
            return Err(Failure::usage("the name of a report is empty"));
        } else if Path::new(name).is_dir() {
            for path in folder(Path::new(name))? {
                reports.push(file(&path)?);
            }
        } else {
            reports.push(file(Path::new(name))?);
        }
    }
    Ok(reports)
}

fn file(path: &Path) -> Result<NamedReport, Failure> {
    let name = path.display().to_string();
    let file = File::open(path).map_err(|error| unreadable(&name).because(&error))?;
    let bytes = read(file, &name, LIMIT)?;
    Ok(NamedReport { name, bytes })
}

/// A folder without reports is an error: it must never look like an image without findings.
fn folder(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    let name = path.display().to_string();
    let failed = |error: std::io::Error| unreadable(&name).because(&error);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path
            .extension()
            .is_some_and(|extension| extension.eq_ignore_ascii_case("json"))
            && path.is_file()
        {
            files.push(path);
        }
    }
    if files.is_empty() {
        return Err(Failure::new(
            Reason::Class(Class::Report),
            format!("the folder `{name}` has no reports"),
        )
        .hint("Put one `*.json` file a platform there"));
    }
    files.sort();
    Ok(files)
}

fn read(source: impl Read, name: &str, limit: u64) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    source
        .take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| unreadable(name).because(&error))?;
    if bytes.len() as u64 > limit {
        return Err(Failure::new(
            Reason::Class(Class::Report),
            format!("the report `{name}` has more than {} MiB", limit >> 20),
        )
        .hint("Scan with the vulnerability scanner only, and without other formats inside"));
    }
    Ok(bytes)
}

fn unreadable(name: &str) -> Failure {
    Failure::new(
        Reason::Class(Class::Report),
        format!("Could not read the report `{name}`"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_gives_its_reports_in_the_order_of_names() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.json", "a.JSON", "notes.txt"] {
            std::fs::write(folder.path().join(name), name).unwrap();
        }
        std::fs::create_dir(folder.path().join("c.json")).unwrap();
        let reports = load(&[folder.path().display().to_string()]).unwrap();
        assert_eq!(
            reports
                .iter()
                .map(|report| report.bytes.clone())
                .collect::<Vec<_>>(),
            [&b"a.JSON"[..], b"b.json"]
        );
    }

    #[test]
    fn nothing_to_read_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let name = folder.path().display().to_string();
        for (names, code) in [
            (vec![name.clone()], 40),
            (vec![format!("{name}/missing.json")], 40),
            (vec!["-".into(), "-".into()], 2),
            (vec![String::new()], 2),
        ] {
            assert_eq!(load(&names).unwrap_err().reason.code(), code, "{names:?}");
        }
    }

    #[test]
    fn one_byte_over_the_limit_is_an_error() {
        assert_eq!(read(&b"123"[..], "x", 3).unwrap(), b"123");
        assert_eq!(read(&b"1234"[..], "x", 3).unwrap_err().reason.code(), 40);
    }
}
