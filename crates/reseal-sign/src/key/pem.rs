//! PEM blocks (RFC 7468), by label.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";

/// One block.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) label: String,
    pub(crate) contents: Vec<u8>,
}

/// Reads every whole block; text around the blocks is passed over, a damaged block is too.
pub(crate) fn blocks(text: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(BEGIN) {
        rest = &rest[start + BEGIN.len()..];
        let Some((label, body)) = rest.split_once(DASHES) else {
            break;
        };
        let Some((body, after)) = body.split_once(&format!("{END}{label}{DASHES}")) else {
            continue;
        };
        rest = after;
        let compact: String = body
            .lines()
            // `Proc-Type:` and the like of old encrypted keys; nothing of base64 has a colon.
            .filter(|line| !line.contains(':'))
            .flat_map(|line| line.chars().filter(|c| !c.is_whitespace()))
            .collect();
        if let Ok(contents) = STANDARD.decode(compact) {
            found.push(Block {
                label: label.to_owned(),
                contents,
            });
        }
    }
    found
}

/// Writes one block, 64 characters a line.
pub(crate) fn write(label: &str, contents: &[u8]) -> String {
    let text = STANDARD.encode(contents);
    let mut out = format!("{BEGIN}{label}{DASHES}\n");
    for (at, c) in text.char_indices() {
        if at > 0 && at % 64 == 0 {
            out.push('\n');
        }
        out.push(c);
    }
    if !text.is_empty() {
        out.push('\n');
    }
    out + END + label + DASHES + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_come_back_as_they_were_written() {
        for length in [0, 1, 47, 48, 49, 200] {
            let contents = vec![0xa5; length];
            let text = format!("some words\n{}and more\n", write("PUBLIC KEY", &contents));
            let [block] = <[Block; 1]>::try_from(blocks(&text)).ok().unwrap();
            assert_eq!(block.label, "PUBLIC KEY");
            assert_eq!(block.contents, contents);
        }
    }

    #[test]
    fn damaged_blocks_are_passed_over_and_others_kept() {
        let good = write("B", b"x");
        for text in [
            format!("-----BEGIN A-----\n!!!!\n-----END A-----\n{good}"),
            format!("-----BEGIN A-----\nAAAA\n{good}"),
            format!("-----BEGIN {good}"),
            format!("{}{good}", "-----BEGIN -----\n"),
        ] {
            let labels: Vec<_> = blocks(&text).into_iter().map(|block| block.label).collect();
            assert!(labels.len() <= 1, "{labels:?}");
        }
        assert_eq!(
            blocks(&format!(
                "-----BEGIN A-----\r\neA==\r\n-----END A-----\r\n{good}"
            ))
            .len(),
            2
        );
    }
}
