//! Blocks of settings: a heading and lines whose labels end at one colon column.

use std::fmt::{Display, Write as _};
use std::io::{self, Write};

/// A block in the making.
#[derive(Debug, Default)]
pub(crate) struct Block {
    lines: Vec<Line>,
}

#[derive(Debug)]
enum Line {
    Heading(String),
    Value { label: String, value: String },
}

impl Block {
    /// A block that begins with a heading.
    pub(crate) fn new(heading: impl Into<String>) -> Self {
        Self {
            lines: vec![Line::Heading(heading.into())],
        }
    }

    /// Adds a heading.
    pub(crate) fn heading(&mut self, heading: &str) {
        self.lines.push(Line::Heading(format!("{heading}:")));
    }

    /// Adds a line.
    pub(crate) fn value(&mut self, label: &str, value: impl Display) {
        self.lines.push(Line::Value {
            label: label.to_owned(),
            value: value.to_string(),
        });
    }

    /// Adds a line unless the value is empty.
    pub(crate) fn value_unless_empty(&mut self, label: &str, value: &str) {
        if !value.is_empty() {
            self.value(label, value);
        }
    }

    /// Prints the block on standard output.
    ///
    /// # Errors
    /// When standard output is gone.
    pub(crate) fn print(&self) -> io::Result<()> {
        io::stdout().write_all(self.render().as_bytes())
    }

    fn render(&self) -> String {
        let width = self
            .lines
            .iter()
            .map(|line| match line {
                Line::Heading(_) => 0,
                Line::Value { label, .. } => label.chars().count(),
            })
            .max()
            .unwrap_or(0)
            + 2;
        let mut text = String::new();
        let mut after_value = false;
        for line in &self.lines {
            match line {
                Line::Heading(heading) => {
                    let gap = if after_value { "\n" } else { "" };
                    let _ = writeln!(text, "{gap}{heading}\n");
                    after_value = false;
                }
                Line::Value { label, value } => {
                    let _ = writeln!(text, "{label:>width$}: {value}");
                    after_value = true;
                }
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_end_at_one_column() {
        let mut block = Block::new("Information");
        block.value("Subjects", "a");
        block.heading("Limits");
        block.value("Maximum Age", "7d0h0m0s");
        block.value_unless_empty("Description", "");
        assert_eq!(
            block.render(),
            "Information\n\n     Subjects: a\n\nLimits:\n\n  Maximum Age: 7d0h0m0s\n"
        );
    }
}
