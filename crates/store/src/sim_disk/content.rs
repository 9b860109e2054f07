//! What one simulated file holds, in memory and on the medium.

use everjet_values::{Entropy, SeededEntropy};

/// What a power cut keeps or loses as one.
const SECTOR: usize = 512;

/// The bytes of a file: as programs see them, and as they would be after a power cut.
#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    /// What reads return.
    current: Vec<u8>,
    /// What the last sync put on the medium.
    durable: Vec<u8>,
    /// What happened since, in order.
    pending: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Length(usize),
}

impl Content {
    pub(super) fn write(&mut self, offset: usize, bytes: &[u8]) {
        let change = Change::Write {
            offset,
            bytes: bytes.to_vec(),
        };
        change.apply(&mut self.current);
        self.pending.push(change);
    }

    pub(super) fn set_len(&mut self, length: usize) {
        let change = Change::Length(length);
        change.apply(&mut self.current);
        self.pending.push(change);
    }

    pub(super) fn sync(&mut self) {
        for change in self.pending.drain(..) {
            change.apply(&mut self.durable);
        }
    }

    /// What a kernel does after a write-back error: the pages count as clean, so no later sync writes them.
    pub(super) fn fail_sync(&mut self) {
        self.pending.clear();
    }

    pub(super) fn flip_bit(&mut self, bit: u64) -> bool {
        let at = usize::try_from(bit / 8).unwrap_or(usize::MAX);
        let mask = 1 << (bit % 8);
        let mut flipped = false;
        for byte in [self.current.get_mut(at), self.durable.get_mut(at)]
            .into_iter()
            .flatten()
        {
            *byte ^= mask;
            flipped = true;
        }
        flipped
    }

    pub(super) fn zero(&mut self, offset: usize, length: usize) {
        for bytes in [&mut self.current, &mut self.durable] {
            let end = bytes.len().min(offset.saturating_add(length));
            if let Some(part) = bytes.get_mut(offset..end) {
                part.fill(0);
            }
        }
    }

    pub(super) fn truncate(&mut self, length: usize) {
        self.current.truncate(length);
        self.durable.truncate(length);
        self.pending.clear();
    }

    pub(super) fn read(&self, buffer: &mut [u8], offset: usize) -> usize {
        let Some(rest) = self.current.get(offset..) else {
            return 0;
        };
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        count
    }

    pub(super) fn len(&self) -> usize {
        self.current.len()
    }

    /// The content after a power cut. `odds` of 8: how likely a sector has its newest content.
    ///
    /// A sector holds what it held after some number of the writes that touched it: the device may have written it at any
    /// moment. The last write may also be torn within a sector.
    pub(super) fn after_power_cut(&self, dice: &SeededEntropy, odds: u64) -> Self {
        let versions = self.surviving_versions(dice, odds);
        let mut touched = vec![0u32; versions.len()];
        let mut lengths = vec![self.durable.len()];
        let mut medium = self.durable.clone();
        let last = self.pending.len().saturating_sub(1);
        for (index, change) in self.pending.iter().enumerate() {
            match change {
                Change::Length(length) => {
                    if roll(dice, odds) {
                        change.apply(&mut medium);
                    }
                    lengths.push(*length);
                }
                Change::Write { offset, bytes } => {
                    for (sector, at, piece) in sectors(*offset, bytes) {
                        touched[sector] += 1;
                        if touched[sector] <= versions[sector] {
                            put(&mut medium, at, piece);
                        } else if index == last && odds > 0 && dice.next_u64().is_multiple_of(8) {
                            put(&mut medium, at, &piece[..pick(dice, piece.len() + 1)]);
                        }
                    }
                    let before = lengths.last().copied().unwrap_or(0);
                    lengths.push(before.max(offset + bytes.len()));
                }
            }
        }
        let newest = lengths.len() - 1;
        let chosen = if roll(dice, odds) {
            newest
        } else {
            pick(dice, lengths.len())
        };
        let chosen = if odds == 0 { 0 } else { chosen };
        medium.resize(lengths[chosen], 0);
        Self {
            current: medium.clone(),
            durable: medium,
            pending: Vec::new(),
        }
    }

    /// For each sector, how many of the pending writes to it reached the medium.
    fn surviving_versions(&self, dice: &SeededEntropy, odds: u64) -> Vec<u32> {
        let mut writes: Vec<u32> = Vec::new();
        for change in &self.pending {
            if let Change::Write { offset, bytes } = change {
                for (sector, ..) in sectors(*offset, bytes) {
                    if writes.len() <= sector {
                        writes.resize(sector + 1, 0);
                    }
                    writes[sector] += 1;
                }
            }
        }
        for count in writes.iter_mut().filter(|count| **count > 0) {
            if odds == 0 {
                *count = 0;
            } else if !roll(dice, odds) {
                let fewer = pick(dice, *count as usize);
                *count = u32::try_from(fewer).expect("below a 32-bit count");
            }
        }
        writes
    }
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Length(length) => bytes.resize(*length, 0),
            Self::Write { offset, bytes: new } => put(bytes, *offset, new),
        }
    }
}

fn put(bytes: &mut Vec<u8>, offset: usize, new: &[u8]) {
    let end = offset + new.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[offset..end].copy_from_slice(new);
}

/// The pieces of a write that fall into different sectors: sector number, offset in the file, bytes.
fn sectors(offset: usize, bytes: &[u8]) -> impl Iterator<Item = (usize, usize, &[u8])> {
    let mut at = offset;
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let sector = at / SECTOR;
        let (piece, after) = rest.split_at(rest.len().min((sector + 1) * SECTOR - at));
        let place = at;
        at += piece.len();
        rest = after;
        Some((sector, place, piece))
    })
}

/// True with a probability of `odds` in 8.
pub(super) fn roll(dice: &SeededEntropy, odds: u64) -> bool {
    dice.next_u64() % 8 < odds
}

/// A number below `end`, which must not be zero.
pub(super) fn pick(dice: &SeededEntropy, end: usize) -> usize {
    usize::try_from(dice.next_u64() % end as u64).expect("below a usize")
}
