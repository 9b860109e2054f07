//! What a start has read and nothing proves durable.

use std::path::PathBuf;
use std::sync::Arc;

use crate::disk::{Disk, OpenMode, read_exact_at};
use crate::fault::Fault;
use crate::identity::Lsn;
use crate::sabotage::{PlantedBug, is_planted};

/// What is read and written at once.
const PIECE_BYTES: u64 = 1 << 20;

/// Records that a start has read and that nothing proves durable, see [`Journal::take_recovered_tail`].
///
/// [`Journal::take_recovered_tail`]: super::Journal::take_recovered_tail
pub struct RecoveredTail {
    pub(super) disk: Arc<dyn Disk>,
    /// Nothing else is written to these files any more.
    pub(super) parts: Vec<TailPart>,
    /// The last of the records.
    pub(super) last: Lsn,
}

/// What the journal knows about its tail.
pub(super) struct Recovering {
    pub(super) tail: Arc<RecoveredTail>,
    /// Somebody may be writing it, so its files must not be used for anything else.
    pub(super) is_taken: bool,
}

/// Where some of them are.
pub(super) struct TailPart {
    pub(super) path: PathBuf,
    pub(super) start: u64,
    pub(super) end: u64,
}

impl RecoveredTail {
    /// Makes the records durable. Slow: away from the journal's owner, which says then that it is done
    /// ([`Journal::finish_recovered`]).
    ///
    /// They are written once more where they are: after a failed sync of a former process the operating system may hold them in
    /// memory, believe them clean, and never write them.
    ///
    /// # Errors
    /// What the disk says; the state of the files is unknown then.
    ///
    /// [`Journal::finish_recovered`]: super::Journal::finish_recovered
    pub fn make_durable(&self) -> Result<(), Fault> {
        if is_planted(PlantedBug::RecoveredTailNotSynced) {
            return Ok(());
        }
        self.parts
            .iter()
            .try_for_each(|part| self.write_again(part))
    }

    fn write_again(&self, part: &TailPart) -> Result<(), Fault> {
        let path = &part.path;
        let file = self.disk.open(path, OpenMode::Write);
        let file = file.map_err(Fault::open(path))?;
        let mut piece = Vec::new();
        let mut at = part.start;
        while at < part.end {
            let length = PIECE_BYTES.min(part.end - at);
            piece.resize(usize::try_from(length).expect("a small number"), 0);
            read_exact_at(&*file, &mut piece, at).map_err(Fault::read(path))?;
            file.write_all_at(&piece, at).map_err(Fault::write(path))?;
            at += length;
        }
        file.sync().map_err(Fault::sync(path))
    }

    /// Whether some of them are in this file.
    pub(super) fn is_in(&self, path: &std::path::Path) -> bool {
        self.parts.iter().any(|part| part.path == path)
    }
}
