//! Adds rows to the table of maintainer scripts, from one image that both engines patched with nothing to show between them.
//!
//! `cargo xtask compare-engines --write-table` calls it for each case. It is a program of its own because it needs reseal's
//! crates, which xtask does without: `cargo xtask demo` is compiled before anything else is.

mod rows;

use std::{fs, path::Path, process::ExitCode};

use serde_json::Value;

const USAGE: &str = "usage: script-table ROOT ARCHITECTURE RESULT CACHE CASE

  ROOT          the image before, unpacked
  ARCHITECTURE  its architecture, in Debian's words
  RESULT        the native engine's result, a JSON file
  CACHE         the native engine's cache, which holds the packages
  CASE          the name of the comparison: the evidence";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (text, code) = match add(&args) {
        Ok(count) => (format!("   {count} rows"), ExitCode::SUCCESS),
        Err(message) => (message, ExitCode::FAILURE),
    };
    #[expect(
        clippy::print_stderr,
        reason = "a developer's tool talks to its terminal"
    )]
    {
        eprintln!("{text}");
    }
    code
}

/// Adds what the comparison shows to the table, and returns the number of its rows.
fn add(args: &[String]) -> Result<usize, String> {
    let [root, architecture, result, cache, case] = args else {
        return Err(USAGE.to_owned());
    };
    let text = fs::read(result).map_err(|error| format!("{result}: {error}"))?;
    let parsed: Value =
        serde_json::from_slice(&text).map_err(|error| format!("{result}: {error}"))?;
    let run = rows::Run {
        base: Path::new(root),
        architecture,
        result: &parsed,
        cache: Path::new(cache),
    };
    let rows = rows::rows(&run, case)?;
    let count = rows.len();
    rows::write(rows)?;
    Ok(count)
}
