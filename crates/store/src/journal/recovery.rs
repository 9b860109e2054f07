//! Reading the journal back after a start: which records count, where the tail is torn, what is damaged.
//!
//! Records form one chain by LSN through all files. A file's records end where a later file says it begins
//! ([`WalFile::first`]); what an earlier file holds from there on is void, for instance the rest of a tail that a former start
//! has cut. Where the chain breaks otherwise, later records decide: each says up to where everything was durable when it was
//! written. If that covers the missing record it is damage, reported and skipped; if not, the write never reached the disk
//! whole, nobody was told it did, and the journal ends there.
//!
//! A file gets its name after its length and header are durable. One that is too short, or has neither its header nor a record,
//! was therefore damaged later, and what it held cannot be known: everything from the break on is then reported as lost.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::chapter::{Chapter, InOrder, Loaded, OpenChapter, chapters, records_at};
use super::file::{HEADER_BYTES, WalFile, path_of};
use super::opening::JournalStart;
use super::record::{self, Copies, JournalRecord, Stored};
use super::report::{JournalDamage, JournalReport, LostRecords, RecordIdentity, TornTail};
use super::tail::{RecoveredTail, TailPart};
use crate::disk::Disk;
use crate::fault::Fault;
use crate::identity::Lsn;
use crate::sabotage::{PlantedBug, is_planted};
use crate::seal::JournalKey;

/// What receives the records.
pub(super) type Visit<'v> = dyn FnMut(JournalRecord<'_>) -> Result<(), Fault> + 'v;

/// What became of reading the journal.
pub(super) struct Recovered {
    /// The position the next record gets.
    pub(super) next: Lsn,
    /// What is durable for sure.
    pub(super) synced: Lsn,
    /// The rest.
    pub(super) tail: Option<RecoveredTail>,
    pub(super) report: JournalReport,
}

/// Visits the records of `files` (ascending by generation) from `start` on. No sound file is shorter than `shortest`.
pub(super) fn recover(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    files: &[WalFile],
    shortest: u64,
    start: JournalStart,
    visit: &mut Visit<'_>,
) -> Result<Recovered, Fault> {
    let (chapters, from) = chapters(files, start.from);
    let mut walk = Walk {
        disk: &**disk,
        chapters: &chapters,
        shortest,
        from,
        visit,
        expected: from,
        proven: chapters
            .iter()
            .map(Chapter::proof)
            .max()
            .unwrap_or_default(),
        proof: Proof::FromThePast,
        last_copies: Copies::None,
        unproven: VecDeque::new(),
        report: JournalReport::default(),
    };
    walk.run(start)?;
    walk.report_missing_successor(dir, files);
    let next = walk.expected.max(from);
    let parts = walk.tail();
    let tail = (!parts.is_empty()).then(|| RecoveredTail {
        disk: Arc::clone(disk),
        parts,
        last: next.previous(),
    });
    Ok(Recovered {
        next,
        synced: match tail {
            Some(_) => walk.proven.max(from.previous()).min(next.previous()),
            None => next.previous(),
        },
        tail,
        report: walk.report,
    })
}

/// How much of the journal has been searched for proof of durability.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Proof {
    /// Only what was visited, and all headers.
    FromThePast,
    /// Everything: nothing later can change what is proven. Holds the number of valid records not visited yet.
    Complete { records_behind: u64 },
}

/// Where the chain broke.
struct Gap {
    path: PathBuf,
    offset: u64,
    /// To the end of the file, until a later record in the same file is found.
    length: u64,
    /// Whether the bytes look like the beginning of a record.
    begun: bool,
    /// What the record was that should be there, as far as its head tells.
    record: Option<(Lsn, RecordIdentity)>,
    /// Files since the break that are gone, or hold less than any crash can have left of them, with their lengths.
    ruins: Vec<(PathBuf, u64)>,
}

/// Whether records after a gap count.
enum After {
    Continue,
    Stop,
}

struct Walk<'a, 'v> {
    disk: &'a dyn Disk,
    chapters: &'a [Chapter<'a>],
    shortest: u64,
    from: Lsn,
    visit: &'a mut Visit<'v>,
    /// The position of the next record of the chain.
    expected: Lsn,
    /// Everything up to here was durable.
    proven: Lsn,
    proof: Proof,
    /// Whether the last record of the chain was written twice.
    last_copies: Copies,
    /// Visited records that nothing proves durable, oldest first.
    unproven: VecDeque<Unproven>,
    report: JournalReport,
}

/// Some records of a file, one after the other.
struct Unproven {
    chapter: usize,
    start: u64,
    end: u64,
    last: Lsn,
}

/// How many bytes of records are taken for proven or unproven together. There may be millions of records.
const UNPROVEN_BYTES: u64 = 64 << 10;

impl Walk<'_, '_> {
    fn run(&mut self, start: JournalStart) -> Result<(), Fault> {
        if let Some(first) = self.chapters.first().and_then(|chapter| chapter.file.first) {
            self.expected = first.min(self.from);
        }
        let mut gap: Option<Gap> = None;
        let chapters = self.chapters;
        for (index, chapter) in chapters.iter().enumerate() {
            if chapter.is_void() {
                if let Some(gap) = &mut gap {
                    gap.ruins.extend(self.missing_behind(index));
                }
                continue;
            }
            self.report.files += 1;
            let opened = chapter.open(self.disk)?;
            let mut at = records_at();
            if let Some(known) = start.offset_in(chapter.file).filter(|_| index == 0) {
                // What is before it, nobody needs.
                at = known.clamp(at, opened.end.max(at));
                self.expected = self.from;
            }
            if let After::Stop = self.read_chapter(index, &opened, at, &mut gap)? {
                return self.report_ruins(&chapters[index..]);
            }
            let Some(gap) = &mut gap else { continue };
            if chapter.is_ruin(self.disk, self.shortest)? {
                gap.ruins
                    .push((chapter.file.path.clone(), chapter.file.length));
            }
            if gap.path != chapter.file.path {
                // Nothing that counts is in this one: what follows it may be what is missing.
                gap.ruins.extend(self.missing_behind(index));
            }
        }
        if let Some(gap) = gap {
            self.close_gap(gap, None);
        }
        Ok(())
    }

    /// Reports the ruins among the files from the one on where reading has stopped.
    fn report_ruins(&mut self, chapters: &[Chapter<'_>]) -> Result<(), Fault> {
        for chapter in chapters {
            if chapter.is_ruin(self.disk, self.shortest)? {
                self.report_ruin(&chapter.file.path, chapter.file.length, None);
            }
        }
        Ok(())
    }

    /// Reports a whole file as damaged and the positions from the expected one on as lost.
    fn report_ruin(&mut self, path: &Path, length: u64, last: Option<Lsn>) {
        self.report.damage.push(JournalDamage {
            path: path.to_owned(),
            offset: 0,
            length,
            lost: Some(LostRecords {
                first: self.expected.max(self.from),
                last,
            }),
            record: None,
        });
    }

    /// The newest file says whether one was begun after it; when that is not there, it was removed, with all it held.
    fn report_missing_successor(&mut self, dir: &Path, files: &[WalFile]) {
        let newest = files.iter().max_by_key(|file| file.generation);
        if let Some(successor) = newest.and_then(|newest| newest.successor) {
            self.report_ruin(&path_of(dir, successor.generation, "wal"), 0, None);
        }
    }

    /// The file that is gone when the chain breaks in this chapter: the one that its own notes and that is not there; or one before
    /// the first chapter, if that begins behind what is needed.
    fn missing_behind(&self, index: usize) -> Option<(PathBuf, u64)> {
        let chapter = self.chapters.get(index)?;
        let file = chapter.file;
        let dir = file.path.parent()?;
        if index == 0 && file.first.is_some_and(|first| first > self.expected) {
            return Some((dir.to_owned(), 0));
        }
        let successor = file.successor?;
        let mut later = self.chapters.iter().skip(index + 1).peekable();
        // That the newest one's is missing is said in the end.
        later.peek()?;
        let is_there = later.any(|later| later.file.generation == successor.generation);
        let is_behind = self.expected >= successor.first;
        (!is_there && is_behind).then(|| (path_of(dir, successor.generation, "wal"), 0))
    }

    fn read_chapter(
        &mut self,
        index: usize,
        opened: &OpenChapter<'_>,
        mut at: usize,
        gap: &mut Option<Gap>,
    ) -> Result<After, Fault> {
        let visited_before = self.report.records;
        if gap.is_none() {
            at = self.read_in_order(index, opened, at)?;
        }
        if self.expected < opened.chapter.limit
            && let After::Stop = self.read_on(index, &opened.load(at)?, at, gap)?
        {
            return Ok(After::Stop);
        }
        let file = opened.chapter.file;
        if self.report.records > visited_before && file.header.is_none() {
            self.report.damage.push(JournalDamage {
                path: file.path.clone(),
                offset: 0,
                length: HEADER_BYTES,
                lost: None,
                record: None,
            });
        }
        Ok(After::Continue)
    }

    /// Reads as long as each record follows the one before, and returns where that ends.
    fn read_in_order(
        &mut self,
        index: usize,
        opened: &OpenChapter<'_>,
        mut at: usize,
    ) -> Result<usize, Fault> {
        let mut records = InOrder::new(opened);
        while self.expected < opened.chapter.limit {
            let Some((bytes, stored)) = records.record_at(at)? else {
                break;
            };
            if stored.record.lsn != self.expected && !is_planted(PlantedBug::NoChain) {
                break;
            }
            let found = Found {
                chapter: index,
                at,
                bytes,
                key: opened.key.as_ref(),
            };
            self.accept(&found, &stored)?;
            at += stored.length;
        }
        Ok(at)
    }

    /// Reads from where a record is missing.
    fn read_on(
        &mut self,
        index: usize,
        loaded: &Loaded<'_>,
        mut at: usize,
        gap: &mut Option<Gap>,
    ) -> Result<After, Fault> {
        let file = loaded.chapter().file;
        while self.expected < loaded.chapter().limit {
            let next = if gap.is_none() {
                loaded.record_at(at).filter(|stored| {
                    stored.record.lsn == self.expected || is_planted(PlantedBug::NoChain)
                })
            } else {
                None
            };
            let stored = match next {
                Some(stored) => stored,
                None => {
                    if gap.is_none() {
                        self.complete_proof(index, loaded, at)?;
                        let missing = self.missing_behind(index);
                        *gap = Some(Gap {
                            path: file.path.clone(),
                            offset: at as u64,
                            length: file.length.saturating_sub(at as u64),
                            // What is behind a missing file is sound.
                            begun: missing.is_none() && loaded.is_begun(at),
                            record: loaded.identity_at(at),
                            ruins: missing.into_iter().collect(),
                        });
                    }
                    let Some((found, stored)) = loaded.search(at, self.expected) else {
                        break;
                    };
                    let mut open = gap.take().expect("opened above or before");
                    if open.path == file.path {
                        open.length = found as u64 - open.offset;
                    }
                    if let After::Stop =
                        self.close_gap(open, Some((stored.record.lsn, stored.copies)))
                    {
                        return Ok(After::Stop);
                    }
                    at = found;
                    stored
                }
            };
            let found = Found {
                chapter: index,
                at,
                bytes: loaded.bytes_at(at, stored.length),
                key: loaded.key(),
            };
            self.accept(&found, &stored)?;
            at += stored.length;
        }
        Ok(After::Continue)
    }

    fn accept(&mut self, found: &Found<'_>, stored: &Stored<'_>) -> Result<(), Fault> {
        let lsn = stored.record.lsn;
        self.last_copies = stored.copies;
        self.expected = lsn.next();
        self.proven = self.proven.max(stored.synced);
        if let Proof::Complete { records_behind } = &mut self.proof {
            *records_behind = records_behind.saturating_sub(1);
        }
        self.note_unproven(found, stored);
        if lsn < self.from || stored.is_mark() {
            return Ok(());
        }
        let opened;
        let body = if stored.sealed {
            let opens = |key| record::open_body(found.bytes, key);
            let Some(body) = found.key.and_then(opens) else {
                // Whole, and yet not what was sealed: as good as lost.
                let damaged = self.chapters.get(found.chapter);
                self.report.damage.push(JournalDamage {
                    path: damaged.map_or_else(PathBuf::new, |chapter| chapter.file.path.clone()),
                    offset: found.at as u64,
                    length: stored.length as u64,
                    lost: Some(LostRecords {
                        first: lsn,
                        last: Some(lsn),
                    }),
                    record: Some(RecordIdentity {
                        stream: stored.record.stream,
                        entry: stored.record.entry,
                        kind: stored.record.kind,
                    }),
                });
                return Ok(());
            };
            opened = body;
            &opened
        } else {
            stored.record.body
        };
        self.report.records += 1;
        self.report.bytes += stored.length as u64;
        (self.visit)(JournalRecord {
            body,
            ..stored.record
        })
    }

    /// Judges a break of the chain, `next` being the first valid record behind it.
    fn close_gap(&mut self, gap: Gap, next: Option<(Lsn, Copies)>) -> After {
        let Gap {
            path,
            offset,
            length,
            begun,
            record,
            ruins,
        } = gap;
        // Records before `from` are not needed any more, whatever became of them. They may well be missing for a good reason:
        // a checkpoint can take the place of records that were never synced.
        let first = self.expected.max(self.from);
        let first_found = next.map_or(Lsn(u64::MAX), |(lsn, _)| lsn);
        if first_found <= first {
            return After::Continue;
        }
        let is_damage = self.proven >= first;
        let last = self.proven.min(first_found.previous());
        let is_closed = is_damage && last.next() == first_found;
        for (path, length) in &ruins {
            self.report_ruin(path, *length, is_closed.then_some(last));
        }
        if is_damage {
            if ruins.is_empty() || begun {
                let is_one = first == last;
                // Of a record that was written twice, the other one is there.
                let has_copy = is_one
                    && (self.last_copies == Copies::Follows
                        || next.is_some_and(|(lsn, copies)| {
                            lsn == last.next() && copies == Copies::OfTheOneBefore
                        }));
                let lost = (!has_copy).then_some(LostRecords {
                    first,
                    last: Some(last),
                });
                let record = record.filter(|(lsn, _)| is_one && *lsn == first);
                self.report.damage.push(JournalDamage {
                    path: path.clone(),
                    offset,
                    length,
                    lost,
                    record: record.map(|(_, identity)| identity),
                });
            }
            self.expected = last.next();
            self.last_copies = Copies::None;
            if is_closed {
                return After::Continue;
            }
        }
        let records = match self.proof {
            Proof::Complete { records_behind } => records_behind,
            Proof::FromThePast => 0,
        };
        if ruins.is_empty() && (next.is_some() || (begun && !is_damage)) {
            self.report.torn = Some(TornTail {
                path,
                offset,
                first: self.expected,
                records,
            });
        }
        After::Stop
    }

    /// Searches everything from `at` in this chapter on for records, for what they say about durability.
    fn complete_proof(
        &mut self,
        index: usize,
        loaded: &Loaded<'_>,
        at: usize,
    ) -> Result<(), Fault> {
        if self.proof != Proof::FromThePast {
            return Ok(());
        }
        let mut records_behind = self.search_proof(loaded, at);
        let chapters = self.chapters;
        for chapter in chapters.iter().skip(index + 1) {
            let opened = chapter.open(self.disk)?;
            records_behind += self.search_proof(&opened.load(records_at())?, records_at());
        }
        self.proof = Proof::Complete { records_behind };
        Ok(())
    }

    fn search_proof(&mut self, loaded: &Loaded<'_>, mut at: usize) -> u64 {
        let mut records = 0;
        while let Some((found, stored)) = loaded.search(at, self.expected) {
            self.proven = self.proven.max(stored.synced);
            records += 1;
            at = found + stored.length;
        }
        records
    }

    fn note_unproven(&mut self, found: &Found<'_>, stored: &Stored<'_>) {
        let (start, end) = (found.at as u64, (found.at + stored.length) as u64);
        let last = stored.record.lsn;
        match self.unproven.back_mut() {
            Some(run) if run.chapter == found.chapter && end - run.start <= UNPROVEN_BYTES => {
                (run.end, run.last) = (end, last);
            }
            _ => self.unproven.push_back(Unproven {
                chapter: found.chapter,
                start,
                end,
                last,
            }),
        }
        while self
            .unproven
            .front()
            .is_some_and(|oldest| oldest.last <= self.proven)
        {
            self.unproven.pop_front();
        }
    }

    /// Where the records are that nothing proves durable, one part a file.
    fn tail(&mut self) -> Vec<TailPart> {
        let mut parts = Vec::new();
        while let Some(first) = self.unproven.pop_front() {
            let mut end = first.end;
            while let Some(next) = self
                .unproven
                .pop_front_if(|next| next.chapter == first.chapter)
            {
                end = next.end;
            }
            if let Some(chapter) = self.chapters.get(first.chapter) {
                parts.push(TailPart {
                    path: chapter.file.path.clone(),
                    start: first.start,
                    end,
                });
            }
        }
        parts
    }
}

/// A record where it was found.
struct Found<'b> {
    chapter: usize,
    at: usize,
    /// All of it.
    bytes: &'b [u8],
    /// What it is sealed with, if it is.
    key: Option<&'b JournalKey>,
}
