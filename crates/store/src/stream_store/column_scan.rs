//! Looks through the subject column of one segment. One loop for each kind of column and set, so that the compiler can
//! make each of them wide.

use std::ops::Range;

use crate::index::{Code, Coded, DAMAGED, SubjectColumn};

use super::subject_set::{Members, is_in};

/// So many slots are looked at one by one before it pays to ask which subjects of the segment are wanted.
const NEAR: usize = 256;

/// The first slot from `from` on that holds a message.
pub(super) fn first_live(column: &SubjectColumn, from: usize) -> Option<usize> {
    first_member(column, &Members::All, from)
}

/// The first slot from `from` on with a member.
pub(super) fn first_member(
    column: &SubjectColumn,
    members: &Members,
    from: usize,
) -> Option<usize> {
    match column {
        SubjectColumn::Growing(subjects) => first_wide(subjects, members, from),
        SubjectColumn::Wide(subjects) => first_wide(subjects, members, from),
        SubjectColumn::One { subject, slots } => {
            (from < *slots && members.has(*subject)).then_some(from)
        }
        SubjectColumn::Bytes(coded) => first_coded(coded, members, from, |codes, code| {
            memchr::memchr(code, codes)
        }),
        SubjectColumn::Shorts(coded) => first_coded(coded, members, from, position_of),
    }
}

/// The last slot before `until` that holds a message of a subject.
pub(super) fn last_of(column: &SubjectColumn, subject: u32, until: usize) -> Option<usize> {
    let until = until.min(column.len());
    match column {
        SubjectColumn::Growing(subjects) => last_equal(subjects, subject, until),
        SubjectColumn::Wide(subjects) => last_equal(subjects, subject, until),
        SubjectColumn::One { subject: one, .. } => until.checked_sub(1).filter(|_| *one == subject),
        SubjectColumn::Bytes(coded) => {
            memchr::memrchr(coded.code(subject)?, coded.codes.get(..until)?)
        }
        SubjectColumn::Shorts(coded) => last_equal(&coded.codes, coded.code(subject)?, until),
    }
}

/// How many slots of a range hold members.
pub(super) fn count(column: &SubjectColumn, members: &Members, range: Range<usize>) -> u64 {
    let range = range.start.min(column.len())..range.end.min(column.len());
    let hits = match column {
        SubjectColumn::Growing(subjects) => count_wide(&subjects[range], members),
        SubjectColumn::Wide(subjects) => count_wide(&subjects[range], members),
        SubjectColumn::One { subject, .. } if members.has(*subject) => range.len(),
        SubjectColumn::One { .. } => 0,
        SubjectColumn::Bytes(coded) => count_coded(coded, members, range),
        SubjectColumn::Shorts(coded) => count_coded(coded, members, range),
    };
    hits as u64
}

/// Adds the slots of a range that hold members to `found`, at most `most`. Returns where it stopped: the end of the range
/// when that was all.
pub(super) fn members(
    column: &SubjectColumn,
    members: &Members,
    range: Range<usize>,
    most: usize,
    found: &mut Vec<usize>,
) -> usize {
    let range = range.start.min(column.len())..range.end.min(column.len());
    match column {
        SubjectColumn::Growing(subjects) => wide_members(subjects, members, range, most, found),
        SubjectColumn::Wide(subjects) => wide_members(subjects, members, range, most, found),
        SubjectColumn::One { subject, .. } if members.has(*subject) => {
            let stop = range.end.min(range.start.saturating_add(most));
            found.extend(range.start..stop);
            stop
        }
        SubjectColumn::One { .. } => range.end,
        SubjectColumn::Bytes(coded) => coded_members(coded, members, range, most, found),
        SubjectColumn::Shorts(coded) => coded_members(coded, members, range, most, found),
    }
}

fn wide_members(
    subjects: &[u32],
    members: &Members,
    range: Range<usize>,
    most: usize,
    found: &mut Vec<usize>,
) -> usize {
    let Members::Many(words) = members else {
        return members_one_by_one(range, most, found, |from, until| {
            first_wide(subjects.get(..until)?, members, from)
        });
    };
    let part = subjects.get(range.clone()).unwrap_or_default();
    take_slots(part, range, most, found, |&subject| is_in(words, subject))
}

fn coded_members<C: Code>(
    coded: &Coded<C>,
    members: &Members,
    range: Range<usize>,
    most: usize,
    found: &mut Vec<usize>,
) -> usize {
    let is_wanted = |code: &C| {
        let subject = coded.subject(*code);
        subject < DAMAGED && members.has(subject)
    };
    // A segment without any wanted subject is passed over by looking at its subjects.
    if coded.subjects.len() < range.len() && !coded.subjects.iter().any(|&id| members.has(id)) {
        return range.end;
    }
    let part = coded.codes.get(range.clone()).unwrap_or_default();
    take_slots(part, range, most, found, is_wanted)
}

/// The slots of a part whose value is wanted.
fn take_slots<T>(
    part: &[T],
    range: Range<usize>,
    most: usize,
    found: &mut Vec<usize>,
    is_wanted: impl Fn(&T) -> bool,
) -> usize {
    let start = found.len();
    for (value, slot) in part.iter().zip(range.start..) {
        if is_wanted(value) {
            if found.len() - start == most {
                return slot;
            }
            found.push(slot);
        }
    }
    range.end
}

fn members_one_by_one(
    range: Range<usize>,
    most: usize,
    found: &mut Vec<usize>,
    next: impl Fn(usize, usize) -> Option<usize>,
) -> usize {
    let start = found.len();
    let mut from = range.start;
    while let Some(slot) = next(from, range.end) {
        if found.len() - start == most {
            return slot;
        }
        found.push(slot);
        from = slot + 1;
    }
    range.end
}

fn first_wide(subjects: &[u32], members: &Members, from: usize) -> Option<usize> {
    let rest = subjects.get(from..)?;
    let found = match members {
        Members::All => rest.iter().position(|&subject| subject < DAMAGED),
        Members::None => None,
        Members::One(id) => position_of(rest, *id),
        Members::Many(words) => rest.iter().position(|&subject| is_in(words, subject)),
    };
    found.map(|found| from + found)
}

fn first_coded<C: Code>(
    coded: &Coded<C>,
    members: &Members,
    from: usize,
    position_of: impl Fn(&[C], C) -> Option<usize>,
) -> Option<usize> {
    let rest = coded.codes.get(from..)?;
    let found = match members {
        Members::All => {
            let count = coded.subjects.len();
            rest.iter().position(|code| code.index() < count)
        }
        Members::None => None,
        Members::One(id) => position_of(rest, coded.code(*id)?),
        Members::Many(words) => {
            let is_wanted = |code: &C| is_in(words, coded.subject(*code));
            let (near, far) = rest.split_at(NEAR.min(rest.len()));
            near.iter().position(is_wanted).or_else(|| {
                // A segment without any wanted subject is passed over by looking at its subjects.
                let may_hold = far.len() < coded.subjects.len()
                    || coded.subjects.iter().any(|&subject| is_in(words, subject));
                let found = may_hold.then(|| far.iter().position(is_wanted));
                found.flatten().map(|found| NEAR + found)
            })
        }
    };
    found.map(|found| from + found)
}

fn count_wide(subjects: &[u32], members: &Members) -> usize {
    match members {
        Members::All => subjects
            .iter()
            .filter(|&&subject| subject < DAMAGED)
            .count(),
        Members::None => 0,
        Members::One(id) => subjects.iter().filter(|&subject| subject == id).count(),
        Members::Many(words) => subjects
            .iter()
            .filter(|&&subject| is_in(words, subject))
            .count(),
    }
}

fn count_coded<C: Code>(coded: &Coded<C>, members: &Members, range: Range<usize>) -> usize {
    let codes = coded.codes.get(range).unwrap_or_default();
    match members {
        Members::All => {
            let count = coded.subjects.len();
            codes.iter().filter(|code| code.index() < count).count()
        }
        Members::None => 0,
        Members::One(id) => coded.code(*id).map_or(0, |wanted| {
            codes.iter().filter(|&&code| code == wanted).count()
        }),
        Members::Many(words) => codes
            .iter()
            .filter(|&&code| is_in(words, coded.subject(code)))
            .count(),
    }
}

/// Like `position(|slot| slot == wanted)`, sixteen slots at a step without a branch for each.
fn position_of<T: Copy + Eq>(slots: &[T], wanted: T) -> Option<usize> {
    let (blocks, _) = slots.as_chunks::<16>();
    let is_hit = |block: &[T; 16]| {
        block
            .iter()
            .fold(false, |hit, &slot| hit | (slot == wanted))
    };
    let skipped = 16 * blocks.iter().take_while(|block| !is_hit(block)).count();
    let rest = slots.get(skipped..)?;
    rest.iter()
        .position(|&slot| slot == wanted)
        .map(|slot| skipped + slot)
}

fn last_equal<T: Copy + Eq>(slots: &[T], wanted: T, until: usize) -> Option<usize> {
    let slots = slots.get(..until)?;
    slots.iter().rposition(|&slot| slot == wanted)
}

#[cfg(test)]
mod tests {
    use everjet_values::{Entropy, SeededEntropy};

    use super::*;
    use crate::index::{Columns, REMOVED};

    /// Compares every answer about a packed column with that about the same column as it grows.
    fn check(subjects: u64, removed: u64) {
        let dice = SeededEntropy::new(subjects + removed);
        let mut columns = Columns::default();
        for slot in 0..3000 {
            let subject = u32::try_from(dice.next_u64() % subjects).expect("small");
            columns.push(slot * 50, false, subject * 5, 1);
        }
        for _ in 0..removed {
            let slot = usize::try_from(dice.next_u64() % 3000).expect("small");
            columns.replace(slot, [REMOVED, DAMAGED][slot % 2]);
        }
        let mut packed = columns.clone();
        packed.pack();
        let (plain, packed) = (columns.subjects(), packed.subjects());
        let mut sets = vec![Members::All, Members::None];
        for id in [0, 5, 6, 50, 5000] {
            sets.push(Members::One(id));
            sets.push(Members::Many(vec![1 << (id % 64), 1 << (id / 7 % 64)]));
        }
        sets.push(Members::Many([vec![0; 60], vec![u64::MAX]].concat()));
        for from in (0..3010).step_by(311).chain([2999, 3000]) {
            assert_eq!(first_live(packed, from), first_live(plain, from));
            for id in [0, 5, 6, 500] {
                assert_eq!(last_of(packed, id, from), last_of(plain, id, from));
            }
            for set in &sets {
                let context = format!("{subjects} subjects, {set:?} from {from}");
                let found = first_member(packed, set, from);
                assert_eq!(found, first_member(plain, set, from), "{context}");
                for range in [from..from + 400, 0..from, from..usize::MAX] {
                    let found = count(packed, set, range.clone());
                    assert_eq!(found, count(plain, set, range.clone()), "{context}");
                    for most in [1, 7, usize::MAX] {
                        let mut found = (Vec::new(), Vec::new());
                        let stops = (
                            members(packed, set, range.clone(), most, &mut found.0),
                            members(plain, set, range.clone(), most, &mut found.1),
                        );
                        assert_eq!((&found.0, stops.0), (&found.1, stops.1), "{context}");
                        assert!(found.0.len() <= most, "{context}");
                        let end = stops.0.max(range.start);
                        let there = count(plain, set, range.start..end);
                        assert_eq!(there, found.0.len() as u64, "{context}");
                        assert!(found.0.len() == most || end >= range.end.min(3000));
                    }
                }
            }
        }
    }

    #[test]
    fn packed_columns_answer_like_those_that_grow() {
        for subjects in [1, 2, 200, 900, 3000] {
            for removed in [0, 1, 2500] {
                check(subjects, removed);
            }
        }
    }
}
