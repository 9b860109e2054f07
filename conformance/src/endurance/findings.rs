//! What must not be, counted.

use std::fmt;
use std::ops::AddAssign;

/// Examples that are kept in words.
const EXAMPLES_MAX: usize = 20;

/// What a check found wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Messages that were acknowledged to their publisher and are not there.
    pub lost: u64,
    /// Sequences that were acknowledged and given again, or would be given again next.
    pub reused: u64,
    /// Streams whose creation was confirmed and that are not there.
    pub streams_missing: u64,
    /// Messages with another payload than the one acknowledged, or a payload nobody published there.
    pub wrong: u64,
    /// Messages and streams that are back after their removal was confirmed, and payloads stored twice.
    pub returned: u64,
    /// Deliveries of messages whose acknowledgement was confirmed.
    pub redelivered: u64,
    /// Counts and positions that do not fit what is stored.
    pub miscounted: u64,
    /// The first of them in words.
    pub examples: Vec<String>,
}

impl Findings {
    /// Whether nothing was found.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        *self == Self::default()
    }

    /// Keeps an example, if there are few yet.
    pub fn example(&mut self, text: impl Into<String>) {
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(text.into());
        }
    }
}

impl AddAssign for Findings {
    fn add_assign(&mut self, other: Self) {
        self.lost += other.lost;
        self.reused += other.reused;
        self.streams_missing += other.streams_missing;
        self.wrong += other.wrong;
        self.returned += other.returned;
        self.redelivered += other.redelivered;
        self.miscounted += other.miscounted;
        for example in other.examples {
            self.example(example);
        }
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} lost, {} sequences reused, {} streams missing, {} wrong payloads, {} came back, {} redelivered, {} miscounted",
            self.lost,
            self.reused,
            self.streams_missing,
            self.wrong,
            self.returned,
            self.redelivered,
            self.miscounted
        )?;
        for example in &self.examples {
            write!(f, "\n  {example}")?;
        }
        Ok(())
    }
}
