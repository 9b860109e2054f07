//! What a store must answer, in the most naive way.

use std::collections::BTreeMap;

use everjet_subject::matches;
use everjet_values::{StreamSequence, Timestamp};

use super::super::{Lasts, ReadError, StreamStore};
use super::{SUBJECTS, Step};

pub(super) const FILTERS: [&[&[u8]]; 8] = [
    &[],
    &[b">"],
    &[b"order.new"],
    &[b"order.*"],
    &[b"order.>", b"a"],
    &[b"b.*", b"zebra"],
    &[b"*.b.>"],
    &[b"never"],
];

/// All messages by sequence, and the ends.
#[derive(Clone, Debug)]
pub(super) struct Model {
    pub(super) messages: BTreeMap<u64, Stored>,
    pub(super) last: u64,
    pub(super) last_time: i64,
    in_memory: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    time: i64,
    subject: &'static str,
    headers: Vec<u8>,
    payload: Vec<u8>,
}

impl Model {
    pub(super) fn new(in_memory: bool) -> Self {
        Self {
            messages: BTreeMap::new(),
            last: 0,
            last_time: Timestamp::UNSET.as_nanos(),
            in_memory,
        }
    }

    pub(super) fn first(&self) -> u64 {
        self.messages
            .keys()
            .next()
            .copied()
            .unwrap_or(self.last + 1)
    }

    pub(super) fn apply(&mut self, step: &Step) {
        match step {
            Step::Append {
                time,
                subject,
                headers,
                payload,
            } => {
                self.last += 1;
                self.last_time = *time;
                let (headers, payload) = (headers.clone(), payload.clone());
                self.messages.insert(
                    self.last,
                    Stored {
                        time: *time,
                        subject,
                        headers,
                        payload,
                    },
                );
            }
            Step::Remove(sequence) => {
                self.messages.remove(sequence);
            }
            Step::RemoveThrough(through) => {
                self.messages.retain(|sequence, _| sequence > through);
            }
            Step::RemoveMatching(filters, (from, through), _) => {
                self.messages.retain(|sequence, message| {
                    !(*from..=*through).contains(sequence) || !is_match(filters, message)
                });
            }
            Step::SkipTo(next) => self.last = self.last.max(next.saturating_sub(1)),
        }
    }

    /// Asks the store everything and compares.
    pub(super) fn check(&self, store: &StreamStore, context: &str) {
        self.check_state(store, context);
        for sequence in 0..=self.last + 2 {
            self.check_message(store, sequence, context);
        }
        for subject in SUBJECTS {
            self.check_subject(store, subject, context);
        }
        let step = self.last as usize / 7 + 1;
        for from in (0..=self.last + 1).step_by(step) {
            for filters in FILTERS {
                self.check_filters(store, filters, from, context);
            }
        }
        let times = self.messages.values().map(|message| message.time);
        let (first, last) = (times.clone().next().unwrap_or(0), self.last_time.max(0));
        let step = (last - first) as usize / 17 + 1;
        for time in (first - 1..=last + 1).step_by(step) {
            let found = self
                .messages
                .iter()
                .find(|(_, message)| message.time >= time);
            let expected = found.map_or(self.last + 1, |(sequence, _)| *sequence);
            let answer = store.first_at_or_after(Timestamp::from_nanos(time));
            assert_eq!(answer.0, expected, "{context}: first at or after {time}");
        }
    }

    fn check_state(&self, store: &StreamStore, context: &str) {
        if let Some(read) = store.first_time_read() {
            let bound = store.state().first_time;
            store.admit([read.run()]);
            assert!(store.first_time_read().is_none(), "{context}: it was read");
            let exact = store.state().first_time;
            assert!(bound <= exact, "{context}: {bound} is after {exact}");
        }
        let state = store.state();
        store.release_reads();
        let size = |message: &Stored| {
            let (subject, headers) = (message.subject.len(), message.headers.len());
            let parts = subject + headers + message.payload.len();
            parts
                + if self.in_memory {
                    16
                } else if headers > 0 {
                    34
                } else {
                    30
                }
        };
        let subjects = self.messages.values().map(|message| message.subject);
        let subjects: std::collections::BTreeSet<_> = subjects.collect();
        let first_time = self.messages.values().next().map(|message| message.time);
        let messages = self.messages.len() as u64;
        assert_eq!(state.messages, messages, "{context}");
        assert_eq!(
            state.bytes,
            self.messages.values().map(size).sum::<usize>() as u64,
            "{context}"
        );
        assert_eq!(state.first_sequence.0, self.first(), "{context}");
        let unset = Timestamp::UNSET.as_nanos();
        assert_eq!(
            state.first_time.as_nanos(),
            first_time.unwrap_or(unset),
            "{context}"
        );
        assert_eq!(state.last_sequence.0, self.last, "{context}");
        assert_eq!(state.last_time.as_nanos(), self.last_time, "{context}");
        assert_eq!(state.subjects, subjects.len() as u64, "{context}");
        assert_eq!(
            state.deleted,
            self.last + 1 - self.first() - messages,
            "{context}"
        );
        assert_eq!(
            (store.messages(), store.bytes()),
            (state.messages, state.bytes)
        );
        for (sequence, message) in &self.messages {
            assert_eq!(
                store.size_of(StreamSequence(*sequence)),
                Some(size(message) as u64)
            );
        }
    }

    fn check_message(&self, store: &StreamStore, sequence: u64, context: &str) {
        let at = StreamSequence(sequence);
        let expected = self.messages.get(&sequence);
        assert_eq!(
            store.contains(at),
            expected.is_some(),
            "{context}: {sequence}"
        );
        let was_resident = store.is_resident(at);
        if let Some(view) = store.view(at) {
            assert!(was_resident, "{context}: {sequence}");
            assert_eq!(
                Some(view),
                store.get(at).ok().as_ref().map(|message| message.view())
            );
        }
        match (store.get(at), expected) {
            (Ok(message), Some(expected)) => {
                let stored = Stored {
                    time: message.time.as_nanos(),
                    subject: expected.subject,
                    headers: message.headers().to_vec(),
                    payload: message.payload().to_vec(),
                };
                assert_eq!(&stored, expected, "{context}: {sequence}");
                assert_eq!(
                    message.subject(),
                    expected.subject.as_bytes(),
                    "{context}: {sequence}"
                );
                assert_eq!(message.sequence, at);
                let id = store.subject_id(at).expect("it is there");
                assert_eq!(
                    store.subjects().name(id),
                    expected.subject.as_bytes(),
                    "{context}"
                );
                assert_eq!(store.time_of(at).ok(), Some(message.time));
            }
            (Err(ReadError::NotFound), None) => {
                assert!(
                    sequence < self.first() || sequence > self.last,
                    "{context}: {sequence}"
                );
            }
            (Err(ReadError::Deleted), None) => {
                assert!(
                    (self.first()..=self.last).contains(&sequence),
                    "{context}: {sequence}"
                );
            }
            (answer, _) => panic!("{context}: {sequence} is {expected:?}, not {answer:?}"),
        }
    }

    fn check_subject(&self, store: &StreamStore, subject: &str, context: &str) {
        let stored = self
            .messages
            .iter()
            .filter(|(_, message)| message.subject == subject);
        let sequences: Vec<u64> = stored.map(|(sequence, _)| *sequence).collect();
        let Some(id) = store.subjects().lookup(subject.as_bytes()) else {
            assert!(sequences.is_empty(), "{context}: {subject} is known");
            return;
        };
        // Twice: the first answer leaves hints for the second.
        for _ in 0..2 {
            let answer = (store.first_of(id), store.last_of(id), store.count_of(id));
            let together = store.last_of_all(&[store.subjects().name(id), b"nobody"]);
            assert_eq!(together, [answer.1, None]);
            let expected = (
                sequences.first().copied().map(StreamSequence),
                sequences.last().copied().map(StreamSequence),
                sequences.len() as u64,
            );
            assert_eq!(answer, expected, "{context}: {subject}");
        }
    }

    fn check_filters(&self, store: &StreamStore, filters: &[&[u8]], from: u64, context: &str) {
        let all = self
            .messages
            .iter()
            .filter(|(_, message)| is_match(filters, message));
        let mut last = BTreeMap::new();
        for (sequence, message) in all.clone() {
            last.insert(message.subject, StreamSequence(*sequence));
        }
        let mut last: Vec<_> = last.into_values().collect();
        last.sort();
        let every: Vec<u64> = all.clone().map(|(sequence, _)| *sequence).collect();
        let matching: Vec<u64> = all
            .map(|(sequence, _)| *sequence)
            .filter(|&sequence| sequence >= from)
            .collect();
        let set = store.select(filters);
        let context = format!("{context}: {filters:?} from {from}");
        let count = from as usize % 7;
        let newest = match every.len().checked_sub(count) {
            Some(at) => every.get(at).copied().unwrap_or(self.last + 1),
            None => self.first(),
        };
        let found = store.newest_matching(&set, count as u64).0;
        assert_eq!(found, newest, "{context}: newest {count}");
        let from = StreamSequence(from);
        let next = matching.first().copied().map(StreamSequence);
        assert_eq!(store.next_match(&set, from), next, "{context}");
        assert_eq!(
            store.count_match(&set, from),
            matching.len() as u64,
            "{context}"
        );
        assert_eq!(store.last_per_subject(&set), last, "{context}");
        let mut until = BTreeMap::new();
        for (sequence, message) in &self.messages {
            if *sequence <= from.0 && is_match(filters, message) {
                until.insert(message.subject, StreamSequence(*sequence));
            }
        }
        let mut until: Vec<_> = until.into_values().collect();
        until.sort();
        for (most, slots) in [(usize::MAX, usize::MAX), (usize::MAX, 3), (2, 3)] {
            let mut search = store.lasts_up_to(&set, from, most);
            let found = loop {
                match store.find_lasts(&mut search, slots) {
                    Lasts::Unfinished => {}
                    found => break found,
                }
            };
            let expected = if until.len() > most {
                Lasts::TooMany
            } else {
                Lasts::Found(until.clone())
            };
            assert_eq!(found, expected, "{context}: {most} in steps of {slots}");
        }
    }
}

fn is_match(filters: &[&[u8]], message: &Stored) -> bool {
    filters.is_empty()
        || filters
            .iter()
            .any(|filter| matches(filter, message.subject.as_bytes()))
}
