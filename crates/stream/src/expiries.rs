//! When messages with a lifetime of their own go, and which never do.
//!
//! It is what the headers of the messages say, arranged by time: nothing of it survives by itself, and a stream without such
//! messages pays nothing. Messages that went otherwise leave their entry behind until it is due, or until there are more of those
//! than messages.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use everjet_store::StreamStore;
use everjet_values::{StreamSequence, Timestamp};

use crate::marker;
use crate::ttl::Ttl;

/// With fewer entries nobody looks for those of messages that are gone.
const TIDY_MIN: usize = 1_024;

/// A message that goes when its time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Due {
    at: Timestamp,
    pub(crate) sequence: StreamSequence,
    /// Whether it is a marker itself, so that none follows it.
    pub(crate) is_marker: bool,
}

/// The messages of a stream that have a lifetime of their own.
#[derive(Debug, Default)]
pub(crate) struct Expiries {
    due: BinaryHeap<Reverse<Due>>,
    /// Messages that do not grow too old, ascending.
    exempt: Vec<StreamSequence>,
}

impl Expiries {
    /// Notes what the headers of a stored message say.
    pub(crate) fn note(
        &mut self,
        store: &StreamStore,
        sequence: StreamSequence,
        time: Timestamp,
        headers: &[u8],
    ) {
        let ttl = Ttl::of(headers);
        if let Some(at) = ttl.expiry(time) {
            let is_marker = marker::is_marker(headers);
            self.due.push(Reverse(Due {
                at,
                sequence,
                is_marker,
            }));
        } else if ttl == Ttl::Never {
            self.exempt.push(sequence);
        } else {
            return;
        }
        let most = usize::try_from(store.messages()).map_or(usize::MAX, |messages| {
            messages.saturating_mul(2).max(TIDY_MIN)
        });
        // Half of them go, at least, so that each note pays for one look.
        if self.due.len() > most {
            self.due.retain(|Reverse(due)| store.contains(due.sequence));
        }
        if self.exempt.len() > most {
            self.exempt.retain(|sequence| store.contains(*sequence));
        }
    }

    /// When the next message is due; too early when that one is gone.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.due.peek().map(|Reverse(due)| due.at)
    }

    /// Takes up to `most` of the messages that are due, and still there, in the order of the stream.
    pub(crate) fn take_due(
        &mut self,
        store: &StreamStore,
        now: Timestamp,
        most: usize,
    ) -> Vec<Due> {
        let mut taken = Vec::new();
        while taken.len() < most && self.next().is_some_and(|at| at <= now) {
            let Some(Reverse(due)) = self.due.pop() else {
                break;
            };
            if store.contains(due.sequence) {
                taken.push(due);
            }
        }
        taken.sort_unstable_by_key(|due| due.sequence);
        taken
    }

    /// Whether there are messages that do not grow too old.
    pub(crate) fn has_exempt(&self) -> bool {
        !self.exempt.is_empty()
    }

    /// Whether a message does not grow too old.
    pub(crate) fn is_exempt(&self, sequence: StreamSequence) -> bool {
        self.exempt.binary_search(&sequence).is_ok()
    }
}
