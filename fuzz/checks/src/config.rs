//! The configuration language and the options.

use everjet_config::{Options, Sources, parse};

/// Any text is read or refused with a position, includes and variables that lead in circles too, and the work stays in
/// proportion to the text.
pub fn check_config(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut circle = Circle {
        text: &text,
        reads: 0,
    };
    match parse(&text, "a.conf", &mut circle) {
        Ok(table) => match Options::from_table(&table) {
            Ok(loaded) => {
                let _ = loaded.options.validate();
                let _ = loaded.options.advice();
            }
            Err(errors) => assert!(!errors.to_string().is_empty()),
        },
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Files that hold the text itself, and variables that hold each other.
struct Circle<'a> {
    text: &'a str,
    reads: usize,
}

impl Sources for Circle<'_> {
    fn read(&mut self, path: &str) -> Result<String, String> {
        self.reads += 1;
        assert!(self.reads <= 10_000, "includes without end");
        match path {
            "a.conf" | "b.conf" => Ok(self.text.to_owned()),
            "c.conf" => Ok("port: 4222\n".to_owned()),
            _ => Err(format!("open {path}: no such file or directory")),
        }
    }

    fn variable(&mut self, name: &str) -> Option<String> {
        match name {
            "X" => Some("$Y".to_owned()),
            "Y" => Some("$X".to_owned()),
            "Z" => Some("4k".to_owned()),
            _ => None,
        }
    }
}
