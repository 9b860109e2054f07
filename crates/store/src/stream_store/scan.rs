//! Reads a segment record by record, past damage: for segments without an index that can be used.

use everjet_subject::SubjectTable;
use everjet_values::{EntryIndex, StreamSequence};

use crate::index::{DAMAGED, REMOVED, starts_frame};
use crate::segment::{
    Fields, RECORD_HEADER, RecordKind, RecordSalt, Run, decode_runs, parse_record, view_record,
};

use super::segment::Segment;

/// Bytes of checksums that looking for the next record after damage may cost: a payload can be made to look like many
/// long records.
const SEARCH_BYTES_MAX: usize = 4 << 30;

/// What a scan found besides messages, which are in the segment's columns.
#[derive(Default)]
pub(super) struct Scanned {
    /// What removal records say, about this segment and earlier ones.
    pub(super) runs: Vec<Run>,
    pub(super) damage: Vec<ScanDamage>,
    /// The last time that any record names.
    pub(super) last_time: i64,
    /// The last sequence that any record names.
    pub(super) last_sequence: u64,
    /// The damage that is to blame for messages that were not found.
    blamed: usize,
    /// Of a rewritten segment: which of its sequences hold no message, as its first record says.
    holes: Option<Vec<Run>>,
}

/// Bytes that are no record.
pub(super) struct ScanDamage {
    pub(super) offset: u64,
    pub(super) length: u64,
    pub(super) sequences: Option<(StreamSequence, StreamSequence)>,
    pub(super) what: &'static str,
}

/// What is scanned.
pub(super) struct Scan<'a> {
    pub(super) segment: &'a mut Segment,
    pub(super) salt: RecordSalt,
    pub(super) subjects: &'a mut SubjectTable,
    /// The file's bytes from `base` on, as far as there are any.
    pub(super) bytes: &'a [u8],
    pub(super) base: u32,
    /// The length that the file should have.
    pub(super) length: u64,
    /// Whether a footer is expected at the end (it was found to be of no use).
    pub(super) sealed: bool,
    /// The last sequence that the segment can have.
    pub(super) last_max: u64,
    /// No record can be of a later entry.
    pub(super) entry_max: EntryIndex,
}

impl<'a> Scan<'a> {
    /// Adds what the bytes hold to the segment.
    pub(super) fn run(mut self) -> Scanned {
        let mut found = Scanned {
            last_time: i64::MIN,
            ..Scanned::default()
        };
        let mut budget = SEARCH_BYTES_MAX;
        // Bytes of damage since the last message: they may have held messages.
        let mut skipped = 0;
        let mut at = 0;
        let mut end = self.base as usize + self.bytes.len();
        while at < self.bytes.len() {
            if self.is_footer(at) {
                let length = self.bytes.len() - at;
                found
                    .damage
                    .push(self.damage(at, length, "the footer fails its check"));
                end = self.base as usize + at;
                break;
            }
            if let Some(fields) = self.record(at, skipped, &found) {
                if matches!(fields.kind, RecordKind::Message | RecordKind::Erased) {
                    skipped = 0;
                }
                self.accept(at, &fields, &mut found);
                at += fields.length;
            } else {
                let next = self.next_record(at, skipped, &mut budget, &found);
                self.segment.columns.push_gap(self.place(at));
                found.blamed = found.damage.len();
                found
                    .damage
                    .push(self.damage(at, next - at, "no valid record"));
                skipped += next - at;
                at = next;
            }
        }
        let missing = self.length - u64::from(self.base) - self.bytes.len() as u64;
        if missing > 0 {
            self.segment.columns.push_gap(self.place(self.bytes.len()));
            let missing = usize::try_from(missing).expect("segments stay below 4 GiB");
            found.blamed = found.damage.len();
            found
                .damage
                .push(self.damage(self.bytes.len(), missing, "the file is too short"));
            skipped += missing;
            end += missing;
        }
        self.segment.end = u32::try_from(end).expect("segments stay below 4 GiB");
        self.lose_tail(skipped, &mut found);
        found
    }

    /// The valid record at a position, after `skipped` bytes of damage.
    fn record(&self, at: usize, skipped: usize, found: &Scanned) -> Option<Fields<'a>> {
        let bytes = self.bytes.get(at..)?;
        view_record(bytes).filter(|fields| self.is_plausible(fields, skipped, found))?;
        parse_record(bytes, self.salt, self.place(at))
    }

    /// Whether a record can follow here.
    fn is_plausible(&self, fields: &Fields<'_>, skipped: usize, found: &Scanned) -> bool {
        let sequence = fields.message.sequence.0;
        if fields.entry > self.entry_max {
            return false;
        }
        match fields.kind {
            RecordKind::Message | RecordKind::Erased => {
                let is_far = sequence > self.last_max
                    || sequence.wrapping_sub(self.segment.first) > u64::from(u32::MAX);
                if self.segment.revision > 0 && is_far {
                    return false;
                }
                let lost_max = (skipped / RECORD_HEADER) as u64;
                let expected = self.expected(found);
                match &found.holes {
                    None if self.segment.revision > 0 => {
                        skipped > 0 && (expected..=self.last_max).contains(&sequence)
                    }
                    None => sequence
                        .checked_sub(expected)
                        .is_some_and(|lost| lost <= lost_max),
                    Some(holes) => {
                        sequence >= expected
                            && after_hole(holes, sequence) == sequence
                            && outside(holes, expected, sequence) <= lost_max
                    }
                }
            }
            RecordKind::Removals => sequence >= self.segment.first - 1,
            RecordKind::Skip => sequence == self.segment.first && self.segment.columns.len() == 0,
        }
    }

    /// Whether the file's footer begins here.
    fn is_footer(&self, at: usize) -> bool {
        let length = (self.bytes.len() - at) as u64;
        let is_length = |bytes: Option<&[u8; 8]>| {
            bytes.is_some_and(|bytes| u64::from_le_bytes(*bytes) == length)
        };
        self.sealed
            && self.bytes.get(at..).is_some_and(starts_frame)
            && (is_length(self.bytes.get(at + 16..).and_then(<[u8]>::first_chunk))
                || is_length(self.bytes.last_chunk()))
    }

    /// Where the next record or the footer begins after damage at `at`, or the end.
    fn next_record(&self, at: usize, skipped: usize, budget: &mut usize, found: &Scanned) -> usize {
        for next in at + 1..self.bytes.len() {
            if self.is_footer(next) {
                return next;
            }
            let skipped = skipped + next - at;
            let candidate = self.bytes.get(next..).and_then(view_record);
            let Some(fields) = candidate.filter(|fields| self.is_plausible(fields, skipped, found))
            else {
                continue;
            };
            *budget = budget.saturating_sub(fields.length);
            if *budget == 0 {
                break;
            }
            if self.record(next, skipped, found).is_some() {
                return next;
            }
        }
        self.bytes.len()
    }

    fn accept(&mut self, at: usize, fields: &Fields<'_>, found: &mut Scanned) {
        let message = fields.message;
        let place = self.place(at);
        found.last_time = found.last_time.max(message.time.as_nanos());
        match fields.kind {
            RecordKind::Message | RecordKind::Erased => {
                self.lose_until(message.sequence.0, found);
                let subject = match fields.kind {
                    RecordKind::Message => self.subjects.intern(message.subject).0,
                    _ => REMOVED,
                };
                let has_headers = !message.headers.is_empty();
                let time = message.time.as_nanos();
                let distance = message.sequence.0 - self.segment.first;
                self.segment.columns.push_at(
                    u32::try_from(distance).expect("a segment spans fewer sequences"),
                    (place, has_headers),
                    subject,
                    time,
                );
                found.last_sequence = message.sequence.0;
            }
            RecordKind::Removals => {
                self.segment.columns.push_gap(place);
                found.last_sequence = found.last_sequence.max(message.sequence.0);
                if let Some((runs, _)) = decode_runs(message.payload) {
                    self.segment.keep_foreign(&runs);
                    if self.segment.revision > 0 && found.holes.is_none() {
                        found.holes = Some(runs.clone());
                    }
                    found.runs.extend(runs);
                }
            }
            RecordKind::Skip => {
                self.segment.columns.push_gap(place);
                found.last_sequence = found.last_sequence.max(message.sequence.0 - 1);
            }
        }
    }

    /// Makes the slots before `sequence` that were not found damaged ones, on account of the damage seen last.
    fn lose_until(&mut self, sequence: u64, found: &mut Scanned) {
        let expected = self.expected(found);
        if sequence <= expected {
            return;
        }
        let Scanned { damage, holes, .. } = found;
        let damage = damage
            .get_mut(found.blamed)
            .expect("a gap is only accepted after damage");
        if self.segment.revision > 0 && holes.is_none() {
            // What says which messages there were is lost: any of them may have been.
            self.segment.lost_to = self.last_max;
            let first = StreamSequence(self.segment.first);
            damage.sequences = Some((first, StreamSequence(self.last_max)));
            return;
        }
        let holes = holes.as_deref().unwrap_or_default();
        let columns = &mut self.segment.columns;
        let time = columns
            .times()
            .last()
            .copied()
            .unwrap_or(self.segment.created);
        let place = u32::try_from(damage.offset).expect("segments stay below 4 GiB");
        let (mut lost, mut last) = (expected, expected);
        while lost < sequence {
            let Ok(distance) = u32::try_from(lost - self.segment.first) else {
                break;
            };
            columns.push_at(distance, (place, false), DAMAGED, time);
            last = lost;
            lost = after_hole(holes, lost + 1);
        }
        damage.sequences = Some((StreamSequence(expected), StreamSequence(last)));
    }

    /// What was lost at the end is known from what comes next in the stream, and by how much the damage can have held.
    fn lose_tail(&mut self, skipped: usize, found: &mut Scanned) {
        let end = self.last_max.saturating_add(1);
        let possible = self.expected(found) + (skipped / RECORD_HEADER) as u64;
        if self.segment.revision > 0 && skipped > 0 {
            // Its holes reach up to the next segment, so that what is missing is known; but no more than fits into what
            // was lost.
            let holes = found.holes.as_deref().unwrap_or_default();
            let mut until = self.expected(found);
            let mut room = skipped / RECORD_HEADER;
            while until < end && room > 0 {
                until = after_hole(holes, until + 1);
                room -= 1;
            }
            return self.lose_until(until.min(end), found);
        }
        self.lose_until(possible.min(end), found);
    }

    fn damage(&self, at: usize, length: usize, what: &'static str) -> ScanDamage {
        ScanDamage {
            offset: u64::from(self.place(at)),
            length: length as u64,
            sequences: None,
            what,
        }
    }

    /// The sequence that the next slot has.
    fn expected(&self, found: &Scanned) -> u64 {
        let next = self.segment.first + self.segment.columns.span();
        after_hole(found.holes.as_deref().unwrap_or_default(), next)
    }

    fn place(&self, at: usize) -> u32 {
        u32::try_from(self.base as usize + at).expect("segments stay below 4 GiB")
    }
}

/// The first sequence at or after this one that lies in none of `holes`, merged.
fn after_hole(holes: &[Run], sequence: u64) -> u64 {
    let at = holes.partition_point(|hole| hole.last < sequence);
    match holes.get(at).filter(|hole| hole.first <= sequence) {
        Some(hole) => hole.last.saturating_add(1),
        None => sequence,
    }
}

/// How many sequences from `from` up to but without `to` lie in none of `holes`, merged.
fn outside(holes: &[Run], from: u64, to: u64) -> u64 {
    let at = holes.partition_point(|hole| hole.last < from);
    let inside: u64 = holes
        .iter()
        .skip(at)
        .take_while(|hole| hole.first < to)
        .map(|hole| hole.last.min(to - 1) + 1 - hole.first.max(from))
        .sum();
    to - from - inside
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_stepped_over() {
        let holes = [(3, 4), (6, 9)].map(|(first, last)| Run { first, last });
        let after = |sequence, expected| assert_eq!(after_hole(&holes, sequence), expected);
        after(2, 2);
        after(3, 5);
        after(5, 5);
        after(8, 10);
        after(11, 11);
        let count = |from, to, expected| assert_eq!(outside(&holes, from, to), expected);
        count(1, 11, 4);
        count(4, 7, 1);
        count(7, 8, 0);
        count(5, 5, 0);
    }
}
