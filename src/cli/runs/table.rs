//! A table on stdout whose number of columns is found at run time. On a terminal that is too narrow for it, the
//! columns that do not fit come below, beside the first column once more.

use std::io::{self, Write};

/// Between two columns.
const GAP: &str = "  ";

/// A column: its title, and a cell for each row.
pub(super) struct Column {
    pub(super) title: String,
    pub(super) cells: Vec<String>,
    /// Whether cells end together, as numbers do.
    pub(super) right: bool,
}

impl Column {
    pub(super) fn text(title: impl Into<String>, cells: Vec<String>) -> Self {
        Self { title: title.into(), cells, right: false }
    }

    pub(super) fn number(title: impl Into<String>, cells: Vec<String>) -> Self {
        Self { title: title.into(), cells, right: true }
    }

    fn width(&self) -> usize {
        let cells = self.cells.iter().chain([&self.title]);
        cells.map(|text| text.chars().count()).max().unwrap_or(0)
    }
}

/// The width of the terminal that stdout is, if it is one.
pub(super) fn terminal_width() -> Option<usize> {
    terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| usize::from(width.0))
}

/// Writes the table, in lines of at most `width` characters where columns allow it.
pub(super) fn write(
    out: &mut impl Write,
    columns: &[Column],
    width: Option<usize>,
) -> io::Result<()> {
    let Some((first, rest)) = columns.split_first() else { return Ok(()) };
    for (i, block) in blocks(first, rest, width).iter().enumerate() {
        if i > 0 {
            writeln!(out)?;
        }
        let block: Vec<&Column> = [first].into_iter().chain(*block).collect();
        let widths: Vec<usize> = block.iter().map(|column| column.width()).collect();
        for row in 0..=first.cells.len() {
            let mut line = String::new();
            for (column, width) in block.iter().zip(&widths) {
                let cell = if row == 0 { &column.title } else { &column.cells[row - 1] };
                match column.right {
                    true => line += &format!("{cell:>width$}{GAP}"),
                    false => line += &format!("{cell:width$}{GAP}"),
                }
            }
            writeln!(out, "{}", line.trim_end())?;
        }
    }
    Ok(())
}

/// `rest` cut into parts that fit beside `first`; a part has one column at least.
fn blocks<'a>(first: &Column, mut rest: &'a [Column], width: Option<usize>) -> Vec<&'a [Column]> {
    let limit = width.unwrap_or(usize::MAX);
    let mut blocks = Vec::new();
    loop {
        let mut used = first.width();
        let fitting = rest.iter().take_while(|column| {
            used += GAP.len() + column.width();
            used <= limit
        });
        let (block, others) = rest.split_at(fitting.count().max(1).min(rest.len()));
        blocks.push(block);
        if others.is_empty() {
            return blocks;
        }
        rest = others;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(width: Option<usize>) -> String {
        let cells = |texts: [&str; 2]| texts.map(str::to_owned).to_vec();
        let columns = [
            Column::text("run", cells(["a", "bcd"])),
            Column::text("state", cells(["–", "done"])),
            Column::number("lr", cells(["0.1", "12"])),
        ];
        let mut out = Vec::new();
        write(&mut out, &columns, width).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_does_not_fit_comes_below() {
        let wide = "run  state   lr\na    –      0.1\nbcd  done    12\n";
        assert_eq!(written(None), wide);
        assert_eq!(written(Some(15)), wide);
        let narrow = "run  state\na    –\nbcd  done\n\nrun   lr\na    0.1\nbcd   12\n";
        assert_eq!(written(Some(14)), narrow);
        assert_eq!(written(Some(0)), narrow, "a column at least");
    }
}
