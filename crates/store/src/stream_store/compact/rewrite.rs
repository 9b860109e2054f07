//! Writing the messages that stay into a new file: away from the stream's lock, in order, a block at a time.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use everjet_subject::SubjectTable;
use everjet_values::{StreamSequence, Timestamp};

use crate::blocks::{Place, open_to_write};
use crate::index::{Columns, FrameHead};
use crate::sabotage::{PlantedBug, is_planted};
use crate::segment::{
    RecordKind, RecordSalt, Run, SegmentHeader, encode_runs, merge_runs, move_record, parse_record,
    put_removals,
};
use crate::{DiskFile, Fault, read_exact_at};

use super::super::file_id::segment_path;
use super::super::reader::open_segment;
use super::super::segment::runs_of;
use super::super::writes::remove_if_there;
use super::{Compacted, Compaction, CompactionError, Kept};

/// How much is read and written at once; a larger message takes what it needs.
const BLOCK_BYTES: usize = 256 << 10;
/// Dead bytes between two messages that are read along rather than stepped over.
const GAP_BYTES: u32 = 4 << 10;

impl Compaction {
    /// Writes the new file and makes it and its name durable. Every message is checked on the way. `pace` is told what was
    /// read and written since the last call, a few hundred KiB; it may wait, and says whether to go on.
    ///
    /// # Errors
    /// See [`CompactionError`].
    pub fn rewrite(&self, pace: &mut dyn FnMut(u64) -> bool) -> Result<Compacted, CompactionError> {
        let path = segment_path(&self.dir, self.target);
        let written = self.write(&path, pace);
        if written.is_err() {
            // What stays is found by the next start, and deleted then.
            let _ = remove_if_there(&*self.disk, &path);
        }
        written
    }

    fn write(
        &self,
        path: &Path,
        pace: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Compacted, CompactionError> {
        // A name that an attempt before has left must not lend its content to this one.
        remove_if_there(&*self.disk, path)?;
        let place = Place::segment(self.target.of(self.stream));
        let file = open_to_write(&*self.disk, path, place, 0, self.compress)
            .map_err(Fault::create(path))?;
        let foreign = self.foreign();
        let mut output = Output::begin(self, &foreign, path.to_owned(), Arc::clone(&file));
        let mut rest = self.messages.as_slice();
        let mut open: Option<(u32, PathBuf, Arc<dyn DiskFile>)> = None;
        while let Some(first) = rest.first() {
            let (block, after) = rest.split_at(block_length(rest));
            rest = after;
            if open
                .as_ref()
                .is_none_or(|(source, ..)| *source != first.source)
            {
                let id = self.source(first).0;
                let path = segment_path(&self.dir, id);
                let (file, _) = open_segment(&*self.disk, &path, id.of(self.stream))?;
                open = Some((first.source, path, file));
            }
            let (_, path, file) = open.as_ref().expect("it was opened above");
            let copied = self.copy(block, path, &**file, &mut output)?;
            if !pace(copied) {
                return Err(CompactionError::Stopped);
            }
        }
        let compacted = self.finish(output, &foreign)?;
        if !is_planted(PlantedBug::CompactedNotSynced) {
            file.sync().map_err(Fault::sync(path))?;
        }
        let dir = &self.dir;
        self.disk.sync_dir(dir).map_err(Fault::sync(dir))?;
        Ok(compacted)
    }

    /// Copies neighbouring messages of one file; returns how much was read and written.
    fn copy(
        &self,
        block: &[Kept],
        path: &Path,
        file: &dyn DiskFile,
        output: &mut Output,
    ) -> Result<u64, CompactionError> {
        let (Some(first), Some(last)) = (block.first(), block.last()) else {
            return Ok(0);
        };
        let mut bytes = vec![0; (last.end - first.start) as usize];
        let damaged = |kept: &Kept| CompactionError::Damaged {
            file: path.to_owned(),
            sequence: StreamSequence(kept.sequence),
        };
        match read_exact_at(file, &mut bytes, u64::from(first.start)) {
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                return Err(damaged(first));
            }
            read => read.map_err(Fault::read(path))?,
        }
        let (_, salt) = self.source(first);
        for kept in block {
            let from = (kept.start - first.start) as usize;
            let to = (kept.end - first.start) as usize;
            let record = bytes.get(from..to).unwrap_or_default();
            let fields = parse_record(record, salt, kept.start).filter(|fields| {
                fields.length == record.len() && fields.message.sequence.0 == kept.sequence
            });
            if fields.is_some_and(|fields| fields.kind == RecordKind::Erased) {
                // It was erased since it was taken. The next attempt does not know of it.
                return Err(CompactionError::Stopped);
            }
            let fields = fields.filter(|fields| fields.kind == RecordKind::Message);
            let message = fields.ok_or_else(|| damaged(kept))?.message;
            output.add(kept, record, salt, &message, self.target.first)?;
        }
        Ok(bytes.len() as u64 + output.flush()?)
    }

    /// What has to be said again: what the sources say about segments before them that are still there. What they say
    /// about each other is done with, as the messages are left out.
    fn foreign(&self) -> Vec<Run> {
        let concerns = |run: &Run| {
            let at = self.earlier.partition_point(|span| span.last < run.first);
            let span = self.earlier.get(at);
            span.is_some_and(|span| span.first <= run.last)
        };
        let said = self
            .sources
            .iter()
            .flat_map(|source| runs_of(&source.foreign));
        let mut runs: Vec<Run> = said
            .filter(|run| run.first < self.target.first && concerns(run))
            .map(|run| Run {
                first: run.first,
                last: run.last.min(self.target.first - 1),
            })
            .collect();
        merge_runs(&mut runs);
        runs
    }

    fn finish(&self, mut output: Output, runs: &[Run]) -> Result<Compacted, CompactionError> {
        let end = output.end;
        let mut foreign = Vec::new();
        if !runs.is_empty() {
            encode_runs(runs, &mut foreign);
        }
        let head = FrameHead {
            stream: self.stream,
            first: self.target.first,
            entry: self.entry,
            last_time: self.last.1,
            covered: end,
            whole: true,
        };
        output.bytes = head.encode(&output.columns, &foreign, &output.subjects.names());
        let length = u64::from(end) + output.bytes.len() as u64;
        output.flush()?;
        let mut columns = output.columns;
        for (slot, kept) in self.messages.iter().enumerate() {
            // The file numbers its own subjects, the store those of all segments.
            columns.replace(slot, kept.subject);
        }
        columns.pack();
        Ok(Compacted {
            target: self.target,
            created: self.created,
            sources: self
                .sources
                .iter()
                .map(|source| (source.id, source.messages))
                .collect(),
            columns,
            foreign: foreign.into(),
            end,
            length,
        })
    }

    fn source(&self, kept: &Kept) -> (super::FileId, RecordSalt) {
        let source = self.sources.get(kept.source as usize);
        let source = source.expect("messages are taken with their source");
        (source.id, source.salt)
    }
}

impl From<Fault> for CompactionError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// The new file, and what is not written yet of it.
struct Output {
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    salt: RecordSalt,
    columns: Columns,
    /// Those of this file.
    subjects: SubjectTable,
    bytes: Vec<u8>,
    written: u64,
    /// Where the next record goes.
    end: u32,
}

impl Output {
    fn begin(taken: &Compaction, foreign: &[Run], path: PathBuf, file: Arc<dyn DiskFile>) -> Self {
        let target = taken.target;
        let salt = RecordSalt::new(taken.stream, target.first).revised(target.revision);
        let mut bytes = Vec::new();
        let header = SegmentHeader {
            stream: taken.stream,
            first: target.first,
            revision: target.revision,
            created: Timestamp::from_nanos(taken.created),
            name: taken.name.as_bytes(),
        };
        header.put(&mut bytes);
        let mut runs: Vec<Run> = foreign.iter().chain(&taken.holes).copied().collect();
        merge_runs(&mut runs);
        let mut columns = Columns::sparse();
        let offset = offset_of(bytes.len());
        columns.push_gap(offset);
        put_removals(&mut bytes, salt, offset, taken.entry, taken.last, &runs);
        Self {
            path,
            file,
            salt,
            columns,
            subjects: SubjectTable::new(),
            end: offset_of(bytes.len()),
            bytes,
            written: 0,
        }
    }

    fn add(
        &mut self,
        kept: &Kept,
        record: &[u8],
        salt: RecordSalt,
        message: &crate::MessageView<'_>,
        first: u64,
    ) -> Result<(), Fault> {
        if self.bytes.len() + record.len() > BLOCK_BYTES {
            self.flush()?;
        }
        let at = self.bytes.len();
        self.bytes.extend_from_slice(record);
        let copy = self.bytes.get_mut(at..).expect("it was added above");
        move_record(copy, (salt, kept.start), (self.salt, self.end));
        let distance = u32::try_from(kept.sequence - first).expect("chosen to be near");
        let has_headers = !message.headers.is_empty();
        let subject = self.subjects.intern(message.subject).0;
        let time = message.time.as_nanos();
        self.columns
            .push_at(distance, (self.end, has_headers), subject, time);
        self.end = offset_of(self.end as usize + record.len());
        Ok(())
    }

    /// Writes what is there; returns how much.
    fn flush(&mut self) -> Result<u64, Fault> {
        let length = self.bytes.len() as u64;
        self.file
            .write_all_at(&self.bytes, self.written)
            .map_err(Fault::write(&self.path))?;
        self.written += length;
        self.bytes.clear();
        Ok(length)
    }
}

/// How many of the first messages are read with one read.
fn block_length(messages: &[Kept]) -> usize {
    let Some(first) = messages.first() else {
        return 0;
    };
    let mut end = first.end;
    let fits = |kept: &&Kept| {
        let is_next = kept.source == first.source
            && kept
                .start
                .checked_sub(end)
                .is_some_and(|gap| gap <= GAP_BYTES)
            && (kept.end - first.start) as usize <= BLOCK_BYTES;
        end = kept.end;
        is_next
    };
    1 + messages.iter().skip(1).take_while(fits).count()
}

fn offset_of(length: usize) -> u32 {
    let offset = u32::try_from(length)
        .ok()
        .filter(|&offset| offset < 1 << 31);
    offset.expect("no more is taken than fits into a segment")
}
