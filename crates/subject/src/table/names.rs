//! The subjects of a table by id, shared with whoever wants to read them while the table goes on.

use std::sync::Arc;

use super::SubjectId;
use crate::filter::matches;

/// Bytes that are compared at once.
const WORD: usize = 8;
/// How many subjects lie together.
const BLOCK: usize = 4096;

/// Subjects by id. A clone is cheap and stays as it is: full pieces are shared, and never change.
#[derive(Clone, Debug, Default)]
pub struct SubjectNames {
    /// Each holds [`BLOCK`] subjects, the last one up to as many.
    blocks: Vec<Arc<Block>>,
}

#[derive(Clone, Debug, Default)]
struct Block {
    /// The subjects, one after the other.
    bytes: Vec<u8>,
    /// Where each subject ends in `bytes`.
    ends: Vec<u32>,
}

impl SubjectNames {
    /// So many subjects lie together, in one piece of memory.
    pub const TOGETHER: usize = BLOCK;

    /// How many there are; their ids are below.
    #[must_use]
    pub fn len(&self) -> usize {
        self.blocks
            .last()
            .map_or(0, |last| (self.blocks.len() - 1) * BLOCK + last.ends.len())
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// The subject of an id.
    ///
    /// # Panics
    /// When there is no such id.
    #[must_use]
    #[inline]
    pub fn name(&self, id: SubjectId) -> &[u8] {
        let block = &self.blocks[id.0 as usize / BLOCK];
        let at = id.0 as usize % BLOCK;
        let start = match at.checked_sub(1) {
            Some(previous) => block.ends[previous],
            None => 0,
        };
        &block.bytes[start as usize..block.ends[at] as usize]
    }

    /// Calls `visit` with each subject, ascending by id.
    #[inline]
    pub fn for_each(&self, mut visit: impl FnMut(SubjectId, &[u8])) {
        let mut id = 0;
        for block in &self.blocks {
            let mut rest = block.bytes.as_slice();
            let mut start = 0;
            for end in &block.ends {
                let (subject, after) = rest.split_at((end - start) as usize);
                (rest, start) = (after, *end);
                visit(SubjectId(id), subject);
                // The table has an id for each of them, so the last one fits.
                id = id.wrapping_add(1);
            }
        }
    }

    /// Adds subjects under the next ids: `bytes` are the subjects one after the other, `lengths` how long each is. Returns
    /// false, and adds none, when the lengths are not those of the bytes. [`SubjectNames::TOGETHER`] at a time cost a copy of
    /// the bytes and little more.
    #[must_use]
    pub fn push_all(&mut self, bytes: &[u8], lengths: &[u16]) -> bool {
        if lengths
            .iter()
            .map(|&length| usize::from(length))
            .sum::<usize>()
            != bytes.len()
        {
            return false;
        }
        let has_room = |last: &Arc<Block>| last.ends.len() < BLOCK;
        let is_block = (1..=BLOCK).contains(&lengths.len());
        if is_block && !self.blocks.last().is_some_and(has_room) {
            let mut end = 0;
            let ends = lengths.iter().map(|&length| {
                end += u32::from(length);
                end
            });
            let ends = ends.collect();
            let bytes = bytes.to_vec();
            self.blocks.push(Arc::new(Block { bytes, ends }));
            return true;
        }
        let mut rest = bytes;
        for &length in lengths {
            let (subject, after) = rest.split_at(usize::from(length));
            rest = after;
            self.push(subject);
        }
        true
    }

    /// Calls `visit` with the id of each subject that a valid filter matches, ascending. Reads all subjects, which lie in
    /// memory in the order they are read.
    ///
    /// The literal tokens that open the filter are compared as one run of bytes: in a table of one stream most subjects
    /// share them or differ in them, and the rest is looked at only where they agree.
    pub fn for_each_match(&self, filter: &[u8], mut visit: impl FnMut(SubjectId)) {
        let (literal, wild) = filter.split_at(literal_prefix(filter));
        // The end of the run differs most: one comparison of a word there spares most of the others.
        let at = literal.len().saturating_sub(WORD);
        let word: Option<&[u8; WORD]> = literal.get(at..).and_then(<[u8]>::first_chunk);
        let begins = |subject: &[u8]| match word {
            Some(word) => {
                let found = subject.get(at..).and_then(<[u8]>::first_chunk);
                found == Some(word) && subject.starts_with(literal)
            }
            None => subject.starts_with(literal),
        };
        match wild {
            b">" => self.for_each(|id, subject| {
                if subject.len() > literal.len() && begins(subject) {
                    visit(id);
                }
            }),
            b"" => self.for_each(|id, subject| {
                if subject == literal {
                    visit(id);
                }
            }),
            _ => self.for_each(|id, subject| {
                if begins(subject)
                    && let Some(tail) = subject.get(literal.len()..)
                    && matches(wild, tail)
                {
                    visit(id);
                }
            }),
        }
    }

    /// Adds a subject under the next id.
    pub(super) fn push(&mut self, subject: &[u8]) {
        if self
            .blocks
            .last()
            .is_none_or(|last| last.ends.len() == BLOCK)
        {
            if let Some(full) = self.blocks.last_mut().and_then(Arc::get_mut) {
                full.bytes.shrink_to_fit();
                full.ends.shrink_to_fit();
            }
            self.blocks.push(Arc::default());
        }
        let last = self.blocks.last_mut().expect("one was pushed above");
        // Copies the piece once when somebody reads it at the moment.
        let block = Arc::make_mut(last);
        block.bytes.extend_from_slice(subject);
        let end = u32::try_from(block.bytes.len());
        block
            .ends
            .push(end.expect("4,096 subjects stay below 4 GiB"));
    }
}

/// How many bytes open the filter before its first wildcard token, their dot included.
fn literal_prefix(filter: &[u8]) -> usize {
    let mut start = 0;
    for token in crate::tokens(filter) {
        if token == b"*" || token == b">" {
            break;
        }
        start += token.len() + 1;
    }
    start.min(filter.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_shared_stays_as_it_was() {
        let name = |id: usize| format!("subject.{id}").into_bytes();
        let mut names = SubjectNames::default();
        let mut shared = Vec::new();
        for id in 0..3 * BLOCK {
            if id % 1000 == 0 {
                shared.push((id, names.clone()));
            }
            names.push(&name(id));
        }
        assert_eq!(names.len(), 3 * BLOCK);
        shared.push((names.len(), names));
        for (count, names) in shared {
            assert_eq!(names.len(), count);
            assert_eq!(names.is_empty(), count == 0);
            let mut seen = 0;
            names.for_each(|id, subject| {
                assert_eq!(id.0 as usize, seen);
                assert_eq!(subject, name(seen));
                assert_eq!(names.name(id), subject);
                seen += 1;
            });
            assert_eq!(seen, count);
        }
    }
}
