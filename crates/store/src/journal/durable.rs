//! The proof that something is on stable storage.

/// A value that survives power loss. Only the journal makes one, after its sync returned; the acknowledgement path accepts
/// nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[must_use]
pub struct Durable<T>(T);

impl<T> Durable<T> {
    /// Only for the journal, once a sync that covers `value` has returned.
    pub(super) fn new(value: T) -> Self {
        Self(value)
    }

    /// The value, with the proof given up.
    pub fn into_inner(self) -> T {
        self.0
    }

    /// The value.
    pub fn get(&self) -> &T {
        &self.0
    }
}
