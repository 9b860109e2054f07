//! Secure erase: what was erased is nowhere on the disk once the answer is there.

use std::path::Path;

use everjet_api::Storage;
use everjet_store::{StreamId, crc32c, read_file};
use everjet_stream::Output;
use everjet_testkit::SimDisk;
use everjet_values::{Entropy, StreamSequence};
use memchr::memmem;

use crate::ledger::Erased;
use crate::world::World;
use crate::{Ledger, Stop};

/// Where records of the journal begin in its files, how long their heads are, and how much of a body tells it from all others.
const RECORDS_AT: usize = 4096;
const HEAD_BYTES: usize = 52;
const PIECE_BYTES: usize = 24;

impl World {
    /// Erases a message as the server does: everything is checkpointed, and the journal's files are overwritten. Answered only if
    /// all of it came through.
    pub(crate) fn erase(&mut self, id: StreamId) -> Result<(), Stop> {
        // A stream that is offline, or cannot be written, keeps the journal.
        if !self.offline.is_empty() || !self.stuck.is_empty() {
            return Ok(());
        }
        self.finish_checkpoint()?;
        // Overwriting comes before the manifest that knows of the removal. After a crash in between, commands from before the erasure are
        // replayed without the message, and limits of messages may keep one more than they did. TODO: take this checkpoint out when
        // overwriting waits for that manifest.
        self.begin_checkpoint(true);
        self.finish_checkpoint()?;
        let pick = self.random.next_u64();
        let now = self.now;
        let Some(actor) = self.actors.get_mut(&id) else {
            return Ok(());
        };
        let alive: Vec<u64> = actor.model.sequences().collect();
        let is_on_disk = actor.stream.config().storage == Storage::File;
        let Some(at) = usize::try_from(pick).unwrap_or(0).checked_rem(alive.len()) else {
            return Ok(());
        };
        let sequence = alive[at];
        let name = actor.stream.config().name.clone();
        let ledger = self.ledgers.entry(name.clone()).or_default();
        let entry = ledger.entries.get(&sequence).copied();
        let erased = Erased {
            sequence,
            payload: ledger.sent.get(&sequence).cloned().unwrap_or_default(),
            journal: entry.and_then(|entry| piece_in_journal(&self.disk, id, entry)),
        };
        let mut output = Output::new();
        let stream = &mut actor.stream;
        if stream
            .delete_message(now, StreamSequence(sequence), false, &mut output)
            .is_err()
        {
            // It is too old, and went a moment ago.
            return self.take(id, &mut output);
        }
        let gone = actor.model.remove(sequence);
        ledger.maybe_removed.extend(&gone);
        self.take(id, &mut output)?;
        self.remember_state(id)?;
        if !self.scrub()? {
            return Ok(());
        }
        let ledger = self.ledgers.entry(name).or_default();
        ledger.removed.extend(gone);
        let is_left = self
            .actors
            .get(&id)
            .is_some_and(|actor| actor.stream.store().has_erasures());
        if is_on_disk && !is_left {
            ledger.erased.push(erased);
            return self.check_erased().map_err(Stop::Broken);
        }
        Ok(())
    }

    /// Overwrites what the journal held so far. False when that could not be done this time.
    fn scrub(&mut self) -> Result<bool, Stop> {
        self.disk.set_capacity(None);
        self.commit_now()?;
        let rolled = self.journal.roll();
        let Some(rolled) = self.or_later(rolled)? else {
            return Ok(false);
        };
        self.begin_checkpoint(true);
        let Some(through) = self.finish_erasing()? else {
            return Ok(false);
        };
        let scrub = self.journal.release_to_scrub(through, rolled);
        let Some(mut scrub) = self.or_later(scrub)? else {
            return Ok(false);
        };
        let run = scrub.run();
        let is_complete = scrub.is_complete();
        let finished = self.journal.finish_scrub(scrub);
        let done = self.or_later(run.and(finished))?;
        Ok(done.is_some() && is_complete)
    }

    /// Nothing that was erased is on the disk.
    pub(crate) fn check_erased(&self) -> Result<(), String> {
        check_erased(&self.disk, self.ledgers.iter())
    }
}

/// Looks for what was erased in every file of the server's own. What is in blocks keeps it until it is rewritten; the journal never does.
pub(crate) fn check_erased<'a>(
    disk: &SimDisk,
    ledgers: impl Iterator<Item = (&'a String, &'a Ledger)>,
) -> Result<(), String> {
    let wanted: Vec<_> = ledgers
        .filter(|(_, ledger)| !ledger.erased.is_empty())
        .collect();
    if wanted.is_empty() {
        return Ok(());
    }
    // What is kept aside of damage is for whoever looks into it, see docs/format.md.
    let is_kept = |path: &Path| path.parent().is_some_and(|dir| dir.ends_with("quarantine"));
    let files = disk.list_files();
    for path in files.into_iter().filter(|path| !is_kept(path)) {
        let bytes = read_file(disk, &path).map_err(|error| error.to_string())?;
        let in_journal = path.parent().is_some_and(|dir| dir.ends_with("journal"));
        for (name, ledger) in &wanted {
            for erased in &ledger.erased {
                let in_the_open = erased
                    .payload
                    .get(..8)
                    .filter(|_| in_journal || !ledger.in_blocks);
                let sealed = erased.journal.as_deref().filter(|_| in_journal);
                let is_there = |piece: &[u8]| memmem::find(&bytes, piece).is_some();
                if in_the_open.is_some_and(is_there) || sealed.is_some_and(is_there) {
                    return Err(format!(
                        "stream {name}: message {} was erased and is in {}",
                        erased.sequence,
                        path.display()
                    ));
                }
            }
        }
    }
    Ok(())
}

/// A piece of the record with which a message came, as it lies in the journal.
fn piece_in_journal(disk: &SimDisk, id: StreamId, entry: u64) -> Option<Vec<u8>> {
    let is_journal = |path: &Path| path.extension().is_some_and(|kind| kind == "wal");
    let files = disk.list_files();
    files
        .iter()
        .filter(|path| is_journal(path))
        .find_map(|path| {
            let bytes = read_file(disk, path).ok()?;
            let is_it = |record: &&Record<'_>| {
                record.stream == id.0
                    && record.entry == entry
                    && crc32c(record.body) == record.checksum
            };
            let records = records(&bytes);
            let body = records.iter().find(is_it)?.body;
            let start = body.len().checked_sub(PIECE_BYTES)?;
            Some(body[start..].to_vec())
        })
}

/// A record of the journal, not checked.
pub(crate) struct Record<'a> {
    pub(crate) generation: u64,
    pub(crate) lsn: u64,
    pub(crate) checksum: u32,
    pub(crate) is_sealed: bool,
    stream: u64,
    entry: u64,
    pub(crate) body: &'a [u8],
}

/// The records of a journal file, one after the other, as far as their lengths make sense.
pub(crate) fn records(file: &[u8]) -> Vec<Record<'_>> {
    let mut records = Vec::new();
    let mut rest = file.get(RECORDS_AT..).unwrap_or_default();
    let u64_at = |bytes: &[u8], at: usize| {
        let bytes = bytes.get(at..)?.first_chunk()?;
        Some(u64::from_le_bytes(*bytes))
    };
    while let Some(length) = rest.first_chunk().map(|length| u32::from_le_bytes(*length)) {
        let Some((record, after)) = rest.split_at_checked(length as usize) else {
            break;
        };
        let head = (|| {
            Some(Record {
                checksum: u32::from_le_bytes(*record.get(4..)?.first_chunk()?),
                generation: u64_at(record, 8)?,
                lsn: u64_at(record, 16)?,
                stream: u64_at(record, 24)?,
                entry: u64_at(record, 32)?,
                is_sealed: *record.get(45)? == 1,
                body: record.get(HEAD_BYTES..)?,
            })
        })();
        let Some(head) = head else { break };
        records.push(head);
        rest = after;
    }
    records
}
