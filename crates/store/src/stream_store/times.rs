//! Questions about times: every 64th is kept in memory, the others are in the messages.

use everjet_values::{StreamSequence, Timestamp};

use super::StreamStore;
use super::cold::{ColdRead, Lookup};
use super::message::ReadError;
use super::segment::Segment;

impl StreamStore {
    /// When the message was stored. Waits for the disk when that is not in memory: for tools, tests and start-up.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn time_of(&self, sequence: StreamSequence) -> Result<Timestamp, ReadError> {
        match self.view(sequence) {
            Some(message) => Ok(message.time),
            None => self.get(sequence).map(|message| message.time),
        }
    }

    /// [`StreamStore::search_time`] that waits for the disk: for tools, tests, start-up, and replaying.
    #[must_use]
    pub fn first_at_or_after(&self, time: Timestamp) -> StreamSequence {
        loop {
            // Each round learns a time that is remembered, so there are at most seven.
            match self.search_time(time) {
                Lookup::Ready(sequence) => {
                    self.release_reads();
                    return sequence;
                }
                Lookup::Cold(read) => self.admit([read.run()]),
            }
        }
    }

    /// The first message that is not older than `time`; one past the last sequence when all are older. Looks at most at seven of 64
    /// neighbouring messages, which may be on disk; one that cannot be read counts as not older.
    #[must_use]
    pub fn search_time(&self, time: Timestamp) -> Lookup<StreamSequence> {
        if self.messages == 0 || time > self.last_time {
            return Lookup::Ready(StreamSequence(self.last + 1));
        }
        let nanos = time.as_nanos();
        let after = self
            .segments
            .partition_point(|segment| segment.time_min() < nanos);
        // The last segment with a time below is where it happens; those without slots have no times of their own.
        let found = self
            .segments
            .range(..after)
            .rev()
            .find(|segment| segment.columns.len() > 0);
        let Some(segment) = found else {
            return Lookup::Ready(StreamSequence(self.first));
        };
        let step = segment
            .columns
            .times()
            .partition_point(|&kept| kept < nanos);
        let slots = segment.columns.slots_of_step(step.saturating_sub(1));
        let next = segment.sequence(slots.end.saturating_sub(1)) + 1;
        let live: Vec<StreamSequence> = slots
            .filter(|&slot| segment.subject(slot).is_some())
            .map(|slot| StreamSequence(segment.sequence(slot)))
            .collect();
        let (mut older, mut not_older) = (0, live.len());
        while older < not_older {
            let middle = older + (not_older - older) / 2;
            let sequence = live.get(middle).copied().unwrap_or(StreamSequence::ZERO);
            match self.lookup_time(sequence) {
                Ok(Lookup::Cold(read)) => return Lookup::Cold(read),
                Ok(Lookup::Ready(stored)) if stored < time => older = middle + 1,
                Ok(Lookup::Ready(_)) => not_older = middle,
                Err(_) => {
                    // Remembered for as long as this search takes, or it would not come to an end.
                    self.reader.note_time(sequence.0, None);
                    not_older = middle;
                }
            }
        }
        self.reader.forget_failures();
        Lookup::Ready(
            live.get(older)
                .copied()
                .unwrap_or_else(|| StreamSequence(self.next_live(next - 1).max(self.first))),
        )
    }

    /// What to read and admit so that [`StreamStore::state`] knows the time of the first message exactly; `None` when it does. To be
    /// asked again after that.
    #[must_use]
    pub fn first_time_read(&self) -> Option<ColdRead> {
        match self.lookup_time(StreamSequence(self.first)) {
            Ok(Lookup::Cold(read)) => Some(read),
            _ => None,
        }
    }

    /// The time of the first message; as long as it has not been read, a time not after it.
    #[must_use]
    pub fn first_time(&self) -> Timestamp {
        self.time_no_later(StreamSequence(self.first))
    }

    /// The time of a message; as long as it has not been read, a time not after it. Reads nothing.
    #[must_use]
    pub fn time_no_later(&self, sequence: StreamSequence) -> Timestamp {
        if let Some(time) = self.time_at_hand(sequence) {
            return time;
        }
        let at = self
            .segment_of(sequence.0)
            .and_then(|at| self.segments.get(at));
        let near = |segment: &Segment| {
            let kept = segment.columns.time_near(segment.slot(sequence.0));
            kept.map_or_else(|| segment.time_min(), |(time, _)| time)
        };
        Timestamp::from_nanos(at.map_or(i64::MIN, near))
    }

    /// The time of a message as far as it takes no look at anything that was read back: this is asked after every turn.
    fn time_at_hand(&self, sequence: StreamSequence) -> Option<Timestamp> {
        if let Some(message) = self.view(sequence) {
            return Some(message.time);
        }
        let (segment, slot) = self.locate(sequence).ok()?;
        match segment.columns.time_near(slot) {
            Some((time, true)) => Some(Timestamp::from_nanos(time)),
            _ => self.reader.known_time(sequence.0).flatten(),
        }
    }

    /// The time of a message without waiting for the disk.
    fn lookup_time(&self, sequence: StreamSequence) -> Result<Lookup<Timestamp>, ReadError> {
        if let Some(time) = self.time_at_hand(sequence) {
            return Ok(Lookup::Ready(time));
        }
        if self.reader.known_time(sequence.0).is_some() {
            // It is known that it cannot be read.
            return Err(ReadError::NotFound);
        }
        // Times are asked for in order: expiry goes through all messages.
        let looked = self.lookup(sequence, Some(sequence.previous()));
        match looked {
            Ok(Lookup::Ready(message)) => {
                self.reader.note_time(sequence.0, Some(message.time));
                Ok(Lookup::Ready(message.time))
            }
            Ok(Lookup::Cold(read)) => Ok(Lookup::Cold(read)),
            Err(error) => Err(error),
        }
    }
}
