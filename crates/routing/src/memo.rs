//! What one thread remembers of matches.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::Account;
use crate::generations::Stamp;
use crate::matches::Matches;

/// Subjects remembered per thread; when full, all are forgotten.
const SUBJECTS_MAX: usize = 8192;

/// Subscriptions remembered per thread over all subjects, a bound on memory when many subjects have many of them.
const SUBSCRIPTIONS_MAX: usize = 1 << 20;

/// Longer subjects are looked up each time.
const SUBJECT_BYTES_MAX: usize = 256;

/// The matches of the subjects that a thread published to, valid while the account's generations stand.
pub(crate) struct Memo {
    entries: Vec<Entry>,
    index: HashTable<u32>,
    hasher: RandomState,
    /// The entry used last: publishers tend to stay with a subject.
    last: usize,
    subscriptions: usize,
    /// The matches of a subject that is not remembered.
    direct: Matches,
}

struct Entry {
    account: u64,
    hash: u64,
    subject: Box<[u8]>,
    stamp: Stamp,
    matches: Matches,
}

impl Entry {
    fn is_for(&self, account: u64, subject: &[u8]) -> bool {
        self.account == account && *self.subject == *subject
    }
}

impl Memo {
    pub(crate) fn new() -> Self {
        Self {
            entries: Vec::new(),
            index: HashTable::new(),
            hasher: RandomState::default(),
            last: 0,
            subscriptions: 0,
            direct: Matches::default(),
        }
    }

    /// Who wants `subject` now.
    pub(crate) fn matches(&mut self, account: &Account, subject: &[u8]) -> &Matches {
        if is_unique(subject) || subject.len() > SUBJECT_BYTES_MAX {
            self.direct.clear();
            account.collect(subject, &mut self.direct);
            return &self.direct;
        }
        let position = self.position(account, subject);
        self.last = position;
        let entry = &mut self.entries[position];
        if !account.is_current(&entry.stamp) {
            self.subscriptions -= entry.matches.len();
            entry.refresh(account);
            self.subscriptions += entry.matches.len();
        }
        &self.entries[position].matches
    }

    /// Drops the subscriptions held for a subject that is not remembered, so that they do not outlive their connection.
    pub(crate) fn release_direct(&mut self) {
        self.direct.clear();
    }

    /// The place of the subject's entry, made when there is none.
    fn position(&mut self, account: &Account, subject: &[u8]) -> usize {
        let id = account.id();
        let last = self.entries.get(self.last);
        if last.is_some_and(|entry| entry.is_for(id, subject)) {
            return self.last;
        }
        let hash = self.hasher.hash_one((id, subject));
        let found = self.index.find(hash, |&position| {
            self.entries[position as usize].is_for(id, subject)
        });
        if let Some(&position) = found {
            return position as usize;
        }
        if self.entries.len() >= SUBJECTS_MAX || self.subscriptions >= SUBSCRIPTIONS_MAX {
            self.clear();
        }
        self.insert(account, hash, subject)
    }

    fn insert(&mut self, account: &Account, hash: u64, subject: &[u8]) -> usize {
        let mut entry = Entry {
            account: account.id(),
            hash,
            subject: subject.into(),
            stamp: account.stamp(subject),
            matches: Matches::default(),
        };
        entry.refresh(account);
        self.subscriptions += entry.matches.len();
        let position = self.entries.len();
        self.entries.push(entry);
        let short = u32::try_from(position).expect("bounded by SUBJECTS_MAX");
        let entries = &self.entries;
        self.index
            .insert_unique(hash, short, |&other| entries[other as usize].hash);
        position
    }

    fn clear(&mut self) {
        self.entries.clear();
        self.index.clear();
        self.subscriptions = 0;
        self.last = 0;
    }
}

impl Entry {
    fn refresh(&mut self, account: &Account) {
        self.stamp = account.stamp(&self.subject);
        self.matches.clear();
        account.collect(&self.subject, &mut self.matches);
    }
}

/// Whether a subject is of a kind that hardly ever comes twice: remembering it would only push out the others.
pub(crate) fn is_unique(subject: &[u8]) -> bool {
    subject.starts_with(b"_INBOX.") || subject.starts_with(b"$JS.ACK.")
}
