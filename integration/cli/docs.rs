//! `docs/cli.md` is what `--help` says. `UPDATE=1 cargo test -p reseal --test cli` writes it anew.

use std::fmt::Write as _;

use super::run;

#[test]
fn the_reference_of_the_command_line_is_fresh() {
    let mut page = String::from(
        "# Command line\n\nMade from `--help` by a test; `UPDATE=1 cargo test -p reseal --test cli` writes it anew.\n",
    );
    for command in [
        "",
        "patch",
        "plan",
        "verify",
        "sign",
        "attest",
        "verify-signature",
        "promote",
        "rollback",
        "key",
        "key generate",
        "key import",
        "key public",
        "fetch",
        "reproduce",
        "cache",
        "report",
        "doctor",
        "version",
        "completions",
    ] {
        let arguments: Vec<&str> = command.split_whitespace().chain(["--help"]).collect();
        let help = run(&arguments);
        assert_eq!((help.code, help.stderr.as_str()), (0, ""), "{command}");
        let _ = write!(
            page,
            "\n## `{}`\n\n```text\n{}\n```\n",
            format!("reseal {command}").trim_end(),
            help.stdout
                .lines()
                .map(str::trim_end)
                .collect::<Vec<_>>()
                .join("\n")
                .trim_end()
        );
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/cli.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, &page).expect("docs/cli.md can be written");
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        kept == page,
        "docs/cli.md is stale: run `UPDATE=1 cargo test -p reseal --test cli`"
    );
}
