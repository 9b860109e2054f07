//! Looking ahead: what a batch of messages will touch is brought near before the first of them is stored.
//!
//! A message on one of a million subjects finds its subject, the totals of that and the message it replaces in memory
//! that nobody touched for long: some ten times the processor waits for it, one after the other. For a batch these waits
//! fall together, since no message's look-ups depend on those of another one.

use std::hint::black_box;

use everjet_subject::SubjectId;

use crate::segment::RECORD_HEADER;

use super::StreamStore;

/// With fewer subjects, what is known of them is near anyway.
const SUBJECTS_MIN: usize = 1 << 14;

/// What is known of the messages that come next.
#[derive(Default)]
pub(super) struct Ahead {
    /// The subjects of those messages, the next one last; `None` for those that have to be looked up.
    coming: Vec<Option<SubjectId>>,
    /// The subject of the message that is being checked and stored, perhaps.
    current: Option<SubjectId>,
    /// The messages that will be replaced, and their segments and slots.
    firsts: Vec<u64>,
    places: Vec<(usize, usize)>,
}

impl Ahead {
    /// The subject of the message that is being stored, perhaps. It has to be compared.
    #[inline]
    pub(super) fn take_current(&mut self) -> Option<SubjectId> {
        self.current.take()
    }
}

impl StreamStore {
    /// Messages with these subjects come next, in this order; [`StreamStore::next_comes`] goes before each of them. With
    /// `replaced_from`, the first message of a subject goes when it has as many.
    ///
    /// Changes nothing that anybody could ask for: what is done afterwards only costs less.
    pub fn look_ahead(&mut self, subjects: &[&[u8]], replaced_from: Option<u64>) {
        self.ahead.coming.clear();
        if self.subjects.len() < SUBJECTS_MIN {
            return;
        }
        let mut ahead = std::mem::take(&mut self.ahead);
        self.subjects.lookup_many(subjects, &mut ahead.coming);
        self.touch(&mut ahead, replaced_from);
        ahead.coming.reverse();
        self.ahead = ahead;
    }

    /// So many messages come next; in the journal they take `bytes`. Makes room for them in memory.
    ///
    /// Changes nothing that anybody could ask for: storing them only costs less.
    pub fn expect(&mut self, messages: usize, bytes: usize) {
        let chunk_bytes = self.options.chunk_bytes;
        if let Some(active) = self.segments.back_mut() {
            let bytes = bytes + messages * RECORD_HEADER;
            active.chunks.expect(bytes, chunk_bytes);
        }
    }

    /// The next one of the messages that were looked ahead to comes, or was refused.
    #[inline]
    pub fn next_comes(&mut self) {
        self.ahead.current = self.ahead.coming.pop().flatten();
    }

    /// Reads what will be read again. Each loop reads at places that do not depend on each other, and does little else:
    /// what the processor cannot foresee would keep it from reading ahead.
    fn touch(&self, ahead: &mut Ahead, replaced_from: Option<u64>) {
        let limit = replaced_from.unwrap_or(u64::MAX);
        ahead.firsts.clear();
        for subject in ahead.coming.iter().flatten() {
            if let Some(total) = self.totals.of(subject.0).filter(|t| t.count() >= limit) {
                ahead.firsts.push(total.first_hint());
            }
        }
        ahead.places.clear();
        for &first in &ahead.firsts {
            let at = self.segment_of(first);
            if let Some((at, segment)) = at.and_then(|at| Some((at, self.segments.get(at)?))) {
                ahead.places.push((at, segment.slot(first)));
            }
        }
        let mut sum = 0;
        for &(at, slot) in &ahead.places {
            if let Some(segment) = self.segments.get(at) {
                sum ^= segment.columns.subjects().get(slot).unwrap_or(0);
            }
        }
        for &(at, slot) in &ahead.places {
            if let Some(segment) = self.segments.get(at) {
                let range = segment.columns.range(slot, segment.end);
                sum ^= range.map_or(0, |(start, end)| start ^ end);
            }
        }
        // Or the compiler would see that nobody wants to know.
        black_box(sum);
    }
}

#[cfg(test)]
mod tests {
    use everjet_values::{EntryIndex, StreamSequence, Timestamp};

    use super::*;
    use crate::{NewMessage, StoreOptions};

    fn append(store: &mut StreamStore, subject: &str) -> Option<StreamSequence> {
        let message = NewMessage {
            time: Timestamp::from_nanos(1),
            subject: subject.as_bytes(),
            headers: b"",
            payload: b"",
        };
        let sequence = store.append(EntryIndex(1), &message);
        let id = store.subject_id(sequence).expect("it was stored");
        assert_eq!(store.subjects().name(id), subject.as_bytes());
        let first = store.first_of(id).expect("it was stored");
        (first != sequence).then(|| store.remove(EntryIndex(1), first))?;
        Some(first)
    }

    #[test]
    fn what_was_looked_ahead_to_in_vain_does_no_harm() {
        let mut store = StreamStore::in_memory(StoreOptions::default());
        let count = SUBJECTS_MIN as u64 + 100;
        let name = |number: u64| format!("key.{number}");
        for number in 0..count {
            assert_eq!(append(&mut store, &name(number)), None);
        }
        for from in [0, 7, count - 3] {
            let names: Vec<_> = (from..from + 40).map(name).collect();
            let subjects: Vec<_> = names.iter().map(String::as_bytes).collect();
            store.look_ahead(&subjects, Some(1));
            let is_known = store.ahead.coming.iter().filter(|id| id.is_some()).count() as u64;
            assert!(is_known <= 40.min(count - from) && (is_known > 20 || from > 7));
            for (at, name) in names.iter().enumerate() {
                if at % 5 == 0 {
                    // It is refused.
                    store.next_comes();
                }
                if at % 3 > 0 {
                    store.next_comes();
                }
                // Sometimes somebody else's message comes between.
                append(&mut store, "other");
                append(&mut store, name);
            }
        }
        assert_eq!(store.messages(), store.state().subjects);
    }
}
