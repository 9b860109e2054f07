//! What waits for the journal, and who for what.

use std::sync::Arc;
use std::time::Instant;

use everjet_store::JournalBatch;
use everjet_stream::Effects;
use everjet_values::{EntryIndex, StreamSequence};
use parking_lot::{Condvar, Mutex};

use crate::actor::StreamActor;

/// What leaves once a batch is durable.
pub(crate) struct Release {
    pub(crate) actor: Arc<StreamActor>,
    pub(crate) effects: Effects,
    /// The last entry in this batch or an earlier one.
    pub(crate) entry: EntryIndex,
    /// Messages of the stream up to here are in this batch or an earlier one.
    pub(crate) durable: StreamSequence,
}

/// A release, or a thread that waits for its batch.
pub(super) enum Waiter {
    Stream(Release),
    Thread(Arc<Signal>),
    /// Records that only have to be there in the end.
    Nobody,
}

/// What a writer takes from the queue.
#[derive(Clone, Copy)]
pub(super) enum Taking {
    Everything,
    /// Everything, unless somebody waits for a sync.
    UnlessWanted,
}

/// A one-shot result that a thread waits for.
#[derive(Default)]
pub(super) struct Signal {
    pub(super) result: Mutex<Option<Result<(), String>>>,
    pub(super) set: Condvar,
}

impl Signal {
    pub(super) fn tell(&self, result: Result<(), String>) {
        *self.result.lock() = Some(result);
        self.set.notify_all();
    }
}

#[derive(Default)]
pub(super) struct Queue {
    pub(super) batch: JournalBatch,
    pub(super) waiters: Vec<Waiter>,
    pub(super) sync_wanted: bool,
    /// One of the waiters is a thread: it may hold what a checkpoint needs.
    pub(super) thread_waits: bool,
    pub(super) oldest: Option<Instant>,
    pub(super) stopping: bool,
}
