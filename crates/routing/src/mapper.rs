//! What one thread makes of the subjects of clients.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::Mappings;
use crate::memo::is_unique;
use crate::random::Random;

/// Subjects remembered per thread; when full, all are forgotten.
const SUBJECTS_MAX: usize = 8192;

/// Longer subjects are mapped anew each time.
const SUBJECT_BYTES_MAX: usize = 256;

/// Subjects that become longer are mapped anew each time, too.
const MAPPED_BYTES_MAX: usize = 1024;

/// Applies mappings and remembers, per subject, what does not depend on chance.
pub(crate) struct Mapper {
    remembered: HashTable<Entry>,
    hasher: RandomState,
    random: Random,
    /// Kept for its memory.
    buffer: Vec<u8>,
    unanswered: Option<Unanswered>,
}

/// The request published last, which nobody took.
struct Unanswered {
    subject: Box<[u8]>,
    /// Empty when it was dropped.
    mapped: Box<[u8]>,
}

struct Entry {
    account: u64,
    subject: Box<[u8]>,
    outcome: Outcome,
}

/// What becomes of a subject.
enum Outcome {
    /// No mapping counts for it.
    Kept,
    /// It is always this one.
    To(Box<[u8]>),
    /// The mapping at this position has to be asked each time.
    By(usize),
}

impl Mapper {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            remembered: HashTable::new(),
            hasher: RandomState::default(),
            random: Random::new(seed),
            buffer: Vec::new(),
            unanswered: None,
        }
    }

    /// A buffer for [`Self::map`], to be given back.
    pub(crate) fn lend_buffer(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.buffer)
    }

    pub(crate) fn return_buffer(&mut self, buffer: Vec<u8>) {
        self.buffer = buffer;
    }

    /// The subject that a message to `subject` travels to, possibly in `buffer`; `None` when it is dropped. An account's
    /// mappings must not change.
    pub(crate) fn map<'a>(
        &mut self,
        account: u64,
        mappings: &Mappings,
        subject: &'a [u8],
        buffer: &'a mut Vec<u8>,
    ) -> Option<&'a [u8]> {
        buffer.clear();
        if is_unique(subject) || subject.len() > SUBJECT_BYTES_MAX {
            return match mappings.find(subject) {
                Some(position) => self.apply(mappings, position, subject, buffer),
                None => Some(subject),
            };
        }
        let hash = self.hasher.hash_one((account, subject));
        let found = self.remembered.find(hash, |entry| {
            entry.account == account && *entry.subject == *subject
        });
        let position = match found.map(|entry| &entry.outcome) {
            Some(Outcome::Kept) => return Some(subject),
            Some(Outcome::To(mapped)) => {
                buffer.extend_from_slice(mapped);
                return Some(buffer);
            }
            Some(Outcome::By(position)) => *position,
            None => match self.remember(account, mappings, hash, subject) {
                Some(position) => position,
                None => return Some(subject),
            },
        };
        self.apply(mappings, position, subject, buffer)
    }

    /// Notes that nobody took a request, for [`Self::shown`].
    pub(crate) fn note_unanswered(&mut self, subject: &[u8], mapped: Option<&[u8]>) {
        self.unanswered = Some(Unanswered {
            subject: subject.into(),
            mapped: mapped.unwrap_or_default().into(),
        });
    }

    /// What an answer to `subject` calls it: what it was mapped to, when it is the request published last and nobody took it.
    pub(crate) fn shown<'a>(&'a self, subject: &'a [u8]) -> &'a [u8] {
        match &self.unanswered {
            Some(request) if *request.subject == *subject => &request.mapped,
            _ => subject,
        }
    }

    /// Forgets the request published last: answers that come now are for others.
    pub(crate) fn forget_unanswered(&mut self) {
        self.unanswered = None;
    }

    /// Remembers what becomes of a subject, and returns the position of the mapping that counts for it.
    fn remember(
        &mut self,
        account: u64,
        mappings: &Mappings,
        hash: u64,
        subject: &[u8],
    ) -> Option<usize> {
        let position = mappings.find(subject);
        let outcome = match position {
            None => Outcome::Kept,
            Some(position) => match mappings.choices(position).only() {
                Some(only) if only.is_deterministic() => {
                    let mut mapped = Vec::new();
                    only.apply(subject, || self.random.bits(), &mut mapped);
                    if mapped.len() <= MAPPED_BYTES_MAX {
                        Outcome::To(mapped.into())
                    } else {
                        Outcome::By(position)
                    }
                }
                _ => Outcome::By(position),
            },
        };
        if self.remembered.len() >= SUBJECTS_MAX {
            self.remembered.clear();
        }
        let entry = Entry {
            account,
            subject: subject.into(),
            outcome,
        };
        let hasher = &self.hasher;
        let rehash = |entry: &Entry| hasher.hash_one((entry.account, &*entry.subject));
        self.remembered.insert_unique(hash, entry, rehash);
        position
    }

    /// Applies the mapping at a position.
    fn apply<'a>(
        &mut self,
        mappings: &Mappings,
        position: usize,
        subject: &[u8],
        buffer: &'a mut Vec<u8>,
    ) -> Option<&'a [u8]> {
        let percent = || u8::try_from(self.random.below(100)).expect("below 100");
        let chosen = mappings.choices(position).choose(percent)?;
        chosen.apply(subject, || self.random.bits(), buffer);
        Some(buffer)
    }
}

#[cfg(test)]
mod tests {
    use everjet_subject::{MapDestination, SubjectMapping};

    use super::*;

    fn mapper(mappings: &[SubjectMapping]) -> (Mapper, Mappings) {
        (Mapper::new(7), Mappings::new(mappings.to_vec(), None))
    }

    fn map(mapper: &mut Mapper, mappings: &Mappings, subject: &str) -> Option<String> {
        let mut buffer = b"left over".to_vec();
        let mapped = mapper.map(1, mappings, subject.as_bytes(), &mut buffer);
        mapped.map(|subject| String::from_utf8_lossy(subject).into_owned())
    }

    #[test]
    fn the_first_time_and_every_later_time_are_the_same() {
        let (mut mapper, mappings) = mapper(&[
            SubjectMapping::to("a.*", "b.$1").expect("valid"),
            SubjectMapping::to("grow.*", &["$1"; 20].join(".")).expect("valid"),
            SubjectMapping::to("_INBOX.>", "inbox.>").expect("valid"),
        ]);
        let long = "x".repeat(300);
        let a_long = format!("a.{long}");
        let b_long = format!("b.{long}");
        let growing = format!("grow.{}", "y".repeat(100));
        let grown = ["y".repeat(100).as_str(); 20].join(".");
        for _ in 0..3 {
            for (subject, expected) in [
                ("a.x", "b.x"),
                ("b.x", "b.x"),
                ("_INBOX.1", "inbox.1"),
                ("$JS.ACK.1", "$JS.ACK.1"),
                (&a_long, &b_long),
                (&long, &long),
                (&growing, &grown),
            ] {
                let mapped = map(&mut mapper, &mappings, subject);
                assert_eq!(mapped.as_deref(), Some(expected));
            }
        }
    }

    #[test]
    fn what_depends_on_chance_is_drawn_each_time() {
        let half = |subject: &str| MapDestination {
            subject: subject.to_owned(),
            weight: 40,
            cluster: None,
        };
        let (mut mapper, mappings) = mapper(&[
            SubjectMapping::weighted("lossy", &[half("other"), half("lossy")]).expect("valid"),
            SubjectMapping::to("random", "to.{{random(2)}}").expect("valid"),
        ]);
        let mut count = |subject: &str, expected: Option<&str>| {
            let mapped = (0..1_000).map(|_| map(&mut mapper, &mappings, subject));
            mapped
                .filter(|mapped| mapped.as_deref() == expected)
                .count()
        };
        // The generator is seeded: these bounds hold or do not hold, they do not flicker.
        for expected in [Some("other"), Some("lossy")] {
            assert!(
                (300..500).contains(&count("lossy", expected)),
                "{expected:?}"
            );
        }
        assert!((120..280).contains(&count("lossy", None)));
        for expected in [Some("to.0"), Some("to.1")] {
            assert!(
                (400..600).contains(&count("random", expected)),
                "{expected:?}"
            );
        }
    }

    #[test]
    fn accounts_are_kept_apart_and_memory_is_bounded() {
        let (mut mapper, mappings) = mapper(&[SubjectMapping::to("a", "b").expect("valid")]);
        let others = Mappings::new(vec![SubjectMapping::to("a", "c").expect("valid")], None);
        for _ in 0..2 {
            let mut buffer = Vec::new();
            assert_eq!(mapper.map(1, &mappings, b"a", &mut buffer), Some(&b"b"[..]));
            let mut buffer = Vec::new();
            assert_eq!(mapper.map(2, &others, b"a", &mut buffer), Some(&b"c"[..]));
        }
        for number in 0..3 * SUBJECTS_MAX {
            let subject = format!("s.{number}");
            assert_eq!(map(&mut mapper, &mappings, &subject), Some(subject));
            assert!(mapper.remembered.len() <= SUBJECTS_MAX);
        }
        assert_eq!(map(&mut mapper, &mappings, "a").as_deref(), Some("b"));
    }
}
