//! Damage to what a run has left behind: each is harmless, or found and reported.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use everjet_store::{ReadError, StreamId, read_file};
use everjet_stream::Stream;
use everjet_testkit::SimDisk;
use everjet_values::{Entropy, SeededEntropy, StreamSequence};

use crate::run::{Left, Outcome};
use crate::{Ledger, Stop, World};

/// What happens to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// This bit changes.
    Flip(u64),
    /// Only this many bytes are left.
    Truncate(u64),
    /// From this byte on so many are zeros.
    Zero(u64, u64),
    /// The file is gone.
    Delete,
}

impl Damage {
    fn apply(self, disk: &SimDisk, path: &Path) {
        match self {
            Self::Flip(bit) => disk.flip_bit(path, bit),
            Self::Truncate(length) => disk.truncate(path, length),
            Self::Zero(offset, length) => disk.zero(path, offset, length),
            Self::Delete => disk.shared().remove_file(path).expect("it was listed"),
        }
    }
}

/// What a run has left behind, and how it is without damage.
pub struct Patient {
    left: Left,
    streams: BTreeMap<StreamId, Sound>,
    /// Oldest first.
    journal_files: Vec<PathBuf>,
}

/// A stream without damage.
struct Sound {
    name: String,
    entry: u64,
    digest: u64,
    ledger: Ledger,
}

impl Patient {
    /// Looks at it while it is sound, by a start that nothing disturbs.
    ///
    /// # Errors
    /// It is not.
    pub fn new(left: Left) -> Result<Self, String> {
        let world = World::open(
            left.disk.clone(),
            left.options.started(1000),
            0,
            left.now,
            left.ledgers.clone(),
        );
        let world = world.map_err(|stop| format!("{stop:?}"))?;
        let sound = |stream: &Stream| {
            let name = stream.config().name.clone();
            let ledger = left.ledgers.get(&name).cloned().unwrap_or_default();
            let (entry, digest) = (stream.entry().0, stream.digest());
            let sound = Sound {
                name,
                entry,
                digest,
                ledger,
            };
            (stream.id(), sound)
        };
        let is_journal_file = |path: &PathBuf| path.extension().is_some_and(|kind| kind == "wal");
        let journal_files = left.disk.list_files().into_iter().filter(is_journal_file);
        let journal_files = journal_files.collect();
        Ok(Self {
            streams: world.streams().map(sound).collect(),
            journal_files,
            left,
        })
    }

    /// The files with their content.
    #[must_use]
    pub fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let disk = &self.left.disk;
        let content = |path: PathBuf| {
            let bytes = read_file(disk, &path).expect("it was listed");
            (path, bytes)
        };
        disk.list_files().into_iter().map(content).collect()
    }

    /// Damages a file, opens the store, and compares it with what it was; then works on it for a while and opens it again.
    ///
    /// # Errors
    /// What is wrong, missing without a word, or concerned without need.
    pub fn check(&self, path: &Path, damage: Damage, seed: u64) -> Result<(), String> {
        let left = &self.left;
        let disk = left.disk.kill();
        damage.apply(&disk, path);
        let opened = World::open_unchecked(
            disk.clone(),
            left.options.started(1001),
            seed,
            left.now,
            left.ledgers.clone(),
        );
        let mut world = match opened {
            Ok(world) => world,
            Err(Stop::Broken(why)) => return Err(why),
            Err(Stop::Crashed) => return Err("the disk did not fail".to_owned()),
        };
        self.judge(&world, path, damage)?;
        world.know_anew();
        let ends: BTreeMap<String, u64> = world
            .streams()
            .map(|stream| {
                let name = stream.config().name.clone();
                (name, stream.store().last_sequence().0)
            })
            .collect();
        let worked = world.work(25);
        world.believe_removals();
        match worked {
            Ok(()) => {}
            Err(Stop::Broken(why)) => return Err(format!("later: {why}")),
            Err(Stop::Crashed) => return Err("the store is of no use afterwards".to_owned()),
        }
        let ledgers = std::mem::take(&mut world.ledgers);
        let options = left.options.started(1002);
        disk.set_capacity(None);
        let again = World::open_unchecked(disk.kill(), options, 0, left.now, BTreeMap::new());
        let again = again.map_err(|stop| format!("the second time: {stop:?}"))?;
        let on_disk = ledgers.iter().filter(|(_, ledger)| !ledger.volatile);
        for (name, ledger) in on_disk {
            let found = again.streams().find(|stream| stream.config().name == *name);
            let Some(stream) = found else {
                return Err(format!(
                    "the second time: stream {name} is lost: {:?}",
                    again.reported
                ));
            };
            let wrong = |why| format!("the second time: stream {name}: {why}");
            if again.reported.is_empty() {
                ledger.check(stream).map_err(wrong)?;
                continue;
            }
            // What was indexed the first time may be found damaged now: what came later is not concerned.
            let end = ends.get(name).copied().unwrap_or(0);
            let mut later = ledger.clone();
            later.sent.retain(|sequence, _| *sequence > end);
            later.check_kept(stream).map_err(wrong)?;
        }
        Ok(())
    }

    fn judge(&self, world: &World, path: &Path, damage: Damage) -> Result<(), String> {
        let file = File::of(path);
        for (id, sound) in &self.streams {
            let name = &sound.name;
            let wrong = |why: String| format!("stream {name}: {why}");
            let is_offline = world.offline.iter().any(|offline| offline.id == *id);
            match world.streams().find(|stream| stream.id() == *id) {
                _ if is_offline && file == File::Journal => {}
                None if is_offline => return Err(wrong("is offline".to_owned())),
                None if file != File::Journal => return Err(wrong("is lost".to_owned())),
                None if world.reported.is_empty()
                    && sound.ledger.created_proven
                    && !self.may_hide(path, damage) =>
                {
                    return Err(wrong("is lost, and nobody says so".to_owned()));
                }
                None => {}
                Some(stream) => {
                    let is_concerned = match &file {
                        File::Journal => true,
                        File::OfStream(owner) => owner == name,
                        File::Other => false,
                    };
                    let judged = if is_concerned {
                        self.judge_stream(world, stream, sound, path, damage)
                    } else {
                        sound.is_same(stream)
                    };
                    judged.map_err(wrong)?;
                }
            }
        }
        let mut names = BTreeSet::new();
        for stream in world.streams() {
            let name = &stream.config().name;
            if !self.streams.contains_key(&stream.id()) && file != File::Journal {
                return Err(format!("stream {name} is back"));
            }
            if !names.insert(name) {
                return Err(format!("there are two streams {name}"));
            }
        }
        Ok(())
    }

    fn judge_stream(
        &self,
        world: &World,
        stream: &Stream,
        sound: &Sound,
        path: &Path,
        damage: Damage,
    ) -> Result<(), String> {
        let ledger = &sound.ledger;
        if !self.may_hide(path, damage) {
            ledger.check_messages(stream)?;
        }
        let is_journal = File::of(path) == File::Journal;
        let store = stream.store();
        let found = |sequence: &u64| store.get(StreamSequence(*sequence));
        let is_damaged =
            |sequence: &&u64| matches!(found(sequence), Err(ReadError::Damaged { .. }));
        let damaged = ledger.sent.keys().filter(is_damaged).count();
        if world.reported.is_empty() && damaged == 0 {
            return self.judge_silence(stream, sound, path, damage);
        }
        // Where a stream was is in the manifest and in every file of it; only the journal knows of what came later, and when a
        // part of that is gone, the stream leaves a gap. What is damaged at the very end looks like a write cut short.
        let highest = ledger.acknowledged.last().copied().unwrap_or(0);
        let is_gone = matches!(damage, Damage::Truncate(_) | Damage::Delete);
        if (!is_journal || is_gone)
            && !self.may_hide(path, damage)
            && store.last_sequence().0 < highest
        {
            return Err(format!(
                "sequences from {} on are given again",
                store.last_sequence().next()
            ));
        }
        // A bit of a block costs all of the block.
        if matches!(damage, Damage::Flip(_)) && !is_journal && !ledger.in_blocks {
            let is_lost = |sequence: &&u64| {
                found(sequence).is_err() && !ledger.maybe_removed.contains(sequence)
            };
            let lost = ledger.acknowledged.iter().filter(is_lost).count();
            // Where a removal is forgotten its message is back, and the limits take others instead.
            let is_back = |sequence: &u64| found(sequence).is_ok();
            if lost > 1 && !ledger.maybe_removed.iter().any(is_back) {
                return Err(format!("one bit costs {lost} messages"));
            }
        }
        Ok(())
    }

    /// Nothing is reported: nothing may be missing, but for what nobody can know.
    fn judge_silence(
        &self,
        stream: &Stream,
        sound: &Sound,
        path: &Path,
        damage: Damage,
    ) -> Result<(), String> {
        if self.may_hide(path, damage) {
            return Ok(());
        }
        let entry = stream.entry().0;
        let is_unproven = (sound.ledger.proven_entry..sound.entry).contains(&entry);
        if is_unproven && File::of(path) == File::Journal {
            let known = sound.ledger.digests.get(&entry);
            return match known {
                Some(digest) if *digest != stream.digest() => Err(format!(
                    "the state at entry {entry} is another one than it was"
                )),
                _ => Ok(()),
            };
        }
        sound
            .is_same(stream)
            .map_err(|why| format!("{why}, and nobody says so"))
    }

    /// Whether what proves that records are missing may be missing itself.
    fn may_hide(&self, path: &Path, damage: Damage) -> bool {
        let is_newest = self
            .journal_files
            .last()
            .is_some_and(|newest| newest == path);
        is_newest
            && match damage {
                Damage::Flip(_) | Damage::Truncate(_) => false,
                Damage::Zero(..) => true,
                // The one before notes it, if there is one.
                Damage::Delete => self.journal_files.len() == 1,
            }
    }
}

impl Sound {
    fn is_same(&self, stream: &Stream) -> Result<(), String> {
        if stream.entry().0 != self.entry {
            return Err(format!(
                "is at entry {} instead of {}",
                stream.entry(),
                self.entry
            ));
        }
        if stream.digest() != self.digest {
            return Err("is another one than it was".to_owned());
        }
        Ok(())
    }
}

/// Whose file it is.
#[derive(Debug, PartialEq, Eq)]
enum File {
    Journal,
    OfStream(String),
    Other,
}

impl File {
    fn of(path: &Path) -> Self {
        let names: Vec<_> = path.iter().filter_map(|name| name.to_str()).collect();
        let after = |what: &str| {
            let at = names.iter().position(|name| *name == what)?;
            names.get(at + 1)
        };
        match (after("journal"), after("streams")) {
            (Some(_), _) => Self::Journal,
            (_, Some(name)) => Self::OfStream((*name).to_owned()),
            _ => Self::Other,
        }
    }
}

/// Damages what the run of a seed has left behind, here and there.
///
/// # Errors
/// What is wrong, with the damage.
pub fn random(seed: u64) -> Result<Outcome, String> {
    let left = crate::run::random(seed)?;
    let mut outcome = left.outcome;
    let patient = Patient::new(left)?;
    let dice = SeededEntropy::new(seed ^ 0x0072_6f74);
    let files = patient.files();
    for _ in 0..8 {
        let (path, bytes) = &files[pick(&dice, files.len())];
        let used = bytes
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |at| at + 1);
        if used == 0 {
            continue;
        }
        // The free space of a journal file is not worth much attention, nor is its header, which is mostly empty.
        let start = if path.extension().is_some_and(|kind| kind == "wal") && used > 4096 {
            4096
        } else {
            0
        };
        let at = (start + pick(&dice, used - start)) as u64;
        let damage = match dice.next_u64() % 8 {
            0 => Damage::Delete,
            1 => Damage::Truncate(at),
            2 => Damage::Zero(at, 1 + dice.next_u64() % 600),
            _ => Damage::Flip(at * 8 + dice.next_u64() % 8),
        };
        let wrong = |why| format!("{} {damage:?}: {why}", path.display());
        patient.check(path, damage, seed).map_err(wrong)?;
        outcome.opens += 2;
    }
    Ok(outcome)
}

fn pick(dice: &SeededEntropy, end: usize) -> usize {
    usize::try_from(dice.next_u64() % end as u64).expect("below a usize")
}
