//! Messages from elsewhere on their way into a store, with the sequences they have there.

use std::path::Path;
use std::sync::Arc;

use everjet_store::{Disk, Fault, NewMessage, StreamStore, write_file_atomically};
use everjet_values::{EntryIndex, StreamSequence, Timestamp};

use crate::folders::remove_folder;
use crate::paths::Paths;

/// The file that marks the folder of a stream that does not exist yet.
pub(crate) const MARKER: &str = "import.partial";
/// All changes are of one entry, the last before those of the server. Consumers have the numbers up to it: more than this are in no
/// stream.
pub(crate) const ENTRY: EntryIndex = EntryIndex(1 << 32);

/// Bytes in memory after which they are written and synced.
const UNWRITTEN_MAX: usize = 16 << 20;
/// Longest run of sequences without a message that is stored as removed messages: about 50 bytes each. A longer one begins a new
/// segment, which is a file.
const FILLED_MAX: u64 = 16_384;
/// The subject of messages that are stored only to be removed at once.
const FILLER: &[u8] = b"_";
/// What a removed message costs in memory until it is written.
const FILLER_BYTES: usize = 64;

/// A message from elsewhere.
#[derive(Clone, Copy, Debug)]
pub struct ImportedMessage<'a> {
    /// Its sequence; above all that came before.
    pub sequence: StreamSequence,
    /// The message.
    pub message: NewMessage<'a>,
}

/// A store that is being filled.
pub(crate) struct Intake {
    disk: Arc<dyn Disk>,
    store: StreamStore,
    /// Bytes in memory since the last write.
    unwritten: usize,
    last_time: Timestamp,
}

impl Intake {
    /// Fills `store`, which is empty.
    pub(crate) fn new(disk: Arc<dyn Disk>, store: StreamStore) -> Self {
        Self {
            disk,
            store,
            unwritten: 0,
            last_time: Timestamp::UNSET,
        }
    }

    /// Takes in the next message. Sequences left out have no message.
    ///
    /// # Errors
    /// What the disk says; the stream can only be given up then.
    ///
    /// # Panics
    /// When the sequence does not go up.
    pub(crate) fn push(&mut self, next: &ImportedMessage<'_>) -> Result<(), Fault> {
        let last = self.store.last_sequence();
        assert!(next.sequence > last, "sequences go up");
        self.leave_out_until(next.sequence)?;
        let message = &next.message;
        let stored = self.store.append(ENTRY, message);
        assert_eq!(stored, next.sequence, "the gap before it was filled");
        self.last_time = message.time;
        self.unwritten +=
            FILLER_BYTES + message.subject.len() + message.headers.len() + message.payload.len();
        self.write_if_much()
    }

    /// The messages so far.
    pub(crate) fn store(&self) -> &StreamStore {
        &self.store
    }

    /// Leaves out what is missing up to the last message there ever was, writes and syncs everything.
    ///
    /// # Errors
    /// What the disk says.
    pub(crate) fn finish(
        &mut self,
        last_sequence: StreamSequence,
        last_time: Timestamp,
    ) -> Result<(), Fault> {
        if last_sequence > self.store.last_sequence() {
            self.leave_out_until(last_sequence)?;
            // The time of the last message stays when the message goes.
            self.leave_out(last_time);
        }
        self.write()
    }

    /// The filled store.
    pub(crate) fn into_store(self) -> StreamStore {
        self.store
    }

    /// Makes `next` the sequence that comes next.
    fn leave_out_until(&mut self, next: StreamSequence) -> Result<(), Fault> {
        let last = self.store.last_sequence();
        if last == StreamSequence(0) || next.0 - last.0 > FILLED_MAX {
            self.store.skip_to(ENTRY, next);
            return Ok(());
        }
        while self.store.last_sequence().next() < next {
            self.leave_out(self.last_time);
            self.write_if_much()?;
        }
        Ok(())
    }

    /// Gives the next sequence to no message.
    fn leave_out(&mut self, time: Timestamp) {
        let filler = NewMessage {
            time,
            subject: FILLER,
            headers: b"",
            payload: b"",
        };
        let sequence = self.store.append(ENTRY, &filler);
        // Not only removed: its record itself says that there is no message, and no lost removal brings the filler back.
        self.store.erase(ENTRY, sequence);
        self.unwritten += FILLER_BYTES;
    }

    fn write_if_much(&mut self) -> Result<(), Fault> {
        if self.unwritten < UNWRITTEN_MAX {
            return Ok(());
        }
        self.write()
    }

    fn write(&mut self) -> Result<(), Fault> {
        self.unwritten = 0;
        let Some(writes) = self.store.take_writes() else {
            return Ok(());
        };
        let written = writes.write(&*self.disk)?;
        written.sync(&*self.disk)?;
        self.store.finish_writes(&written);
        Ok(())
    }
}

/// Makes the folder of a stream that does not exist yet, and marks it.
pub(crate) fn make_marked_folder(disk: &dyn Disk, folder: &Path) -> Result<(), Fault> {
    disk.create_dir_all(folder).map_err(Fault::create(folder))?;
    let marker = folder.join(MARKER);
    write_file_atomically(disk, &marker, b"").map_err(Fault::write(&marker))
}

/// Removes the folder of a stream that does not exist, its mark last: a crash in between must not leave files without it.
pub(crate) fn remove_marked_folder(
    disk: &dyn Disk,
    paths: &Paths,
    account: &str,
    name: &str,
) -> Result<(), Fault> {
    let folder = paths.stream(account, name);
    for entry in disk.list(&folder).map_err(Fault::open(&folder))? {
        let path = folder.join(&entry.name);
        if entry.is_dir {
            disk.remove_dir_all(&path).map_err(Fault::remove(&path))?;
        } else if entry.name != MARKER {
            disk.remove_file(&path).map_err(Fault::remove(&path))?;
        }
    }
    disk.sync_dir(&folder).map_err(Fault::sync(&folder))?;
    remove_folder(disk, paths, account, name)
}
