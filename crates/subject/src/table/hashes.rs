//! Where the subjects of a table are by their hashes, in a form that can be written and read back.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::{FixedState, RandomState};

use super::ids::Ids;

/// The hashes of some subjects and the ids that belong to them. Made for writing them, or from what was written:
/// [`SubjectTable::from_parts`](super::SubjectTable::from_parts) takes them as they are, so that a table of a million subjects is
/// read back without hashing any of them.
#[derive(Clone, Debug)]
pub struct SubjectHashes {
    pub(super) seed: u64,
    pub(super) ids: Ids,
}

impl SubjectHashes {
    /// Those of `subjects`, `count` of them, which get ids in their order. The seed is a new one.
    ///
    /// # Panics
    /// When there are 2^32 subjects.
    pub fn of<'a>(count: usize, subjects: impl Iterator<Item = &'a [u8]>) -> Self {
        let seed = random_seed();
        // A table that is read back and goes on has room for as many again as come with its last segment.
        let mut ids = Ids::with_capacity(count + count / 8);
        let hasher = FixedState::with_seed(seed);
        for (id, subject) in (0..u32::MAX).zip(subjects) {
            ids.insert(hash(&hasher, subject), id);
        }
        Self { seed, ids }
    }

    /// What is to be filled with `count` written entries by [`SubjectHashes::push_entries`].
    #[must_use]
    pub fn with_seed(seed: u64, count: usize) -> Self {
        Self {
            seed,
            ids: Ids::to_be_filled(count),
        }
    }

    /// Adds written entries, each a little-endian number. Whether all of them together make sense is seen at the end.
    pub fn push_entries(&mut self, entries: &[[u8; 8]]) {
        let entries = entries.iter().map(|&entry| u64::from_le_bytes(entry));
        self.ids.fill(entries);
    }

    /// What the hashes depend on.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// What is to be written.
    #[must_use]
    pub fn entries(&self) -> &[u64] {
        self.ids.entries()
    }

    /// What this build's hash function makes of some texts. Hashes that were written by a build for which this was another
    /// number are of no use.
    #[must_use]
    pub fn check(seed: u64) -> u64 {
        let hasher = FixedState::with_seed(seed);
        let text: Vec<u8> = (0..=255).cycle().take(1024).collect();
        let lengths = (0..=80).chain([100, 255, 256, 257, 512, 1024]);
        lengths.fold(0, |check: u64, length| {
            let hash = u64::from(hash(&hasher, &text[..length]));
            check.rotate_left(7).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ hash
        })
    }
}

/// A number nobody outside can know.
pub(super) fn random_seed() -> u64 {
    RandomState::default().hash_one(0_u8)
}

/// The upper half of a subject's hash.
#[inline]
pub(super) fn hash(hasher: &FixedState, subject: &[u8]) -> u32 {
    let mut state = hasher.build_hasher();
    state.write(subject);
    (state.finish() >> 32) as u32
}
