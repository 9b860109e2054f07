//! Purging: removing messages on request, at once or in steps.
//!
//! A purge that may take long goes in steps, so that publishers, consumers and everybody else have their turn in between.
//! It is three kinds of commands, then: one that says what goes (up to which sequence, and which subjects), and one for
//! each step that says how far it came; what is between two of those is gone with the second. What is stored after the
//! first has a higher sequence and stays. Between two steps everybody sees a stream from which a part is gone, as if that
//! many had been deleted one by one.
//!
//! A purge that was begun is finished: a crash in the middle leaves what says so in the journal, and who serves the stream
//! next finishes it before anything else. A checkpoint finishes it, too, so that it need not know of unfinished ones.

use everjet_api::{ApiError, ErrorCode, PurgeRequest};
use everjet_consumer::SEQUENCE_MAX;
use everjet_store::{JournalBatch, RemoveBudget, SubjectSet};
use everjet_subject::{SubjectNames, has_wildcards, is_valid_filter};
use everjet_values::{EntryIndex, StreamSequence, Timestamp};

use crate::apply::Removal;
use crate::command::Command;
use crate::machine::Stream;
use crate::output::Output;
use crate::state::StreamState;

/// Up to so many messages a purge concerns at most are removed at once: it takes no longer than a step.
const AT_ONCE_MAX: u64 = 1_024;
/// Up to so many subjects a filter is compared with under the stream's lock.
const SUBJECTS_AT_ONCE: usize = 512;
/// Looking at a message costs this part of removing one.
const LOOKS_A_REMOVAL: usize = 32;
/// However many consumers there are that have to hear of each removal, a step makes this part of the removals it may.
const CONSUMERS_MAX: usize = 16;

/// How a purge is done without keeping anybody waiting.
#[derive(Clone, Debug)]
pub enum PurgeWay {
    /// With one call of [`Stream::purge`].
    AtOnce,
    /// With [`Stream::begin_purge`] and [`Stream::continue_purge`].
    InSteps,
    /// As before, with those of these subjects that match the filter: there may be millions of them, and the stream is
    /// not needed to find them.
    Matching(SubjectNames),
}

/// What is left to do after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PurgeProgress {
    /// Something.
    Going,
    /// Nothing: so many messages were removed.
    Over(u64),
}

/// A purge that was begun and is not over.
#[derive(Debug)]
pub(crate) struct Purging {
    filter: Box<[u8]>,
    set: SubjectSet,
    /// Everything before is done.
    next: StreamSequence,
    /// Messages after it stay.
    through: StreamSequence,
    removed: u64,
}

impl Purging {
    /// What goes: the filter, and up to which sequence.
    pub(crate) fn target(&self) -> (&[u8], u64) {
        (&self.filter, self.through.0)
    }
}

impl Stream {
    /// Removes messages. Returns how many. However many there are, it is done when this returns.
    ///
    /// # Errors
    /// Sealed or protected streams, `seq` together with `keep`.
    pub fn purge(
        &mut self,
        _now: Timestamp,
        request: &PurgeRequest,
        out: &mut Output,
    ) -> Result<u64, ApiError> {
        if !self.check_purge(request)? {
            return Ok(0);
        }
        out.sync_wanted = true;
        let command = Command::Purged {
            sequence: StreamSequence(request.seq),
            keep: request.keep,
            filter: request.filter.as_bytes(),
        };
        Ok(self.commit(&command, out).removed)
    }

    /// How a request is best done.
    #[must_use]
    pub fn way_of_purge(&self, request: &PurgeRequest) -> PurgeWay {
        let store = &self.state.store;
        let filter = request.filter.as_bytes();
        let is_refused = !self.check_purge(request).is_ok_and(|is_valid| is_valid);
        if is_refused || store.messages() <= AT_ONCE_MAX {
            return PurgeWay::AtOnce;
        }
        if is_everything(filter) {
            let is_all = request.seq == 0 || request.seq > store.last_sequence().0;
            // Nothing is left to look at then.
            return match is_all && request.keep == 0 {
                true => PurgeWay::AtOnce,
                false => PurgeWay::InSteps,
            };
        }
        if !has_wildcards(filter) {
            let id = store.subjects().lookup(filter);
            return match id.map_or(0, |id| store.count_of(id)) {
                0..=AT_ONCE_MAX => PurgeWay::AtOnce,
                _ => PurgeWay::InSteps,
            };
        }
        if store.subjects().len() <= SUBJECTS_AT_ONCE {
            return PurgeWay::InSteps;
        }
        PurgeWay::Matching(store.subjects().names())
    }

    /// Begins to remove messages in steps; [`Stream::continue_purge`] goes on until it is over. One that was begun before
    /// is finished first. `found` are the subjects that match, as far as somebody has looked already.
    ///
    /// # Errors
    /// As [`Stream::purge`].
    pub fn begin_purge(
        &mut self,
        _now: Timestamp,
        request: &PurgeRequest,
        found: Option<SubjectSet>,
        out: &mut Output,
    ) -> Result<(), ApiError> {
        self.purged = 0;
        if !self.check_purge(request)? {
            return Ok(());
        }
        self.flush(out);
        self.finish_purge(&mut out.journal);
        let filter = request.filter.as_bytes();
        let set = match found {
            Some(mut set) => {
                self.state.store.extend(&mut set);
                set
            }
            None => select(&self.state, filter),
        };
        let mut end = end_of(&self.state, StreamSequence(request.seq));
        if request.keep > 0 {
            end = end.min(self.state.store.newest_matching(&set, request.keep));
        }
        let through = end.previous().min(self.state.store.last_sequence());
        let entry = self.state.entry.next();
        self.state.entry = entry;
        let command = Command::PurgeBegun { through, filter };
        self.record(entry, &command, &mut out.journal);
        begin(&mut self.state, filter, set, through);
        Ok(())
    }

    /// Removes up to `budget` of the messages of the purge that was begun, fewer when there are consumers to be told or
    /// many others to be passed over.
    pub fn continue_purge(
        &mut self,
        _now: Timestamp,
        budget: usize,
        out: &mut Output,
    ) -> PurgeProgress {
        self.flush(out);
        let told = self.state.consumers.len().min(CONSUMERS_MAX - 1);
        let budget = RemoveBudget {
            looked_at: (budget * LOOKS_A_REMOVAL).max(1),
            removed: (budget / (1 + told)).max(1),
        };
        self.step_purge(budget, &mut out.journal)
    }

    /// Ends what was begun.
    pub(crate) fn finish_purge(&mut self, journal: &mut JournalBatch) {
        while self.state.purging.is_some() {
            self.step_purge(RemoveBudget::UNLIMITED, journal);
        }
    }

    fn step_purge(&mut self, budget: RemoveBudget, journal: &mut JournalBatch) -> PurgeProgress {
        let entry = self.state.entry.next();
        let stepped = step(
            &mut self.state,
            entry,
            budget,
            SEQUENCE_MAX,
            &mut self.removals,
        );
        let Some(stepped) = stepped else {
            return PurgeProgress::Over(self.purged);
        };
        self.leader.on_removals(&mut self.removals);
        let is_over = self.state.purging.is_none();
        if stepped.removed > 0 || is_over {
            // How far it came is of interest only when something came of it.
            self.state.entry = entry;
            let through = stepped.through;
            self.record(entry, &Command::PurgeStepped { through }, journal);
        }
        if !is_over {
            return PurgeProgress::Going;
        }
        self.purged = stepped.removed_so_far;
        PurgeProgress::Over(self.purged)
    }

    fn record(&self, entry: EntryIndex, command: &Command<'_>, journal: &mut JournalBatch) {
        if self.state.is_journaled() {
            journal.push(self.state.id, entry, command.kind(), |body| {
                command.encode(body);
            });
        }
    }

    /// Whether the request may remove anything.
    fn check_purge(&self, request: &PurgeRequest) -> Result<bool, ApiError> {
        if self.state.config.sealed {
            return Err(ErrorCode::StreamSealed.error());
        }
        if self.state.config.deny_purge {
            return Err(ErrorCode::StreamPurgeFailed.because("stream purge not permitted"));
        }
        if request.seq > 0 && request.keep > 0 {
            return Err(ErrorCode::BadRequest.error());
        }
        let filter = request.filter.as_bytes();
        Ok(filter.is_empty() || is_valid_filter(filter))
    }
}

/// Removes the messages before `sequence` (zero: all) whose subject matches `filter` (empty: all), except the newest
/// `keep` of them. Returns how many went.
///
/// Without a filter, a `sequence` past the end moves the end: the next message gets it.
pub(crate) fn purge(
    state: &mut StreamState,
    entry: EntryIndex,
    sequence: StreamSequence,
    keep: u64,
    filter: &[u8],
    removals: &mut Vec<Removal>,
) -> u64 {
    let set = select(state, filter);
    let mut end = end_of(state, sequence);
    if keep > 0 {
        end = end.min(state.store.newest_matching(&set, keep));
    }
    if is_everything(filter) {
        let removed = state.remove_through(entry, end.previous(), removals);
        state.store.skip_to(entry, end);
        return removed;
    }
    let mut gone = Vec::new();
    let range = (state.store.first_sequence(), end.previous());
    state
        .store
        .remove_matching(entry, &set, range, RemoveBudget::UNLIMITED, &mut gone);
    for consumer in state.consumers.values_mut() {
        let store = &state.store;
        consumer
            .state
            .on_removed_many(|sequence| store.contains(sequence));
    }
    removals.push(Removal::Many);
    gone.len() as u64
}

/// Notes what a purge in steps is about to remove.
pub(crate) fn begin(
    state: &mut StreamState,
    filter: &[u8],
    set: SubjectSet,
    through: StreamSequence,
) {
    state.purging = Some(Purging {
        filter: filter.into(),
        set,
        next: state.store.first_sequence(),
        through,
        removed: 0,
    });
}

/// The subjects that a filter means.
pub(crate) fn select(state: &StreamState, filter: &[u8]) -> SubjectSet {
    let filters: &[&[u8]] = if is_everything(filter) {
        &[]
    } else {
        &[filter]
    };
    state.store.select(filters)
}

/// What a step did.
pub(crate) struct Stepped {
    /// How many messages it removed, and all steps of this purge so far.
    removed: u64,
    removed_so_far: u64,
    /// How far it came.
    through: StreamSequence,
}

/// Removes as much as `budget` allows of what goes up to `through`. `None` when no purge was begun.
pub(crate) fn step(
    state: &mut StreamState,
    entry: EntryIndex,
    budget: RemoveBudget,
    through: StreamSequence,
    removals: &mut Vec<Removal>,
) -> Option<Stepped> {
    let mut purging = state.purging.take()?;
    let through = through.min(purging.through);
    let (removed, done) = if purging.set.is_everything() {
        let most = budget.removed as u64 - 1;
        let last = state.store.first_sequence().0.saturating_add(most);
        let done = through.min(StreamSequence(last));
        (state.remove_through(entry, done, removals), done)
    } else {
        let mut gone = Vec::new();
        let range = (purging.next, through);
        let done = state
            .store
            .remove_matching(entry, &purging.set, range, budget, &mut gone);
        for consumer in state.consumers.values_mut() {
            for (sequence, _) in &gone {
                consumer.state.on_removed(*sequence);
            }
        }
        if !state.consumers.is_empty() {
            let one = |&(sequence, subject): &_| Removal::One(sequence, Some(subject));
            removals.extend(gone.iter().map(one));
        }
        (gone.len() as u64, done)
    };
    purging.removed += removed;
    purging.next = done.next();
    let stepped = Stepped {
        removed,
        removed_so_far: purging.removed,
        through: done,
    };
    if done < purging.through {
        state.purging = Some(purging);
    }
    Some(stepped)
}

fn is_everything(filter: &[u8]) -> bool {
    filter.is_empty() || filter == b">"
}

/// The first sequence that stays, whatever its subject. Zero asks for all that there are.
fn end_of(state: &StreamState, sequence: StreamSequence) -> StreamSequence {
    if sequence == StreamSequence::ZERO {
        state.store.last_sequence().next()
    } else {
        sequence.min(SEQUENCE_MAX)
    }
}
