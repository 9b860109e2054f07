//! Sets of sequences as runs: what a removal record and an index say about removed messages.
//!
//! ```text
//! block := count varint, then count times { gap varint, length varint }
//! ```
//! `gap` is the distance from the end of the run before (from 0 for the first) to the run's first sequence, `length` the
//! number of sequences after the first. Varints are LEB128, at most ten bytes.

/// A run of sequences, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Run {
    pub(crate) first: u64,
    pub(crate) last: u64,
}

/// Sorts runs and joins those that touch or overlap.
pub(crate) fn merge_runs(runs: &mut Vec<Run>) {
    runs.sort_unstable();
    runs.dedup_by(|next, previous| {
        let joins = next.first <= previous.last.saturating_add(1);
        if joins {
            previous.last = previous.last.max(next.last);
        }
        joins
    });
}

/// Appends a block of merged runs.
pub(crate) fn encode_runs(runs: &[Run], out: &mut Vec<u8>) {
    put_varint(runs.len() as u64, out);
    let mut position = 0;
    for run in runs {
        put_varint(run.first - position, out);
        put_varint(run.last - run.first, out);
        position = run.last;
    }
}

/// Reads a block and returns it with the bytes that follow; `None` when it is not one.
pub(crate) fn decode_runs(bytes: &[u8]) -> Option<(Vec<Run>, &[u8])> {
    let (count, mut rest) = varint(bytes)?;
    // Each run takes at least two bytes, so the count cannot make us reserve more than the block can hold.
    let count = usize::try_from(count)
        .ok()
        .filter(|&count| count <= rest.len() / 2)?;
    let mut runs = Vec::with_capacity(count);
    let mut position = 0_u64;
    for _ in 0..count {
        let (gap, after) = varint(rest)?;
        let (length, after) = varint(after)?;
        let first = position.checked_add(gap)?;
        let last = first.checked_add(length)?;
        runs.push(Run { first, last });
        (position, rest) = (last, after);
    }
    Some((runs, rest))
}

fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (at, &byte) in bytes.iter().take(10).enumerate() {
        let part = u64::from(byte & 0x7F);
        if at == 9 && part > 1 {
            return None;
        }
        value |= part << (7 * at);
        if byte < 0x80 {
            return Some((value, bytes.get(at + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(first: u64, last: u64) -> Run {
        Run { first, last }
    }

    #[test]
    fn runs_that_touch_become_one() {
        let check = |mut runs: Vec<Run>, expected: &[Run]| {
            merge_runs(&mut runs);
            assert_eq!(runs, expected);
        };
        check(
            vec![run(5, 5), run(1, 1), run(2, 3)],
            &[run(1, 3), run(5, 5)],
        );
        check(vec![run(1, 9), run(3, 4), run(9, 12)], &[run(1, 12)]);
        check(
            vec![run(u64::MAX, u64::MAX), run(0, u64::MAX)],
            &[run(0, u64::MAX)],
        );
    }

    #[test]
    fn blocks_read_back_what_was_written() {
        for runs in [
            vec![],
            vec![run(1, 1)],
            vec![run(7, 300), run(302, u64::MAX)],
        ] {
            let mut bytes = Vec::new();
            encode_runs(&runs, &mut bytes);
            bytes.push(9);
            assert_eq!(decode_runs(&bytes), Some((runs, [9].as_slice())));
        }
    }

    #[test]
    fn what_is_not_a_block_is_refused() {
        for bytes in [
            &b""[..],
            b"\x80",
            b"\x01\x05",
            b"\xFF\xFF\xFF\xFF\x0F",
            b"\x01\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01\x01",
            b"\x01\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x02\x01",
        ] {
            assert_eq!(decode_runs(bytes), None, "{bytes:?}");
        }
    }
}
