//! Numbers that name things for as long as a store directory lives.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A stream of this store directory. Never reused, not even after the stream is deleted: its records may still be in the
/// journal then.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct StreamId(pub u64);

impl StreamId {
    /// The server itself: records that create and delete streams belong to it.
    pub const SERVER: Self = Self(0);
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Position of a record in the journal: the first record has 1, each further one the next number.
///
/// A number is used again only when the record that had it was lost by a power cut before any sync covered it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Lsn(pub u64);

impl Lsn {
    /// Before the first record.
    pub const ZERO: Self = Self(0);
    /// The first record.
    pub const FIRST: Self = Self(1);

    /// The position after this one.
    ///
    /// # Panics
    /// When 2^64 records were written, which no disk can hold.
    #[must_use]
    pub fn next(self) -> Self {
        self.plus(1)
    }

    /// The position `count` records later.
    ///
    /// # Panics
    /// When 2^64 records were written, which no disk can hold.
    #[must_use]
    pub fn plus(self, count: u64) -> Self {
        Self(
            self.0
                .checked_add(count)
                .expect("journal positions do not run out"),
        )
    }

    /// The position before this one; [`Lsn::ZERO`] stays.
    #[must_use]
    pub fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
