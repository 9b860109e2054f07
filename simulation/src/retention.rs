//! Which messages should be there by retention: streams whose messages go when the worker is done with them.
//!
//! A stream has at most one consumer, of everything. So with interest retention a message is wanted exactly if there is one, and its
//! acknowledgement removes it as it does on a work queue.

use everjet_api::Retention;
use everjet_store::StreamId;

use crate::model::SUBJECTS;
use crate::world::{Actor, World};

impl Actor {
    fn retention(&self) -> Retention {
        self.stream.config().retention
    }

    /// Whether a message that is published now is to be stored.
    pub(crate) fn wants_messages(&self) -> bool {
        self.retention() != Retention::Interest || self.stream.has_consumers()
    }
}

impl World {
    /// The worker is about to acknowledge a message that it was given.
    pub(crate) fn expect_done(&mut self, id: StreamId, sequence: u64) {
        let Some(actor) = self.actors.get_mut(&id) else {
            return;
        };
        if actor.retention() != Retention::Limits && actor.stream.has_consumers() {
            let gone = actor.model.remove(sequence);
            self.ledger(id).maybe_removed.extend(gone);
        }
    }

    /// The consumer was deleted.
    pub(crate) fn expect_no_interest(&mut self, id: StreamId) {
        let Some(actor) = self.actors.get_mut(&id) else {
            return;
        };
        if actor.retention() == Retention::Interest {
            let subjects = 0..SUBJECTS.len();
            let gone: Vec<u64> = subjects
                .flat_map(|subject| actor.model.purge(Some(subject), u64::MAX, 0))
                .collect();
            self.ledger(id).maybe_removed.extend(gone);
        }
    }
}
