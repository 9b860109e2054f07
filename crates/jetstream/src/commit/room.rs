//! Room for what was accepted: who may publish, and the next file of the journal.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use everjet_store::Fault;

use super::{Commit, Writer};
use crate::report::Level;

/// Bytes that must be free on the disk for a publish to be accepted, beside what the journal owes to the streams' files: checkpoints
/// need room to work in, those that make room by deleting too.
const ROOM_MIN: u64 = 16 << 20;
/// The disk is asked how much is free once in this many bytes of journal.
const LOOK_EVERY_BYTES: u64 = 1 << 20;
/// Free bytes at which publishes are accepted again; more than [`ROOM_MIN`], so that the gate does not flap.
const ROOM_AGAIN: u64 = 2 * ROOM_MIN;

/// Whether publishes may enter, and why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Admission {
    /// Everything is accepted.
    Open = 0,
    /// The disk is full: publishes are refused until there is room.
    Full = 1,
    /// The journal failed: publishes are refused until the server is restarted.
    Failed = 2,
}

impl Commit {
    /// Whether publishes may enter now.
    pub(crate) fn admission(&self) -> Admission {
        match self.admission.load(Ordering::Relaxed) {
            0 => Admission::Open,
            1 => Admission::Full,
            _ => Admission::Failed,
        }
    }

    /// Why the journal failed, when it did.
    pub(crate) fn failure(&self) -> Option<String> {
        self.failure.lock().clone()
    }

    /// Whether the streams' files are so far behind the journal that it has to wait for them. Never when the disk is full or
    /// the journal failed: then publishes are refused, and waiting would not help.
    pub(super) fn is_behind(&self) -> bool {
        if self.admission() != Admission::Open {
            return false;
        }
        let visited = self.visited_bytes.load(Ordering::Acquire);
        self.written_bytes().saturating_sub(visited) > self.behind_bytes_max
    }

    /// A checkpoint of all streams is over, which began when the journal had `written` bytes.
    pub(crate) fn note_visit(&self, written: u64) {
        self.visited_bytes.fetch_max(written, Ordering::AcqRel);
        self.ready.notify_all();
    }

    /// Everything that was in the journal at `written` bytes is in the streams' files now.
    pub(crate) fn note_checkpoint(self: &Arc<Self>, written: u64) {
        self.checkpointed_bytes.fetch_max(written, Ordering::AcqRel);
        if self.admission() == Admission::Full {
            let mut writer = self.writer.lock();
            self.watch_room(&mut writer);
        }
    }

    /// Whether the disk is full and a checkpoint would help.
    pub(crate) fn wants_checkpoint(&self) -> bool {
        self.admission() == Admission::Full
            && self.checkpointed_bytes.load(Ordering::Acquire) < self.written_bytes()
    }

    /// Opens or closes the admission by the room that is left for what is already accepted: what the journal holds and no
    /// checkpoint has taken yet must fit into the streams' files, or the journal could never be let go.
    pub(super) fn watch_room(&self, writer: &mut Writer) {
        let admission = self.admission();
        let written = self.written_bytes();
        let looked_lately = written - writer.looked_at < LOOK_EVERY_BYTES;
        if admission == Admission::Failed
            || (admission == Admission::Open && looked_lately && !writer.starved)
        {
            return;
        }
        writer.looked_at = written;
        let free = (self.free_bytes)();
        let owed = written.saturating_sub(self.checkpointed_bytes.load(Ordering::Acquire));
        let spare = free.saturating_sub(owed);
        match admission {
            Admission::Open if spare < ROOM_MIN => {
                self.admission
                    .store(Admission::Full as u8, Ordering::Relaxed);
                self.report.report(
                    Level::Error,
                    "JetStream is out of disk space: publishes are refused until there is room",
                );
            }
            Admission::Full if spare >= ROOM_AGAIN => {
                self.admission
                    .store(Admission::Open as u8, Ordering::Relaxed);
                self.report.report(
                    Level::Info,
                    "JetStream has disk space again: publishes are accepted",
                );
            }
            _ => {}
        }
    }

    pub(super) fn close(&self, to: Admission, fault: &Fault) {
        if self.admission() == Admission::Open {
            self.admission.store(to as u8, Ordering::Relaxed);
            self.report.report(
                Level::Error,
                &format!("JetStream takes no messages until the journal can be written: {fault}"),
            );
        }
    }

    pub(super) fn fail(&self, fault: &Fault) {
        if self.admission() != Admission::Failed {
            self.admission
                .store(Admission::Failed as u8, Ordering::Relaxed);
            *self.failure.lock() = Some(fault.to_string());
            self.report.report(
                Level::Error,
                &format!("the journal failed and takes no more messages until a restart: {fault}"),
            );
        }
    }

    /// Has the next journal file zero-filled on a helper thread before it is needed.
    pub(super) fn prepare_spare(self: &Arc<Self>, writer: &mut Writer) {
        if writer.making_spare {
            return;
        }
        let Some(job) = writer.journal.spare_job() else {
            return;
        };
        writer.making_spare = true;
        let commit = Arc::clone(self);
        self.helpers.run(Box::new(move |_| {
            let made = job.run();
            let mut writer = commit.writer.lock();
            writer.making_spare = false;
            let starved_before = std::mem::replace(&mut writer.starved, made.is_err());
            match made {
                Ok(spare) => {
                    if let Err(fault) = writer.journal.install_spare(spare) {
                        commit.report.report(
                            Level::Warn,
                            &format!("the next journal file is not ready: {fault}"),
                        );
                    }
                }
                Err(fault) if fault.is_full() || starved_before => {}
                // The journal goes on with files made in a hurry, and asks again.
                Err(fault) => commit.report.report(
                    Level::Warn,
                    &format!("the next journal file is not ready: {fault}"),
                ),
            }
            commit.watch_room(&mut writer);
        }));
    }
}
