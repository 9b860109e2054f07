//! The account of recent messages that are on disk already and still in memory.

use std::collections::{HashMap, VecDeque};

use crate::StreamId;

/// How much each stream keeps, and in which order it came. The bytes are the streams' own.
#[derive(Debug)]
pub(super) struct Tails {
    bytes_max: usize,
    bytes: usize,
    by_stream: HashMap<StreamId, usize>,
    /// All that was added and was not yet found gone, oldest first.
    pieces: VecDeque<Piece>,
    last_mark: u64,
}

#[derive(Clone, Copy, Debug)]
struct Piece {
    stream: StreamId,
    mark: u64,
    bytes: usize,
}

impl Tails {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            bytes: 0,
            by_stream: HashMap::new(),
            pieces: VecDeque::new(),
            last_mark: 0,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn add(&mut self, stream: StreamId, bytes: usize) -> u64 {
        self.last_mark += 1;
        let mark = self.last_mark;
        self.bytes += bytes;
        *self.by_stream.entry(stream).or_default() += bytes;
        if self.bytes_max < usize::MAX {
            self.pieces.push_back(Piece {
                stream,
                mark,
                bytes,
            });
            let listed = self.pieces.len();
            if listed >= 1024 && listed.is_power_of_two() {
                self.drop_stale();
            }
        }
        mark
    }

    pub(super) fn remove(&mut self, stream: StreamId, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
        if let Some(held) = self.by_stream.get_mut(&stream) {
            *held = held.saturating_sub(bytes);
            if *held == 0 {
                self.by_stream.remove(&stream);
            }
        }
    }

    /// Whose pieces go, each with the mark of the last of them.
    pub(super) fn excess(&mut self) -> Vec<(StreamId, u64)> {
        let mut over = self.bytes.saturating_sub(self.bytes_max);
        if over == 0 {
            return Vec::new();
        }
        self.drop_stale();
        let share = self.bytes_max / self.by_stream.len().max(1);
        let mut left = self.by_stream.clone();
        let mut going: HashMap<StreamId, u64> = HashMap::new();
        for piece in &self.pieces {
            let Some(held) = left.get_mut(&piece.stream).filter(|held| **held > share) else {
                continue;
            };
            *held = held.saturating_sub(piece.bytes);
            going.insert(piece.stream, piece.mark);
            over = over.saturating_sub(piece.bytes);
            if over == 0 {
                break;
            }
        }
        self.pieces.retain(|piece| {
            going
                .get(&piece.stream)
                .is_none_or(|&mark| piece.mark > mark)
        });
        let mut going: Vec<_> = going.into_iter().collect();
        going.sort_unstable_by_key(|(_, mark)| *mark);
        going
    }

    /// Drops pieces that their streams let go by themselves: streams keep their newest, so those are the oldest that add up to
    /// more than is held.
    fn drop_stale(&mut self) {
        let mut seen: HashMap<StreamId, usize> = HashMap::new();
        let by_stream = &self.by_stream;
        let mut kept: VecDeque<Piece> = VecDeque::new();
        for piece in self.pieces.iter().rev() {
            let held = by_stream.get(&piece.stream).copied().unwrap_or(0);
            let newer = seen.entry(piece.stream).or_default();
            if *newer < held {
                *newer += piece.bytes;
                kept.push_front(*piece);
            }
        }
        self.pieces = kept;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUSY: StreamId = StreamId(1);
    const CALM: StreamId = StreamId(2);

    #[test]
    fn the_oldest_go_first_and_nobody_below_an_equal_share() {
        let mut tails = Tails::new(1000);
        tails.add(CALM, 100);
        let marks: Vec<u64> = (0..9).map(|_| tails.add(BUSY, 100)).collect();
        assert_eq!(tails.excess(), [], "all fits");
        let last = tails.add(BUSY, 200);
        assert_eq!(tails.excess(), [(BUSY, marks[1])]);
        tails.remove(BUSY, 200);
        assert_eq!((tails.bytes(), tails.excess()), (1000, Vec::new()));
        // Once the calm one holds more than its share, age decides.
        let calm = tails.add(CALM, 500);
        let excess = tails.excess();
        assert!(excess.iter().all(|(_, mark)| *mark < calm), "{excess:?}");
        assert!(last < calm);
    }

    #[test]
    fn what_streams_let_go_by_themselves_leaves_no_trace() {
        let mut tails = Tails::new(1 << 20);
        for _ in 0..100_000 {
            tails.add(BUSY, 10);
            if tails.bytes() > 100 {
                tails.remove(BUSY, 10);
            }
        }
        assert!(tails.pieces.len() <= 2048, "{}", tails.pieces.len());
        tails.remove(BUSY, 100);
        assert_eq!((tails.bytes(), tails.by_stream.len()), (0, 0));
    }

    #[test]
    fn what_goes_is_enough() {
        let mut tails = Tails::new(10_000);
        for round in 0..50_u64 {
            for stream in 0..round % 7 + 1 {
                tails.add(
                    StreamId(stream),
                    100 + usize::try_from(stream * 50).expect("small"),
                );
            }
        }
        let before = tails.pieces.clone();
        let excess = tails.excess();
        for (stream, mark) in excess {
            let gone = before
                .iter()
                .filter(|piece| piece.stream == stream && piece.mark <= mark);
            let bytes = gone.map(|piece| piece.bytes).sum();
            tails.remove(stream, bytes);
        }
        assert!(
            (9_000..=10_000).contains(&tails.bytes()),
            "{}",
            tails.bytes()
        );
    }
}
