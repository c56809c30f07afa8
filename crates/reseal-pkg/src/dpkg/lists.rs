//! Reads `info/*.list` and `info/*.md5sums`.

use super::paths::clean;

/// Returns the paths of an `info/*.list`, clean and relative; the root itself is left out.
pub fn parse_list(bytes: &[u8]) -> Vec<String> {
    lines(bytes).filter_map(|line| clean(&line)).collect()
}

/// Returns the paths of an `info/*.md5sums`: the regular files of a package, less its conffiles.
pub fn md5sums_paths(bytes: &[u8]) -> Vec<String> {
    lines(bytes)
        .filter_map(|line| {
            let (sum, path) = line.split_once(|c: char| c.is_ascii_whitespace())?;
            let hex = sum.len() == 32 && sum.bytes().all(|c| c.is_ascii_hexdigit());
            // md5sum writes a second space, or `*` for binary files.
            let path = path.trim_start_matches(' ');
            hex.then(|| clean(path.strip_prefix('*').unwrap_or(path)))
                .flatten()
        })
        .collect()
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = String> + '_ {
    bytes
        .split(|c| *c == b'\n')
        .map(|line| String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned())
}
