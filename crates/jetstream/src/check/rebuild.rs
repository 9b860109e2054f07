//! A manifest made up from the files of the streams, when there is none that can be read.
//!
//! The copy of a stream's identity says whose folder it is, its segments say what was stored, and the largest entry they name is
//! taken for that of the checkpoint. The journal is read from its beginning; records that the segments hold already are left out.

use std::path::Path;
use std::sync::Arc;

use everjet_store::{
    CheckedSegment, Disk, Fault, Lsn, Manifest, ManifestConsumer, ManifestSegment, ManifestStream,
    SegmentCheck, StreamId, read_checked_file, segment_length, write_checked_file,
};
use everjet_values::{EntryIndex, StreamSequence, Timestamp};

use crate::folders::{StreamMeta, all_metas};
use crate::open::CONSUMER_MAGIC;
use crate::paths::Paths;

/// Puts a manifest onto `disk`, in the place of those that cannot be read.
pub(super) fn write_manifest(disk: &Arc<dyn Disk>, paths: &Paths) -> Result<(), Fault> {
    let metas = all_metas(&**disk, paths);
    let highest = metas.keys().next_back().copied().unwrap_or_default();
    let streams = metas
        .into_values()
        .map(|meta| stream(&**disk, paths, meta))
        .collect::<Result<Vec<_>, Fault>>()?;
    let manifest = Manifest {
        sequence: 1,
        journal_from: Lsn::FIRST,
        journal_at: None,
        next_stream_id: StreamId(highest.0 + 1),
        streams,
    };
    let body = serde_json::to_vec(&manifest).expect("a manifest has string keys only");
    for slot in ["manifest.a", "manifest.b"] {
        write_checked_file(&**disk, &paths.root().join(slot), "everjet-manifest", &body)?;
    }
    Ok(())
}

fn stream(disk: &dyn Disk, paths: &Paths, meta: StreamMeta) -> Result<ManifestStream, Fault> {
    let folder = paths.stream(&meta.account, &meta.name);
    let mut segments: Vec<ManifestSegment> = Vec::new();
    let (mut entry, mut last_sequence) = (EntryIndex::ZERO, StreamSequence::ZERO);
    for file in files(disk, &folder, meta.id)? {
        let (counted, is_sound) = verify(disk, &folder, &meta, file)?;
        let is_covered = segments.last().is_some_and(|before| {
            before.first_sequence == file.first_sequence || last_sequence >= file.first_sequence
        });
        // A crash may leave a segment and what it was rewritten to, or a part of that: the first that is sound counts. Of one that was
        // put together from several, the others are in its range.
        let replaces = is_sound
            && segments.last().is_some_and(|before| {
                before.first_sequence == file.first_sequence && before.revision < file.revision
            });
        if replaces {
            segments.pop();
        } else if is_covered {
            continue;
        }
        entry = entry.max(counted.last_entry);
        last_sequence = last_sequence.max(counted.last_sequence);
        segments.push(file);
    }
    if let Some((_, sealed)) = segments.split_last_mut() {
        for segment in sealed {
            segment.sealed = true;
        }
    }
    Ok(ManifestStream {
        id: meta.id,
        consumers: consumers(disk, paths, &meta),
        config: serde_json::to_value(&meta.config)
            .expect("maps with string keys and numbers always serialise"),
        created: meta.created,
        account: meta.account,
        name: meta.name,
        entry,
        // What the segments say is all there is.
        last_time: Timestamp::UNSET,
        last_sequence,
        lost: Vec::new(),
        segments,
    })
}

/// Reads a segment, and says whether anything in it fails its check.
fn verify(
    disk: &dyn Disk,
    folder: &Path,
    meta: &StreamMeta,
    file: ManifestSegment,
) -> Result<(CheckedSegment, bool), Fault> {
    // With or without a footer.
    let sealed = ManifestSegment {
        sealed: true,
        ..file
    };
    let (entry_max, last_max) = (EntryIndex(u64::MAX), StreamSequence(u64::MAX));
    let mut check = SegmentCheck::new(folder, meta.id, &meta.name, sealed, entry_max, last_max);
    let mut found = Vec::new();
    while check.step(disk, u64::MAX, &mut found)? {}
    Ok((check.counted(), found.is_empty()))
}

/// The segment files in a folder, by first sequence and revision.
fn files(disk: &dyn Disk, folder: &Path, stream: StreamId) -> Result<Vec<ManifestSegment>, Fault> {
    let mut files = Vec::new();
    for entry in disk.list(folder).map_err(Fault::open(folder))? {
        if !entry.name.ends_with(".seg") {
            continue;
        }
        if let Some(mut file) = ManifestSegment::of_file(&entry.name, 0) {
            file.length = segment_length(disk, folder, stream, &file)?;
            files.push(file);
        }
    }
    files.sort_unstable_by_key(|file| (file.first_sequence, file.revision));
    Ok(files)
}

/// The newest state of each consumer that can be read.
fn consumers(disk: &dyn Disk, paths: &Paths, meta: &StreamMeta) -> Vec<ManifestConsumer> {
    let folder = paths.stream(&meta.account, &meta.name).join("consumers");
    let mut found = Vec::new();
    for consumer in disk.list(&folder).unwrap_or_default() {
        let states = disk.list(&folder.join(&consumer.name)).unwrap_or_default();
        let newest = states.iter().rev().find_map(|state| {
            let entry = state.name.strip_suffix(".state")?.parse().ok()?;
            let path = folder.join(&consumer.name).join(&state.name);
            let read = read_checked_file(disk, &path, CONSUMER_MAGIC);
            matches!(read, Ok(Some(_))).then_some(EntryIndex(entry))
        });
        if let Some(entry) = newest {
            found.push(ManifestConsumer {
                name: consumer.name,
                entry,
                unread: false,
            });
        }
    }
    found
}
