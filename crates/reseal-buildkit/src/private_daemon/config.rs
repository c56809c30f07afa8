//! The configuration file of a private daemon.

use std::fmt::Write as _;
use std::path::Path;

/// Writes buildkitd.toml: everything below `root`, one socket, only the worker that needs no other daemon. Garbage
/// collection stays at buildkitd's default.
pub(super) fn toml(root: &Path, socket: &Path, plain_http: &[String]) -> String {
    let mut text = format!(
        "root = {}\n\n[grpc]\n  address = [{}]\n\n[worker.oci]\n  enabled = true\n\n[worker.containerd]\n  enabled = false\n",
        quoted(&root.display().to_string()),
        quoted(&format!("unix://{}", socket.display())),
    );
    for host in plain_http {
        // Writing into a String cannot fail.
        let _ = write!(text, "\n[registry.{}]\n  http = true\n", quoted(host));
    }
    text
}

/// A TOML basic string.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_registries_are_listed_and_no_name_can_leave_its_quotes() {
        let hosts = [
            "127.0.0.1:5000".to_owned(),
            "evil\"]\ninsecure = true".to_owned(),
        ];
        let text = toml(Path::new("/tmp/a\\b"), Path::new("/tmp/s.sock"), &hosts);
        assert_eq!(
            text,
            "root = \"/tmp/a\\\\b\"\n\n[grpc]\n  address = [\"unix:///tmp/s.sock\"]\n\n[worker.oci]\n  enabled = true\n\n\
             [worker.containerd]\n  enabled = false\n\n[registry.\"127.0.0.1:5000\"]\n  http = true\n\n\
             [registry.\"evil\\\"]\\u000Ainsecure = true\"]\n  http = true\n"
        );
    }
}
