//! The manifest: which streams exist, in which files, up to which entry, and where the journal must be read from.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use everjet_values::{EntryIndex, StreamSequence, Timestamp};
use serde::{Deserialize, Serialize};

use crate::checked_file::{read_checked_file, write_checked_file};
use crate::disk::Disk;
use crate::fault::Fault;
use crate::identity::{Lsn, StreamId};
use crate::journal::{JournalPlace, JournalStart};
use crate::quarantine::quarantine_file;

/// What a store directory holds, as of the last checkpoint. The journal says what happened since.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Grows by one with every write; the slot with the larger one wins. Set by [`ManifestStore::write`].
    pub sequence: u64,
    /// The first journal position that is still needed.
    pub journal_from: Lsn,
    /// Where that is. `None`: the whole file has to be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journal_at: Option<JournalPlace>,
    /// The id the next stream gets.
    pub next_stream_id: StreamId,
    /// The streams, in any order.
    pub streams: Vec<ManifestStream>,
}

impl Manifest {
    /// A store without streams.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            journal_from: Lsn::FIRST,
            next_stream_id: StreamId(1),
            ..Self::default()
        }
    }

    /// From where on the journal is needed.
    #[must_use]
    pub fn journal_start(&self) -> JournalStart {
        JournalStart {
            from: self.journal_from,
            at: self.journal_at,
        }
    }
}

/// One stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ManifestStream {
    /// Its number, for good.
    pub id: StreamId,
    /// The account it belongs to.
    pub account: String,
    /// Its name.
    pub name: String,
    /// When it was created.
    pub created: Timestamp,
    /// Its configuration, as the layers above write it.
    pub config: serde_json::Value,
    /// The checkpoint: files hold the effects of the entries up to this one.
    pub entry: EntryIndex,
    /// The largest sequence ever given to a message; never goes back.
    pub last_sequence: StreamSequence,
    /// The time of the last message ever stored; never goes back. Missing in older manifests: what the files say counts then.
    #[serde(default)]
    pub last_time: Timestamp,
    /// Sequences that may have been given to messages lost with a part of the journal: first and last, ascending.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<(StreamSequence, StreamSequence)>,
    /// Its segments at the checkpoint, ascending.
    pub segments: Vec<ManifestSegment>,
    /// Its consumers at the checkpoint.
    pub consumers: Vec<ManifestConsumer>,
}

/// One segment file at a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestSegment {
    /// The first sequence, which also is in the file's name.
    pub first_sequence: StreamSequence,
    /// How many times the segment was rewritten without what was removed; part of the file's name unless zero.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub revision: u32,
    /// Durable bytes of the file.
    pub length: u64,
    /// Whether it has its footer and is never written again.
    pub sealed: bool,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_zero(revision: &u32) -> bool {
    *revision == 0
}

/// One consumer at a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestConsumer {
    /// Its name.
    pub name: String,
    /// The entry its snapshot was taken at.
    pub entry: EntryIndex,
    /// A start could not read its snapshot from the disk: it was not served since, and the snapshot is as old as that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unread: bool,
}

/// The two slots `manifest.a` and `manifest.b` in the store directory.
///
/// A slot is a checked file (`everjet-manifest`) with the manifest as JSON. A write replaces the slot that is not in use, which
/// makes it the one in use, and then the other one too: normally both say the same, so that damage to one costs nothing. Where a
/// crash came in between, the next start makes them the same.
pub struct ManifestStore {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    /// The slot that holds the current manifest.
    in_use: usize,
    sequence: u64,
    damaged: Vec<Fault>,
}

const SLOTS: [&str; 2] = ["manifest.a", "manifest.b"];
const MAGIC: &str = "everjet-manifest";
/// The folder for files that failed a check, in the store directory.
const QUARANTINE: &str = "quarantine";

impl ManifestStore {
    /// Reads the slots in `dir` (created when missing) and returns the newest valid one. `None` for a new store; an empty manifest
    /// is written then, because streams without any are taken for the remains of a damaged store.
    ///
    /// # Errors
    /// [`Fault::Damaged`] when there are slots and none is valid, or streams without any slot: nothing was changed.
    /// [`Fault::NewerFormat`], or what the disk says.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path) -> Result<(Self, Option<Manifest>), Fault> {
        disk.create_dir_all(dir).map_err(Fault::create(dir))?;
        let mut newest: Option<(usize, Manifest)> = None;
        let mut damaged = Vec::new();
        let mut differ = false;
        let mut first_body = None;
        for (slot, name) in SLOTS.into_iter().enumerate() {
            match read_slot(&*disk, &dir.join(name), &mut first_body) {
                Ok(Slot::Missing) => differ = true,
                Ok(Slot::Same) => {}
                Ok(Slot::Holds(manifest)) => {
                    let before = newest.as_ref().map(|(_, newest)| newest.sequence);
                    differ |= before.is_some_and(|before| before != manifest.sequence);
                    if before.is_none_or(|before| before < manifest.sequence) {
                        newest = Some((slot, manifest));
                    }
                }
                Err(fault @ Fault::Damaged { .. }) => damaged.push(fault),
                Err(fault) => return Err(fault),
            }
        }
        if newest.is_none() {
            check_is_new(&*disk, dir, &damaged)?;
        }
        for fault in &damaged {
            quarantine_file(&*disk, &dir.join(QUARANTINE), fault.path())?;
        }
        differ |= !damaged.is_empty();
        let mut store = Self {
            disk,
            dir: dir.to_owned(),
            in_use: newest.as_ref().map_or(1, |(slot, _)| *slot),
            sequence: newest.as_ref().map_or(0, |(_, manifest)| manifest.sequence),
            damaged,
        };
        match &newest {
            Some((_, manifest)) => store.settle(manifest, differ)?,
            None => store.write(&Manifest::empty())?,
        }
        Ok((store, newest.map(|(_, manifest)| manifest)))
    }

    /// Whether `dir` has a slot, sound or not.
    #[must_use]
    pub fn is_in(disk: &dyn Disk, dir: &Path) -> bool {
        disk.list(dir)
            .is_ok_and(|entries| entries.iter().any(|entry| SLOTS.contains(&&*entry.name)))
    }

    /// Makes `manifest` the current one: it is durable when this returns. Its `sequence` is chosen here.
    ///
    /// Sync the journal before, up to the entries the manifest takes for done.
    ///
    /// # Errors
    /// What the disk says. After a restart the previous manifest is the current one then, or this one.
    pub fn write(&mut self, manifest: &Manifest) -> Result<(), Fault> {
        let manifest = Manifest {
            sequence: self.sequence + 1,
            ..manifest.clone()
        };
        let body = serde_json::to_vec(&manifest).expect("a manifest has string keys only");
        let (old, new) = (self.in_use, 1 - self.in_use);
        self.write_slot(new, &body)?;
        self.in_use = new;
        self.sequence = manifest.sequence;
        // The manifest is durable already; without its second copy it only is less protected from damage, until the next write.
        let _ = self.write_slot(old, &body);
        Ok(())
    }

    /// Makes what was found safe before anybody is told of it: from now on no power cut and no damage to one slot may bring an
    /// older manifest back.
    fn settle(&self, found: &Manifest, differ: bool) -> Result<(), Fault> {
        // A process that was killed may have renamed the slot and not have synced its name.
        self.disk
            .sync_dir(&self.dir)
            .map_err(Fault::sync(&self.dir))?;
        if differ {
            let body = serde_json::to_vec(found).expect("a manifest has string keys only");
            // On a full disk the store opens all the same, one copy less protected, as after a write.
            let _ = self.write_slot(1 - self.in_use, &body);
        }
        Ok(())
    }

    /// Slots that failed their check when the store was opened; they were moved to the quarantine folder.
    #[must_use]
    pub fn damaged(&self) -> &[Fault] {
        &self.damaged
    }

    fn write_slot(&self, slot: usize, body: &[u8]) -> Result<(), Fault> {
        write_checked_file(&*self.disk, &self.dir.join(SLOTS[slot]), MAGIC, body)
    }
}

/// What was found in a slot.
enum Slot {
    Missing,
    /// The same bytes as in the one before, as it normally is: with thousands of streams, parsing them takes time.
    Same,
    Holds(Manifest),
}

fn read_slot(disk: &dyn Disk, path: &Path, before: &mut Option<Vec<u8>>) -> Result<Slot, Fault> {
    let Some(body) = read_checked_file(disk, path, MAGIC)? else {
        return Ok(Slot::Missing);
    };
    if before.as_ref() == Some(&body) {
        return Ok(Slot::Same);
    }
    let manifest = serde_json::from_slice(&body)
        .map_err(|error| Fault::damaged(path, format!("not a manifest: {error}")))?;
    *before = Some(body);
    Ok(Slot::Holds(manifest))
}

/// Without a valid slot: is this directory new, or has it lost something?
fn check_is_new(disk: &dyn Disk, dir: &Path, damaged: &[Fault]) -> Result<(), Fault> {
    if !damaged.is_empty() {
        let what: Vec<String> = damaged.iter().map(ToString::to_string).collect();
        return Err(Fault::damaged(
            dir,
            format!("no usable manifest: {}", what.join("; ")),
        ));
    }
    for entry in disk.list(dir).map_err(Fault::open(dir))? {
        let streams = dir.join(&entry.name).join("streams");
        if entry.is_dir && disk.list(&streams).is_ok_and(|streams| !streams.is_empty()) {
            let what = format!(
                "{} exists, but neither manifest.a nor manifest.b",
                streams.display()
            );
            return Err(Fault::damaged(dir, what));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim_disk::{SimDisk, SimFault};

    const DIR: &str = "/store/jetstream";

    fn open(disk: &SimDisk) -> Result<(ManifestStore, Option<Manifest>), Fault> {
        ManifestStore::open(disk.shared(), Path::new(DIR))
    }

    fn manifest(journal_from: u64) -> Manifest {
        Manifest {
            journal_from: Lsn(journal_from),
            next_stream_id: StreamId(2),
            streams: vec![ManifestStream {
                id: StreamId(1),
                account: "$G".into(),
                name: "ORDERS".into(),
                created: Timestamp::UNSET,
                config: serde_json::json!({"name": "ORDERS"}),
                entry: EntryIndex(journal_from),
                last_sequence: StreamSequence(7),
                last_time: Timestamp::from_nanos(99),
                lost: vec![(StreamSequence(3), StreamSequence(4))],
                segments: vec![ManifestSegment {
                    first_sequence: StreamSequence(1),
                    revision: 0,
                    length: 100,
                    sealed: false,
                }],
                consumers: vec![ManifestConsumer {
                    name: "shipping".into(),
                    entry: EntryIndex(3),
                    unread: false,
                }],
            }],
            ..Manifest::default()
        }
    }

    fn written(count: u64) -> SimDisk {
        let disk = SimDisk::new();
        let (mut store, none) = open(&disk).unwrap();
        assert!(none.is_none());
        for number in 1..=count {
            store.write(&manifest(number)).unwrap();
        }
        disk
    }

    #[test]
    fn the_last_one_written_is_the_current_one() {
        for count in 1..5 {
            let (_, current) = open(&written(count)).unwrap();
            let expected = Manifest {
                sequence: count + 1,
                ..manifest(count)
            };
            assert_eq!(current.unwrap(), expected);
        }
    }

    #[test]
    fn a_power_cut_leaves_the_old_or_the_new_and_never_neither() {
        for operation in 1.. {
            let disk = written(2).kill();
            let (mut store, _) = open(&disk).unwrap();
            disk.fail_at(disk.operations() + operation, SimFault::Cut);
            let outcome = store.write(&manifest(3));
            for seed in 0..50 {
                let (_, current) = open(&disk.crash(seed)).unwrap();
                let found = current.unwrap().journal_from.0;
                let allowed = if outcome.is_ok() { 3..=3 } else { 2..=3 };
                assert!(
                    allowed.contains(&found),
                    "operation {operation}, seed {seed}: {found}"
                );
            }
            if !disk.is_cut() {
                assert!(operation > 8, "two slots take several steps each");
                break;
            }
        }
    }

    #[test]
    fn what_was_opened_survives_a_power_cut() {
        for operation in 1.. {
            let disk = written(2).kill();
            let (mut store, _) = open(&disk).unwrap();
            disk.fail_at(disk.operations() + operation, SimFault::Cut);
            if store.write(&manifest(3)).is_ok() {
                break;
            }
            // The process ends here, the system does not.
            let disk = disk.kill();
            let (_, found) = open(&disk).unwrap();
            for seed in 0..50 {
                let (_, after) = open(&disk.crash(seed)).unwrap();
                assert_eq!(after, found, "operation {operation}, seed {seed}");
            }
        }
    }

    #[test]
    fn one_damaged_slot_costs_nothing_and_is_kept() {
        for name in SLOTS {
            let path = Path::new(DIR).join(name);
            let disk = written(3);
            let length = crate::disk::read_file(&disk, &path).unwrap().len() as u64;
            for bit in 0..length * 8 {
                let disk = disk.kill();
                disk.flip_bit(&path, bit);
                let (mut store, current) = open(&disk).unwrap();
                assert_eq!(current.unwrap().journal_from, Lsn(3), "{name} bit {bit}");
                assert_eq!(store.damaged().len(), 1);
                let kept = Path::new(DIR).join("quarantine").join(format!("{name}.1"));
                assert!(disk.list_files().contains(&kept));
                store.write(&manifest(4)).unwrap();
                let (store, current) = open(&disk).unwrap();
                assert_eq!(current.unwrap().journal_from, Lsn(4));
                assert!(store.damaged().is_empty());
            }
        }
    }

    #[test]
    fn a_missing_slot_costs_nothing() {
        for name in SLOTS {
            let disk = written(3);
            disk.remove_file(&Path::new(DIR).join(name)).unwrap();
            assert_eq!(open(&disk).unwrap().1.unwrap().journal_from, Lsn(3));
        }
    }

    #[test]
    fn two_damaged_slots_stop_the_start_and_are_left_alone() {
        let disk = written(3);
        for name in SLOTS {
            disk.flip_bit(&Path::new(DIR).join(name), 300);
        }
        let files = disk.list_files();
        let fault = open(&disk).err().unwrap();
        assert!(
            fault
                .to_string()
                .contains("manifest.a: the checksum does not match"),
            "{fault}"
        );
        assert!(
            fault
                .to_string()
                .contains("manifest.b: the checksum does not match"),
            "{fault}"
        );
        assert_eq!(disk.list_files(), files);
    }

    #[test]
    fn a_new_store_stays_usable_whenever_the_power_goes() {
        for operation in 1.. {
            let disk = SimDisk::new();
            disk.fail_at(operation, SimFault::Cut);
            let stream = Path::new(DIR).join("$G/streams/ORDERS");
            let outcome = open(&disk).map(|_| disk.create_dir_all(&stream));
            for seed in 0..20 {
                let (_, current) = open(&disk.crash(seed)).unwrap();
                assert!(current.is_none_or(|current| current.streams.is_empty()));
            }
            if outcome.is_ok_and(|created| created.is_ok()) {
                break;
            }
        }
    }

    #[test]
    fn streams_without_a_manifest_stop_the_start() {
        let disk = SimDisk::new();
        disk.create_dir_all(&Path::new(DIR).join("$G/streams/ORDERS"))
            .unwrap();
        let fault = open(&disk).err().unwrap();
        assert!(matches!(fault, Fault::Damaged { .. }), "{fault}");
    }

    #[test]
    fn a_full_disk_keeps_the_current_manifest() {
        let disk = written(2);
        let (mut store, _) = open(&disk).unwrap();
        disk.set_capacity(Some(10));
        assert!(store.write(&manifest(3)).unwrap_err().is_full());
        assert!(
            disk.list_files()
                .iter()
                .all(|path| path.extension().unwrap() != "new")
        );
        assert_eq!(open(&disk).unwrap().1.unwrap().journal_from, Lsn(2));
        disk.set_capacity(None);
        store.write(&manifest(3)).unwrap();
        assert_eq!(open(&disk).unwrap().1.unwrap().journal_from, Lsn(3));
    }
}
