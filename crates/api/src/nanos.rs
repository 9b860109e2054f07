//! Durations as the JetStream API carries them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A duration on the wire: an integer of nanoseconds. Zero means "not set"; some fields give a meaning to negative
/// values.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Nanos(pub i64);

impl Nanos {
    /// Not set.
    pub const ZERO: Self = Self(0);

    /// `duration`, or 292 years when it is longer.
    #[must_use]
    pub fn from_duration(duration: Duration) -> Self {
        Self(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
    }

    /// Whole seconds.
    ///
    /// # Panics
    /// When `seconds` is more than 292 years: a constant in the program is wrong.
    #[must_use]
    pub const fn from_secs(seconds: i64) -> Self {
        Self(seconds * 1_000_000_000)
    }

    /// Whole milliseconds.
    ///
    /// # Panics
    /// When `millis` is more than 292 years: a constant in the program is wrong.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis * 1_000_000)
    }

    /// The duration; `None` when it is negative.
    #[must_use]
    pub fn as_duration(self) -> Option<Duration> {
        u64::try_from(self.0).ok().map(Duration::from_nanos)
    }

    /// Whether it is not set.
    #[must_use]
    pub const fn is_zero(&self) -> bool {
        self.0 == 0
    }
}

impl From<Duration> for Nanos {
    fn from(duration: Duration) -> Self {
        Self::from_duration(duration)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_durations_that_are_not_negative_convert() {
        for (nanos, duration) in [
            (Nanos(0), Some(Duration::ZERO)),
            (Nanos::from_millis(5), Some(Duration::from_millis(5))),
            (Nanos::from_secs(2), Some(Duration::from_secs(2))),
            (Nanos(-1), None),
        ] {
            assert_eq!(nanos.as_duration(), duration, "{nanos:?}");
        }
        assert_eq!(Nanos::from(Duration::MAX), Nanos(i64::MAX));
    }
}
