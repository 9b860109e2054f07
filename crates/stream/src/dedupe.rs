//! Message ids that were seen: `Nats-Msg-Id` inside the duplicate window.

use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::time::Duration;

use everjet_values::{StreamSequence, Timestamp};
use foldhash::fast::RandomState;
use hashbrown::HashTable;

/// Message ids of the last while, with the sequence each one got.
///
/// Ids lie one after the other in pieces of memory that are given back as a whole when all their ids are too old; a
/// table finds them. One id takes its own bytes and about 40 more. The window bounds how many there are.
#[derive(Debug, Default)]
pub(crate) struct Dedupe {
    entries: VecDeque<Entry>,
    /// Number of the first entry; entries are numbered on and on, so that the table survives removals at the front.
    first: u64,
    table: HashTable<u64>,
    chunks: VecDeque<Vec<u8>>,
    /// Number of the first chunk.
    first_chunk: u64,
    hasher: RandomState,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    time: Timestamp,
    sequence: StreamSequence,
    chunk: u64,
    offset: u32,
    length: u32,
}

/// Size of the pieces of memory that hold ids; a longer id gets one of its own.
const CHUNK_BYTES: usize = 64 << 10;
/// Ids are forgotten in steps of this while nothing is published, so that an idle stream is not woken for each of them.
const STEP_NANOS: i64 = 1_000_000_000;

impl Dedupe {
    /// The sequence of the message with this id, if it is not older than `window`.
    pub(crate) fn find(
        &self,
        id: &[u8],
        now: Timestamp,
        window: Duration,
    ) -> Option<StreamSequence> {
        let number = self.table.find(self.hasher.hash_one(id), |number| {
            self.id(*number) == Some(id)
        })?;
        let entry = self.entry(*number)?;
        (now.since(entry.time) < window).then_some(entry.sequence)
    }

    /// Notes the id of a stored message. Times must not go back.
    pub(crate) fn insert(&mut self, id: &[u8], time: Timestamp, sequence: StreamSequence) {
        let hash = self.hasher.hash_one(id);
        let number = self.first + self.entries.len() as u64;
        let (chunk, offset) = self.store(id);
        self.entries.push_back(Entry {
            time,
            sequence,
            chunk,
            offset,
            length: u32::try_from(id.len()).expect("headers are far below 4 GiB"),
        });
        let Self {
            table,
            entries,
            first,
            chunks,
            first_chunk,
            hasher,
        } = self;
        let view = View {
            entries,
            first: *first,
            chunks,
            first_chunk: *first_chunk,
        };
        // An id that was too old to count may still be there: the table then names the new message only.
        match table.find_mut(hash, |other| view.id(*other) == Some(id)) {
            Some(other) => *other = number,
            None => {
                table.insert_unique(hash, number, |other| {
                    hasher.hash_one(view.id(*other).unwrap_or_default())
                });
            }
        }
    }

    /// Forgets ids that are older than `window`.
    pub(crate) fn expire(&mut self, now: Timestamp, window: Duration) {
        while let Some(entry) = self.entries.front().copied()
            && now.since(entry.time) >= window
        {
            let number = self.first;
            if let Some(id) = self.id(number) {
                let hash = self.hasher.hash_one(id);
                if let Ok(found) = self.table.find_entry(hash, |other| *other == number) {
                    found.remove();
                }
            }
            self.entries.pop_front();
            self.first += 1;
            let needed = self.entries.front().map_or(u64::MAX, |next| next.chunk);
            while self.first_chunk < needed && self.chunks.pop_front().is_some() {
                self.first_chunk += 1;
            }
        }
    }

    /// When [`expire`](Self::expire) has something to do, rounded up to whole seconds.
    pub(crate) fn next_timer(&self, window: Duration) -> Option<Timestamp> {
        let expiry = self.entries.front()?.time.plus(window).as_nanos();
        let step = expiry.div_euclid(STEP_NANOS).saturating_add(1);
        Some(Timestamp::from_nanos(step.saturating_mul(STEP_NANOS)))
    }

    fn entry(&self, number: u64) -> Option<&Entry> {
        self.view().entry(number)
    }

    fn id(&self, number: u64) -> Option<&[u8]> {
        self.view().id(number)
    }

    fn view(&self) -> View<'_> {
        View {
            entries: &self.entries,
            first: self.first,
            chunks: &self.chunks,
            first_chunk: self.first_chunk,
        }
    }

    /// Puts the bytes of an id behind the others: number of the chunk and offset in it.
    fn store(&mut self, id: &[u8]) -> (u64, u32) {
        let has_room = |chunk: &Vec<u8>| chunk.capacity() - chunk.len() >= id.len();
        if !self.chunks.back().is_some_and(has_room) {
            self.chunks
                .push_back(Vec::with_capacity(CHUNK_BYTES.max(id.len())));
        }
        let number = self.first_chunk + self.chunks.len() as u64 - 1;
        let chunk = self.chunks.back_mut().expect("pushed when there was none");
        let offset = u32::try_from(chunk.len()).expect("chunks are far below 4 GiB");
        chunk.extend_from_slice(id);
        (number, offset)
    }
}

/// The ids without the table, so that the table can change while its hashes are made again.
#[derive(Clone, Copy)]
struct View<'a> {
    entries: &'a VecDeque<Entry>,
    first: u64,
    chunks: &'a VecDeque<Vec<u8>>,
    first_chunk: u64,
}

impl<'a> View<'a> {
    fn entry(&self, number: u64) -> Option<&'a Entry> {
        let at = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.entries.get(at)
    }

    fn id(&self, number: u64) -> Option<&'a [u8]> {
        let entry = self.entry(number)?;
        let chunk = usize::try_from(entry.chunk.checked_sub(self.first_chunk)?).ok()?;
        let offset = entry.offset as usize;
        self.chunks
            .get(chunk)?
            .get(offset..offset + entry.length as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_nanos(100);

    fn at(nanos: i64) -> Timestamp {
        Timestamp::from_nanos(nanos)
    }

    #[test]
    fn an_id_counts_inside_the_window() {
        let mut dedupe = Dedupe::default();
        dedupe.insert(b"a", at(10), StreamSequence(1));
        assert_eq!(dedupe.find(b"a", at(109), WINDOW), Some(StreamSequence(1)));
        assert_eq!(dedupe.find(b"a", at(110), WINDOW), None);
        assert_eq!(dedupe.find(b"b", at(20), WINDOW), None);
    }

    #[test]
    fn an_id_that_comes_again_after_the_window_belongs_to_the_new_message() {
        let mut dedupe = Dedupe::default();
        dedupe.insert(b"a", at(10), StreamSequence(1));
        dedupe.insert(b"a", at(200), StreamSequence(2));
        dedupe.expire(at(200), WINDOW);
        assert_eq!(dedupe.find(b"a", at(250), WINDOW), Some(StreamSequence(2)));
        dedupe.expire(at(300), WINDOW);
        assert_eq!(dedupe.find(b"a", at(300), WINDOW), None);
        assert!(dedupe.table.is_empty());
    }

    #[test]
    fn many_ids_come_and_go_and_leave_no_memory() {
        let mut dedupe = Dedupe::default();
        for number in 0..50_000i64 {
            let id = format!("id-{number}");
            dedupe.expire(at(number), WINDOW);
            dedupe.insert(
                id.as_bytes(),
                at(number),
                StreamSequence(number.unsigned_abs()),
            );
            let old = format!("id-{}", number - 99);
            let found = dedupe.find(old.as_bytes(), at(number), WINDOW);
            assert_eq!(found.is_some(), number >= 99, "{number}");
        }
        assert_eq!(dedupe.table.len(), 100);
        assert_eq!(dedupe.entries.len(), 100);
        assert!(dedupe.chunks.len() <= 2);
    }

    #[test]
    fn idle_streams_forget_in_steps() {
        let mut dedupe = Dedupe::default();
        assert_eq!(dedupe.next_timer(WINDOW), None);
        dedupe.insert(b"a", at(STEP_NANOS), StreamSequence(1));
        assert_eq!(dedupe.next_timer(WINDOW), Some(at(2 * STEP_NANOS)));
    }
}
