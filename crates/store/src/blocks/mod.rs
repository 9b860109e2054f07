//! Compression and encryption of the files of messages: blocks between the bytes that segments and indexes are made of and
//! the bytes in their files.
//!
//! A file in blocks reads and writes like any other ([`DiskFile`]), at the positions that the layers above count in; where
//! these bytes lie in the file is nobody else's business. Only a stream with compression or a store with keys has such files:
//! the others are what they are written as.
//!
//! What cannot be had of a file in blocks, because a block is damaged, reads as zeros, which no check above takes for
//! anything. So damage costs what lies in its block.

mod file;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod header;
#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::StreamId;
use crate::disk::{Disk, DiskFile, OpenMode};
use crate::memory::FileKey;
use file::BlockFile;

/// What a file of messages is, for checksums and seals: a block is valid in its place and nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) file: FileKey,
    pub(crate) kind: FileKind,
}

impl Place {
    /// A segment file.
    pub(crate) fn segment(file: FileKey) -> Self {
        let kind = FileKind::Segment;
        Self { file, kind }
    }

    /// The index file beside a segment.
    pub(crate) fn index(file: FileKey) -> Self {
        let kind = FileKind::Index;
        Self { file, kind }
    }

    /// The checkpoint file of a stream.
    pub(crate) fn checkpoint(stream: StreamId) -> Self {
        let kind = FileKind::Checkpoint;
        let file = FileKey {
            stream,
            first: 0,
            revision: 0,
        };
        Self { file, kind }
    }
}

/// The kinds of files that may be in blocks. The numbers are in the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    /// `.seg`
    Segment = 1,
    /// `.idx`
    Index = 2,
    /// `checkpoint.bin`
    Checkpoint = 3,
}

/// Opens a file that exists, whatever it is made of. The second value: whether it is in blocks.
pub(crate) fn open(
    disk: &dyn Disk,
    path: &Path,
    place: Place,
) -> io::Result<(Arc<dyn DiskFile>, bool)> {
    let file = disk.open(path, OpenMode::Read)?;
    Ok(if BlockFile::recognise(&*file, place)? {
        (
            Arc::new(BlockFile::new(file, place, disk.keys(), false)),
            true,
        )
    } else {
        (file, false)
    })
}

/// Opens a file to write at `offset`: at 0 it begins anew, with blocks if there is a use for them, and is created when there is
/// none; behind that it goes on as it is.
pub(crate) fn open_to_write(
    disk: &dyn Disk,
    path: &Path,
    place: Place,
    offset: u64,
    compress: bool,
) -> io::Result<Arc<dyn DiskFile>> {
    let file = match disk.open(path, OpenMode::Write) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            disk.open(path, OpenMode::CreateNew)?
        }
        other => other?,
    };
    let must_be_sealed = disk.keys().is_some();
    let in_blocks = if offset == 0 {
        compress || must_be_sealed
    } else {
        BlockFile::recognise(&*file, place)?
    };
    // A file that was lost or ruined behind our back has no right to make messages readable.
    Ok(if in_blocks || must_be_sealed {
        Arc::new(BlockFile::new(file, place, disk.keys(), compress))
    } else {
        file
    })
}

/// Whether a block ends at `position` in a file in blocks: one can only be written behind such a place.
pub(crate) fn ends_at(
    disk: &dyn Disk,
    path: &Path,
    place: Place,
    position: u64,
) -> io::Result<bool> {
    let file = disk.open(path, OpenMode::Read)?;
    let blocks = BlockFile::new(file, place, disk.keys(), false);
    Ok(blocks.end_of(position)?.is_some())
}

/// Opens a file that exists to overwrite bytes in their place. `None` when it is in blocks: there is no writing in the middle
/// of those, what lies behind would be void.
pub(crate) fn open_in_place(
    disk: &dyn Disk,
    path: &Path,
    place: Place,
) -> io::Result<Option<Arc<dyn DiskFile>>> {
    let file = disk.open(path, OpenMode::Write)?;
    // As when it is loaded: one whose beginning cannot be read, and that has no block anywhere, is not in blocks.
    let in_blocks = BlockFile::recognise(&*file, place).unwrap_or(false);
    Ok((!in_blocks).then_some(file))
}

/// Reads a whole file, whatever it is made of.
pub(crate) fn read_whole(disk: &dyn Disk, path: &Path, place: Place) -> io::Result<Vec<u8>> {
    let (file, _) = open(disk, path, place)?;
    let length = usize::try_from(file.len()?).map_err(|_| io::ErrorKind::FileTooLarge)?;
    let mut bytes = vec![0; length];
    crate::disk::read_exact_at(&*file, &mut bytes, 0)?;
    Ok(bytes)
}
