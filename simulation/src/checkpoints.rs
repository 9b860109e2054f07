//! Checkpoints, step by step as the server's housekeeper takes them, with other work in between.

use std::collections::VecDeque;

use everjet_jetstream::Captured;
use everjet_store::{Fault, JournalStart, Lsn, StreamId, WrittenSegments};

use crate::Stop;
use crate::world::{ACCOUNT, World};

/// A checkpoint on its way.
pub(crate) struct Checkpoint {
    /// What the journal held when it began.
    written: JournalStart,
    /// Whether every stream was captured, so that the journal can be let go.
    is_complete: bool,
    captured: VecDeque<One>,
    persisted: Vec<(One, Option<WrittenSegments>)>,
    is_published: bool,
}

/// One stream of it.
struct One {
    id: StreamId,
    captured: Captured,
    entry: u64,
}

impl World {
    /// Begins a checkpoint, or goes a few steps further with the one on its way.
    pub(crate) fn advance_checkpoint(&mut self) -> Result<(), Stop> {
        if self.checkpoint.is_none() {
            // The journal has all there is of streams that are not served.
            let is_complete = self.below(3) > 0 && self.offline.is_empty();
            self.begin_checkpoint(is_complete);
        }
        for _ in 0..self.below(5) {
            self.step_checkpoint()?;
        }
        Ok(())
    }

    /// Captures all streams, or some.
    pub(crate) fn begin_checkpoint(&mut self, is_complete: bool) {
        let written = self.journal.position();
        let mut captured = VecDeque::new();
        let chosen: Vec<StreamId> = self.actors.keys().copied().collect();
        for id in chosen {
            if !is_complete && self.below(2) == 0 {
                continue;
            }
            if let Some(actor) = self.actors.get_mut(&id) {
                let taken = Captured::take(&mut actor.stream, ACCOUNT);
                let entry = actor.stream.entry().0;
                captured.push_back(One {
                    id,
                    captured: taken,
                    entry,
                });
            }
        }
        self.checkpoint = Some(Checkpoint {
            written,
            is_complete,
            captured,
            persisted: Vec::new(),
            is_published: false,
        });
    }

    /// Takes the checkpoint on its way to its end.
    pub(crate) fn finish_checkpoint(&mut self) -> Result<(), Stop> {
        while self.checkpoint.is_some() {
            self.step_checkpoint()?;
        }
        Ok(())
    }

    /// A fault here is final for the files concerned: only a restart helps.
    fn step_checkpoint(&mut self) -> Result<(), Stop> {
        let Some(mut checkpoint) = self.checkpoint.take() else {
            return Ok(());
        };
        let is_done = self.step(&mut checkpoint).map_err(|_| Stop::Crashed)?;
        self.checkpoint = (!is_done).then_some(checkpoint);
        Ok(())
    }

    /// Returns whether nothing is left to do.
    fn step(&mut self, checkpoint: &mut Checkpoint) -> Result<bool, Fault> {
        if let Some(one) = checkpoint.captured.pop_front() {
            let written = self.checkpointer.persist(&one.captured)?;
            checkpoint.persisted.push((one, written));
            return Ok(false);
        }
        if !checkpoint.is_published {
            let _durable = self.journal.sync()?;
            let journal = if checkpoint.is_complete {
                checkpoint.written
            } else {
                Lsn::FIRST.into()
            };
            self.checkpointer.publish(journal, StreamId(self.next_id))?;
            checkpoint.is_published = true;
            for (one, _) in &checkpoint.persisted {
                let ledger = self.ledger(one.id);
                ledger.proven_entry = ledger.proven_entry.max(one.entry);
                ledger.created_proven = true;
            }
            return Ok(false);
        }
        if let Some((one, written)) = checkpoint.persisted.pop() {
            let Some(actor) = self.actors.get_mut(&one.id) else {
                return Ok(false);
            };
            let store = actor.stream.store_mut();
            if let Some(written) = &written {
                store.finish_writes(written);
            }
            let obsolete = store.obsolete_files(one.captured.segments());
            obsolete.delete(&*self.disk.shared())?;
            store.finish_obsolete(&obsolete);
            return Ok(false);
        }
        if checkpoint.is_complete {
            self.journal.release(checkpoint.written.from.previous())?;
        }
        Ok(true)
    }
}
