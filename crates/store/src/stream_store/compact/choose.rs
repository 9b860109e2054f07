//! Which segments are worth rewriting: under the stream's lock, without the disk.

use std::ops::Range;

use std::sync::Arc;

use crate::segment::Run;

use super::super::StreamStore;
use super::super::file_id::FileId;
use super::super::segment::Segment;
use super::{Compaction, Kept, Source};

/// What a message costs in its file besides what it counts for: the rest of its header, its slot in the footer.
const MESSAGE_OVERHEAD: u64 = 22;
/// The most files that become one at a time.
const SOURCES_MAX: usize = 64;
/// A file counts for this part of a full segment: so much may be rewritten to have one less.
const FILE_WORTH: u64 = 32;
/// The least that a rewriting has to give back.
const GAIN_MIN: u64 = 512;

impl StreamStore {
    /// What is worth rewriting now, if anything: where at least as much is given back as has to be written, a file less
    /// counting for a 32nd of a full segment. Costs a look at each segment and a copy of where the messages that stay
    /// lie. `None` in memory, and at once when nothing was removed or written since it was `None` the last time.
    ///
    /// While the first message moves on, as limits and work queues make it, the first segment is left to be emptied: its
    /// file goes as a whole soon. [`StreamStore::may_compact_later`] says when to look again.
    ///
    /// An open segment that is mostly dead is sealed here; it can be rewritten after the next checkpoint.
    pub fn take_compaction(&mut self) -> Option<Compaction> {
        self.files.as_ref().filter(|_| self.may_compact)?;
        if self.has_erasures() {
            // The bytes have to go before their file does.
            return None;
        }
        self.seal_dead();
        let is_moving = self.first != std::mem::replace(&mut self.first_at_look, self.first);
        let Some(chosen) = self.choose(is_moving) else {
            self.may_compact = is_moving;
            return None;
        };
        self.erased_meanwhile = Some(Vec::new());
        self.take(chosen)
    }

    /// Whether [`StreamStore::take_compaction`] has to be asked again in a while, even when nothing changes.
    #[must_use]
    pub fn may_compact_later(&self) -> bool {
        self.files.is_some() && self.may_compact
    }

    /// Seals the open segment when it is large and hardly anything of it is alive, so that it can be rewritten.
    fn seal_dead(&mut self) {
        let active = self.active();
        let size = u64::from(active.end);
        let worthwhile = size >= (1 << 20).min(self.options.segment_bytes_max / 2);
        if worthwhile && active.columns.len() > 0 && live(active) < size / 4 {
            self.roll(self.last + 1);
            // The footer is written with the next checkpoint, which has to know that there is something to do.
            self.dropped = true;
        }
    }

    /// The neighbours whose rewriting gives back most for what it costs.
    fn choose(&self, is_moving: bool) -> Option<Range<usize>> {
        let full = self.options.segment_bytes_max;
        let worth = full / FILE_WORTH;
        let sealed = self.segments.len() - 1;
        let mut best: Option<(u64, Range<usize>)> = None;
        for start in 0..sealed {
            let (mut cost, mut dead) = (0, 0);
            let group = self.segments.range(start..sealed).take(SOURCES_MAX);
            for (more, segment) in group.enumerate() {
                let is_near = self
                    .segments
                    .get(start)
                    .is_some_and(|front| self.end_of(start + more) - front.first < 1 << 32);
                // What goes on its own is nothing to gain.
                let going = match start + more {
                    0 if is_moving => self.bytes_before_first(segment),
                    _ => 0,
                };
                let gain = dead_bytes(segment).saturating_sub(going);
                if !is_shrunk(segment, gain) || !is_near {
                    break;
                }
                cost += live(segment);
                dead += gain;
                if more > 0 && cost > full / 2 {
                    break;
                }
                let gain = dead + more as u64 * worth;
                let is_worthwhile = gain >= cost && gain >= worth.max(GAIN_MIN);
                let is_better = |best: &(u64, _)| gain - cost > best.0;
                if is_worthwhile && best.as_ref().is_none_or(is_better) {
                    best = Some((gain - cost, start..start + more + 1));
                }
            }
        }
        best.map(|(_, chosen)| chosen)
    }

    /// Bytes of a segment that lie before the stream's first message.
    fn bytes_before_first(&self, segment: &Segment) -> u64 {
        let slot = segment.slot_from(self.first);
        let range = segment.columns.range(slot, segment.end);
        u64::from(range.map_or(segment.end, |(start, _)| start))
    }

    /// The first sequence that a segment and the gap behind it do not cover.
    fn end_of(&self, at: usize) -> u64 {
        self.segments
            .get(at + 1)
            .map_or(self.last + 1, |next| next.first)
    }

    fn take(&mut self, chosen: Range<usize>) -> Option<Compaction> {
        let files = self.files.as_ref()?;
        let until = self.end_of(chosen.end - 1);
        let front = self.segments.get(chosen.start)?;
        let mut target = FileId {
            revision: front.revision + 1,
            ..front.id()
        };
        // Files that wait to be deleted keep their names to themselves.
        while self.obsolete.contains(&target) {
            target.revision += 1;
        }
        let mut taken = Compaction {
            disk: files.disk.clone(),
            dir: files.dir.to_path_buf(),
            stream: files.id,
            compress: files.compress,
            name: files.name.clone(),
            target,
            created: front.created,
            sources: Vec::new(),
            messages: Vec::new(),
            holes: Vec::new(),
            earlier: Vec::new(),
            entry: self.last_entry,
            last: (self.last, self.last_time),
        };
        let span = |segment: &Segment| Run {
            first: segment.first,
            last: segment.last(),
        };
        taken.earlier = self.segments.range(..chosen.start).map(span).collect();
        for segment in self.segments.range(chosen) {
            taken.add(segment);
        }
        taken.find_holes(until);
        Some(taken)
    }
}

impl Compaction {
    fn add(&mut self, segment: &Segment) {
        let source = u32::try_from(self.sources.len()).expect("there are few");
        for slot in 0..segment.columns.len() {
            let Some(subject) = segment.subject(slot) else {
                continue;
            };
            let range = segment.columns.range(slot, segment.end);
            let (start, end) = range.expect("the slot is there");
            self.messages.push(Kept {
                source,
                subject,
                start,
                end,
                sequence: segment.sequence(slot),
            });
        }
        self.sources.push(Source {
            id: segment.id(),
            foreign: Arc::clone(&segment.foreign),
            salt: segment.salt().expect("a segment with a file has a salt"),
            messages: segment.messages,
        });
    }

    /// Notes which sequences before `until` hold nothing.
    fn find_holes(&mut self, until: u64) {
        let mut next = self.target.first;
        for sequence in self
            .messages
            .iter()
            .map(|kept| kept.sequence)
            .chain([until])
        {
            if sequence > next {
                self.holes.push(Run {
                    first: next,
                    last: sequence - 1,
                });
            }
            next = sequence + 1;
        }
    }
}

/// Whether a segment may be rewritten, and has been or is worth it on account of what was removed. One that is whole is not
/// touched, however small: it may be as small as its age wants it.
fn is_shrunk(segment: &Segment, gain: u64) -> bool {
    let is_written = segment.sealed && segment.finished && segment.written == segment.end;
    is_written
        && !segment.is_evidence
        && segment.lost_to == 0
        && (segment.revision > 0 || gain >= live(segment))
}

/// About how much of the file its messages need.
fn live(segment: &Segment) -> u64 {
    segment.bytes + MESSAGE_OVERHEAD * segment.messages
}

fn dead_bytes(segment: &Segment) -> u64 {
    segment.saved.saturating_sub(live(segment))
}
