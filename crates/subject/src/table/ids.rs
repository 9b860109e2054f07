//! Which id a subject has, found by its hash.

/// No entry. Others are the hash in the upper half and, in the lower one, the id plus one.
const FREE: u64 = 0;
/// The smallest table.
const ENTRIES_MIN: usize = 8;

/// A hash table with linear probing, at most four fifths full. Entries lie in the order of their hashes, as far as their
/// neighbours leave room: so making it larger reads the old one and writes the new one from end to end, and it need not
/// double to keep that cheap. It holds the hashes, so that growing reads no subject.
#[derive(Clone, Debug, Default)]
pub(super) struct Ids {
    entries: Vec<u64>,
    len: usize,
}

impl Ids {
    /// An empty table with room for `count` entries.
    pub(super) fn with_capacity(count: usize) -> Self {
        Self {
            // Zeros of the system: memory that is not written to yet costs nothing.
            entries: vec![FREE; entries_for(count)],
            len: 0,
        }
    }

    /// A table that [`Ids::fill`] gives `length` entries as they were written.
    pub(super) fn to_be_filled(length: usize) -> Self {
        Self {
            entries: Vec::with_capacity(length),
            len: 0,
        }
    }

    /// Adds entries as they were written, free ones included.
    pub(super) fn fill(&mut self, entries: impl Iterator<Item = u64>) {
        let start = self.entries.len();
        self.entries.extend(entries);
        let new = self.entries.get(start..).unwrap_or_default();
        self.len += new.iter().filter(|&&entry| entry != FREE).count();
    }

    /// What is to be written.
    pub(super) fn entries(&self) -> &[u64] {
        &self.entries
    }

    /// Whether a table that was read back can be used: as full as others at most, with `count` ids, all below `count`. That
    /// each is there once, where its hash says, is left to the checksum of the file.
    pub(super) fn is_sound(&self, count: usize) -> bool {
        let is_known = |&entry: &u64| entry as u32 as usize <= count;
        self.len == count
            && self.len <= most(self.entries.len())
            && self
                .entries
                .iter()
                .fold(true, |all, entry| all & is_known(entry))
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The id with this hash that `is_it`.
    #[inline]
    pub(super) fn find(&self, hash: u32, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let mut at = self.start(hash);
        loop {
            // Without any entries there is none at 0; otherwise one of them is free.
            let entry = *self.entries.get(at)?;
            if entry == FREE {
                return None;
            }
            let [hash_of, id] = parts(entry);
            if hash_of == hash && is_it(id) {
                return Some(id);
            }
            at = self.after(at);
        }
    }

    /// Adds an entry. Ids are below 2^32 - 1.
    #[inline]
    pub(super) fn insert(&mut self, hash: u32, id: u32) {
        self.len += 1;
        if self.len > most(self.entries.len()) {
            self.grow();
        }
        self.put(u64::from(hash) << 32 | (u64::from(id) + 1));
    }

    fn grow(&mut self) {
        let entries = entries_for(self.len).max(self.entries.len() / 4 * 5);
        let old = std::mem::replace(&mut self.entries, vec![FREE; entries]);
        for entry in old.into_iter().filter(|&entry| entry != FREE) {
            self.put(entry);
        }
    }

    #[inline]
    fn put(&mut self, entry: u64) {
        let [hash, _] = parts(entry);
        let mut at = self.start(hash);
        while self.entries[at] != FREE {
            at = self.after(at);
        }
        self.entries[at] = entry;
    }

    /// Where an entry with this hash is, or behind.
    #[inline]
    fn start(&self, hash: u32) -> usize {
        ((u64::from(hash) * self.entries.len() as u64) >> 32) as usize
    }

    #[inline]
    fn after(&self, at: usize) -> usize {
        if at + 1 == self.entries.len() {
            0
        } else {
            at + 1
        }
    }
}

/// Hash and id of an entry that is not free.
#[inline]
fn parts(entry: u64) -> [u32; 2] {
    [(entry >> 32) as u32, (entry as u32).wrapping_sub(1)]
}

/// How many entries a table of this length takes.
fn most(entries: usize) -> usize {
    entries / 5 * 4
}

/// The length of a table for so many entries.
fn entries_for(count: usize) -> usize {
    if count == 0 {
        return 0;
    }
    (count.div_ceil(4) * 5).next_multiple_of(5).max(ENTRIES_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Well spread, and the same for a few ids.
    fn hash(id: u32) -> u32 {
        (id / 3).wrapping_mul(0x9E37_79B9)
    }

    #[test]
    fn what_was_inserted_is_found_and_nothing_else() {
        for capacity in [0, 1, 7, 20_000] {
            let mut ids = Ids::with_capacity(capacity);
            assert_eq!(ids.find(0, |_| true), None);
            for id in 0..20_000 {
                assert_eq!(ids.find(hash(id), |other| other == id), None);
                ids.insert(hash(id), id);
                assert_eq!(ids.len(), id as usize + 1);
                for known in [0, id / 2, id] {
                    let found = ids.find(hash(known), |other| other == known);
                    assert_eq!(found, Some(known), "{id} {capacity}");
                }
            }
            assert_eq!(ids.find(hash(5), |_| false), None);
            assert!(ids.entries.len() <= 20_000 * 8 / 5, "{capacity}");
        }
    }

    #[test]
    fn hashes_at_the_end_go_on_at_the_beginning() {
        let mut ids = Ids::default();
        for id in 0..1000 {
            ids.insert(u32::MAX, id);
        }
        for id in 0..1000 {
            assert_eq!(ids.find(u32::MAX, |other| other == id), Some(id));
        }
        assert_eq!(ids.find(0, |_| true), None);
    }
}
