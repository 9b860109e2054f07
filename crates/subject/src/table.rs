//! Many subjects, match one filter.

mod hashes;
mod ids;
mod names;

use foldhash::fast::FixedState;

use crate::filter::has_wildcards;

use hashes::random_seed;
use ids::Ids;

pub use hashes::SubjectHashes;
pub use names::SubjectNames;

/// How many subjects [`SubjectTable::lookup_many`] looks up together.
const TOGETHER: usize = 32;

/// A subject of one [`SubjectTable`]: its position in order of first appearance, from 0. Ids of different tables have
/// nothing to do with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubjectId(pub u32);

/// A dictionary of literal subjects. Subjects get dense ids and stay for as long as the table does.
///
/// The bytes of the subjects lie one after the other, in a few thousand a piece; beside them a subject costs 4 bytes and
/// its share of the hash table, 10 to 13 bytes.
#[derive(Clone, Debug)]
pub struct SubjectTable {
    names: SubjectNames,
    ids: Ids,
    hasher: FixedState,
}

impl Default for SubjectTable {
    fn default() -> Self {
        Self {
            names: SubjectNames::default(),
            ids: Ids::default(),
            // Another one for each table: who chooses the subjects must not know how they are hashed.
            hasher: FixedState::with_seed(random_seed()),
        }
    }
}

impl SubjectTable {
    /// An empty table.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty table with room for `count` subjects.
    #[must_use]
    pub fn with_capacity(count: usize) -> Self {
        Self {
            ids: Ids::with_capacity(count),
            ..Self::default()
        }
    }

    /// A table of these subjects, with their hashes as they were written; `None` when they are not those of so many subjects.
    /// That they are of the same ones, and of this build ([`SubjectHashes::check`]), is the caller's word.
    #[must_use]
    pub fn from_parts(names: SubjectNames, hashes: SubjectHashes) -> Option<Self> {
        let SubjectHashes { seed, ids } = hashes;
        ids.is_sound(names.len()).then(|| Self {
            names,
            ids,
            hasher: FixedState::with_seed(seed),
        })
    }

    /// A table of these subjects, of which none comes twice.
    ///
    /// # Panics
    /// When they are 2^32.
    #[must_use]
    pub fn from_names(names: SubjectNames) -> Self {
        let mut table = Self::with_capacity(names.len());
        names.for_each(|_, subject| {
            table.insert_id(table.hash(subject));
        });
        table.names = names;
        table
    }

    /// The id of `subject`, which is added when it is new. The caller has checked that it is a valid literal.
    ///
    /// # Panics
    /// When the table already holds 2^32 subjects.
    pub fn intern(&mut self, subject: &[u8]) -> SubjectId {
        let hash = self.hash(subject);
        match self.find(hash, subject) {
            Some(id) => id,
            None => self.insert(hash, subject),
        }
    }

    /// The id of `subject` if the table has it.
    #[must_use]
    pub fn lookup(&self, subject: &[u8]) -> Option<SubjectId> {
        self.find(self.hash(subject), subject)
    }

    /// Looks many subjects up, and adds the id of each to `ids`, `None` for those that the table does not have. In a
    /// large table that is several times faster than one after the other: every step is made for some dozens of
    /// subjects before the next one, so that the processor waits for their memory together. Rarely, a subject that the
    /// table has is not found: a wrong one shares its place. What is found is right.
    pub fn lookup_many(&self, subjects: &[&[u8]], ids: &mut Vec<Option<SubjectId>>) {
        for some in subjects.chunks(TOGETHER) {
            let mut hashes = [0; TOGETHER];
            for (hash, subject) in hashes.iter_mut().zip(some) {
                *hash = self.hash(subject);
            }
            let mut found = [None; TOGETHER];
            for (found, hash) in found.iter_mut().zip(hashes).take(some.len()) {
                *found = self.ids.find(hash, |_| true);
            }
            let mut names: [&[u8]; TOGETHER] = [&[]; TOGETHER];
            for (name, id) in names.iter_mut().zip(found) {
                *name = id.map_or(&[], |id| self.name(SubjectId(id)));
            }
            let checked = found.into_iter().zip(names).zip(some);
            ids.extend(
                checked.map(|((id, name), subject)| id.filter(|_| name == *subject).map(SubjectId)),
            );
        }
    }

    /// The subject of an id.
    ///
    /// # Panics
    /// When the id is not of this table.
    #[must_use]
    pub fn name(&self, id: SubjectId) -> &[u8] {
        self.names.name(id)
    }

    /// The subjects as of now. Costs a pointer for some thousand subjects: the bytes are shared.
    #[must_use]
    pub fn names(&self) -> SubjectNames {
        self.names.clone()
    }

    /// How many subjects the table holds; their ids are below.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether the table holds no subject.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.len() == 0
    }

    /// Calls `visit` with the id of every subject that `filter`, a valid filter, matches, in ascending order.
    ///
    /// A filter without wildcards costs one look-up. Others read all subjects, which lie in memory in the order they
    /// are read; `>` reads none.
    pub fn for_each_match(&self, filter: &[u8], mut visit: impl FnMut(SubjectId)) {
        if filter == b">" {
            (0..=u32::MAX)
                .take(self.len())
                .for_each(|id| visit(SubjectId(id)));
        } else if !has_wildcards(filter) {
            if let Some(id) = self.lookup(filter) {
                visit(id);
            }
        } else {
            self.names.for_each_match(filter, visit);
        }
    }

    fn insert(&mut self, hash: u32, subject: &[u8]) -> SubjectId {
        self.names.push(subject);
        self.insert_id(hash)
    }

    /// Gives the next id to a subject with this hash.
    fn insert_id(&mut self, hash: u32) -> SubjectId {
        let id = u32::try_from(self.ids.len()).ok();
        let id = id.filter(|&id| id < u32::MAX);
        let id = id.expect("fewer than 2^32 subjects");
        self.ids.insert(hash, id);
        SubjectId(id)
    }

    #[inline]
    fn find(&self, hash: u32, subject: &[u8]) -> Option<SubjectId> {
        let is_it = |id| self.name(SubjectId(id)) == subject;
        self.ids.find(hash, is_it).map(SubjectId)
    }

    #[inline]
    fn hash(&self, subject: &[u8]) -> u32 {
        hashes::hash(&self.hasher, subject)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_are_found_like_one_after_the_other() {
        let name = |number: u32| format!("key.{}.{number}", number % 7).into_bytes();
        let mut table = SubjectTable::new();
        for number in 0..20_000 {
            table.intern(&name(number));
        }
        for count in [0, 1, TOGETHER, TOGETHER + 1, 1000] {
            // Every other one is not in the table.
            let names: Vec<_> = (0..count as u32)
                .map(|at| name(at * 39_989 % 40_000))
                .collect();
            let subjects: Vec<_> = names.iter().map(Vec::as_slice).collect();
            let mut ids = Vec::new();
            table.lookup_many(&subjects, &mut ids);
            assert_eq!(ids.len(), count);
            let mut missed = 0;
            for (id, subject) in ids.into_iter().zip(subjects) {
                let expected = table.lookup(subject);
                missed += usize::from(id.is_none() && expected.is_some());
                assert!(id.is_none() || id == expected);
            }
            assert!(missed <= count / 10, "{missed} of {count}");
        }
    }
}
