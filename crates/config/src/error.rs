//! What is wrong with a configuration, and where.

use std::fmt;
use std::sync::Arc;

/// A place in a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The file, as it was named.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: u32,
    /// Character in the line, from 1.
    pub column: u32,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// One thing that is wrong with a configuration. Shown as `<file>:<line>:<column>: <text>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Where; `None` when no single place is to blame.
    pub position: Option<Position>,
    /// What is wrong, and what to do.
    pub text: String,
}

impl ConfigError {
    pub(crate) fn at(position: &Position, text: impl Into<String>) -> Self {
        Self {
            position: Some(position.clone()),
            text: text.into(),
        }
    }

    pub(crate) fn anywhere(text: impl Into<String>) -> Self {
        Self {
            position: None,
            text: text.into(),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.position {
            Some(position) => write!(f, "{position}: {}", self.text),
            None => f.write_str(&self.text),
        }
    }
}

impl std::error::Error for ConfigError {}

/// Everything that is wrong with a configuration, one line each; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl From<ConfigError> for ConfigErrors {
    fn from(error: ConfigError) -> Self {
        Self(vec![error])
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            let end_of_line = if index == 0 { "" } else { "\n" };
            write!(f, "{end_of_line}{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
