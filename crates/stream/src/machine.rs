//! The host: events in, output out. What happens is decided in the files beside it.

use everjet_api::{ApiError, Retention, StreamConfig};
use everjet_consumer::{
    Advisories, Advisory, ChangeLog, Consumer, ConsumerId, Dispatcher, Progress, Turn,
};
use everjet_store::{JournalBatch, StreamId, StreamStore};
use everjet_subject::SubjectTransform;
use everjet_values::{EntryIndex, StreamSequence, Timestamp};
use everjet_wire::{Headers, strip};

use crate::apply::{Applied, Removal};
use crate::batch::{self, Batches};
use crate::checks::{self, Admission, MESSAGE_ID, REQUEST_INFO};
use crate::command::Command;
use crate::counter;
use crate::expiry::Aging;
use crate::ingest::{self, Ingests};
use crate::interest::Interest;
use crate::leader::Leader;
use crate::limits;
use crate::output::Output;
use crate::republish::Republisher;
use crate::rollup;
use crate::settle::Unwanted;
use crate::state::StreamState;
use crate::transform;
use crate::ttl;
use crate::wanted::Wanted;

/// Bytes that one [`Stream::poll`] may hand out; a turn stays short with large messages, too.
const POLL_BYTES_MAX: usize = 4 << 20;

/// A message on its way into the stream.
#[derive(Clone, Copy, Debug)]
pub struct Publish<'a> {
    /// Its subject.
    pub subject: &'a [u8],
    /// Where the publisher waits for the PubAck; empty when nobody does.
    pub reply: &'a [u8],
    /// Header block; empty when there is none.
    pub headers: &'a [u8],
    /// The body.
    pub payload: &'a [u8],
}

/// What [`Stream::poll`] does about messages on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// Says what has to be read: [`Stream::take_reads`].
    Resident,
    /// Reads on the spot: for a caller with one thread.
    Blocking,
}

/// What is left after [`Stream::poll`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polled {
    /// Nothing, until something happens.
    Idle,
    /// The budget was used up: call again.
    More,
    /// Nothing, until what somebody waits for was read: [`Stream::take_reads`].
    NeedsDisk,
}

/// One stream with its consumers. See the crate.
///
/// Order of calls: [`create`](Self::create), or [`recover`](Self::recover), [`replay`](Self::replay) for every later
/// record of the journal, and [`lead`](Self::lead). Then events in any order; a turn ends with
/// [`poll`](Self::poll), which also journals what acknowledgements changed. `now` never goes backwards.
pub struct Stream {
    pub(crate) state: StreamState,
    pub(crate) leader: Leader,
    pub(crate) interest: Interest,
    /// Changes of one consumer that have no record yet.
    pub(crate) gathered: Gathered,
    pub(crate) batches: Batches,
    pub(crate) ingests: Ingests,
    pub(crate) aging: Aging,
    /// What the configuration makes of subjects.
    renaming: Option<SubjectTransform>,
    pub(crate) republisher: Option<Republisher>,
    /// What a message is called in the stream; kept for its memory.
    renamed: Vec<u8>,
    pub(crate) wanted: Wanted,
    /// The entry of the checkpoint this stream came from.
    pub(crate) recovered_at: EntryIndex,
    /// Snapshots of consumers were unreadable: what they wanted is not known.
    pub(crate) has_lost_consumers: bool,
    /// Records before the last one were missing, see [`Stream::salvage`].
    pub(crate) has_gap: bool,
    /// Records that were made when no [`Output`] was at hand.
    pub(crate) carried: JournalBatch,
    pub(crate) removals: Vec<Removal>,
    /// How many messages the last purge in steps removed.
    pub(crate) purged: u64,
    pub(crate) advisories: Advisories,
}

/// What one [`Stream::poll`] may still hand out.
struct Budget {
    messages: usize,
    bytes_max: usize,
}

/// Changes of one consumer that share a record: acknowledgements of a turn come one by one.
#[derive(Default)]
pub(crate) struct Gathered {
    pub(crate) consumer: Option<ConsumerId>,
    pub(crate) time: Timestamp,
    pub(crate) log: ChangeLog,
    /// What the consumer is done with by these changes, when that may remove messages.
    pub(crate) settled: Vec<StreamSequence>,
}

impl Stream {
    /// A new, empty stream that is served at once. `config` comes from [`normalise_config`](crate::normalise_config).
    #[must_use]
    pub fn create(
        id: StreamId,
        config: StreamConfig,
        created: Timestamp,
        mut store: StreamStore,
    ) -> Self {
        store.skip_to(EntryIndex::ZERO, StreamSequence(config.first_seq.max(1)));
        let mut stream = Self::of(StreamState::new(
            id,
            config,
            created,
            store,
            EntryIndex::ZERO,
        ));
        stream.lead(created);
        stream
    }

    /// Begins to serve the stream as it is now; everything in it counts as durable. A purge that was begun is finished.
    pub fn lead(&mut self, now: Timestamp) {
        self.state.left_waiting.clear();
        let mut carried = std::mem::take(&mut self.carried);
        self.finish_purge(&mut carried);
        self.carried = carried;
        self.removals.clear();
        let window = self.state.duplicate_window();
        self.state.dedupe.expire(now, window);
        let Self { state, leader, .. } = self;
        *leader = leader.successor(state.store.last_sequence());
        self.wanted = Wanted::default();
        for (id, consumer) in &mut state.consumers {
            consumer.state.on_serving(now);
            leader.add(*id, Dispatcher::new(now, consumer, &state.store));
        }
        self.interest.forget();
        self.batches.clear();
        self.ingests.clear();
        self.forget_aging();
        self.read_config();
        if !self.has_lost_consumers {
            // Consumers in memory are gone: what others are done with is not held for them any more.
            let mut carried = std::mem::take(&mut self.carried);
            self.remove_unwanted_to(Unwanted::Done, &[], &mut carried);
            self.carried = carried;
        }
    }

    /// The next calls of [`on_publish`](Self::on_publish) bring messages with these subjects, in this order, as far as
    /// that is known: they cost less then.
    pub fn look_ahead(&mut self, subjects: &[&[u8]]) {
        if self.renaming.is_some() {
            return;
        }
        let replaced_from = limits::limit(self.state.config.max_msgs_per_subject);
        self.state.store.look_ahead(subjects, replaced_from);
    }

    /// A message was published to the stream. Its PubAck is an effect.
    pub fn on_publish(&mut self, now: Timestamp, publish: &Publish<'_>, out: &mut Output) {
        self.state.store.next_comes();
        let reply = if self.state.config.no_ack {
            b""
        } else {
            publish.reply
        };
        if !self.gathered.settled.is_empty() {
            // What was acknowledged makes room.
            self.flush(out);
        }
        let taken = match checks::check_subject(&self.state.config, publish) {
            Ok(()) if self.renaming.is_some() => self.take_renamed(now, publish, reply, out),
            Ok(()) => self.take_publish(now, publish, reply, out),
            Err(error) => Err(error),
        };
        if let Err(error) = taken {
            out.effects.refused(reply, error);
        }
    }

    /// Takes a message under what the transform makes of its subject.
    #[inline(never)]
    fn take_renamed(
        &mut self,
        now: Timestamp,
        publish: &Publish<'_>,
        reply: &[u8],
        out: &mut Output,
    ) -> Result<(), ApiError> {
        let mut renamed = std::mem::take(&mut self.renamed);
        renamed.clear();
        let last = self.state.store.last_sequence();
        match &self.renaming {
            Some(renaming) => {
                transform::rename(renaming, publish.subject, now, last, &mut renamed);
            }
            None => renamed.extend_from_slice(publish.subject),
        }
        let publish = Publish {
            subject: &renamed,
            ..*publish
        };
        let taken = self.take_publish(now, &publish, reply, out);
        self.renamed = renamed;
        taken
    }

    /// Takes a message under the subject that it has in the stream.
    #[inline(always)]
    fn take_publish(
        &mut self,
        now: Timestamp,
        publish: &Publish<'_>,
        reply: &[u8],
        out: &mut Output,
    ) -> Result<(), ApiError> {
        if ingest::is_call(publish.reply) {
            return self.take_ingested(now, publish, reply, out);
        }
        if batch::is_member(&self.state.config, publish) {
            return self.take_member(now, publish, reply, out);
        }
        let wanted = self.is_wanted(publish.subject);
        match checks::all(&self.state, now, publish, wanted)? {
            Admission::Duplicate(sequence) => {
                out.sync_wanted |= !reply.is_empty() && sequence > self.leader.durable();
                out.effects.stored(reply, sequence, true);
                return Ok(());
            }
            Admission::Stored { has_request_info }
                if has_request_info || self.state.config.allow_msg_counter =>
            {
                self.store_changed(now, publish, reply, out)?;
            }
            Admission::Stored { .. } => {
                let sequence = self.store_message(now, publish, out);
                out.effects.stored(reply, sequence, false);
            }
            Admission::Skipped => {
                let sequence = self.skip_message(now, publish, out);
                out.effects.stored(reply, sequence, false);
            }
        }
        out.sync_wanted |= !reply.is_empty();
        Ok(())
    }

    /// Stores a message that passed all checks, without what is not stored, and as the sum that it makes.
    #[inline(never)]
    fn store_changed(
        &mut self,
        now: Timestamp,
        publish: &Publish<'_>,
        reply: &[u8],
        out: &mut Output,
    ) -> Result<(), ApiError> {
        let headers = strip(publish.headers, &[REQUEST_INFO]);
        let publish = Publish {
            headers: &headers,
            ..*publish
        };
        if !self.state.config.allow_msg_counter {
            let sequence = self.store_message(now, &publish, out);
            out.effects.stored(reply, sequence, false);
            return Ok(());
        }
        let counted = counter::count(&self.state, &publish)?;
        let publish = counted.publish(&publish);
        checks::check_size(&self.state.config, &publish)?;
        let sequence = self.store_message(now, &publish, out);
        out.effects.counted(reply, sequence, counted.value);
        Ok(())
    }

    /// A pull request came. Returns false when there is no such consumer.
    pub fn on_pull(
        &mut self,
        now: Timestamp,
        consumer: &str,
        reply: &[u8],
        body: &[u8],
        out: &mut Output,
    ) -> bool {
        let Self { state, leader, .. } = self;
        let Some(consumer) = state.consumer(consumer) else {
            return false;
        };
        let Some(dispatcher) = leader.dispatcher(consumer.id) else {
            return false;
        };
        dispatcher.on_pull(now, consumer, &state.store, reply, body, &mut out.sends);
        leader.mark_ready(consumer.id);
        leader.schedule(consumer.id);
        true
    }

    /// Messages up to `through` are durable and may be delivered.
    pub fn on_durable(&mut self, through: StreamSequence) {
        self.leader.on_durable(through);
    }

    /// Subscriptions to `subject` came or went. Without this call a push consumer that has messages notices within
    /// 250 ms.
    pub fn on_interest(&mut self, subject: &[u8]) {
        for consumer in self.state.consumers.values() {
            if consumer.config.deliver_subject.as_bytes() == subject {
                self.leader.mark_ready(consumer.id);
            }
        }
    }

    /// Delivers up to `budget` messages, and journals what acknowledgements changed. Ends every turn.
    pub fn poll(
        &mut self,
        now: Timestamp,
        interest: &mut dyn FnMut(&[u8]) -> bool,
        out: &mut Output,
        budget: usize,
        reads: Reads,
    ) -> Polled {
        self.flush(out);
        let mut budget = Budget {
            messages: budget,
            bytes_max: out.sends.size() + POLL_BYTES_MAX,
        };
        if reads == Reads::Blocking {
            self.read_wanted(now, out);
        }
        let mut more = false;
        // Everybody gets a turn before anybody gets a second one, over several calls if need be.
        for _ in 0..self.leader.ready_len() {
            if budget.messages == 0 || out.sends.size() >= budget.bytes_max {
                more = true;
                break;
            }
            let Some(id) = self.leader.next_ready() else {
                break;
            };
            match self.poll_consumer(now, id, interest, out, &mut budget, reads) {
                Progress::Idle => {}
                Progress::WantsMessages => self.leader.mark_hungry(id),
                // It is polled again when that was read.
                Progress::NeedsDisk => {}
                Progress::More => {
                    self.leader.mark_ready(id);
                    more = true;
                }
            }
            self.leader.schedule(id);
        }
        self.flush(out);
        self.look_for_aging();
        if more {
            Polled::More
        } else if self.wants_reads() {
            Polled::NeedsDisk
        } else {
            Polled::Idle
        }
    }

    /// Does what is due by `now`: expiry of messages and message ids, ends and heartbeats of requests, redeliveries,
    /// removal of consumers nobody uses. [`poll`](Self::poll) comes after it.
    pub fn on_timer(
        &mut self,
        now: Timestamp,
        interest: &mut dyn FnMut(&[u8]) -> bool,
        out: &mut Output,
    ) {
        self.expire(now, out);
        self.batches.expire(now);
        self.ingests.expire(now);
        // Timers that a consumer sets for the same moment wait for the next call, so that this one ends.
        let mut fired = Vec::new();
        while let Some(id) = self.leader.next_expired(now) {
            fired.push(id);
        }
        for id in fired {
            self.on_consumer_timer(now, id, interest, out);
        }
        self.flush(out);
    }

    /// When [`on_timer`](Self::on_timer) has something to do; may be too early, never too late.
    #[must_use]
    pub fn next_timer(&self) -> Option<Timestamp> {
        let ids = self.state.dedupe.next_timer(self.state.duplicate_window());
        let batches = [self.batches.next_timer(), self.ingests.next_timer()];
        [self.leader.next_timer(), self.next_expiry(), ids]
            .into_iter()
            .chain(batches)
            .flatten()
            .min()
    }

    /// What subscribers to advisories are to be told since this was called last.
    pub fn take_advisories(&mut self) -> Vec<Advisory> {
        self.advisories.take()
    }

    /// The messages.
    #[must_use]
    pub fn store(&self) -> &StreamStore {
        &self.state.store
    }

    /// The messages, for taking and finishing writes. Changing messages is the stream's business alone.
    pub fn store_mut(&mut self) -> &mut StreamStore {
        &mut self.state.store
    }

    /// The stream's number.
    #[must_use]
    pub fn id(&self) -> StreamId {
        self.state.id
    }

    /// The configuration, defaults filled in, without the metadata keys that are not stored.
    #[must_use]
    pub fn config(&self) -> &StreamConfig {
        &self.state.config
    }

    /// When the stream was created.
    #[must_use]
    pub fn created(&self) -> Timestamp {
        self.state.created
    }

    /// Whether the stream has a consumer.
    #[must_use]
    pub fn has_consumers(&self) -> bool {
        !self.state.consumers.is_empty()
    }

    /// The last entry.
    #[must_use]
    pub fn entry(&self) -> EntryIndex {
        self.state.entry
    }

    /// Messages up to here may be delivered.
    #[must_use]
    pub fn durable(&self) -> StreamSequence {
        self.leader.durable()
    }

    /// A number that is the same for the same state, and most likely another one for any other: everything that
    /// survives is in it. Reads every message. For tests.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.state.digest()
    }

    pub(crate) fn of(state: StreamState) -> Self {
        Self {
            leader: Leader::new(state.store.last_sequence()),
            state,
            interest: Interest::default(),
            gathered: Gathered::default(),
            batches: Batches::default(),
            ingests: Ingests::default(),
            aging: Aging::default(),
            renaming: None,
            republisher: None,
            renamed: Vec::new(),
            wanted: Wanted::default(),
            recovered_at: EntryIndex::ZERO,
            has_lost_consumers: false,
            has_gap: false,
            carried: JournalBatch::default(),
            removals: Vec::new(),
            purged: 0,
            advisories: Advisories::default(),
        }
    }

    /// The configuration is another one.
    pub(crate) fn read_config(&mut self) {
        self.renaming = transform::of(&self.state.config);
        self.republisher = Republisher::of(&self.state.config);
    }

    /// Takes a message of the server's own, which nobody checks and nobody is told of.
    pub(crate) fn take_in(&mut self, now: Timestamp, publish: &Publish<'_>, out: &mut Output) {
        if self.is_wanted(publish.subject) {
            self.store_message(now, publish, out);
        } else {
            self.skip_message(now, publish, out);
        }
    }

    /// Whether a message with this subject that came next would be stored.
    pub(crate) fn is_wanted(&mut self, subject: &[u8]) -> bool {
        self.is_wanted_as(subject, self.state.store.last_sequence().next())
    }

    /// Whether it would be, were it to get this sequence.
    pub(crate) fn is_wanted_as(&mut self, subject: &[u8], sequence: StreamSequence) -> bool {
        self.state.config.retention != Retention::Interest
            || self.interest.wants_as(&self.state, subject, sequence)
    }

    /// Stores a message that passed all checks, with the value of its counter in a stream of counters.
    ///
    /// # Errors
    /// A counter that is broken, or too large.
    #[inline(never)]
    pub(crate) fn store_counted(
        &mut self,
        now: Timestamp,
        publish: &Publish<'_>,
        out: &mut Output,
    ) -> Result<StreamSequence, ApiError> {
        if !self.state.config.allow_msg_counter {
            return Ok(self.store_message(now, publish, out));
        }
        let counted = counter::count(&self.state, publish)?;
        let publish = counted.publish(publish);
        checks::check_size(&self.state.config, &publish)?;
        Ok(self.store_message(now, &publish, out))
    }

    /// Stores a message that passed all checks.
    #[inline(always)]
    fn store_message(
        &mut self,
        now: Timestamp,
        publish: &Publish<'_>,
        out: &mut Output,
    ) -> StreamSequence {
        let raised = ttl::raised(&self.state.config, publish.headers);
        let headers = raised.as_deref().unwrap_or(publish.headers);
        let next = self.state.store.last_sequence().next();
        let again = match &self.republisher {
            None => None,
            Some(republisher) => republisher.plan(&self.state, publish.subject, next, now),
        };
        let command = Command::Publish {
            time: now.max(self.state.last_time),
            sequence: next,
            subject: publish.subject,
            headers,
            payload: publish.payload,
        };
        let stored = self.commit(&command, out).stored;
        let sequence = stored.expect("a publish stores its message");
        if let Some(again) = again {
            again.send(&self.state, headers, publish, sequence, &mut out.effects);
        }
        if !self.state.is_journaled() {
            self.leader.on_durable(sequence);
        }
        sequence
    }

    /// Gives a sequence to a message that passed all checks and that no consumer wants.
    pub(crate) fn skip_message(
        &mut self,
        now: Timestamp,
        publish: &Publish<'_>,
        out: &mut Output,
    ) -> StreamSequence {
        let id = Headers(publish.headers).get(MESSAGE_ID);
        let command = Command::Skipped {
            time: now.max(self.state.last_time),
            message_id: id.unwrap_or_default(),
        };
        let skipped = self.commit(&command, out).stored;
        let sequence = skipped.expect("what is not stored takes a sequence");
        if let Some(command) = rollup::of_skipped(&self.state.config, publish) {
            self.commit(&command, out);
        }
        sequence
    }

    /// Makes a command the next entry: journals and applies it.
    #[inline]
    pub(crate) fn commit(&mut self, command: &Command<'_>, out: &mut Output) -> Applied {
        self.flush(out);
        self.commit_to(command, &mut out.journal)
    }

    /// Makes a command the next entry when nothing is gathered.
    #[inline]
    pub(crate) fn commit_to(
        &mut self,
        command: &Command<'_>,
        journal: &mut JournalBatch,
    ) -> Applied {
        let entry = self.state.entry.next();
        if self.state.is_journaled() {
            command.record(journal, self.state.id, entry);
        }
        let applied = self.state.apply(entry, command, &mut self.removals);
        self.leader.on_removals(&mut self.removals);
        self.tell_left_waiting();
        applied.expect("commands are made from the state they are applied to")
    }

    /// Journals the changes that were gathered.
    #[inline]
    pub(crate) fn flush(&mut self, out: &mut Output) {
        if !self.carried.is_empty() {
            out.journal.append(&mut self.carried);
        }
        self.flush_to(&mut out.journal);
    }

    #[inline]
    pub(crate) fn flush_to(&mut self, journal: &mut JournalBatch) {
        if let Some(id) = self.gathered.consumer.take() {
            self.flush_gathered(id, journal);
        }
    }

    fn flush_gathered(&mut self, id: ConsumerId, journal: &mut JournalBatch) {
        let runs = self.take_settled();
        let mut removed = Vec::new();
        runs.encode(&mut removed);
        let consumer = self.state.consumers.get(&id);
        let survives = consumer.is_some_and(|consumer| !consumer.is_volatile());
        if survives && !self.gathered.log.is_empty() {
            // The changes were made as they came; the entry only gets its number now.
            let entry = self.state.entry.next();
            self.state.entry = entry;
            let (time, changes) = (self.gathered.time, self.gathered.log.as_bytes());
            let command = if runs.is_empty() {
                Command::ConsumerChanged {
                    time,
                    consumer: id,
                    changes,
                }
            } else {
                Command::ConsumerSettled {
                    time,
                    consumer: id,
                    removed: &removed,
                    changes,
                }
            };
            if self.state.is_journaled() {
                command.record(journal, self.state.id, entry);
            }
            if !runs.is_empty() {
                self.state.remove_runs(entry, &runs, &mut self.removals);
                self.leader.on_removals(&mut self.removals);
            }
        } else if !runs.is_empty() {
            self.commit_to(&Command::Unwanted { removed: &removed }, journal);
        }
        self.gathered.log.clear();
    }

    /// Gathers changes of this consumer and time from now on.
    pub(crate) fn gather(&mut self, now: Timestamp, id: ConsumerId, out: &mut Output) {
        if self.gathered.consumer != Some(id) || self.gathered.time != now {
            self.flush(out);
            self.gathered.consumer = Some(id);
            self.gathered.time = now;
        }
    }

    fn poll_consumer(
        &mut self,
        now: Timestamp,
        id: ConsumerId,
        interest: &mut dyn FnMut(&[u8]) -> bool,
        out: &mut Output,
        budget: &mut Budget,
        reads: Reads,
    ) -> Progress {
        let progress =
            self.with_dispatcher(now, id, interest, out, |dispatcher, consumer, turn| {
                turn.budget = budget.messages;
                turn.bytes_max = budget.bytes_max;
                let progress = loop {
                    let progress = dispatcher.poll(consumer, turn);
                    if progress != Progress::NeedsDisk || reads == Reads::Resident {
                        break progress;
                    }
                    turn.store.admit(turn.cold.drain(..).map(|read| read.run()));
                };
                budget.messages = turn.budget;
                progress
            });
        if progress != Some(Progress::NeedsDisk) {
            self.wanted.forget(id);
        }
        self.note_delivered(id);
        if reads == Reads::Blocking {
            self.state.store.release_reads();
        }
        progress.unwrap_or(Progress::Idle)
    }

    fn on_consumer_timer(
        &mut self,
        now: Timestamp,
        id: ConsumerId,
        interest: &mut dyn FnMut(&[u8]) -> bool,
        out: &mut Output,
    ) {
        let fired = self.with_dispatcher(now, id, interest, out, |dispatcher, consumer, turn| {
            let is_ready = dispatcher.on_timer(consumer, turn);
            (is_ready, dispatcher.is_abandoned(now, consumer))
        });
        match fired {
            Some((_, true)) => self.drop_consumer(id, out),
            Some((true, false)) => self.leader.mark_ready(id),
            _ => {}
        }
        self.leader.schedule(id);
    }

    /// Lets a dispatcher work on its consumer and gathers what changes.
    fn with_dispatcher<R>(
        &mut self,
        now: Timestamp,
        id: ConsumerId,
        interest: &mut dyn FnMut(&[u8]) -> bool,
        out: &mut Output,
        work: impl FnOnce(&mut Dispatcher, &mut Consumer, &mut Turn<'_>) -> R,
    ) -> Option<R> {
        self.gather(now, id, out);
        let durable = self.leader.durable();
        let keeps_exhausted = self.removes_what_is_done();
        let dispatcher = self.leader.dispatcher(id)?;
        let consumer = self.state.consumers.get_mut(&id)?;
        let mut cold = Vec::new();
        let mut turn = Turn {
            now,
            stream: &self.state.config.name,
            store: &self.state.store,
            durable,
            keeps_exhausted,
            interest,
            sends: &mut out.sends,
            changes: &mut self.gathered.log,
            advisories: &mut self.advisories,
            budget: 0,
            bytes_max: 0,
            cold: &mut cold,
        };
        let result = work(dispatcher, consumer, &mut turn);
        if let Some(read) = cold.pop() {
            self.wanted.set_for(id, read);
        }
        Some(result)
    }
}
