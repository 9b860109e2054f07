//! A configuration as it was written, before anything knows its keys.

use everjet_values::Timestamp;

use crate::Position;

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    /// The value.
    pub kind: Kind,
    /// Where it begins.
    pub position: Position,
}

/// What a value can be.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// `true`, `yes`, `on` and their opposites.
    Bool(bool),
    /// A whole number, its suffix worked in.
    Integer(i64),
    /// A number with a point.
    Float(f64),
    /// A text, quoted or not.
    Text(String),
    /// A point in time.
    Date(Timestamp),
    /// `[ … ]`
    List(Vec<Value>),
    /// `{ … }`
    Table(Table),
}

impl Kind {
    /// What it is called in messages.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Bool(_) => "a boolean",
            Self::Integer(_) => "a whole number",
            Self::Float(_) => "a number with a point",
            Self::Text(_) => "a text",
            Self::Date(_) => "a date",
            Self::List(_) => "a list",
            Self::Table(_) => "a block",
        }
    }
}

/// A key with its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key as written; compare it without regard to case.
    pub key: String,
    /// Where the key stands.
    pub position: Position,
    /// Its value.
    pub value: Value,
    /// Whether a `$key` refers to it: then it may be a key that nothing else knows.
    pub is_variable: bool,
}

/// Keys and values in the order they were written. A key that comes again replaces the earlier one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    entries: Vec<Entry>,
}

impl Table {
    /// Adds an entry, or replaces the one with the same key.
    pub(crate) fn insert(&mut self, entry: Entry) {
        self.entries.retain(|earlier| earlier.key != entry.key);
        self.entries.push(entry);
    }

    /// Its entries in order.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The value of `key`, in any case.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.entries
            .iter()
            .rfind(|entry| entry.key.eq_ignore_ascii_case(key))
            .map(|entry| &entry.value)
    }

    /// Whether it has no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The value a `$key` in this table refers to.
    pub(crate) fn refer(&mut self, key: &str) -> Option<Kind> {
        let entry = self.entries.iter_mut().find(|entry| entry.key == key)?;
        entry.is_variable = true;
        Some(entry.value.kind.clone())
    }
}
