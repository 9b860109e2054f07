//! JSON documents on standard output.

use std::io::{self, Write};

use serde::Serialize;

/// Prints a server's document with an indent of two, its keys in the server's order and its numbers untouched.
///
/// # Errors
/// When standard output is gone.
pub(crate) fn print_document(text: &str) -> io::Result<()> {
    writeln!(io::stdout(), "{}", indent(text))
}

/// Prints a value as a document with an indent of two.
///
/// # Errors
/// When standard output is gone.
pub(crate) fn print<T: Serialize + ?Sized>(value: &T) -> io::Result<()> {
    writeln!(io::stdout(), "{}", serde_json::to_string_pretty(value)?)
}

/// Prints a value on one line.
///
/// # Errors
/// When standard output is gone.
pub(crate) fn print_line<T: Serialize + ?Sized>(value: &T) -> io::Result<()> {
    writeln!(io::stdout(), "{}", serde_json::to_string(value)?)
}

/// Lays out valid JSON without reading it into values: order and numbers stay as they are.
fn indent(text: &str) -> String {
    let mut shown = String::with_capacity(text.len() * 2);
    let mut depth = 0usize;
    let mut in_string = false;
    let mut escaped = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if in_string {
            shown.push(c);
            in_string = escaped || c != '"';
            escaped = c == '\\' && !escaped;
            continue;
        }
        match c {
            c if c.is_ascii_whitespace() => {}
            '"' => {
                shown.push(c);
                in_string = true;
            }
            '{' | '[' => {
                shown.push(c);
                while chars.next_if(char::is_ascii_whitespace).is_some() {}
                // Empty objects and lists stay on their line.
                if let Some(close) = chars.next_if(|next| matches!(next, '}' | ']')) {
                    shown.push(close);
                    continue;
                }
                depth += 1;
                new_line(&mut shown, depth);
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(&mut shown, depth);
                shown.push(c);
            }
            ',' => {
                shown.push(c);
                new_line(&mut shown, depth);
            }
            ':' => shown.push_str(": "),
            c => shown.push(c),
        }
    }
    shown
}

fn new_line(shown: &mut String, depth: usize) {
    shown.push('\n');
    for _ in 0..depth {
        shown.push_str("  ");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        assert_eq!(indent(text), expected, "{text}");
        let before: serde_json::Value = serde_json::from_str(text).expect("valid");
        let after: serde_json::Value = serde_json::from_str(&indent(text)).expect("still valid");
        assert_eq!(before, after);
    }

    #[test]
    fn documents_are_laid_out_without_a_change() {
        check("{}", "{}");
        check("[ ]", "[]");
        check("1", "1");
        check(
            r#"{"b":1,"a":[1, 2],"n":18446744073709551615,"o": { }}"#,
            "{\n  \"b\": 1,\n  \"a\": [\n    1,\n    2\n  ],\n  \"n\": 18446744073709551615,\n  \"o\": {}\n}",
        );
    }

    #[test]
    fn strings_are_left_alone() {
        check(
            r#"["a,b:{}[] \" \\","\\",""]"#,
            "[\n  \"a,b:{}[] \\\" \\\\\",\n  \"\\\\\",\n  \"\"\n]",
        );
    }
}
