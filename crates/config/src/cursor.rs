//! A place in a text that moves forward and knows its line.

use std::sync::Arc;

use crate::Position;

/// A place in the text of one file.
pub(crate) struct Cursor<'a> {
    file: Arc<str>,
    rest: &'a str,
    line: u32,
    column: u32,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(file: &str, text: &'a str) -> Self {
        Self {
            file: file.into(),
            // A byte order mark is no part of the first key.
            rest: text.strip_prefix('\u{feff}').unwrap_or(text),
            line: 1,
            column: 1,
        }
    }

    pub(crate) fn position(&self) -> Position {
        Position {
            file: Arc::clone(&self.file),
            line: self.line,
            column: self.column,
        }
    }

    pub(crate) fn file(&self) -> &str {
        &self.file
    }

    pub(crate) fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    pub(crate) fn at_end(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn starts_with(&self, text: &str) -> bool {
        self.rest.starts_with(text)
    }

    /// What comes up to the end of the line.
    pub(crate) fn line_ahead(&self) -> &'a str {
        self.rest.split('\n').next().unwrap_or_default()
    }

    /// Whether a block comes next, on this line or a later one.
    pub(crate) fn block_follows(&self) -> bool {
        self.rest.trim_start().starts_with('{')
    }

    pub(crate) fn next(&mut self) -> Option<char> {
        let mut characters = self.rest.chars();
        let character = characters.next()?;
        self.rest = characters.as_str();
        if character == '\n' {
            self.line += 1;
            self.column = 1;
        } else {
            self.column += 1;
        }
        Some(character)
    }

    /// Moves past `character` if it comes next.
    pub(crate) fn accept(&mut self, character: char) -> bool {
        let found = self.peek() == Some(character);
        if found {
            self.next();
        }
        found
    }

    /// Moves past everything that `wanted` takes.
    pub(crate) fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let before = self.rest;
        while self.peek().is_some_and(&wanted) {
            self.next();
        }
        before
            .get(..before.len() - self.rest.len())
            .unwrap_or_default()
    }

    /// Moves past blanks within the line.
    pub(crate) fn skip_blanks(&mut self) {
        self.take_while(|c| c.is_whitespace() && c != '\n');
    }

    /// Whether a comment comes next.
    pub(crate) fn at_comment(&self) -> bool {
        self.starts_with("#") || self.starts_with("//")
    }

    /// Moves past blanks, line ends and comments.
    pub(crate) fn skip_space(&mut self) {
        loop {
            self.take_while(char::is_whitespace);
            if !self.at_comment() {
                return;
            }
            self.take_while(|c| c != '\n');
        }
    }

    /// What comes next, for messages.
    pub(crate) fn found(&self) -> String {
        match self.peek() {
            None => "the end of the file".to_owned(),
            Some('\n') => "the end of the line".to_owned(),
            Some(character) => format!("{character:?}"),
        }
    }
}
