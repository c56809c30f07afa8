//! Columns of text.

use crate::escape;

/// The widest cell, in characters; what is longer is cut.
const CELL: usize = 60;

/// Returns rows as aligned columns behind `indent`, one line each. Cells are made safe to show. The last column is not
/// padded, and may be longer than the others.
pub(crate) fn table<const N: usize>(indent: &str, rows: &[[String; N]]) -> Vec<String> {
    let safe: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            row.iter()
                .enumerate()
                .map(|(at, cell)| escape::clipped(cell, if at + 1 == N { 400 } else { CELL }))
                .collect()
        })
        .collect();
    let widths: Vec<usize> = (0..N)
        .map(|column| {
            safe.iter()
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    safe.iter()
        .map(|row| {
            let mut line = indent.to_owned();
            for (cell, width) in row.iter().zip(&widths) {
                line.push_str(cell);
                line.extend(std::iter::repeat_n(' ', width - cell.chars().count() + 2));
            }
            line.trim_end().to_owned()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_safe() {
        let rows = [
            ["a".into(), "bb".into(), "c".into()],
            ["aaa".into(), "\u{1b}".into(), String::new()],
        ];
        assert_eq!(table("  ", &rows), ["  a    bb      c", "  aaa  \\u{1b}"]);
    }
}
