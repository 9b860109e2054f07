//! What one thread remembers of matches.

use std::hash::BuildHasher;
use std::sync::{Arc, Weak};

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::generations::Stamp;
use crate::matches::Matches;
use crate::{Account, Subscription};

/// Subjects remembered per thread; when full, all are forgotten.
const SUBJECTS_MAX: usize = 8192;

/// Memory for the subscriptions of all subjects that are remembered, per thread.
const BYTES_MAX: usize = 32 * 1024 * 1024;

/// Longer subjects are looked up each time.
const SUBJECT_BYTES_MAX: usize = 256;

/// Subjects seen once that are noted; a power of two.
const SEEN: usize = 8192;

/// The matches of the subjects that a thread published to, valid while the account's generations stand.
///
/// A subject is remembered when it comes for the second time: a publisher of ever new ones must not push out the others,
/// and would pay for remembering what is not asked for again.
pub(crate) struct Memo {
    entries: Vec<Entry>,
    index: HashTable<u32>,
    hasher: RandomState,
    /// The entry used last: publishers tend to stay with a subject.
    last: usize,
    bytes: usize,
    /// Parts of the hashes of subjects that came once, where the other parts say.
    seen: Box<[u32; SEEN]>,
    /// Entries with messages that their subscriptions have not counted yet.
    unsettled: Vec<u32>,
    /// The matches of a subject that is not remembered.
    passing: Passing,
}

/// The matches of a subject that is not remembered beyond this turn: many answers to one inbox leave together.
#[derive(Default)]
struct Passing {
    account: u64,
    subject: Vec<u8>,
    /// Set when the subject came twice in a row: the matches are kept for the rest of the turn, and prepared.
    stamp: Option<Stamp>,
    matches: Matches,
    home: Weak<Account>,
}

struct Entry {
    account: u64,
    hash: u64,
    subject: Box<[u8]>,
    stamp: Stamp,
    matches: Matches,
    /// Whether it is in the list of unsettled ones.
    is_unsettled: bool,
    /// To remove a subscription that turns out to have had its last message.
    home: Weak<Account>,
}

impl Entry {
    #[inline]
    fn is_for(&self, account: u64, subject: &[u8]) -> bool {
        self.account == account && is_same(&self.subject, subject)
    }
}

impl Memo {
    pub(crate) fn new() -> Self {
        Self {
            entries: Vec::new(),
            index: HashTable::new(),
            hasher: RandomState::default(),
            last: 0,
            bytes: 0,
            seen: Box::new([0; SEEN]),
            unsettled: Vec::new(),
            passing: Passing::default(),
        }
    }

    /// Who wants `subject` now. Messages staged for them are counted by [`Self::settle`], which is due before anybody can
    /// have seen the message.
    #[inline]
    pub(crate) fn matches(&mut self, account: &Arc<Account>, subject: &[u8]) -> &mut Matches {
        let last = self.entries.get(self.last);
        let position = match last {
            Some(last) if last.is_for(account.id(), subject) => self.last,
            _ => match self.position(account, subject) {
                Some(position) => position,
                None => return self.passing.matches(account, subject),
            },
        };
        self.last = position;
        if !account.is_current(&self.entries[position].stamp) {
            self.refresh(account, position);
        }
        let entry = &mut self.entries[position];
        if !entry.is_unsettled {
            entry.is_unsettled = true;
            // Positions are bounded by SUBJECTS_MAX.
            self.unsettled.push(position as u32);
        }
        &mut entry.matches
    }

    /// Drops the subscriptions held for a subject that came once, so that they do not outlive their connection.
    #[inline]
    pub(crate) fn release_passing(&mut self) {
        let Passing { matches, stamp, .. } = &mut self.passing;
        if stamp.is_none() && matches.len() > 0 {
            matches.clear();
        }
    }

    /// Lets subscriptions count what was staged for them, and removes those that have had their last message.
    pub(crate) fn settle(&mut self) {
        while let Some(position) = self.unsettled.pop() {
            let entry = &mut self.entries[position as usize];
            entry.is_unsettled = false;
            entry.settle();
        }
        if !self.passing.subject.is_empty() {
            self.passing.forget();
        }
    }

    /// The place of the subject's entry, made when it comes for the second time.
    fn position(&mut self, account: &Arc<Account>, subject: &[u8]) -> Option<usize> {
        if is_unique(subject) || subject.len() > SUBJECT_BYTES_MAX {
            return None;
        }
        let id = account.id();
        let hash = self.hasher.hash_one((id, subject));
        let found = self.index.find(hash, |&position| {
            self.entries[position as usize].is_for(id, subject)
        });
        if let Some(&position) = found {
            return Some(position as usize);
        }
        if !self.was_seen(hash) {
            return None;
        }
        if self.entries.len() >= SUBJECTS_MAX || self.bytes >= BYTES_MAX {
            self.clear();
        }
        Some(self.insert(account, hash, subject))
    }

    /// Whether a subject of that hash came before, as far as it is noted; notes it.
    fn was_seen(&mut self, hash: u64) -> bool {
        let mark = (hash >> 32) as u32;
        let place = &mut self.seen[hash as usize % SEEN];
        std::mem::replace(place, mark) == mark
    }

    fn insert(&mut self, account: &Arc<Account>, hash: u64, subject: &[u8]) -> usize {
        let entry = Entry {
            account: account.id(),
            hash,
            subject: subject.into(),
            stamp: account.stamp(subject),
            matches: Matches::default(),
            is_unsettled: false,
            home: Arc::downgrade(account),
        };
        let position = self.entries.len();
        self.entries.push(entry);
        let short = u32::try_from(position).expect("bounded by SUBJECTS_MAX");
        let entries = &self.entries;
        self.index
            .insert_unique(hash, short, |&other| entries[other as usize].hash);
        self.refresh(account, position);
        position
    }

    #[cold]
    fn refresh(&mut self, account: &Account, position: usize) {
        let entry = &mut self.entries[position];
        entry.settle();
        self.bytes -= entry.matches.bytes();
        // Taken before the look-up: a change in between then shows.
        entry.stamp = account.stamp(&entry.subject);
        entry.matches.clear();
        account.collect(&entry.subject, &mut entry.matches);
        entry.matches.prepare(&entry.subject);
        self.bytes += entry.matches.bytes();
    }

    fn clear(&mut self) {
        self.settle();
        self.entries.clear();
        self.index.clear();
        self.bytes = 0;
        self.last = 0;
    }
}

impl Entry {
    fn settle(&mut self) {
        settle(&mut self.matches, &self.home);
    }
}

impl Passing {
    /// Who wants `subject` now.
    fn matches(&mut self, account: &Arc<Account>, subject: &[u8]) -> &mut Matches {
        let is_again = self.account == account.id() && is_same(&self.subject, subject);
        if is_again
            && let Some(stamp) = &self.stamp
            && account.is_current(stamp)
        {
            return &mut self.matches;
        }
        self.look_up(account, subject, is_again);
        &mut self.matches
    }

    #[inline(never)]
    fn look_up(&mut self, account: &Arc<Account>, subject: &[u8], is_again: bool) {
        self.forget();
        self.account = account.id();
        self.subject.extend_from_slice(subject);
        if is_again {
            self.home = Arc::downgrade(account);
            // Taken before the look-up: a change in between then shows.
            self.stamp = Some(account.stamp(subject));
        }
        account.collect(subject, &mut self.matches);
        if is_again {
            self.matches.prepare(subject);
        }
    }

    /// Has the messages counted and drops the subscriptions.
    fn forget(&mut self) {
        if self.stamp.take().is_some() {
            settle(&mut self.matches, &self.home);
            self.home = Weak::new();
        }
        self.matches.clear();
        self.subject.clear();
    }
}

/// Lets subscriptions count what was staged for them, and removes those that have had their last message.
fn settle(matches: &mut Matches, home: &Weak<Account>) {
    let mut ended: Vec<Arc<Subscription>> = Vec::new();
    matches.settle(&mut ended);
    if !ended.is_empty()
        && let Some(account) = home.upgrade()
    {
        account.unsubscribe_all(&ended);
    }
}

/// Whether two subjects are equal. Most are short: a call to the library's comparison takes longer than eight bytes at a time.
#[inline]
fn is_same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let (words, rest) = one.as_chunks::<8>();
    let (other_words, other_rest) = other.as_chunks::<8>();
    words
        .iter()
        .zip(other_words)
        .all(|(word, other)| word == other)
        && rest
            .iter()
            .zip(other_rest)
            .all(|(byte, other)| byte == other)
}

/// Whether a subject is of a kind that hardly ever comes twice: remembering it would only push out the others.
pub(crate) fn is_unique(subject: &[u8]) -> bool {
    subject.starts_with(b"_INBOX.") || subject.starts_with(b"$JS.ACK.")
}
