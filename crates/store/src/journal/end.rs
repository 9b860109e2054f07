//! Where an orderly run has left the journal: a file beside its others, there from an orderly stop to the next write. With it, a journal whose
//! files are gone is no riddle: it is known how many records they held that nothing else has.
//!
//! A checked file `ended` (magic `everjet-journal-end`); its body is the LSN that the next record would get, in decimal digits.

use std::io;
use std::path::Path;

use super::report::LostRecords;
use crate::checked_file::{read_checked_file, write_checked_file};
use crate::disk::Disk;
use crate::fault::Fault;
use crate::identity::Lsn;

/// Its name in the journal's folder.
pub(super) const NAME: &str = "ended";
const MAGIC: &str = "everjet-journal-end";

/// Notes that the journal ends before `next`, and that everything before is durable.
pub(super) fn note(disk: &dyn Disk, dir: &Path, next: Lsn) -> Result<(), Fault> {
    let body = next.to_string();
    write_checked_file(disk, &dir.join(NAME), MAGIC, body.as_bytes())
}

/// What was noted; a note that cannot be read is none.
pub(super) fn read(disk: &dyn Disk, dir: &Path) -> Option<Lsn> {
    let body = read_checked_file(disk, &dir.join(NAME), MAGIC).ok()??;
    let digits = std::str::from_utf8(&body).ok()?;
    digits.parse().ok().map(Lsn)
}

/// Removes the note; the folder is not synced.
pub(super) fn forget(disk: &dyn Disk, dir: &Path) -> Result<(), Fault> {
    let path = dir.join(NAME);
    match disk.remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Fault::remove(&path)(error)),
        _ => Ok(()),
    }
}

/// What is lost with all files of a journal that is needed from `from` on. The last record of one that was ended is a mark.
pub(super) fn lost_behind(from: Lsn, end: Option<Lsn>) -> Option<LostRecords> {
    let last = end.map(|end| end.previous().previous());
    let is_nothing = last.is_some_and(|last| last < from);
    (!is_nothing).then_some(LostRecords { first: from, last })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim_disk::SimDisk;

    #[test]
    fn a_note_is_read_until_it_is_forgotten() {
        let disk = SimDisk::new();
        let dir = Path::new("/journal");
        disk.create_dir_all(dir).unwrap();
        assert_eq!(read(&disk, dir), None);
        note(&disk, dir, Lsn(40)).unwrap();
        assert_eq!(read(&disk, dir), Some(Lsn(40)));
        forget(&disk, dir).unwrap();
        forget(&disk, dir).unwrap();
        assert_eq!(read(&disk, dir), None);
    }

    #[test]
    fn what_no_checkpoint_has_is_lost() {
        let check = |from, end: Option<u64>, expected: Option<(u64, Option<u64>)>| {
            let lost = lost_behind(Lsn(from), end.map(Lsn));
            let lost = lost.map(|lost| (lost.first.0, lost.last.map(|last| last.0)));
            assert_eq!(lost, expected);
        };
        check(39, Some(40), None);
        check(40, Some(40), None);
        check(38, Some(40), Some((38, Some(38))));
        check(30, Some(40), Some((30, Some(38))));
        check(30, None, Some((30, None)));
    }
}
