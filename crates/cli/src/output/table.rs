//! Tables: rounded boxes for people; `NATS_TABLE_FORMAT` asks for CSV, TSV or Markdown.

use std::io::{self, Write};

/// A table in the making.
#[derive(Debug)]
pub(crate) struct Table {
    title: String,
    columns: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table.
    pub(crate) fn new(title: impl Into<String>, columns: &[&'static str]) -> Self {
        Self {
            title: title.into(),
            columns: columns.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Adds a row of as many cells as there are columns.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        debug_assert_eq!(N, self.columns.len(), "a cell for each column");
        self.rows.push(Vec::from(cells));
    }

    /// Prints the table on standard output.
    ///
    /// # Errors
    /// When standard output is gone.
    pub(crate) fn print(&self) -> io::Result<()> {
        let format = std::env::var("NATS_TABLE_FORMAT").unwrap_or_default();
        let text = match format.as_str() {
            "csv" => self.separated(csv_cell, ","),
            "tsv" => self.separated(tsv_cell, "\t"),
            "md" | "markdown" => self.markdown(),
            _ => self.boxed(),
        };
        io::stdout().write_all(text.as_bytes())
    }

    fn lines(&self) -> impl Iterator<Item = Vec<String>> {
        let head: Vec<String> = self.columns.iter().map(ToString::to_string).collect();
        std::iter::once(head).chain(self.rows.iter().cloned())
    }

    fn boxed(&self) -> String {
        let mut widths = vec![0; self.columns.len()];
        for line in self.lines() {
            for (width, cell) in widths.iter_mut().zip(&line) {
                *width = (*width).max(cell.chars().count());
            }
        }
        // A title that is wider than the columns widens the last one.
        let inner: usize = widths.iter().sum::<usize>() + 3 * widths.len() - 1;
        let title_width = self.title.chars().count() + 2;
        if let Some(last) = widths.last_mut() {
            *last += title_width.saturating_sub(inner);
        }
        let inner = inner.max(title_width);
        let rule = |left: &str, middle: &str, right: &str| {
            let parts: Vec<String> = widths.iter().map(|width| "─".repeat(width + 2)).collect();
            format!("{left}{}{right}\n", parts.join(middle))
        };
        let mut text = format!("╭{}╮\n", "─".repeat(inner));
        text.push_str(&format!("│{:^inner$}│\n", self.title));
        text.push_str(&rule("├", "┬", "┤"));
        for (position, line) in self.lines().enumerate() {
            let cells: Vec<String> = line
                .iter()
                .zip(&widths)
                .map(|(cell, width)| format!(" {cell:<width$} "))
                .collect();
            text.push_str(&format!("│{}│\n", cells.join("│")));
            if position == 0 {
                text.push_str(&rule("├", "┼", "┤"));
            }
        }
        text.push_str(&rule("╰", "┴", "╯"));
        text
    }

    /// Column names and rows, without the title: programs read this.
    fn separated(&self, cell: impl Fn(&str) -> String, separator: &str) -> String {
        let mut text = String::new();
        for line in self.lines() {
            let cells: Vec<String> = line.iter().map(|text| cell(text)).collect();
            text.push_str(&cells.join(separator));
            text.push('\n');
        }
        text
    }

    fn markdown(&self) -> String {
        let mut text = format!("# {}\n\n", self.title);
        for (position, line) in self.lines().enumerate() {
            let cells: Vec<String> = line.iter().map(|cell| cell.replace('|', "\\|")).collect();
            text.push_str(&format!("| {} |\n", cells.join(" | ")));
            if position == 0 {
                text.push_str(&format!("|{}\n", " --- |".repeat(self.columns.len())));
            }
        }
        text
    }
}

fn csv_cell(cell: &str) -> String {
    if cell.contains([',', '"', '\n', '\r']) {
        return format!("\"{}\"", cell.replace('"', "\"\""));
    }
    cell.to_owned()
}

/// TSV has no quotes: what would end a cell becomes a blank.
fn tsv_cell(cell: &str) -> String {
    cell.replace(['\t', '\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(title: &str) -> Table {
        let mut table = Table::new(title, &["Name", "Messages"]);
        table.row(["ORDERS".to_owned(), "57,000".to_owned()]);
        table
    }

    #[test]
    fn boxes_are_rounded_and_aligned() {
        assert_eq!(
            table("Streams").boxed(),
            "╭───────────────────╮\n│      Streams      │\n├────────┬──────────┤\n│ Name   │ Messages │\n├────────┼──────────┤\n│ ORDERS │ 57,000   │\n╰────────┴──────────╯\n"
        );
    }

    #[test]
    fn a_long_title_widens_the_box() {
        let text = table("A title that is longer than all columns").boxed();
        let widths: Vec<usize> = text.lines().map(|line| line.chars().count()).collect();
        assert!(widths.iter().all(|width| *width == widths[0]), "{text}");
    }

    #[test]
    fn other_formats_quote_what_they_must() {
        assert_eq!(
            table("T").separated(csv_cell, ","),
            "Name,Messages\nORDERS,\"57,000\"\n"
        );
        assert_eq!(
            table("T").separated(tsv_cell, "\t"),
            "Name\tMessages\nORDERS\t57,000\n"
        );
        assert_eq!(
            table("T").markdown(),
            "# T\n\n| Name | Messages |\n| --- | --- |\n| ORDERS | 57,000 |\n"
        );
    }
}
