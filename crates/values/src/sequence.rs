//! Numbers that must never be swapped for one another.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! sequence {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl $name {
            /// The value before the first: nothing was numbered yet.
            pub const ZERO: Self = Self(0);

            /// The number after this one.
            ///
            /// # Panics
            /// When 2^64 numbers were used, which no disk can hold.
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0.checked_add(1).expect("sequence numbers do not run out"))
            }

            /// The number before this one; zero stays zero.
            #[must_use]
            pub fn previous(self) -> Self {
                Self(self.0.saturating_sub(1))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

sequence! {
    /// Position of a message in its stream; the first message has 1.
    StreamSequence
}
sequence! {
    /// Position of a delivery in its consumer; the first delivery has 1.
    ConsumerSequence
}
sequence! {
    /// Position of a committed command in its stream's log; the first command has 1.
    EntryIndex
}
