//! The configuration language: a superset of JSON with comments, optional quotes, includes and variables.

use std::path::Path;

use crate::cursor::Cursor;
use crate::scalar::classify;
use crate::text::{block, escaped, quoted_key, raw, unescape};
use crate::{ConfigError, Entry, Kind, Position, Table, Value};

/// Deepest nesting of blocks, lists, includes and variables.
const DEPTH_MAX: usize = 64;

/// The seam through which files and the environment enter.
pub trait Sources {
    /// The text of a file.
    ///
    /// # Errors
    /// Why it can not be read, file name included: `open nats.conf: no such file or directory`.
    fn read(&mut self, path: &str) -> Result<String, String>;

    /// The value of an environment variable.
    fn variable(&mut self, name: &str) -> Option<String>;
}

/// Reads a configuration text. `path` is the file it is from: it stands in positions, and includes are relative to
/// its folder.
///
/// # Errors
/// The first place that breaks the language, an included file that can not be read, or a variable that is not set.
pub fn parse(text: &str, path: &str, sources: &mut dyn Sources) -> Result<Table, ConfigError> {
    let mut parser = Parser {
        sources,
        scopes: Vec::new(),
        files: vec![path.to_owned()],
        variables: Vec::new(),
    };
    let mut cursor = Cursor::new(path, text);
    cursor.skip_space();
    if cursor.accept('{') {
        // JSON: the whole file is one block.
        let table = parser.table(&mut cursor, Some('}'))?;
        cursor.skip_space();
        if !cursor.at_end() {
            return Err(unexpected(&cursor, "the end of the file"));
        }
        Ok(table)
    } else {
        parser.table(&mut cursor, None)
    }
}

struct Parser<'s> {
    sources: &'s mut dyn Sources,
    /// The blocks around the current place, the innermost last: where variables are looked up.
    scopes: Vec<Table>,
    /// The files being read, each included by the one before.
    files: Vec<String>,
    /// The environment variables whose values are being read.
    variables: Vec<String>,
}

impl Parser<'_> {
    /// Reads entries up to `close`, or to the end of the text.
    fn table(
        &mut self,
        cursor: &mut Cursor<'_>,
        close: Option<char>,
    ) -> Result<Table, ConfigError> {
        self.check_depth(&cursor.position())?;
        self.scopes.push(Table::default());
        self.entries(cursor, close)?;
        Ok(self.scopes.pop().expect("it was pushed above"))
    }

    /// Reads entries into the innermost scope.
    fn entries(&mut self, cursor: &mut Cursor<'_>, close: Option<char>) -> Result<(), ConfigError> {
        loop {
            cursor.skip_space();
            match (cursor.peek(), close) {
                (None, None) => return Ok(()),
                (None, Some(close)) => {
                    return Err(unexpected(cursor, &format!("a key or {close:?}")));
                }
                (Some(next), Some(close)) if next == close => {
                    cursor.next();
                    return Ok(());
                }
                _ => {}
            }
            self.entry(cursor)?;
            end_of_entry(cursor, close)?;
        }
    }

    fn entry(&mut self, cursor: &mut Cursor<'_>) -> Result<(), ConfigError> {
        let position = cursor.position();
        let quote = cursor.peek().filter(|c| matches!(c, '"' | '\''));
        let key = match quote {
            Some(quote) => quoted_key(cursor, quote)?,
            None => cursor.take_while(|c| !ends_key(c)).to_owned(),
        };
        if key.is_empty() {
            return Err(unexpected(cursor, "a key"));
        }
        cursor.skip_blanks();
        if cursor.block_follows() {
            cursor.skip_space();
        }
        let has_separator = cursor.accept(':') || cursor.accept('=');
        if key == "include" && quote.is_none() && !has_separator {
            return self.include(cursor, &position);
        }
        cursor.skip_blanks();
        let value = self
            .value(cursor)?
            .ok_or_else(|| ConfigError::at(&position, format!("key {key:?} has no value")))?;
        let scope = self.scopes.last_mut().expect("entries are read in a scope");
        scope.insert(Entry {
            key,
            position,
            value,
            is_variable: false,
        });
        Ok(())
    }

    /// Reads the entries of another file into the innermost scope.
    fn include(&mut self, cursor: &mut Cursor<'_>, position: &Position) -> Result<(), ConfigError> {
        self.check_depth(position)?;
        let name = match cursor.peek() {
            Some('"') => escaped(cursor)?,
            Some('\'') => raw(cursor)?,
            _ => cursor.take_while(|c| !ends_word(c)).to_owned(),
        };
        if name.is_empty() {
            return Err(ConfigError::at(
                position,
                "include needs the name of a file",
            ));
        }
        let path = Path::new(cursor.file())
            .parent()
            .map_or_else(
                || Path::new(&name).to_path_buf(),
                |folder| folder.join(&name),
            )
            .to_string_lossy()
            .into_owned();
        let fails = |text: String| {
            ConfigError::at(
                position,
                format!("error parsing include file '{name}', {text}"),
            )
        };
        if self.files.contains(&path) {
            return Err(fails("it includes itself".to_owned()));
        }
        let text = self.sources.read(&path).map_err(fails)?;
        self.files.push(path.clone());
        self.entries(&mut Cursor::new(&path, &text), None)?;
        self.files.pop();
        Ok(())
    }

    /// Reads a value; `None` when there is none before the end of the line.
    fn value(&mut self, cursor: &mut Cursor<'_>) -> Result<Option<Value>, ConfigError> {
        let position = cursor.position();
        if cursor.at_comment() {
            return Ok(None);
        }
        let kind = match cursor.peek() {
            Some('{') => {
                cursor.next();
                Kind::Table(self.table(cursor, Some('}'))?)
            }
            Some('[') => {
                cursor.next();
                Kind::List(self.list(cursor, &position)?)
            }
            Some('"') => Kind::Text(escaped(cursor)?),
            Some('\'') => Kind::Text(raw(cursor)?),
            Some('(') => Kind::Text(block(cursor)?),
            _ => {
                let word = cursor.take_while(|c| !ends_word(c));
                if word.is_empty() {
                    return Ok(None);
                }
                self.word(word, &position)?
            }
        };
        Ok(Some(Value { kind, position }))
    }

    fn list(
        &mut self,
        cursor: &mut Cursor<'_>,
        start: &Position,
    ) -> Result<Vec<Value>, ConfigError> {
        // A scope of its own keeps the depth; nothing is ever defined in it.
        self.check_depth(start)?;
        self.scopes.push(Table::default());
        let mut items = Vec::new();
        loop {
            cursor.skip_space();
            if cursor.accept(']') {
                self.scopes.pop();
                return Ok(items);
            }
            match self.value(cursor)? {
                Some(item) => items.push(item),
                None => return Err(unexpected(cursor, "a value or ']'")),
            }
            end_of_entry(cursor, Some(']'))?;
        }
    }

    /// What a word without quotes stands for.
    fn word(&mut self, word: &str, position: &Position) -> Result<Kind, ConfigError> {
        if let Some(name) = word.strip_prefix('$')
            && !is_password_hash(name)
        {
            return self.variable(name, position);
        }
        if word.contains('\\') {
            return unescape(word)
                .map(Kind::Text)
                .map_err(|text| ConfigError::at(position, text));
        }
        classify(word).map_err(|text| ConfigError::at(position, text))
    }

    /// The value of `$name`: a key defined before in this block or one around it, else the environment.
    fn variable(&mut self, name: &str, position: &Position) -> Result<Kind, ConfigError> {
        if let Some(kind) = self
            .scopes
            .iter_mut()
            .rev()
            .find_map(|scope| scope.refer(name))
        {
            return Ok(kind);
        }
        if self.variables.iter().any(|variable| variable == name) {
            return Err(ConfigError::at(
                position,
                format!("variable reference cycle for '{name}'"),
            ));
        }
        let Some(text) = self.sources.variable(name) else {
            return Err(ConfigError::at(
                position,
                format!(
                    "variable reference for '{name}' on line {} can not be found",
                    position.line
                ),
            ));
        };
        self.check_depth(position)?;
        self.variables.push(name.to_owned());
        let kind = self.variable_value(name, &text, position)?;
        self.variables.pop();
        Ok(kind)
    }

    /// Reads the value of an environment variable as configuration text.
    fn variable_value(
        &mut self,
        name: &str,
        text: &str,
        position: &Position,
    ) -> Result<Kind, ConfigError> {
        let fails = |text: &str| {
            ConfigError::at(
                position,
                format!("variable reference for '{name}' could not be parsed: {text}"),
            )
        };
        let mut cursor = Cursor::new(&position.file, text.trim());
        let value = self
            .value(&mut cursor)
            .map_err(|error| fails(&error.text))?
            .ok_or_else(|| fails("it has no value"))?;
        cursor.skip_space();
        if cursor.at_end() {
            Ok(value.kind)
        } else {
            Err(fails(&unexpected(&cursor, "the end of the value").text))
        }
    }

    fn check_depth(&self, position: &Position) -> Result<(), ConfigError> {
        if self.scopes.len() + self.files.len() + self.variables.len() > DEPTH_MAX {
            return Err(ConfigError::at(position, "nested too deeply"));
        }
        Ok(())
    }
}

fn unexpected(cursor: &Cursor<'_>, wanted: &str) -> ConfigError {
    ConfigError::at(
        &cursor.position(),
        format!("expected {wanted}, found {}", cursor.found()),
    )
}

/// An entry or item ends with the line, a comma, a semicolon, or where the block does.
fn end_of_entry(cursor: &mut Cursor<'_>, close: Option<char>) -> Result<(), ConfigError> {
    cursor.skip_blanks();
    match cursor.peek() {
        None | Some('\n') => Ok(()),
        Some(',' | ';') => {
            cursor.next();
            Ok(())
        }
        Some(next) if Some(next) == close => Ok(()),
        Some(_) if cursor.at_comment() => Ok(()),
        Some(_) => Err(unexpected(cursor, "a new line or ',' after the value")),
    }
}

fn ends_key(c: char) -> bool {
    c.is_whitespace()
        || matches!(
            c,
            ':' | '=' | '{' | '}' | '[' | ']' | ',' | ';' | '"' | '\''
        )
}

fn ends_word(c: char) -> bool {
    c.is_whitespace() || matches!(c, ',' | ';' | '}' | ']')
}

/// What follows the `$` of a bcrypt hash, which is no variable.
fn is_password_hash(name: &str) -> bool {
    ["2a$", "2b$", "2x$", "2y$"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests;
