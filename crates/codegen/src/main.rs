//! Turns `proto/*.proto` into the Rust files under `crates/reseal-proto/src/gen/`, without protoc.
//!
//! The files are checked in, so that building the product needs neither this step nor its dependencies; a program of its own,
//! so that xtask does not need them either.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// First line of every generated file; also what tells that a file may be deleted when its source is gone.
const HEADER: &str = "// Generated from proto/ by `cargo xtask codegen`. Do not edit.\n";

/// Fields that carry file contents: `Bytes` there saves a copy per message.
const BULK: [&str; 5] = [
    ".moby.buildkit.v1.BytesMessage",
    ".moby.buildkit.v1.frontend.ReadFileResponse",
    ".moby.filesync.v1.BytesMessage",
    ".containerd.services.content.v1.ReadContentResponse",
    ".containerd.services.content.v1.WriteContentRequest",
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Err(message) = run(&args) else {
        return ExitCode::SUCCESS;
    };
    #[expect(
        clippy::print_stderr,
        reason = "a developer's tool talks to its terminal"
    )]
    {
        eprintln!("{message}");
    }
    ExitCode::FAILURE
}

/// Writes the generated files, or with `--check` only compares them and fails when one is stale.
fn run(args: &[String]) -> Result<(), String> {
    let check = match args {
        [] => false,
        [flag] if flag == "--check" => true,
        _ => return Err("usage: cargo xtask codegen [--check]".to_owned()),
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target = root.join("crates/reseal-proto/src/gen");
    let wanted = generate(&root.join("proto"))?;
    let present = read_generated(&target)?;
    if check {
        compare(&wanted, &present)
    } else {
        write(&target, &wanted, &present)
    }
}

fn generate(proto: &Path) -> Result<BTreeMap<String, String>, String> {
    let mut files: Vec<PathBuf> = fs::read_dir(proto)
        .and_then(|entries| {
            entries
                .map(|entry| entry.map(|entry| entry.path()))
                .collect::<io::Result<Vec<_>>>()
        })
        .map_err(|e| format!("Could not list {}: {e}", proto.display()))?;
    files.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "proto")
    });
    files.sort();
    let descriptors = protox::compile(&files, [proto])
        .map_err(|e| format!("Could not compile the protos: {e:?}"))?;

    let out = std::env::temp_dir().join(format!("reseal-codegen-{}", std::process::id()));
    fs::create_dir_all(&out).map_err(|e| format!("Could not create {}: {e}", out.display()))?;
    let mut builder = tonic_prost_build::configure()
        .out_dir(&out)
        .emit_rerun_if_changed(false)
        // Ordered maps: the bytes of a build graph are its identity.
        .btree_map(".")
        // Messages alone stay usable without a gRPC stack.
        .client_mod_attribute(".", "#[cfg(feature = \"grpc\")]")
        .server_mod_attribute(".", "#[cfg(feature = \"grpc\")]");
    for path in BULK {
        builder = builder.bytes(path);
    }
    let generated = builder
        .compile_fds(descriptors)
        .map_err(|e| format!("Could not generate Rust: {e}"))
        .and_then(|()| read_all(&out))
        .map(|files| {
            files
                .into_iter()
                .map(|(name, text)| (name, format!("{HEADER}{text}")))
                .collect()
        });
    fs::remove_dir_all(&out).map_err(|e| format!("Could not remove {}: {e}", out.display()))?;
    generated
}

fn compare(
    wanted: &BTreeMap<String, String>,
    present: &BTreeMap<String, String>,
) -> Result<(), String> {
    let stale: Vec<&str> = wanted
        .iter()
        .filter(|(name, text)| present.get(*name) != Some(*text))
        .map(|(name, _)| name)
        .chain(present.keys().filter(|name| !wanted.contains_key(*name)))
        .map(String::as_str)
        .collect();
    if stale.is_empty() {
        return Ok(());
    }
    Err(format!(
        "stale generated files: {}; run `cargo xtask codegen`",
        stale.join(", ")
    ))
}

fn write(
    target: &Path,
    wanted: &BTreeMap<String, String>,
    present: &BTreeMap<String, String>,
) -> Result<(), String> {
    let failed = |path: &Path, e: io::Error| format!("Could not write {}: {e}", path.display());
    fs::create_dir_all(target).map_err(|e| failed(target, e))?;
    for name in present.keys().filter(|name| !wanted.contains_key(*name)) {
        let path = target.join(name);
        fs::remove_file(&path).map_err(|e| failed(&path, e))?;
    }
    // An unchanged file keeps its time stamp, so that nothing is compiled again.
    for (name, text) in wanted
        .iter()
        .filter(|(name, text)| present.get(*name) != Some(*text))
    {
        let path = target.join(name);
        fs::write(&path, text).map_err(|e| failed(&path, e))?;
    }
    Ok(())
}

fn read_generated(target: &Path) -> Result<BTreeMap<String, String>, String> {
    if !target.exists() {
        return Ok(BTreeMap::new());
    }
    let mut files = read_all(target)?;
    files.retain(|_, text| text.starts_with(HEADER));
    Ok(files)
}

fn read_all(folder: &Path) -> Result<BTreeMap<String, String>, String> {
    let read = || -> io::Result<BTreeMap<String, String>> {
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            files.insert(
                entry.file_name().to_string_lossy().into_owned(),
                fs::read_to_string(entry.path())?,
            );
        }
        Ok(files)
    };
    read().map_err(|e| format!("Could not read {}: {e}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(list: &[(&str, &str)]) -> BTreeMap<String, String> {
        list.iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
            .collect()
    }

    #[test]
    fn the_checked_in_files_are_what_the_protos_generate() {
        run(&["--check".to_owned()]).unwrap();
    }

    #[test]
    fn a_changed_a_missing_and_a_left_over_file_are_stale() {
        let wanted = files(&[("a.rs", "1"), ("b.rs", "2"), ("c.rs", "3")]);
        let present = files(&[("a.rs", "1"), ("b.rs", "x"), ("d.rs", "4")]);
        assert_eq!(
            compare(&wanted, &present),
            Err("stale generated files: b.rs, c.rs, d.rs; run `cargo xtask codegen`".to_owned())
        );
        assert_eq!(compare(&wanted, &wanted), Ok(()));
    }

    #[test]
    fn an_unknown_flag_is_refused() {
        assert!(run(&["--chek".to_owned()]).unwrap_err().contains("usage"));
    }
}
