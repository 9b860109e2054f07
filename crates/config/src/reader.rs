//! Values as the types that options have, with one error for each that does not fit.

use std::time::Duration;

use everjet_values::{parse_duration, parse_size};

use crate::{ConfigError, Entry, Kind, Position};

/// Collects what is wrong while options are read.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    pub(crate) errors: Vec<ConfigError>,
    pub(crate) warnings: Vec<ConfigError>,
}

impl Reader {
    /// Notes that `entry` is wrong.
    pub(crate) fn refuse(&mut self, entry: &Entry, text: impl Into<String>) {
        self.refuse_at(&entry.position, text);
    }

    /// Notes that what stands at `position` is wrong.
    pub(crate) fn refuse_at(&mut self, position: &Position, text: impl Into<String>) {
        self.errors.push(ConfigError::at(position, text));
    }

    /// Notes that `entry` has a value of the wrong kind.
    pub(crate) fn mismatch(&mut self, entry: &Entry, wanted: &str) {
        let text = format!(
            "{:?} needs {wanted}, not {}",
            entry.key,
            entry.value.kind.name()
        );
        self.refuse(entry, text);
    }

    pub(crate) fn text(&mut self, entry: &Entry) -> Option<String> {
        match &entry.value.kind {
            Kind::Text(text) => Some(text.clone()),
            _ => {
                self.mismatch(entry, "a text");
                None
            }
        }
    }

    /// A text that may be empty, which means "not set".
    pub(crate) fn optional_text(&mut self, entry: &Entry) -> Option<String> {
        self.text(entry).filter(|text| !text.is_empty())
    }

    pub(crate) fn boolean(&mut self, entry: &Entry) -> Option<bool> {
        match entry.value.kind {
            Kind::Bool(value) => Some(value),
            _ => {
                self.mismatch(entry, "true or false");
                None
            }
        }
    }

    pub(crate) fn integer(&mut self, entry: &Entry) -> Option<i64> {
        match entry.value.kind {
            Kind::Integer(value) => Some(value),
            _ => {
                self.mismatch(entry, "a whole number");
                None
            }
        }
    }

    /// A whole number from zero to `max`.
    pub(crate) fn count(&mut self, entry: &Entry, max: u32) -> Option<u32> {
        let value = self.integer(entry)?;
        let count = u32::try_from(value).ok().filter(|count| *count <= max);
        if count.is_none() {
            let text = if value < 0 {
                format!("{} value can not be negative", entry.key)
            } else {
                format!("{} value is too big, the maximum is {max}", entry.key)
            };
            self.refuse(entry, text);
        }
        count
    }

    /// A number of bytes from zero to `max`, such as `64MB` without quotes.
    pub(crate) fn bytes(&mut self, entry: &Entry, max: u32) -> Option<u32> {
        match entry.value.kind {
            Kind::Integer(_) => self.count(entry, max),
            _ => {
                self.mismatch(entry, "a number of bytes such as 64MB, without quotes");
                None
            }
        }
    }

    /// A number of bytes, or a text such as `"10G"`. `None` also when it is negative: then the server decides.
    pub(crate) fn storage(&mut self, entry: &Entry) -> Option<u64> {
        match &entry.value.kind {
            Kind::Integer(value) => u64::try_from(*value).ok(),
            Kind::Text(text) => parse_size(text)
                .map_err(|error| self.refuse(entry, format!("{}: {error}", entry.key)))
                .ok(),
            _ => {
                self.mismatch(entry, "a number of bytes such as 10GB");
                None
            }
        }
    }

    /// A duration text such as `"2m"`; a bare number counts seconds, with a warning.
    pub(crate) fn duration(&mut self, entry: &Entry) -> Option<Duration> {
        if matches!(entry.value.kind, Kind::Float(_)) {
            self.mismatch(entry, "a duration such as \"2m\"");
            return None;
        }
        if matches!(entry.value.kind, Kind::Integer(_)) {
            self.warnings.push(ConfigError::at(
                &entry.position,
                format!(
                    "invalid use of field {:?}: {} should be converted to a duration",
                    entry.key, entry.key
                ),
            ));
        }
        self.seconds_or_duration(entry)
    }

    /// A duration text, or a number of seconds.
    pub(crate) fn seconds_or_duration(&mut self, entry: &Entry) -> Option<Duration> {
        let duration = match &entry.value.kind {
            Kind::Text(text) => parse_duration(text).map_err(|error| error.to_string()),
            Kind::Integer(seconds) => u64::try_from(*seconds)
                .map(Duration::from_secs)
                .map_err(|_| "it can not be negative".to_owned()),
            Kind::Float(seconds) => {
                Duration::try_from_secs_f64(*seconds).map_err(|error| error.to_string())
            }
            _ => {
                self.mismatch(entry, "a duration such as \"2m\"");
                return None;
            }
        };
        duration
            .and_then(|duration| match i64::try_from(duration.as_nanos()) {
                Ok(_) => Ok(duration),
                Err(_) => Err("it is longer than 292 years".to_owned()),
            })
            .map_err(|error| self.refuse(entry, format!("error parsing {}: {error}", entry.key)))
            .ok()
    }
}
