//! The last message of each of many subjects as of a sequence: in one pass over the subject columns, a bounded part at a time.

use everjet_subject::SubjectId;
use everjet_values::StreamSequence;

use super::StreamStore;
use super::subject_set::SubjectSet;

/// A search for the last message of each subject of a set at or before a sequence. Begun by [`StreamStore::lasts_up_to`], brought
/// to its end by [`StreamStore::find_lasts`], between whose calls the store may change: what is stored or removed meanwhile
/// changes nothing but that messages that were removed are not found.
#[derive(Clone, Debug)]
pub struct LastsUpTo {
    /// The subjects whose last message is still looked for, a bit each, and how many that are.
    wanted: Vec<u64>,
    wanted_count: usize,
    /// What lies after this sequence was looked at.
    until: u64,
    /// Number of results after which the search is given up.
    most: usize,
    found: Vec<StreamSequence>,
}

/// How far a search for last messages is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lasts {
    /// All of them, ascending.
    Found(Vec<StreamSequence>),
    /// There are more than were asked for.
    TooMany,
    /// There is more to look at.
    Unfinished,
}

impl LastsUpTo {
    fn want(&mut self, id: u32) {
        let at = id as usize / 64;
        if self.wanted.len() <= at {
            self.wanted.resize(at + 1, 0);
        }
        if let Some(word) = self.wanted.get_mut(at) {
            *word |= 1 << (id % 64);
            self.wanted_count += 1;
        }
    }

    /// Whether a subject is looked for; then it is found herewith.
    fn is_found(&mut self, id: u32) -> bool {
        let Some(word) = self.wanted.get_mut(id as usize / 64) else {
            return false;
        };
        let bit = 1 << (id % 64);
        let is_wanted = *word & bit != 0;
        *word &= !bit;
        self.wanted_count -= usize::from(is_wanted);
        is_wanted
    }

    fn is_over(&self) -> bool {
        self.wanted_count == 0 || self.found.len() > self.most
    }

    fn result(&mut self) -> Lasts {
        if self.found.len() > self.most {
            return Lasts::TooMany;
        }
        let mut found = std::mem::take(&mut self.found);
        found.sort_unstable();
        Lasts::Found(found)
    }
}

impl StreamStore {
    /// Begins to look for the last message at or before `up_to` of each subject in the set; at most `most` of them are wanted.
    #[must_use]
    pub fn lasts_up_to(&self, set: &SubjectSet, up_to: StreamSequence, most: usize) -> LastsUpTo {
        let mut lasts = LastsUpTo {
            wanted: Vec::new(),
            wanted_count: 0,
            until: up_to.0,
            most,
            found: Vec::new(),
        };
        for id in set.ids(self.subjects.len()) {
            let Some(total) = self.totals.of(id) else {
                continue;
            };
            if total.first_hint() > up_to.0 {
                continue;
            }
            // Most often the very last message is meant, which is known without a search.
            if total.last_hint() > up_to.0 {
                lasts.want(id);
            } else if let Some(last) = self.last_of(SubjectId(id)) {
                lasts.found.push(last);
                if lasts.found.len() > most {
                    break;
                }
            }
        }
        lasts
    }

    /// Looks at up to `slots_max` places of messages more.
    pub fn find_lasts(&self, lasts: &mut LastsUpTo, slots_max: usize) -> Lasts {
        let mut left = slots_max;
        let segments = match self.segment_before(lasts.until) {
            Some(at) if !lasts.is_over() => self.segments.range(..=at),
            _ => self.segments.range(..0),
        };
        for segment in segments.rev() {
            if segment.messages == 0 {
                continue;
            }
            let end = segment.slot_from(lasts.until.saturating_add(1));
            for slot in (0..end).rev() {
                if left == 0 {
                    lasts.until = segment.sequence(slot);
                    return Lasts::Unfinished;
                }
                left -= 1;
                let subject = segment.subject(slot);
                if subject.is_some_and(|id| lasts.is_found(id)) {
                    lasts.found.push(StreamSequence(segment.sequence(slot)));
                    if lasts.is_over() {
                        return lasts.result();
                    }
                }
            }
            lasts.until = segment.first.saturating_sub(1);
        }
        lasts.result()
    }
}
