//! Columns of text.

use std::array;

use crate::output::shown;

const GAP: &str = "  ";

/// A table with one row for each of `rows` below its heads, without a line end behind the last.
pub(crate) fn table<const N: usize>(heads: [&str; N], rows: &[[String; N]]) -> String {
    let cells = |row: &[String; N]| row.each_ref().map(|cell| shown(cell));
    let all: Vec<[String; N]> =
        [heads.map(str::to_owned)].into_iter().chain(rows.iter().map(cells)).collect();
    let width = |column: usize| all.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = array::from_fn(width);
    let line = |row: &[String; N]| {
        let cells: Vec<_> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        cells.join(GAP).trim_end().to_owned()
    };
    all.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// One row on its own.
pub(crate) fn line<const N: usize>(row: &[String; N]) -> String {
    row.each_ref().map(|cell| shown(cell)).join(GAP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_in_characters() {
        let row = |cells: [&str; 2]| cells.map(str::to_owned);
        assert_eq!(table(["A", "B"], &[row(["äöü", "1"]), row(["x", ""])]), "A    B\näöü  1\nx");
        assert_eq!(table(["A", "B"], &[]), "A  B");
        assert_eq!(line(&row(["a\nb", "c"])), "a\\nb  c");
    }
}
