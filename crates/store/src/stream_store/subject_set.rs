//! The subjects of a filter as a set of ids: a message matches when its id is in the set, without looking at text.

use everjet_subject::{SubjectId, SubjectNames, SubjectTable, matches};

/// The subjects of one store that match some filters. Made by [`StreamStore::select`], kept current by
/// [`StreamStore::extend`]; of no use with another store.
///
/// [`StreamStore::select`]: crate::StreamStore::select
/// [`StreamStore::extend`]: crate::StreamStore::extend
#[derive(Clone, Debug)]
pub struct SubjectSet {
    filters: Vec<Box<[u8]>>,
    /// Subjects with smaller ids were matched already.
    known: u32,
    pub(super) members: Members,
}

/// Which ids are in.
#[derive(Clone, Debug)]
pub(super) enum Members {
    All,
    None,
    /// The common case of a literal filter: comparing ids is faster than looking into a bitset.
    One(u32),
    Many(Vec<u64>),
}

impl SubjectSet {
    /// The subjects of `table` that match any of `filters`; no filter means all, those to come included.
    pub(super) fn select(table: &SubjectTable, filters: &[&[u8]]) -> Self {
        let matches_all = filters.is_empty() || filters.contains(&b">".as_slice());
        let mut set = Self {
            filters: filters.iter().map(|&filter| filter.into()).collect(),
            known: count(table),
            members: if matches_all {
                Members::All
            } else {
                Members::None
            },
        };
        if !matches_all {
            for filter in filters {
                table.for_each_match(filter, |id| set.members.insert(id.0));
            }
        }
        set
    }

    /// The subjects among `names` that match a filter: what [`StreamStore::select`] finds, away from the store.
    /// [`StreamStore::extend`] adds those that came since.
    ///
    /// [`StreamStore::select`]: crate::StreamStore::select
    /// [`StreamStore::extend`]: crate::StreamStore::extend
    #[must_use]
    pub fn among(names: &SubjectNames, filter: &[u8]) -> Self {
        let mut members = Members::None;
        names.for_each_match(filter, |id| members.insert(id.0));
        Self {
            filters: vec![filter.into()],
            known: u32::try_from(names.len()).expect("ids are 32 bits"),
            members: match filter {
                b">" => Members::All,
                _ => members,
            },
        }
    }

    /// Matches the subjects that `table` got since.
    pub(super) fn extend(&mut self, table: &SubjectTable) {
        let count = count(table);
        if !matches!(self.members, Members::All) {
            for id in self.known..count {
                let name = table.name(SubjectId(id));
                if self.filters.iter().any(|filter| matches(filter, name)) {
                    self.members.insert(id);
                }
            }
        }
        self.known = count;
    }

    /// Whether every subject matches.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        matches!(self.members, Members::All)
    }

    /// Whether a subject is in the set.
    #[must_use]
    pub fn contains(&self, subject: SubjectId) -> bool {
        self.members.has(subject.0)
    }

    /// The ids in the set, ascending, of the first `count` subjects.
    pub(super) fn ids(&self, count: usize) -> Vec<u32> {
        let all = 0..u32::try_from(count).expect("ids are 32 bits");
        match &self.members {
            Members::All => all.collect(),
            Members::None => Vec::new(),
            Members::One(id) => vec![*id],
            Members::Many(words) => words
                .iter()
                .enumerate()
                .flat_map(|(at, &word)| {
                    let base = u32::try_from(at * 64).expect("ids are 32 bits");
                    (0..64)
                        .filter(move |bit| word >> bit & 1 == 1)
                        .map(move |bit| base + bit)
                })
                .collect(),
        }
    }
}

impl Members {
    /// Whether a subject id is in.
    pub(super) fn has(&self, subject: u32) -> bool {
        match self {
            Self::All => true,
            Self::None => false,
            Self::One(id) => *id == subject,
            Self::Many(words) => is_in(words, subject),
        }
    }

    fn insert(&mut self, id: u32) {
        match self {
            Self::All => {}
            Self::None => *self = Self::One(id),
            Self::One(only) if *only == id => {}
            Self::One(only) => {
                let mut words = Vec::new();
                set_bit(&mut words, *only);
                set_bit(&mut words, id);
                *self = Self::Many(words);
            }
            Self::Many(words) => set_bit(words, id),
        }
    }
}

/// Whether the bit of `id` is set. Ids past the end are not in: they belong to later subjects or to removed messages.
#[inline]
pub(super) fn is_in(words: &[u64], id: u32) -> bool {
    words
        .get(id as usize / 64)
        .is_some_and(|word| word >> (id % 64) & 1 == 1)
}

fn set_bit(words: &mut Vec<u64>, id: u32) {
    let at = id as usize / 64;
    if words.len() <= at {
        words.resize(at + 1, 0);
    }
    if let Some(word) = words.get_mut(at) {
        *word |= 1 << (id % 64);
    }
}

fn count(table: &SubjectTable) -> u32 {
    u32::try_from(table.len()).expect("ids are 32 bits")
}
