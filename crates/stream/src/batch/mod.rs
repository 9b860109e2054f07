//! Atomic batches (ADR-50): messages that are stored together or not at all.
//!
//! Members are staged in memory, by the id that their headers name, until one of them commits the batch. Then all are checked against
//! the stream and each other, and all are one command: one record of the journal, so that a crash leaves all of them or none.
//! What is staged belongs to the server that serves the stream and does not survive it. Texts, codes and order of the checks
//! are those of nats-server 2.15.1.

mod checks;
mod headers;
mod inflight;
mod members;
mod staging;

use std::collections::HashMap;

use everjet_api::{ApiError, StreamConfig};
use everjet_values::{StreamSequence, Timestamp};

use crate::apply::MessageFate;
use crate::command::Command;
use crate::machine::{Publish, Stream};
use crate::output::Output;
use crate::republish::Planned;

use checks::Checked;
use headers::BatchHeaders;
pub(crate) use headers::{is_member, without_level};
pub use inflight::Inflight;
pub(crate) use inflight::IngestShare;
pub(crate) use members::{Member, decode};
pub(crate) use staging::Batches;
use staging::Staged;
pub use staging::{AbandonReason, AbandonedBatch};

/// Most messages of a batch.
pub(crate) const MESSAGES_MAX: u64 = 1000;

/// The rules for a configuration. Disk writes that are not waited for are refused for every stream.
///
/// # Errors
/// The error of nats-server.
pub(crate) fn check_config(config: &StreamConfig) -> Result<(), ApiError> {
    use everjet_api::ErrorCode::MirrorWithAtomicPublish;
    match config.allow_atomic && config.mirror.is_some() {
        true => Err(MirrorWithAtomicPublish.error()),
        false => Ok(()),
    }
}

impl Stream {
    /// Batches of all streams of a server share their limits.
    pub fn share_inflight(&mut self, inflight: &std::sync::Arc<Inflight>) {
        self.batches.share(inflight);
        self.ingests.share(inflight);
    }

    /// Batches that were given up since this was asked last, to be told.
    pub fn take_abandoned(&mut self) -> Vec<AbandonedBatch> {
        self.batches.take_abandoned()
    }

    /// A message came that says it belongs to a batch. `reply` is where the publisher waits, empty when nobody does.
    ///
    /// # Errors
    /// What is wrong with it, or with its batch when it commits that. A batch with a mistake is over.
    #[inline(never)]
    pub(crate) fn take_member(
        &mut self,
        now: Timestamp,
        publish: &Publish<'_>,
        reply: &[u8],
        out: &mut Output,
    ) -> Result<(), ApiError> {
        let headers = BatchHeaders::read(publish.headers);
        let staged = self
            .batches
            .stage(&self.state.config, now, publish, &headers)?;
        match staged {
            Staged::Waits => out.effects.ack_reply(reply),
            Staged::Complete(batch) => {
                let checked = self.check_batch(now, &batch, headers.ends_batch())?;
                let last = self.store_batch(now, &checked, out);
                out.sync_wanted |= !reply.is_empty();
                out.effects
                    .stored_batch(reply, last, &batch.id, batch.count);
            }
        }
        Ok(())
    }

    /// Stores all of a batch that was checked. Returns the sequence of its last message.
    fn store_batch(
        &mut self,
        now: Timestamp,
        checked: &Checked,
        out: &mut Output,
    ) -> StreamSequence {
        let members = decode(checked.bytes()).expect("they were encoded by this process");
        let planned = self.plan_republishing(now, &members);
        let time = now.max(self.state.last_time);
        let mut last = self.state.store.last_sequence();
        for members in checked.records() {
            let command = Command::Batch {
                time,
                first: last.next(),
                members,
            };
            let stored = self.commit(&command, out).stored;
            last = stored.expect("a batch stores a message, or gives it a sequence");
        }
        for (member, sequence, planned) in planned {
            let publish = member.publish();
            let effects = &mut out.effects;
            planned.send(&self.state, member.headers, &publish, sequence, effects);
        }
        if !self.state.is_journaled() {
            self.leader.on_durable(last);
        }
        last
    }

    /// What of a batch is published again, and as what it will be stored.
    fn plan_republishing<'a>(
        &self,
        now: Timestamp,
        members: &[Member<'a>],
    ) -> Vec<(Member<'a>, StreamSequence, Planned)> {
        let Some(republisher) = &self.republisher else {
            return Vec::new();
        };
        let mut sequence = self.state.store.last_sequence();
        let mut lasts: HashMap<&[u8], StreamSequence> = HashMap::new();
        let mut planned = Vec::new();
        for member in members {
            sequence = sequence.next();
            if member.fate == MessageFate::Skipped {
                continue;
            }
            let before = lasts.insert(member.subject, sequence);
            let plan = republisher.plan(&self.state, member.subject, sequence, now);
            planned.extend(plan.map(|plan| (*member, sequence, plan.behind(before))));
        }
        planned
    }
}
