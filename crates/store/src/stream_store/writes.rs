//! What moves between a store and its files: buffers to write, the list for the manifest, files to delete, and what
//! opening found.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use everjet_values::{EntryIndex, StreamSequence, Timestamp};
use serde::{Deserialize, Serialize};

use crate::blocks::{Place, open_to_write};
use crate::sabotage::{PlantedBug, is_planted};
use crate::{Disk, DiskFile, Fault, ManifestSegment, StreamId};

use super::CheckpointWrite;
use super::erase::Erasure;
use super::file_id::{FileId, index_path, segment_path};
use super::sealing::{IndexSource, Sealing};

/// All segment files of a store at one entry: what the manifest keeps and [`StreamStore::open`] reads.
///
/// [`StreamStore::open`]: crate::StreamStore::open
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedSegments {
    /// The files, ascending by sequence.
    pub segments: Vec<ManifestSegment>,
    /// The last sequence ever given out.
    pub last_sequence: StreamSequence,
    /// The time of the last message ever stored: no file may hold that message any more.
    #[serde(default)]
    pub last_time: Timestamp,
    /// Sequences that may have been given to messages that are lost with a part of the journal: first and last, ascending.
    #[serde(default)]
    pub lost: Vec<(StreamSequence, StreamSequence)>,
    /// The entry of the last change that is in the files. The manifest's checkpoint entry may be later, never earlier.
    pub entry: EntryIndex,
}

/// What has to be written to the files of a store. Made by [`StreamStore::take_writes`]; buffers are shared with the store.
///
/// Order for the driver: [`SegmentWrites::write`], [`WrittenSegments::sync`], then the manifest with
/// [`SegmentWrites::saved`]. `write` may be repeated after a failure (a full disk); `sync` may not.
///
/// [`StreamStore::take_writes`]: crate::StreamStore::take_writes
#[must_use = "what is not written is lost when the store is dropped"]
pub struct SegmentWrites {
    pub(super) dir: PathBuf,
    pub(super) stream: StreamId,
    pub(super) compress: bool,
    pub(super) files: Vec<SegmentWrite>,
    /// What is overwritten after that.
    pub(super) erasures: Vec<Erasure>,
    pub(super) checkpoint: Option<CheckpointWrite>,
    pub(super) saved: Arc<SavedList>,
}

/// [`SavedSegments`] that are known once the footers among them were made.
#[derive(Default)]
pub(super) struct SavedList {
    /// The files so far, without the footers that are made by whoever asks first.
    list: SavedSegments,
    footers: Vec<(usize, Arc<Sealing>)>,
    known: OnceLock<SavedSegments>,
}

impl SavedList {
    pub(super) fn new(list: SavedSegments, footers: Vec<(usize, Arc<Sealing>)>) -> Self {
        Self {
            list,
            footers,
            known: OnceLock::new(),
        }
    }

    pub(super) fn known(list: SavedSegments) -> Self {
        Self::new(list, Vec::new())
    }

    /// The list. The first call may take milliseconds, unless the take it is of was written.
    pub(super) fn get(&self) -> &SavedSegments {
        if self.footers.is_empty() {
            return &self.list;
        }
        self.known.get_or_init(|| {
            let mut list = self.list.clone();
            for (at, sealing) in &self.footers {
                if let Some(segment) = list.segments.get_mut(*at) {
                    segment.length += sealing.footer().len() as u64;
                }
            }
            list
        })
    }
}

/// What one segment gets.
pub(super) struct SegmentWrite {
    pub(super) id: FileId,
    /// Position of the first buffer; zero when the file begins here.
    pub(super) offset: u64,
    pub(super) buffers: Vec<Arc<Vec<u8>>>,
    /// The footer, when the segment is sealed with this write. It follows the buffers and ends the file.
    pub(super) footer: Option<Arc<Sealing>>,
    /// The content of the index file of an open segment, when it is due. That of a sealed one is its footer.
    pub(super) index: Option<IndexSource>,
}

impl SegmentWrites {
    /// What the manifest has to say once this is written and synced. May take milliseconds before it is written.
    #[must_use]
    pub fn saved(&self) -> &SavedSegments {
        self.saved.get()
    }

    /// Whether messages are overwritten: what removed them has to be durable before [`SegmentWrites::write`].
    #[must_use]
    pub fn erases(&self) -> bool {
        !self.erasures.is_empty()
    }

    /// How many bytes of records and footers this holds. May take milliseconds before it is written.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(SegmentWrite::length).sum()
    }

    /// Writes everything at its place. What was written survives a crash of the process; power loss only after
    /// [`WrittenSegments::sync`]. May be repeated: the same bytes go to the same places.
    ///
    /// # Errors
    /// [`Fault`] of the file concerned. With [`Fault::is_full`] the same call may succeed once there is room.
    pub fn write(&self, disk: &dyn Disk) -> Result<WrittenSegments, Fault> {
        disk.create_dir_all(&self.dir)
            .map_err(Fault::create(&self.dir))?;
        let mut written = WrittenSegments {
            dir: self.dir.clone(),
            files: Vec::with_capacity(self.files.len()),
            erased: Vec::new(),
        };
        for file in &self.files {
            written.files.push(self.write_segment(file, disk)?);
        }
        for erasure in &self.erasures {
            if let Some(file) = erasure.write(disk, &self.dir, self.stream)? {
                let path = segment_path(&self.dir, erasure.file);
                written.erased.push((path, file));
            }
        }
        if let Some(checkpoint) = &self.checkpoint {
            // Nothing depends on it: without it, the next start is slower.
            let _not_written = checkpoint.write(disk);
        }
        Ok(written)
    }

    fn write_segment(
        &self,
        write: &SegmentWrite,
        disk: &dyn Disk,
    ) -> Result<WrittenSegment, Fault> {
        let path = segment_path(&self.dir, write.id);
        let place = Place::segment(write.id.of(self.stream));
        let file = open_to_write(disk, &path, place, write.offset, self.compress)
            .map_err(Fault::open(&path))?;
        let mut position = write.offset;
        for buffer in &write.buffers {
            file.write_all_at(buffer, position)
                .map_err(Fault::write(&path))?;
            position += buffer.len() as u64;
        }
        let end = position;
        if let Some(footer) = write.footer.as_ref().map(|sealing| sealing.footer()) {
            file.write_all_at(footer, position)
                .map_err(Fault::write(&path))?;
            // A crashed run may have left a longer file behind; a sealed file ends with its footer.
            file.set_len(position + footer.len() as u64)
                .map_err(Fault::write(&path))?;
        }
        let encoded = write.index.as_ref().map(IndexSource::encode);
        let footer = write.footer.as_ref().map(|sealing| &**sealing.footer());
        if let Some(index) = encoded.as_ref().or(footer) {
            let path = index_path(&self.dir, write.id);
            let place = Place::index(write.id.of(self.stream));
            let file = open_to_write(disk, &path, place, 0, false).map_err(Fault::open(&path))?;
            file.write_all_at(index, 0).map_err(Fault::write(&path))?;
            file.set_len(index.len() as u64)
                .map_err(Fault::write(&path))?;
        }
        Ok(WrittenSegment {
            id: write.id,
            end,
            is_whole: write.footer.is_some(),
            path,
            file,
        })
    }
}

impl SegmentWrite {
    fn length(&self) -> u64 {
        let buffers: u64 = self.buffers.iter().map(|buffer| buffer.len() as u64).sum();
        let footer = self.footer.as_ref();
        buffers + footer.map_or(0, |sealing| sealing.footer().len() as u64)
    }
}

/// Proof that a take was written.
#[must_use = "the store keeps the memory until it is told"]
pub struct WrittenSegments {
    dir: PathBuf,
    pub(super) files: Vec<WrittenSegment>,
    /// Files in which messages were overwritten.
    erased: Vec<(PathBuf, Arc<dyn DiskFile>)>,
}

pub(super) struct WrittenSegment {
    pub(super) id: FileId,
    /// Where the records in the file end.
    pub(super) end: u64,
    /// The footer is there.
    pub(super) is_whole: bool,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
}

impl WrittenSegments {
    /// Makes the files and their names survive power loss. Index files are derived and not synced: a torn one fails its
    /// check and is not used.
    ///
    /// # Errors
    /// [`Fault`]; final, the state of the files is unknown then and no manifest may name them.
    pub fn sync(&self, disk: &dyn Disk) -> Result<(), Fault> {
        for file in &self.files {
            if !is_planted(PlantedBug::SegmentsNotSynced) {
                file.file.sync().map_err(Fault::sync(&file.path))?;
            }
        }
        if is_planted(PlantedBug::SegmentDirectoryNotSynced) {
            return Ok(());
        }
        let erased = self.erased.iter();
        for (path, file) in erased.filter(|_| !is_planted(PlantedBug::ErasureNotSynced)) {
            file.sync().map_err(Fault::sync(path))?;
        }
        disk.sync_dir(&self.dir).map_err(Fault::sync(&self.dir))
    }
}

/// Files that no segment owns any more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObsoleteFiles {
    pub(super) dir: PathBuf,
    pub(super) files: Vec<FileId>,
}

impl ObsoleteFiles {
    /// Whether there is nothing to delete.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Deletes the files; missing ones are fine. The names may come back after power loss and are then found again by
    /// [`StreamStore::open`].
    ///
    /// # Errors
    /// [`Fault`] of the first file that could not be deleted; the call may be repeated.
    ///
    /// [`StreamStore::open`]: crate::StreamStore::open
    pub fn delete(&self, disk: &dyn Disk) -> Result<(), Fault> {
        for &file in &self.files {
            remove_if_there(disk, &index_path(&self.dir, file))?;
            remove_if_there(disk, &segment_path(&self.dir, file))?;
        }
        Ok(())
    }
}

/// What opening a store found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenReport {
    /// What fails its check or is missing. Nothing of it was changed.
    pub damaged: Vec<Damage>,
    /// Segments that were loaded whole from an index file or footer.
    pub segments_indexed: usize,
    /// Segments of which at least a part was read record by record.
    pub segments_scanned: usize,
    /// Bytes read record by record.
    pub bytes_scanned: u64,
    /// Files of no segment that the manifest names: left over from a crash. [`StreamStore::obsolete_files`] lists them.
    ///
    /// [`StreamStore::obsolete_files`]: crate::StreamStore::obsolete_files
    pub leftovers: Vec<PathBuf>,
    /// Names in the folder that are not those of segments and their indexes.
    pub others: Vec<String>,
}

/// A part of a file that fails its check or is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub file: PathBuf,
    /// Where the damage begins.
    pub offset: u64,
    /// How many bytes are concerned.
    pub length: u64,
    /// The first and last sequence that cannot be read because of it. `None`: no message is known to be concerned, but a
    /// removal may be forgotten.
    pub sequences: Option<(StreamSequence, StreamSequence)>,
    /// What is wrong.
    pub what: &'static str,
}

/// Removes a file; a missing one is fine.
pub(super) fn remove_if_there(disk: &dyn Disk, path: &Path) -> Result<(), Fault> {
    match disk.remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Fault::remove(path)(error))
        }
        _ => Ok(()),
    }
}
