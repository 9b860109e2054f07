//! Checkpoints, step by step as the server's housekeeper takes them, with other work in between.

use std::collections::VecDeque;

use everjet_api::Storage;
use everjet_jetstream::Captured;
use everjet_store::{Fault, JournalStart, Lsn, StreamId, WrittenSegments};

use crate::Stop;
use crate::world::{ACCOUNT, Actor, World};

/// A checkpoint on its way.
pub(crate) struct Checkpoint {
    /// What the journal held when it began.
    written: JournalStart,
    /// Whether every stream was captured, so that the journal can be let go.
    is_complete: bool,
    captured: VecDeque<One>,
    persisted: Vec<(One, Option<WrittenSegments>)>,
    is_published: bool,
    /// Whether the journal's files are left to be overwritten.
    erases: bool,
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
        let is_complete = is_complete && self.stuck.is_empty();
        let chosen: Vec<StreamId> = self.actors.keys().copied().collect();
        for id in chosen {
            let is_on_disk = |actor: &Actor| actor.stream.config().storage == Storage::File;
            if !self.actors.get(&id).is_some_and(is_on_disk) || self.stuck.contains(&id) {
                continue;
            }
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
            erases: false,
        });
    }

    /// Takes the checkpoint on its way to its end, for which there has to be room.
    pub(crate) fn finish_checkpoint(&mut self) -> Result<(), Stop> {
        if self.checkpoint.is_some() {
            self.disk.set_capacity(None);
        }
        while self.checkpoint.is_some() {
            self.step_checkpoint()?;
        }
        Ok(())
    }

    /// Takes the checkpoint that was just begun to its end, but for the journal's files. Returns the last position of the journal
    /// that nothing needs any more, if all went well.
    pub(crate) fn finish_erasing(&mut self) -> Result<Option<Lsn>, Stop> {
        let failed_before = self.failed_steps;
        let through = self.checkpoint.as_mut().and_then(|checkpoint| {
            checkpoint.erases = true;
            checkpoint
                .is_complete
                .then(|| checkpoint.written.from.previous())
        });
        self.finish_checkpoint()?;
        Ok(through.filter(|_| self.failed_steps == failed_before))
    }

    /// In a narrow world every fault here ends the round. In a wide one a full disk is waited for, and a fault that is final for the
    /// files of a stream leaves that stream to the journal.
    fn step_checkpoint(&mut self) -> Result<(), Stop> {
        let Some(mut checkpoint) = self.checkpoint.take() else {
            return Ok(());
        };
        let next = checkpoint.captured.front();
        if next.is_some_and(|one| one.captured.erases()) {
            // What is overwritten must be known to be removed.
            self.commit_now()?;
        }
        let id = next.map(|one| one.id);
        match self.step(&mut checkpoint) {
            Ok(is_done) => self.checkpoint = (!is_done).then_some(checkpoint),
            Err(fault) => self.meet_fault(checkpoint, id, &fault)?,
        }
        Ok(())
    }

    fn meet_fault(
        &mut self,
        mut checkpoint: Checkpoint,
        id: Option<StreamId>,
        fault: &Fault,
    ) -> Result<(), Stop> {
        let is_over = self.disk.is_cut() || self.journal.latched().is_some();
        if is_over || self.options.wide.is_none() {
            return Err(Stop::Crashed);
        }
        self.failed_steps += 1;
        if let Some(id) = id.filter(|_| fault.is_final()) {
            checkpoint.captured.pop_front();
            checkpoint.is_complete = false;
            self.stuck.insert(id);
        }
        if !checkpoint.captured.is_empty() || id.is_some() {
            self.checkpoint = Some(checkpoint);
            return Ok(());
        }
        // The manifest could not be written, or a file not be removed: the next checkpoint does that.
        for (one, written) in checkpoint.persisted {
            if let (Some(actor), Some(written)) = (self.actors.get_mut(&one.id), &written) {
                actor.stream.store_mut().finish_writes(written);
            }
        }
        Ok(())
    }

    /// Returns whether nothing is left to do.
    fn step(&mut self, checkpoint: &mut Checkpoint) -> Result<bool, Fault> {
        if let Some(one) = checkpoint.captured.front() {
            let written = self.checkpointer.persist(&one.captured)?;
            let one = checkpoint.captured.pop_front();
            checkpoint.persisted.extend(one.map(|one| (one, written)));
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
            let obsolete = store.obsolete_files(&one.captured.into_segments());
            obsolete.delete(&*self.disk.shared())?;
            store.finish_obsolete(&obsolete);
            return Ok(false);
        }
        if checkpoint.is_complete && !checkpoint.erases {
            self.journal.release(checkpoint.written.from.previous())?;
        }
        Ok(true)
    }
}
