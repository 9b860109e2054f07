//! Where the records of a segment begin: four bytes a message while it grows, less than one afterwards.

use std::sync::Arc;

use super::input::{Input, put_numbers};

/// Top bit of an offset while a segment grows: the message has headers. Segments stay below 2 GiB.
const HAS_HEADERS: u32 = 1 << 31;
/// How many offsets are packed together.
const BLOCK: usize = 64;
/// The slope of a block counts in parts of this.
const SLOPE_SHIFT: u32 = 8;

/// One offset for each slot.
#[derive(Clone, Debug)]
pub(super) enum Offsets {
    /// May be added to.
    Growing(Vec<u32>),
    /// Complete and not packed yet: shared with whoever packs it.
    Whole(Arc<Vec<u32>>),
    /// Complete. Never changes, so it is shared with whoever writes it.
    Packed(Arc<PackedOffsets>),
}

/// Offsets in blocks of 64. Of each block the line from its first to its last offset is kept, and how far each offset is
/// from it, in as few bits as the block needs: none at all when all records have one length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PackedOffsets {
    slots: usize,
    /// Three numbers for each block, see [`Line`].
    lines: Vec<u32>,
    /// The distances, bit after bit from the lowest of each word; a block begins with a word.
    words: Vec<u64>,
    headers: Headers,
}

/// Which messages have headers.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Headers {
    None,
    All,
    /// A bit a slot.
    Some(Vec<u64>),
}

/// What is kept of a block. All arithmetic is modulo 2^32.
#[derive(Clone, Copy)]
struct Line {
    /// What the distances are added to, and the slope times the place in the block.
    base: u32,
    /// How much the offset grows from slot to slot, in parts of 2^-8.
    slope: u32,
    /// Number of its first word, times 64, plus the number of bits of a distance.
    place: u32,
}

impl Default for Offsets {
    fn default() -> Self {
        Self::Growing(Vec::new())
    }
}

impl Offsets {
    pub(super) fn push(&mut self, offset: u32, has_headers: bool) {
        let Self::Growing(offsets) = self else {
            unreachable!("nothing is added to a segment once it is packed");
        };
        offsets.push(if has_headers {
            offset | HAS_HEADERS
        } else {
            offset
        });
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Packed(packed) => packed.slots,
            Self::Growing(_) | Self::Whole(_) => self.plain().len(),
        }
    }

    /// Those that are not packed, with the header bit.
    #[inline]
    fn plain(&self) -> &[u32] {
        match self {
            Self::Growing(offsets) => offsets,
            Self::Whole(offsets) => offsets,
            Self::Packed(_) => &[],
        }
    }

    pub(super) fn is_packed(&self) -> bool {
        matches!(self, Self::Packed(_))
    }

    /// Nothing is added afterwards. From now on a clone costs nothing.
    pub(super) fn seal(&mut self) {
        if let Self::Growing(offsets) = self {
            *self = Self::Whole(Arc::new(std::mem::take(offsets)));
        }
    }

    #[inline]
    pub(super) fn get(&self, slot: usize) -> Option<u32> {
        match self {
            Self::Packed(packed) => packed.get(slot),
            Self::Growing(offsets) => offsets.get(slot).map(|offset| offset & !HAS_HEADERS),
            Self::Whole(offsets) => offsets.get(slot).map(|offset| offset & !HAS_HEADERS),
        }
    }

    #[inline]
    pub(super) fn has_headers(&self, slot: usize) -> bool {
        match self {
            Self::Packed(packed) => slot < packed.slots && packed.headers.has(slot),
            Self::Growing(_) | Self::Whole(_) => self
                .plain()
                .get(slot)
                .is_some_and(|offset| offset & HAS_HEADERS != 0),
        }
    }

    /// The first slot from `from` on whose message has headers.
    pub(super) fn next_with_headers(&self, from: usize) -> Option<usize> {
        match self {
            Self::Packed(packed) => packed
                .headers
                .next(from)
                .filter(|&slot| slot < packed.slots),
            Self::Growing(_) | Self::Whole(_) => {
                let rest = self.plain().get(from..)?;
                let found = rest.iter().position(|offset| offset & HAS_HEADERS != 0)?;
                Some(from + found)
            }
        }
    }

    /// As they are in a frame: the top bit says whether the message has headers.
    pub(super) fn to_numbers(&self) -> Vec<u32> {
        match self {
            Self::Growing(_) | Self::Whole(_) => self.plain().to_vec(),
            Self::Packed(packed) => (0..packed.slots)
                .map(|slot| {
                    let offset = packed.get(slot).unwrap_or_default();
                    offset
                        | if packed.headers.has(slot) {
                            HAS_HEADERS
                        } else {
                            0
                        }
                })
                .collect(),
        }
    }

    /// Whether offsets that were read from a disk never decrease and lie below `end`.
    pub(super) fn is_sound(&self, end: u32) -> bool {
        match self {
            Self::Growing(_) | Self::Whole(_) => {
                let offsets = self.plain().iter().map(|offset| offset & !HAS_HEADERS);
                offsets.clone().is_sorted() && offsets.max().is_none_or(|last| last < end)
            }
            Self::Packed(packed) => packed.is_sound(),
        }
    }

    /// Makes them such that they can be added to.
    pub(super) fn unpack(&mut self) {
        if let Self::Packed(_) = self {
            *self = Self::Growing(self.to_numbers());
        }
    }

    /// Makes them small; nothing is added afterwards.
    pub(super) fn pack(&mut self) {
        if !self.is_packed() {
            *self = Self::Packed(Arc::new(PackedOffsets::new(self.plain())));
        }
    }
}

impl PackedOffsets {
    /// Packs offsets with the header bit.
    fn new(offsets: &[u32]) -> Self {
        let mut packed = Self {
            slots: offsets.len(),
            lines: Vec::with_capacity(3 * offsets.len().div_ceil(BLOCK)),
            words: Vec::new(),
            headers: Headers::new(offsets),
        };
        for block in offsets.chunks(BLOCK) {
            packed.push_block(block);
        }
        packed.words.shrink_to_fit();
        packed
    }

    fn push_block(&mut self, block: &[u32]) {
        let mut plain = [0_u32; BLOCK];
        for (plain, offset) in plain.iter_mut().zip(block) {
            *plain = offset & !HAS_HEADERS;
        }
        let plain = plain.get(..block.len()).unwrap_or_default();
        let (Some(&first), Some(&last)) = (plain.first(), plain.last()) else {
            return;
        };
        let steps = (block.len() as u64 - 1).max(1);
        let slope = (u64::from(last.saturating_sub(first)) << SLOPE_SHIFT) / steps;
        let mut line = Line {
            base: 0,
            slope: u32::try_from(slope).unwrap_or(u32::MAX),
            place: 0,
        };
        let distance = |(at, &offset): (usize, &u32)| i64::from(offset) - i64::from(line.at(at));
        let distances = plain.iter().enumerate().map(distance);
        let least = distances.clone().min().unwrap_or_default();
        let most = distances.max().unwrap_or_default();
        // Offsets are below 2^31 and so is the line: what is between two distances fits.
        let bits = u64::BITS - (most - least).cast_unsigned().leading_zeros();
        let word = u32::try_from(self.words.len()).expect("fewer words than half the slots");
        line.place = word << 6 | bits;
        #[expect(clippy::cast_possible_truncation, reason = "modulo 2^32 by intent")]
        let base = least as u32;
        line.base = base;
        self.lines.extend([line.base, line.slope, line.place]);
        let start = self.words.len();
        self.words
            .resize(start + (block.len() * bits as usize).div_ceil(64), 0);
        let words = self.words.get_mut(start..).unwrap_or_default();
        for (at, offset) in plain.iter().enumerate() {
            put_bits(words, at * bits as usize, offset.wrapping_sub(line.at(at)));
        }
    }

    #[inline]
    fn get(&self, slot: usize) -> Option<u32> {
        if slot >= self.slots {
            return None;
        }
        let at = slot / BLOCK * 3;
        let &[base, slope, place] = self.lines.get(at..at + 3)?.first_chunk()?;
        let line = Line { base, slope, place };
        let bits = place & 63;
        let at = slot % BLOCK;
        let mut offset = line.at(at);
        if bits > 0 {
            let bit = (place >> 6) as usize * 64 + at * bits as usize;
            offset = offset.wrapping_add(bits_at(&self.words, bit, bits));
        }
        Some(offset)
    }

    /// Whether what was read from a disk fits together, so that every slot has an offset. That offsets never decrease is
    /// left to the checksum.
    fn is_sound(&self) -> bool {
        let (lines, rest) = self.lines.as_chunks::<3>();
        let is_inside = |(block, &[.., place]): (usize, &[u32; 3])| {
            let slots = (self.slots - block * BLOCK).min(BLOCK);
            let bits = (place & 63) as usize;
            let words = (slots * bits).div_ceil(64);
            bits <= 32 && (place >> 6) as usize + words <= self.words.len()
        };
        rest.is_empty()
            && lines.len() == self.slots.div_ceil(BLOCK)
            && lines.iter().enumerate().all(is_inside)
            && self.headers.is_sound(self.slots)
    }

    /// Appends what [`PackedOffsets::parse`] reads.
    ///
    /// ```text
    /// u32  words    u32  headers: 0 no message has any, 1 all have, 2 as the bits say
    ///      lines, three u32 for every 64 slots
    ///      words, u64 each
    ///      bits of headers, u64 for every 64 slots, if any
    /// ```
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        let words = u32::try_from(self.words.len()).expect("fewer words than half the slots");
        let (kind, bits): (u32, &[u64]) = match &self.headers {
            Headers::None => (0, &[]),
            Headers::All => (1, &[]),
            Headers::Some(bits) => (2, bits),
        };
        put_numbers(&[words, kind], out);
        put_numbers(&self.lines, out);
        for word in self.words.iter().chain(bits) {
            out.extend_from_slice(&word.to_le_bytes());
        }
    }

    /// Reads the offsets of `slots` messages; `None` when they do not fit together.
    pub(super) fn parse(input: &mut Input<'_>, slots: usize) -> Option<Self> {
        let words = input.count()?;
        let kind = input.number()?;
        let blocks = slots.div_ceil(BLOCK);
        let packed = Self {
            slots,
            lines: input.numbers(blocks.checked_mul(3)?)?,
            words: input.unsigned(words)?,
            headers: match kind {
                0 => Headers::None,
                1 => Headers::All,
                2 => Headers::Some(input.unsigned(blocks)?),
                _ => return None,
            },
        };
        packed.is_sound().then_some(packed)
    }
}

impl Line {
    /// The offset of a place in the block, without its distance.
    #[inline]
    fn at(self, at: usize) -> u32 {
        #[expect(clippy::cast_possible_truncation, reason = "modulo 2^32 by intent")]
        let grown = ((u64::from(self.slope) * at as u64) >> SLOPE_SHIFT) as u32;
        self.base.wrapping_add(grown)
    }
}

impl Headers {
    fn new(offsets: &[u32]) -> Self {
        let has = |offset: &&u32| **offset & HAS_HEADERS != 0;
        match offsets.iter().filter(has).count() {
            0 => Self::None,
            all if all == offsets.len() => Self::All,
            _ => Self::Some(
                offsets
                    .chunks(BLOCK)
                    .map(|block| {
                        let bits = block.iter().enumerate();
                        bits.fold(0, |bits, (at, offset)| {
                            bits | u64::from(offset & HAS_HEADERS != 0) << at
                        })
                    })
                    .collect(),
            ),
        }
    }

    #[inline]
    fn has(&self, slot: usize) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Some(words) => words
                .get(slot / 64)
                .is_some_and(|word| word >> (slot % 64) & 1 == 1),
        }
    }

    fn next(&self, from: usize) -> Option<usize> {
        match self {
            Self::None => None,
            Self::All => Some(from),
            Self::Some(words) => {
                let mut at = from / 64;
                let mut word = words.get(at)? & u64::MAX << (from % 64);
                while word == 0 {
                    at += 1;
                    word = *words.get(at)?;
                }
                Some(at * 64 + word.trailing_zeros() as usize)
            }
        }
    }

    fn is_sound(&self, slots: usize) -> bool {
        match self {
            Self::Some(words) => words.len() == slots.div_ceil(BLOCK),
            Self::None | Self::All => true,
        }
    }
}

/// The `bits` bits, 1 to 32, from bit number `bit` on.
#[inline]
fn bits_at(words: &[u64], bit: usize, bits: u32) -> u32 {
    let at = bit / 64;
    let shift = bit % 64;
    let low = words.get(at).copied().unwrap_or_default() >> shift;
    let high = match shift {
        0 => 0,
        _ => words.get(at + 1).copied().unwrap_or_default() << (64 - shift),
    };
    #[expect(clippy::cast_possible_truncation, reason = "masked to 32 bits at most")]
    let value = ((low | high) & (u64::MAX >> (64 - bits))) as u32;
    value
}

/// Puts the bits of a value that is zero beyond its width at bit number `bit`, where zeros are.
fn put_bits(words: &mut [u64], bit: usize, value: u32) {
    let at = bit / 64;
    let shift = bit % 64;
    if let Some(word) = words.get_mut(at) {
        *word |= u64::from(value) << shift;
    }
    if shift > 32
        && let Some(word) = words.get_mut(at + 1)
    {
        *word |= u64::from(value) >> (64 - shift);
    }
}

#[cfg(test)]
mod tests {
    use everjet_values::{Entropy, SeededEntropy};

    use super::*;

    /// Packs offsets with these distances between them and compares everything with the plain ones; the bytes it takes.
    fn check(lengths: impl Iterator<Item = (u32, bool)>, what: &str) -> usize {
        let mut plain = Offsets::default();
        let mut offset = 64;
        for (length, has_headers) in lengths {
            plain.push(offset, has_headers);
            offset += length;
        }
        let mut packed = plain.clone();
        packed.pack();
        assert!(packed.is_sound(offset) && plain.is_sound(offset), "{what}");
        assert_eq!(packed.len(), plain.len(), "{what}");
        for slot in 0..plain.len() + 2 {
            assert_eq!(packed.get(slot), plain.get(slot), "{what} {slot}");
            assert_eq!(packed.has_headers(slot), plain.has_headers(slot), "{what}");
            let next = packed.next_with_headers(slot);
            assert_eq!(next, plain.next_with_headers(slot), "{what} {slot}");
        }
        assert_eq!(packed.to_numbers(), plain.to_numbers(), "{what}");
        let Offsets::Packed(packed) = packed else {
            panic!("it was packed above");
        };
        let mut bytes = Vec::new();
        packed.put(&mut bytes);
        let mut input = Input(&bytes);
        let read = PackedOffsets::parse(&mut input, plain.len()).expect("it was written above");
        assert_eq!(read, *packed, "{what}");
        assert_eq!(input.0, [0; 0], "{what}");
        bytes.len()
    }

    #[test]
    fn packed_offsets_are_the_offsets() {
        let dice = SeededEntropy::new(1);
        let below = |bound: u64| u32::try_from(dice.next_u64() % bound).expect("small");
        for count in [0, 1, 2, 63, 64, 65, 1000] {
            for bound in [1, 2, 100, 5000, 1_000_000] {
                for headers in [1, 2, 1000] {
                    let length = |_| (40 + below(bound), below(headers) == 0);
                    let what = format!("{count} below {bound}, 1/{headers}");
                    check((0..count).map(length), &what);
                }
            }
        }
        // As far apart as offsets can be.
        check(
            [(1, true), ((1 << 31) - 100, false), (1, true)].into_iter(),
            "far",
        );
    }

    #[test]
    fn records_of_one_length_take_a_fifth_of_a_byte() {
        let bytes = check((0..6400).map(|_| (173, false)), "equal");
        assert_eq!(bytes, 8 + 6400 / 64 * 12);
        let dice = SeededEntropy::new(2);
        let length = |_| {
            (
                100 + u32::try_from(dice.next_u64() % 200).expect("small"),
                true,
            )
        };
        let bytes = check((0..6400).map(length), "100 to 300");
        assert!(bytes < 2 * 6400, "{bytes}");
    }
}
