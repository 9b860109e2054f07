//! The subjects of a segment's messages: an id a message while it grows; afterwards nothing, a byte, two or four,
//! depending on how many subjects there are.

use std::sync::Arc;

use super::columns::{DAMAGED, REMOVED};
use super::input::{Input, put_numbers};

/// One subject id for each slot, or [`REMOVED`] or [`DAMAGED`].
#[derive(Clone, Debug)]
pub(crate) enum SubjectColumn {
    /// May be added to.
    Growing(Vec<u32>),
    /// All messages have one subject, and none was removed.
    One {
        /// The subject.
        subject: u32,
        /// How many slots there are.
        slots: usize,
    },
    /// At most 254 subjects.
    Bytes(Arc<Coded<u8>>),
    /// At most 65,534 subjects.
    Shorts(Arc<Coded<u16>>),
    /// As while it grows, and shared.
    Wide(Arc<Vec<u32>>),
}

/// A column with numbers of its own instead of ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Coded<C> {
    /// The ids by number, ascending.
    pub(crate) subjects: Vec<u32>,
    /// Numbers, [`Code::REMOVED`] or [`Code::DAMAGED`].
    pub(crate) codes: Vec<C>,
}

/// The number of a subject in one segment.
pub(crate) trait Code: Copy + Eq {
    /// Instead of a number: the slot's message was removed.
    const REMOVED: Self;
    /// Instead of a number: the slot's message cannot be read.
    const DAMAGED: Self;
    /// How many subjects there can be.
    const SUBJECTS_MAX: usize;

    /// As an index; what is no number lies behind all of them.
    fn index(self) -> usize;
    /// The code of a number below [`Code::SUBJECTS_MAX`].
    fn of(number: u32) -> Self;
}

impl Code for u8 {
    const REMOVED: Self = Self::MAX;
    const DAMAGED: Self = Self::MAX - 1;
    const SUBJECTS_MAX: usize = 254;

    fn index(self) -> usize {
        usize::from(self)
    }

    fn of(number: u32) -> Self {
        Self::try_from(number).expect("the caller has counted the subjects")
    }
}

impl Code for u16 {
    const REMOVED: Self = Self::MAX;
    const DAMAGED: Self = Self::MAX - 1;
    const SUBJECTS_MAX: usize = 65_534;

    fn index(self) -> usize {
        usize::from(self)
    }

    fn of(number: u32) -> Self {
        Self::try_from(number).expect("the caller has counted the subjects")
    }
}

impl Default for SubjectColumn {
    fn default() -> Self {
        Self::Growing(Vec::new())
    }
}

impl PartialEq for SubjectColumn {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && (0..self.len()).all(|slot| self.get(slot) == other.get(slot))
    }
}

impl Eq for SubjectColumn {}

impl SubjectColumn {
    pub(super) fn push(&mut self, subject: u32) {
        let Self::Growing(subjects) = self else {
            unreachable!("nothing is added to a segment once it is packed");
        };
        subjects.push(subject);
    }

    /// How many slots there are.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Growing(subjects) => subjects.len(),
            Self::One { slots, .. } => *slots,
            Self::Bytes(coded) => coded.codes.len(),
            Self::Shorts(coded) => coded.codes.len(),
            Self::Wide(subjects) => subjects.len(),
        }
    }

    /// Subject id, [`REMOVED`] or [`DAMAGED`] of a slot; `None` when there is no such slot.
    #[inline]
    pub(crate) fn get(&self, slot: usize) -> Option<u32> {
        match self {
            Self::Growing(subjects) => subjects.get(slot).copied(),
            Self::One { subject, slots } => (slot < *slots).then_some(*subject),
            Self::Bytes(coded) => coded.get(slot),
            Self::Shorts(coded) => coded.get(slot),
            Self::Wide(subjects) => subjects.get(slot).copied(),
        }
    }

    /// Calls `visit` with subject id, [`REMOVED`] or [`DAMAGED`] of each slot.
    pub(crate) fn for_each(&self, mut visit: impl FnMut(usize, u32)) {
        let mut each = |subjects: &[u32]| {
            for (slot, &subject) in subjects.iter().enumerate() {
                visit(slot, subject);
            }
        };
        match self {
            Self::Growing(subjects) => each(subjects),
            Self::Wide(subjects) => each(subjects),
            Self::One { subject, slots } => (0..*slots).for_each(|slot| visit(slot, *subject)),
            Self::Bytes(coded) => coded.for_each(visit),
            Self::Shorts(coded) => coded.for_each(visit),
        }
    }

    /// Whether any slot holds `value`, which is [`REMOVED`] or [`DAMAGED`].
    pub(crate) fn holds(&self, value: u32) -> bool {
        let is_removed = value == REMOVED;
        match self {
            Self::Growing(subjects) => subjects.contains(&value),
            Self::One { .. } => false,
            Self::Bytes(coded) => {
                let code = if is_removed { u8::REMOVED } else { u8::DAMAGED };
                memchr::memchr(code, &coded.codes).is_some()
            }
            Self::Shorts(coded) => coded.codes.contains(&if is_removed {
                u16::REMOVED
            } else {
                u16::DAMAGED
            }),
            Self::Wide(subjects) => subjects.contains(&value),
        }
    }

    /// Changes what a slot holds and returns what it held; `None` when there is no such slot. A packed column takes only
    /// [`REMOVED`] and [`DAMAGED`].
    pub(super) fn replace(&mut self, slot: usize, value: u32) -> Option<u32> {
        if let Self::One { subject, slots } = *self {
            let codes = vec![0; slots];
            let subjects = vec![subject];
            *self = Self::Bytes(Arc::new(Coded { subjects, codes }));
        }
        let held = self.get(slot)?;
        // Where somebody is writing the column at the moment, this makes a copy, once.
        match self {
            Self::Growing(subjects) => put(subjects, slot, value),
            Self::One { .. } => unreachable!("it was made one of bytes above"),
            Self::Bytes(coded) => Arc::make_mut(coded).put(slot, value),
            Self::Shorts(coded) => Arc::make_mut(coded).put(slot, value),
            Self::Wide(subjects) => put(Arc::<Vec<u32>>::make_mut(subjects), slot, value),
        }
        Some(held)
    }

    /// Makes the column such that it can be added to.
    pub(super) fn unpack(&mut self) {
        if let Self::Growing(_) = self {
            return;
        }
        let mut subjects = Vec::with_capacity(self.len());
        self.for_each(|_, subject| subjects.push(subject));
        *self = Self::Growing(subjects);
    }

    /// Nothing is added afterwards. From now on a clone costs nothing.
    pub(super) fn seal(&mut self) {
        if let Self::Growing(subjects) = self {
            *self = Self::Wide(Arc::new(std::mem::take(subjects)));
        }
    }

    /// Makes a column small that was not packed before; nothing is added afterwards.
    pub(super) fn pack(&mut self) {
        let subjects: &[u32] = match self {
            Self::Growing(subjects) => subjects,
            Self::Wide(subjects) => subjects,
            _ => return,
        };
        let slots = subjects.len();
        let Some(&first) = subjects.first() else {
            return;
        };
        if first < DAMAGED && subjects.iter().all(|&subject| subject == first) {
            *self = Self::One {
                subject: first,
                slots,
            };
            return;
        }
        let (numbers, ids) = number(subjects);
        *self = if ids.len() <= u8::SUBJECTS_MAX {
            Self::Bytes(Arc::new(Coded::new(&numbers, &ids)))
        } else if ids.len() <= u16::SUBJECTS_MAX && 3 * ids.len() < slots {
            Self::Shorts(Arc::new(Coded::new(&numbers, &ids)))
        } else {
            // Without the room to grow that it had.
            Self::Wide(Arc::new(subjects.to_vec()))
        };
    }

    /// Calls `visit` with each slot, and what it holds, in which a column that was shared with `before` differs from it.
    pub(super) fn for_each_change(&self, before: &Self, mut visit: impl FnMut(usize, u32)) {
        let (Self::Wide(now), Self::Wide(before)) = (self, before) else {
            unreachable!("a column is wide from being sealed until it is packed");
        };
        if Arc::ptr_eq(now, before) {
            return;
        }
        for (slot, (now, before)) in now.iter().zip(before.iter()).enumerate() {
            if now != before {
                visit(slot, *now);
            }
        }
    }

    /// The column with numbers from 0 by first appearance instead of ids, and the ids by number.
    pub(super) fn numbered(&self) -> (Vec<u32>, Vec<u32>) {
        let mut subjects = Vec::with_capacity(self.len());
        self.for_each(|_, subject| subjects.push(subject));
        number(&subjects)
    }

    /// Calls `visit` with ids that the column speaks of: each at least once, some perhaps though their messages are gone.
    pub(crate) fn for_each_subject(&self, mut visit: impl FnMut(u32)) {
        let mut each = |subjects: &[u32]| {
            for &subject in subjects.iter().filter(|&&subject| subject < DAMAGED) {
                visit(subject);
            }
        };
        match self {
            Self::Growing(subjects) => each(subjects),
            Self::One { subject, .. } => visit(*subject),
            Self::Bytes(coded) => each(&coded.subjects),
            Self::Shorts(coded) => each(&coded.subjects),
            Self::Wide(subjects) => each(subjects),
        }
    }

    /// Appends what [`SubjectColumn::parse`] reads; `numbers` gives each id its number in the file, ascending with it.
    ///
    /// ```text
    /// u32  kind: 0 one subject, 1 bytes, 2 shorts, 3 wide    u32  subjects
    ///      subjects, u32 each, ascending; none if wide
    ///      a number of a subject for each slot, in 0, 1, 2 or 4 bytes; all ones: removed
    /// ```
    pub(super) fn put(&self, numbers: &[u32], out: &mut Vec<u8>) {
        let number = |&id: &u32| numbers.get(id as usize).copied().unwrap_or(id);
        let renumber = |ids: &[u32]| ids.iter().map(number).collect::<Vec<u32>>();
        let count = |subjects: &[u32]| u32::try_from(subjects.len()).expect("ids are 32 bits");
        match self {
            Self::One { subject, .. } => put_numbers(&[0, 1, number(subject)], out),
            Self::Bytes(coded) => {
                put_numbers(&[1, count(&coded.subjects)], out);
                put_numbers(&renumber(&coded.subjects), out);
                out.extend_from_slice(&coded.codes);
            }
            Self::Shorts(coded) => {
                put_numbers(&[2, count(&coded.subjects)], out);
                put_numbers(&renumber(&coded.subjects), out);
                out.extend(coded.codes.iter().flat_map(|code| code.to_le_bytes()));
            }
            Self::Growing(subjects) => put_wide(&renumber(subjects), out),
            Self::Wide(subjects) => put_wide(&renumber(subjects), out),
        }
    }

    /// Reads a column of `slots` slots whose subjects are below `known`; `None` when they are not, or when it says of
    /// any slot that it is damaged.
    pub(super) fn parse(input: &mut Input<'_>, slots: usize, known: usize) -> Option<Self> {
        let kind = input.number()?;
        let count = input.count()?;
        let subjects = input.numbers(count)?;
        let is_known = |subject: u32| subject < DAMAGED && (subject as usize) < known;
        let is_ascending = subjects.is_sorted_by(|one, next| one < next);
        if !is_ascending || subjects.last().is_some_and(|&last| !is_known(last)) {
            return None;
        }
        let column = match kind {
            0 => Self::One {
                subject: subjects.first().copied().filter(|_| count == 1)?,
                slots,
            },
            1 if count <= u8::SUBJECTS_MAX => {
                let codes = input.take(slots)?.to_vec();
                Self::Bytes(Arc::new(Coded { subjects, codes }.sound()?))
            }
            2 if count <= u16::SUBJECTS_MAX => {
                let codes = input.shorts(slots)?;
                Self::Shorts(Arc::new(Coded { subjects, codes }.sound()?))
            }
            3 if count == 0 => {
                let subjects = input.numbers(slots)?;
                // One loop without a way out, which the compiler makes wide.
                let are_known = subjects.iter().fold(true, |are_known, &subject| {
                    are_known & (subject == REMOVED || is_known(subject))
                });
                Self::Wide(Arc::new(are_known.then_some(subjects)?))
            }
            _ => return None,
        };
        Some(column)
    }
}

impl<C: Code> Coded<C> {
    fn new(numbers: &[u32], ids: &[u32]) -> Self {
        // Ascending, so that an id is found by a binary search.
        let mut order: Vec<(u32, u32)> = ids.iter().copied().zip(0..).collect();
        order.sort_unstable();
        let mut codes_by_number = vec![C::REMOVED; ids.len()];
        for (code, &(_, number)) in (0..).zip(&order) {
            if let Some(place) = codes_by_number.get_mut(number as usize) {
                *place = C::of(code);
            }
        }
        let code = |&number: &u32| match number {
            REMOVED => C::REMOVED,
            DAMAGED => C::DAMAGED,
            number => codes_by_number
                .get(number as usize)
                .copied()
                .unwrap_or(C::DAMAGED),
        };
        Self {
            subjects: order.into_iter().map(|(id, _)| id).collect(),
            codes: numbers.iter().map(code).collect(),
        }
    }

    /// The code of a subject id, if the column has it.
    pub(crate) fn code(&self, subject: u32) -> Option<C> {
        let at = self.subjects.binary_search(&subject).ok()?;
        Some(C::of(u32::try_from(at).ok()?))
    }

    /// The subject id of a code, [`REMOVED`] or [`DAMAGED`].
    #[inline]
    pub(crate) fn subject(&self, code: C) -> u32 {
        match self.subjects.get(code.index()) {
            Some(subject) => *subject,
            None if code == C::REMOVED => REMOVED,
            None => DAMAGED,
        }
    }

    fn get(&self, slot: usize) -> Option<u32> {
        self.codes.get(slot).map(|&code| self.subject(code))
    }

    fn for_each(&self, mut visit: impl FnMut(usize, u32)) {
        for (slot, &code) in self.codes.iter().enumerate() {
            visit(slot, self.subject(code));
        }
    }

    fn put(&mut self, slot: usize, value: u32) {
        assert!(value >= DAMAGED, "a packed column gets no other subjects");
        let code = if value == REMOVED {
            C::REMOVED
        } else {
            C::DAMAGED
        };
        if let Some(place) = self.codes.get_mut(slot) {
            *place = code;
        }
    }

    /// Itself, if every code is that of a subject or says removed.
    fn sound(self) -> Option<Self> {
        let count = self.subjects.len();
        let is_sound = self.codes.iter().fold(true, |is_sound, &code| {
            is_sound & (code.index() < count || code == C::REMOVED)
        });
        is_sound.then_some(self)
    }
}

fn put(subjects: &mut [u32], slot: usize, value: u32) {
    if let Some(place) = subjects.get_mut(slot) {
        *place = value;
    }
}

fn put_wide(subjects: &[u32], out: &mut Vec<u8>) {
    put_numbers(&[3, 0], out);
    put_numbers(subjects, out);
}

/// Numbers the subjects of a segment from 0 by first appearance: the column with these numbers, and the ids by number.
fn number(subjects: &[u32]) -> (Vec<u32>, Vec<u32>) {
    let ids = subjects.iter().filter(|&&subject| subject < DAMAGED);
    let known = ids.max().map_or(0, |&most| most as usize + 1);
    // By id: the number plus one. Memory that was never touched costs next to nothing, and hashing would cost milliseconds.
    let mut numbers = vec![0_u32; known];
    let mut ids = Vec::new();
    let column = subjects.iter().map(|&id| {
        // Removed and damaged are no ids and stay as they are.
        let Some(number) = numbers.get_mut(id as usize) else {
            return id;
        };
        if *number == 0 {
            ids.push(id);
            *number = u32::try_from(ids.len()).expect("ids are 32 bits");
        }
        *number - 1
    });
    (column.collect(), ids)
}

#[cfg(test)]
mod tests {
    use everjet_values::{Entropy, SeededEntropy};

    use super::*;

    /// A column of these subjects, as it grows and packed.
    fn both(subjects: Vec<u32>) -> (SubjectColumn, SubjectColumn) {
        let plain = SubjectColumn::Growing(subjects);
        let mut packed = plain.clone();
        packed.pack();
        (plain, packed)
    }

    fn check(subjects: Vec<u32>, kind: &str) {
        let (mut plain, mut packed) = both(subjects);
        let shape = format!("{packed:?}");
        assert!(shape.starts_with(kind), "{kind}: {shape:.40}");
        let shared = packed.clone();
        for round in 0..2 {
            assert_eq!(packed, plain, "{kind} {round}");
            assert_eq!(packed.get(plain.len()), None, "{kind}");
            assert_eq!(packed.numbered(), plain.numbered(), "{kind}");
            let mut listed = Vec::new();
            packed.for_each(|slot, subject| listed.push((slot, subject)));
            let slots = (0..plain.len()).map(|slot| (slot, plain.get(slot).expect("a slot")));
            assert!(listed.into_iter().eq(slots), "{kind}");
            for value in [REMOVED, DAMAGED] {
                assert_eq!(packed.holds(value), plain.holds(value), "{kind}");
            }
            for (slot, value) in [(3, REMOVED), (7, DAMAGED), (3, REMOVED), (9999, REMOVED)] {
                assert_eq!(packed.replace(slot, value), plain.replace(slot, value));
            }
        }
        let (original, _) = both(Vec::new());
        assert_eq!(original.len(), 0);
        assert_ne!(packed, shared, "{kind}: who shares it does not see changes");
    }

    #[test]
    fn a_packed_column_is_the_column() {
        let dice = SeededEntropy::new(1);
        let random = |bound: u64| {
            let id = |_| u32::try_from(dice.next_u64() % bound * 3).expect("small");
            (0..5000).map(id).collect::<Vec<u32>>()
        };
        check(vec![7; 100], "One");
        check(random(2), "Bytes");
        check(random(254), "Bytes");
        check(random(600), "Shorts");
        check(random(100_000), "Wide");
        let mut with_holes = random(200);
        for (slot, value) in [(0, REMOVED), (1, DAMAGED), (4999, REMOVED)] {
            with_holes[slot] = value;
        }
        check(with_holes, "Bytes");
    }

    #[test]
    fn a_column_reads_back_with_the_numbers_of_the_file() {
        for bound in [1, 200, 1500, 5000_u32] {
            let subjects = (0..5000).map(|at| at * 7 % bound * 2).collect();
            let (_, mut packed) = both(subjects);
            // In the file, ids are halved.
            let numbers: Vec<u32> = (0..=2 * bound).map(|id| id / 2).collect();
            for removed in [false, true] {
                if removed {
                    packed.replace(5, REMOVED);
                }
                let mut bytes = Vec::new();
                packed.put(&numbers, &mut bytes);
                let known = bound as usize;
                let read = SubjectColumn::parse(&mut Input(&bytes), 5000, known);
                let read = read.expect("it was written above");
                for slot in 0..5000 {
                    let expected = packed.get(slot).expect("a slot");
                    let expected = if expected == REMOVED {
                        REMOVED
                    } else {
                        expected / 2
                    };
                    assert_eq!(read.get(slot), Some(expected), "{bound}");
                }
                assert!(
                    SubjectColumn::parse(&mut Input(&bytes), 5001, known).is_none() || bound == 1
                );
                assert!(SubjectColumn::parse(&mut Input(&bytes), 5000, known - 1).is_none());
            }
            packed.replace(6, DAMAGED);
            let mut bytes = Vec::new();
            packed.put(&numbers, &mut bytes);
            assert!(SubjectColumn::parse(&mut Input(&bytes), 5000, bound as usize).is_none());
        }
    }
}
