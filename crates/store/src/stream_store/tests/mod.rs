//! The stream store against a naive model, in memory and on the simulated disk, through damage and power cuts.

mod age;
mod blocks;
mod checkpoint;
mod cold;
mod compact;
mod crash;
mod damage;
mod erase;
mod model;
mod random;
mod verify;
mod writes;

use std::path::Path;
use std::sync::Arc;

use everjet_values::{Entropy, EntryIndex, SeededEntropy, StreamSequence, Timestamp};

use super::{NewMessage, RemoveBudget, StoreOptions, StreamStore};
use crate::disk::Disk;
use crate::seal::testing::sealed_disk;
use crate::sim_disk::SimDisk;
use crate::{Fault, SavedSegments, StreamId};
use model::{FILTERS, Model};

const DIR: &str = "/store/ORDERS";
const SUBJECTS: [&str; 9] = [
    "order.new",
    "order.paid",
    "order.new.eu",
    "a",
    "b.c",
    "b.d",
    "b.d.e",
    "zebra",
    "a.b.c.d.e",
];

/// Small segments and little memory, so that few messages reach every path.
fn small() -> StoreOptions {
    StoreOptions {
        segment_bytes_max: 4096,
        tail_bytes_max: 1500,
        checkpoint_messages_min: 1,
        chunk_bytes: 512,
    }
}

/// What the files of a store are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Plain,
    Compressed,
    Sealed,
    Both,
}

impl Form {
    const ALL: [Self; 4] = [Self::Plain, Self::Compressed, Self::Sealed, Self::Both];

    /// The disk at one start of a server.
    fn disk(self, disk: &SimDisk, start: u64) -> Arc<dyn Disk> {
        match self {
            Self::Plain | Self::Compressed => disk.shared(),
            Self::Sealed | Self::Both => sealed_disk(disk, 1, start),
        }
    }

    /// The store as `saved` says.
    fn open(self, disk: Arc<dyn Disk>, saved: &SavedSegments) -> (StreamStore, super::OpenReport) {
        let (mut store, report) = open_through(disk, saved);
        store.set_compression(matches!(self, Self::Compressed | Self::Both));
        (store, report)
    }
}

/// A number below `bound`.
fn below(dice: &SeededEntropy, bound: u64) -> u64 {
    dice.next_u64() % bound
}

/// A change of a store.
#[derive(Clone, Debug)]
enum Step {
    Append {
        time: i64,
        subject: &'static str,
        headers: Vec<u8>,
        payload: Vec<u8>,
    },
    Remove(u64),
    RemoveThrough(u64),
    /// Those of a filter from one sequence to another, so many at a time.
    RemoveMatching(&'static [&'static [u8]], (u64, u64), RemoveBudget),
    SkipTo(u64),
}

impl Step {
    /// A change that fits to a store with these ends.
    fn random(dice: &SeededEntropy, model: &Model) -> Self {
        let (first, last) = (model.first(), model.last);
        match below(dice, 100) {
            0..60 => {
                let skew = below(dice, SUBJECTS.len() as u64);
                let subject = SUBJECTS[usize::try_from(below(dice, skew + 1)).expect("small")];
                let payload = match below(dice, 60) {
                    0 => 5000,
                    1..5 => 700,
                    _ => below(dice, 60),
                };
                Self::Append {
                    time: model.last_time.max(0) + i64::try_from(below(dice, 3)).expect("small"),
                    subject,
                    headers: if below(dice, 4) == 0 {
                        b"NATS/1.0\r\nA: b\r\n\r\n".to_vec()
                    } else {
                        vec![]
                    },
                    payload: vec![
                        u8::try_from(below(dice, 256)).expect("a byte");
                        payload as usize
                    ],
                }
            }
            60..72 => Self::Remove(first),
            72..93 => Self::Remove(first + below(dice, last + 2 - first.min(last))),
            93 => Self::remove_matching(dice, (first, last)),
            94..97 => Self::RemoveThrough(first + below(dice, 20)),
            97 => Self::RemoveThrough(first + below(dice, last + 2 - first.min(last))),
            98 => Self::RemoveThrough(last * below(dice, 2)),
            _ => Self::SkipTo(last + below(dice, 4)),
        }
    }

    fn remove_matching(dice: &SeededEntropy, (first, last): (u64, u64)) -> Self {
        let filter = FILTERS[usize::try_from(below(dice, 8)).expect("small")];
        let from = below(dice, first + 10);
        let through = from + below(dice, last + 4 - from.min(last));
        let some = |dice| match below(dice, 3) {
            0 => usize::MAX,
            _ => 1 + usize::try_from(below(dice, 9)).expect("small"),
        };
        let budget = RemoveBudget {
            looked_at: some(dice),
            removed: some(dice),
        };
        Self::RemoveMatching(filter, (from, through), budget)
    }

    fn apply(&self, entry: EntryIndex, store: &mut StreamStore) {
        match self {
            Self::Append {
                time,
                subject,
                headers,
                payload,
            } => {
                store.append(entry, &message(*time, subject, headers, payload));
            }
            Self::Remove(sequence) => {
                store.remove(entry, StreamSequence(*sequence));
            }
            Self::RemoveThrough(sequence) => {
                store.remove_through(entry, StreamSequence(*sequence));
            }
            Self::RemoveMatching(filter, (from, through), budget) => {
                let set = store.select(filter);
                let through = StreamSequence(*through);
                let mut from = StreamSequence(*from);
                let mut removed = Vec::new();
                while from <= through {
                    let before = removed.len();
                    let range = (from, through);
                    let done = store.remove_matching(entry, &set, range, *budget, &mut removed);
                    assert!(from <= done && done <= through);
                    let gone = &removed[before..];
                    assert!(gone.len() <= budget.removed && gone.iter().all(|(at, _)| *at <= done));
                    from = done.next();
                }
            }
            Self::SkipTo(next) => store.skip_to(entry, StreamSequence(*next)),
        }
    }
}

fn message<'a>(
    time: i64,
    subject: &'a str,
    headers: &'a [u8],
    payload: &'a [u8],
) -> NewMessage<'a> {
    NewMessage {
        time: Timestamp::from_nanos(time),
        subject: subject.as_bytes(),
        headers,
        payload,
    }
}

/// Appends `count` messages with bodies `m<sequence>`.
fn fill(store: &mut StreamStore, count: u64) {
    for _ in 0..count {
        let next = store.last_sequence().next().0;
        let subject = SUBJECTS[usize::try_from(next).expect("small") % SUBJECTS.len()];
        let body = format!("m{next}");
        store.append(
            EntryIndex(next),
            &message(next.cast_signed(), subject, b"", body.as_bytes()),
        );
    }
}

/// An empty disk with the stream's folder.
fn disk() -> SimDisk {
    let disk = SimDisk::new();
    disk.create_dir_all(Path::new(DIR))
        .expect("a new disk works");
    for dir in ["/", "/store"] {
        disk.sync_dir(Path::new(dir)).expect("a new disk works");
    }
    disk
}

fn on(disk: &SimDisk) -> StreamStore {
    StreamStore::on_disk(disk.shared(), DIR.into(), StreamId(7), "ORDERS", small())
}

fn open(disk: &SimDisk, saved: &SavedSegments) -> (StreamStore, super::OpenReport) {
    open_through(disk.shared(), saved)
}

fn open_through(disk: Arc<dyn Disk>, saved: &SavedSegments) -> (StreamStore, super::OpenReport) {
    StreamStore::open(disk, DIR.into(), StreamId(7), "ORDERS", small(), saved)
        .expect("damage is no failure")
}

/// Takes, writes and syncs; what is returned may go into a manifest.
fn save(store: &mut StreamStore, disk: &dyn Disk) -> Result<SavedSegments, Fault> {
    if let Some(writes) = store.take_writes() {
        let written = writes.write(disk)?;
        written.sync(disk)?;
        store.finish_writes(&written);
        assert_eq!(writes.saved(), store.saved_segments());
    }
    Ok(store.saved_segments().clone())
}

/// Removes all index files and the checkpoint file.
fn remove_indexes(disk: &SimDisk) {
    for file in disk.list_files() {
        let is_derived = |extension| extension == "idx" || extension == "bin";
        if file.extension().is_some_and(is_derived) {
            disk.remove_file(&file).expect("it was listed");
        }
    }
}
