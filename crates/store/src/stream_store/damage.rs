//! What a store knows to be damaged: found when it was opened, by reads, and by whoever verifies its files.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use everjet_values::{EntryIndex, StreamSequence};

use super::{Damage, ReadError, StreamStore};

/// Damage that is remembered one by one. More is so much that nobody reads the list; its messages still read as damaged.
const REMEMBERED_MAX: usize = 4096;

/// What is wrong with sequences of which only the journal knew.
const LOST_WITH_THE_JOURNAL: &str =
    "a part of the journal is lost, and with it the messages that may have had these sequences";

/// The damage of one store. Reads go through `&self` and add to it.
#[derive(Default)]
pub(super) struct KnownDamage {
    list: Mutex<List>,
    has_news: AtomicBool,
}

#[derive(Default)]
struct List {
    all: Vec<Damage>,
    /// So many of them were taken by [`StreamStore::take_damage`].
    taken: usize,
}

/// Messages that were stored and cannot be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LostMessages {
    /// Their sequences, ascending, as many as were asked for.
    pub sequences: Vec<StreamSequence>,
    /// Damaged bytes in the files that held them.
    pub bytes: u64,
}

impl KnownDamage {
    /// What opening found, and its report says.
    pub(super) fn opened_with(damaged: &[Damage]) -> Self {
        let all: Vec<_> = damaged.iter().take(REMEMBERED_MAX).cloned().collect();
        Self {
            list: Mutex::new(List {
                taken: all.len(),
                all,
            }),
            has_news: AtomicBool::new(false),
        }
    }

    fn list(&self) -> MutexGuard<'_, List> {
        // Nothing is left half done by a panic.
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl List {
    /// Whether all of `damage` was noted before: every read of a damaged message says the same again.
    fn covers(&self, damage: &Damage) -> bool {
        self.all.iter().any(|known| {
            let sequences = match (known.sequences, damage.sequences) {
                (_, None) => true,
                (None, Some(_)) => false,
                (Some(known), Some(new)) => known.0 <= new.0 && new.1 <= known.1,
            };
            sequences
                && known.file == damage.file
                && known.offset <= damage.offset
                && damage.offset + damage.length <= known.offset + known.length
        })
    }
}

impl StreamStore {
    /// Takes note of damage that was found in a file of this store, unless it is known.
    pub fn note_damage(&self, damage: Damage) {
        let mut list = self.damage.list();
        if list.all.len() < REMEMBERED_MAX && !list.covers(&damage) {
            list.all.push(damage);
            self.damage.has_news.store(true, Ordering::Release);
        }
    }

    /// Whether [`StreamStore::take_damage`] has anything to give.
    #[must_use]
    pub fn has_new_damage(&self) -> bool {
        self.damage.has_news.load(Ordering::Acquire)
    }

    /// Damage that was noted since the last call: each is given once.
    #[must_use]
    pub fn take_damage(&self) -> Vec<Damage> {
        let mut list = self.damage.list();
        self.damage.has_news.store(false, Ordering::Release);
        let new = list.all.get(list.taken..).unwrap_or_default().to_vec();
        list.taken = list.all.len();
        new
    }

    /// The messages that were stored, were not removed since, and are known to be unreadable; at most `max` of them by sequence.
    #[must_use]
    pub fn lost(&self, max: usize) -> LostMessages {
        let list = self.damage.list();
        let mut lost = LostMessages::default();
        for damage in &list.all {
            let Some((first, last)) = damage.sequences else {
                continue;
            };
            let room = max.saturating_sub(lost.sequences.len());
            let mut sequences = (first.0..=last.0).map(StreamSequence);
            let is_lost = |sequence: &StreamSequence| self.was_stored(*sequence);
            let found: Vec<_> = sequences.by_ref().filter(is_lost).take(room).collect();
            // With no room left, one message is enough to know that the damage still counts.
            if !found.is_empty() || sequences.any(|sequence| self.was_stored(sequence)) {
                lost.bytes += damage.length;
            }
            lost.sequences.extend(found);
        }
        lost.sequences.sort_unstable();
        lost.sequences.dedup();
        lost
    }

    /// Gives up the sequences up to `through`: they may have been given to messages that are lost, and nobody knows. They are
    /// never given again, and reading them says that they are damaged. Nothing happens when the last sequence is `through` or
    /// later.
    pub fn lose_through(&mut self, entry: EntryIndex, through: StreamSequence) {
        let first = StreamSequence(self.last + 1);
        if through < first {
            return;
        }
        self.skip_to(entry, through.next());
        match self.lost.last_mut() {
            Some(before) if before.1.next() == first => before.1 = through,
            _ => self.lost.push((first, through)),
        }
        let news = self.damage_of_lost().last();
        if let Some(damage) = news {
            self.note_damage(damage);
        }
    }

    /// Sequences that were given up, as damage.
    pub(super) fn damage_of_lost(&self) -> impl Iterator<Item = Damage> {
        let dir = self.files.as_ref().map(|files| files.dir.to_path_buf());
        self.lost.iter().map(move |range| Damage {
            file: dir.clone().unwrap_or_default(),
            offset: 0,
            length: 0,
            sequences: Some(*range),
            what: LOST_WITH_THE_JOURNAL,
        })
    }

    /// What was given up is over when everything up to there was removed.
    pub(super) fn forget_lost_through(&mut self, through: u64) {
        let Some(&(first, _)) = self.lost.first() else {
            return;
        };
        if through < first.0 {
            return;
        }
        self.lost.retain(|(_, last)| last.0 > through);
        if let Some((first, _)) = self.lost.first_mut() {
            first.0 = first.0.max(through + 1);
        }
        // The manifest has to say so, whether or not a message went.
        self.dropped = true;
    }

    /// The damage, when the sequence was given up.
    pub(super) fn given_up(&self, sequence: StreamSequence) -> Option<ReadError> {
        let at = self.lost.partition_point(|(first, _)| *first <= sequence);
        let (_, last) = self.lost.get(at.checked_sub(1)?)?;
        (sequence <= *last).then(|| ReadError::Damaged {
            file: self
                .files
                .as_ref()
                .map(|files| files.dir.to_path_buf())
                .unwrap_or_default(),
            sequence,
        })
    }

    /// Whether the sequence holds a message, readable or not.
    #[must_use]
    pub fn was_stored(&self, sequence: StreamSequence) -> bool {
        match self.locate(sequence) {
            Ok(_) | Err(ReadError::Damaged { .. }) => true,
            Err(_) => false,
        }
    }
}
