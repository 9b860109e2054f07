//! Reads sealed segments again, a little at a time, so that rot is found before somebody needs the message.
//!
//! A cycle goes through the segments that the manifest names when it begins. Time is what [`Scrub::step`] is told; how fast it goes
//! depends on nothing else. What fails its check is verified once more from the beginning before it is reported, while nobody may
//! write: compaction may have taken the file away, or put another one in its place, in the middle, or a message may have been
//! overwritten to erase it while it was read.

mod driver;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::Duration;

use everjet_store::{Damage, Disk, Fault, ManifestSegment, SegmentCheck, StreamId};
use everjet_values::{EntryIndex, StreamSequence};

pub(crate) use driver::Scrubber;

/// What is verified in one step.
const STEP_BYTES: u64 = 256 << 10;
/// The first cycle begins this long after the start, unless the period is shorter.
const FIRST_AFTER: Duration = Duration::from_secs(600);
/// How long to wait when the disk fails otherwise.
const FAILING_PAUSE: Duration = Duration::from_secs(10);

/// How stored messages are verified in the background.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScrubOptions {
    /// Bytes that are read a second; 0 turns the scrub off. Default 4 MiB.
    pub bytes_per_second: u64,
    /// A cycle begins this long after the beginning of the one before, or when that ends. Default 24 hours.
    pub period: Duration,
}

impl Default for ScrubOptions {
    fn default() -> Self {
        Self {
            bytes_per_second: 4 << 20,
            period: Duration::from_secs(24 * 3600),
        }
    }
}

/// How far the scrub is, and what came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScrubProgress {
    /// Cycles that were finished since the start.
    pub cycles: u64,
    /// Whether a cycle is running.
    pub is_running: bool,
    /// Segments verified in the running cycle, or in the last one.
    pub segments: u64,
    /// Segments that cycle found when it began.
    pub segments_total: u64,
    /// Bytes verified in that cycle.
    pub bytes: u64,
    /// Places found damaged in that cycle.
    pub damaged: u64,
}

/// A sealed segment to be verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Task {
    pub(crate) stream: StreamId,
    pub(crate) name: String,
    pub(crate) dir: PathBuf,
    pub(crate) segment: ManifestSegment,
    /// No record is of a later entry.
    pub(crate) entry: EntryIndex,
    /// No message is behind this one.
    pub(crate) last: StreamSequence,
}

/// What a scrub needs of its surroundings.
pub(crate) trait Ground {
    fn disk(&self) -> &dyn Disk;
    /// Whether the disk fails otherwise, so that nothing found now would mean anything.
    fn is_failing(&self) -> bool;
    /// All sealed segments.
    fn tasks(&self) -> Vec<Task>;
    /// Whether the segment is still there as it was.
    fn is_current(&self, task: &Task) -> bool;
    /// Calls `verify` while nobody may write to files of segments or take them away; not at all when the segment is not there
    /// as it was.
    fn undisturbed(&self, task: &Task, verify: &mut dyn FnMut(&dyn Disk));
    /// Takes note of damage that concerns something; returns in how many places.
    fn found(&mut self, task: &Task, damage: Vec<Damage>) -> u64;
    /// A cycle begins or has ended.
    fn tell(&mut self, progress: &ScrubProgress, fault: Option<&Fault>);
}

/// The scrub of one store.
pub(crate) struct Scrub {
    options: ScrubOptions,
    next_cycle: Duration,
    waiting: VecDeque<Task>,
    current: Option<Current>,
    progress: ScrubProgress,
}

/// The segment that is being verified.
struct Current {
    task: Task,
    check: SegmentCheck,
    found: Vec<Damage>,
}

impl Current {
    fn new(task: Task) -> Self {
        let check = task.check();
        Self {
            task,
            check,
            found: Vec::new(),
        }
    }
}

impl Task {
    fn check(&self) -> SegmentCheck {
        SegmentCheck::new(
            &self.dir,
            self.stream,
            &self.name,
            self.segment,
            self.entry,
            self.last,
        )
    }
}

impl Scrub {
    pub(crate) fn new(options: ScrubOptions) -> Self {
        Self {
            options,
            next_cycle: FIRST_AFTER.min(options.period),
            waiting: VecDeque::new(),
            current: None,
            progress: ScrubProgress::default(),
        }
    }

    pub(crate) fn progress(&self) -> ScrubProgress {
        self.progress
    }

    /// Does the next piece of work, if it is due `now` (since the start), and says when to come again; `None` for never.
    pub(crate) fn step(&mut self, now: Duration, ground: &mut dyn Ground) -> Option<Duration> {
        if self.options.bytes_per_second == 0 {
            return None;
        }
        if !self.progress.is_running && now < self.next_cycle {
            return Some(self.next_cycle);
        }
        if ground.is_failing() {
            return Some(now + FAILING_PAUSE);
        }
        if !self.progress.is_running {
            self.begin_cycle(now, ground);
        }
        let Some(mut current) = self.current.take().or_else(|| self.next_task(ground)) else {
            self.end_cycle(ground, None);
            return Some(self.next_cycle.max(now));
        };
        let before = current.check.counted().bytes;
        let outcome = current
            .check
            .step(ground.disk(), STEP_BYTES, &mut current.found);
        let bytes = current.check.counted().bytes.saturating_sub(before);
        self.progress.bytes += bytes;
        match outcome {
            Ok(true) => self.current = Some(current),
            Ok(false) => self.end_segment(current, ground),
            Err(fault) if ground.is_current(&current.task) => {
                self.end_cycle(ground, Some(&fault));
                return Some(self.next_cycle.max(now));
            }
            Err(_) => {}
        }
        // A step that verifies nothing costs a little too: opening files, searching behind damage.
        let pause = bytes.max(STEP_BYTES / 8) * 1_000_000 / self.options.bytes_per_second;
        Some(now + Duration::from_micros(pause))
    }

    fn begin_cycle(&mut self, now: Duration, ground: &mut dyn Ground) {
        self.next_cycle = now + self.options.period;
        self.waiting = ground.tasks().into();
        self.progress = ScrubProgress {
            cycles: self.progress.cycles,
            is_running: true,
            segments_total: self.waiting.len() as u64,
            ..ScrubProgress::default()
        };
        ground.tell(&self.progress, None);
    }

    fn end_cycle(&mut self, ground: &mut dyn Ground, fault: Option<&Fault>) {
        self.waiting.clear();
        self.progress.is_running = false;
        self.progress.cycles += u64::from(fault.is_none());
        ground.tell(&self.progress, fault);
    }

    fn next_task(&mut self, ground: &dyn Ground) -> Option<Current> {
        while let Some(task) = self.waiting.pop_front() {
            if ground.is_current(&task) {
                return Some(Current::new(task));
            }
        }
        None
    }

    fn end_segment(&mut self, current: Current, ground: &mut dyn Ground) {
        let Current { task, found, .. } = current;
        self.progress.segments += 1;
        if found.is_empty() {
            return;
        }
        let mut sure = Vec::new();
        ground.undisturbed(&task, &mut |disk| {
            let mut check = task.check();
            // What cannot be read now is for the next cycle.
            while check.step(disk, STEP_BYTES, &mut sure).unwrap_or(false) {}
            self.progress.bytes += check.counted().bytes;
        });
        sure.retain(|damage| found.contains(damage));
        self.progress.damaged += ground.found(&task, sure);
    }
}
