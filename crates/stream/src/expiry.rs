//! What grows too old, by `max_age` or by its own lifetime: when to look, and what goes.
//!
//! Without markers and without messages that are exempt what is too old for `max_age` is everything up to a sequence. Otherwise
//! messages are looked at one by one, a bounded number at a time; those that are exempt are passed over once.

use std::collections::HashMap;
use std::time::Duration;

use everjet_store::Lookup;
use everjet_subject::SubjectId;
use everjet_values::{StreamSequence, Timestamp};

use crate::Publish;
use crate::command::Command;
use crate::machine::Stream;
use crate::marker;
use crate::output::Output;
use crate::runs::Runs;
use crate::state::StreamState;

/// Messages that grow too old within this time of each other go together.
const STEP: Duration = Duration::from_millis(10);
/// How long to wait when the time of the first message cannot be had.
const RETRY: Duration = Duration::from_secs(1);
/// How many messages go by their own lifetime at a time, and how many are looked at for their age; others have their turn in between.
const AT_ONCE_MAX: usize = 1_024;

/// How far the stream was looked through for its age. Nothing of it survives.
#[derive(Debug, Default)]
pub(crate) struct Aging {
    /// Messages up to here that are still there do not grow too old.
    passed: StreamSequence,
    /// The first message after them, at the end of the last turn; `None` when there was none.
    first: Option<StreamSequence>,
    not_before: Timestamp,
}

/// Messages that are about to go, in the order of the stream.
#[derive(Default)]
struct Leaving {
    sequences: Vec<StreamSequence>,
    /// How many of each subject. Only with markers.
    of_subject: HashMap<SubjectId, u64>,
}

impl Stream {
    /// Forgets message ids and removes messages that are too old. How old a message is may have to be read first.
    pub(crate) fn expire(&mut self, now: Timestamp, out: &mut Output) {
        let window = self.state.duplicate_window();
        self.state.dedupe.expire(now, window);
        self.expire_by_lifetime(now, out);
        if self.next_aged().is_none_or(|at| at > now) {
            return;
        }
        let age = self.state.config.max_age.as_duration().unwrap_or_default();
        // A message that is exactly as old as allowed goes.
        let oldest = now.minus(age).plus(Duration::from_nanos(1));
        let keep = match self.state.store.search_time(oldest) {
            Lookup::Ready(keep) => keep,
            Lookup::Cold(read) => {
                self.wanted.set_for_expiry(read);
                return;
            }
        };
        let went = if has_exceptions(&self.state) {
            self.expire_one_by_one(now, keep, out)
        } else {
            let through = keep.previous();
            let goes = through >= self.state.store.first_sequence();
            if goes {
                self.commit(&Command::Expired { through }, out);
            }
            goes
        };
        let waits = self.wanted.is_for_expiry();
        if !went && !waits && self.next_aged().is_some_and(|at| at <= now) {
            // The first message's time cannot be had: do not ask again and again.
            self.aging.not_before = now.plus(RETRY);
        }
    }

    /// When [`Self::expire`] has messages to remove: a little later than the first is due, so that many go together. Too early
    /// when that one is gone, or on disk: its time is then known within 63 messages.
    pub(crate) fn next_expiry(&self) -> Option<Timestamp> {
        let due = self.state.expiries.next().map(|at| at.plus(STEP));
        [due, self.next_aged()].into_iter().flatten().min()
    }

    /// Begins to look from the first message on.
    pub(crate) fn forget_aging(&mut self) {
        self.aging = Aging::default();
        self.look_for_aging();
    }

    /// Looks for the first message that grows too old, where that is not the first of the stream. Ends every turn.
    pub(crate) fn look_for_aging(&mut self) {
        if !has_exceptions(&self.state) {
            return;
        }
        let (store, aging) = (&self.state.store, &mut self.aging);
        let from = aging.first.unwrap_or_default().max(aging.passed.next());
        // Most often it is the same as after the turn before.
        if aging.first != Some(from) || !store.contains(from) {
            aging.first = store.next_match(&store.select(&[]), from);
        }
    }

    fn next_aged(&self) -> Option<Timestamp> {
        let age = self.state.config.max_age.as_duration()?;
        if age.is_zero() || self.state.store.messages() == 0 || self.wanted.is_for_expiry() {
            return None;
        }
        let first = match has_exceptions(&self.state) {
            false => self.state.store.first_sequence(),
            true => self.aging.first?,
        };
        let expiry = self.state.store.time_no_later(first).plus(age);
        Some(expiry.plus(STEP).max(self.aging.not_before))
    }

    /// Removes messages whose own lifetime is over.
    fn expire_by_lifetime(&mut self, now: Timestamp, out: &mut Output) {
        let StreamState {
            store, expiries, ..
        } = &mut self.state;
        let mut leaving = Leaving::default();
        for due in expiries.take_due(store, now, AT_ONCE_MAX) {
            self.let_go(now, due.sequence, due.is_marker, &mut leaving, out);
        }
        self.remove_leaving(leaving, out);
    }

    /// Removes messages before `keep` that are not exempt, or leaves markers in their place. Returns whether it came further.
    fn expire_one_by_one(
        &mut self,
        now: Timestamp,
        keep: StreamSequence,
        out: &mut Output,
    ) -> bool {
        let everything = self.state.store.select(&[]);
        let mut leaving = Leaving::default();
        let mut passed = self.aging.passed;
        for _ in 0..AT_ONCE_MAX {
            let next = self.state.store.next_match(&everything, passed.next());
            let Some(sequence) = next.filter(|sequence| *sequence < keep) else {
                break;
            };
            if !self.state.expiries.is_exempt(sequence) {
                match is_marker(&self.state, sequence) {
                    Lookup::Ready(is_marker) => {
                        self.let_go(now, sequence, is_marker, &mut leaving, out);
                    }
                    Lookup::Cold(read) => {
                        self.wanted.set_for_expiry(read);
                        break;
                    }
                }
            }
            passed = sequence;
        }
        self.remove_leaving(leaving, out);
        let went = passed > std::mem::replace(&mut self.aging.passed, passed);
        self.look_for_aging();
        went
    }

    /// One message is too old: it goes with others, or a marker takes its place when it is the last of its subject.
    fn let_go(
        &mut self,
        now: Timestamp,
        sequence: StreamSequence,
        is_marker: bool,
        leaving: &mut Leaving,
        out: &mut Output,
    ) {
        let Some(headers) = marker::headers(&self.state.config) else {
            leaving.sequences.push(sequence);
            return;
        };
        let Some(subject) = self.state.store.subject_id(sequence) else {
            // Something came that took its place.
            return;
        };
        let leave = leaving.of_subject.entry(subject).or_default();
        if is_marker || self.state.store.count_of(subject) != *leave + 1 {
            *leave += 1;
            leaving.sequences.push(sequence);
            return;
        }
        // The marker takes with it what leaves anyhow.
        *leave = 0;
        let name = self.state.store.subjects().name(subject).to_vec();
        let publish = Publish {
            subject: &name,
            reply: b"",
            headers: &headers,
            payload: b"",
        };
        self.take_in(now, &publish, out);
    }

    fn remove_leaving(&mut self, mut leaving: Leaving, out: &mut Output) {
        let store = &self.state.store;
        leaving
            .sequences
            .retain(|sequence| store.contains(*sequence));
        if leaving.sequences.is_empty() {
            return;
        }
        let mut removed = Vec::new();
        Runs::of(&mut leaving.sequences).encode(&mut removed);
        self.commit(&Command::MessagesExpired { removed: &removed }, out);
    }
}

/// Whether what is too old is not simply everything up to a sequence.
fn has_exceptions(state: &StreamState) -> bool {
    state.expiries.has_exempt() || !state.config.subject_delete_marker_ttl.is_zero()
}

/// Whether a message is a marker; so counts one that cannot be read: nothing is to follow it.
fn is_marker(state: &StreamState, sequence: StreamSequence) -> Lookup<bool> {
    let has_headers = state.store.next_with_headers(sequence) == Some(sequence);
    if state.config.subject_delete_marker_ttl.is_zero() || !has_headers {
        return Lookup::Ready(false);
    }
    match state.store.lookup(sequence, Some(sequence.previous())) {
        Ok(looked) => looked.map(|message| marker::is_marker(message.headers())),
        Err(_) => Lookup::Ready(true),
    }
}
