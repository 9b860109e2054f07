//! One seed, one run: rounds of work that power cuts, kills and faults of the disk end.

use std::time::Duration;

use everjet_testkit::{SimDisk, SimFault};
use everjet_values::{Entropy, SeededEntropy, Timestamp};

use crate::derived::Derived;
use crate::seals::{Seals, check_secret};
use crate::world::START;
use crate::{Key, Ledgers, Stop, World, WorldOptions};

/// What one run did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome {
    /// Operations of the disk.
    pub operations: u64,
    /// Times the store was opened.
    pub opens: u64,
    /// Cuts and kills in the middle of something.
    pub crashes: u64,
    /// Whether the first round was cut before it ended by itself.
    pub first_was_cut: bool,
}

impl std::ops::AddAssign for Outcome {
    fn add_assign(&mut self, other: Self) {
        self.operations += other.operations;
        self.opens += other.opens;
        self.crashes += other.crashes;
    }
}

/// What is left after a run.
#[derive(Debug)]
pub struct Left {
    /// The world it was.
    pub options: WorldOptions,
    /// The disk after the last power cut.
    pub disk: SimDisk,
    /// What clients know.
    pub ledgers: Ledgers,
    /// The time.
    pub now: Timestamp,
    /// What was done.
    pub outcome: Outcome,
}

/// Three rounds of 60 steps, the power cut at operation `cut` of the first, twice that of the second, and so on.
///
/// # Errors
/// The text of a broken promise.
pub fn cut_at(options: WorldOptions, seed: u64, cut: u64) -> Result<Left, String> {
    let mut run = Run::new(options, seed);
    for round in 1..=3 {
        let at = run.disk.operations() + cut * round;
        run.disk.fail_at(at, SimFault::Cut);
        run.round(seed + round, 60)?;
        run.disk = run
            .disk
            .crash(seed.wrapping_mul(31).wrapping_add(cut).wrapping_add(round));
        run.open_derived()?;
    }
    run.end()
}

/// A run by seed: odd ones in a wide world, even ones in a narrow one.
///
/// # Errors
/// The text of a broken promise.
pub fn random(seed: u64) -> Result<Left, String> {
    if seed % 2 == 1 {
        wide(seed)
    } else {
        narrow(seed)
    }
}

/// Everything by seed: a wide world, the number of rounds, how each ends, and what happens between them: to the files that can be made
/// again, to the clock, to the key in the configuration.
///
/// # Errors
/// The text of a broken promise.
pub fn wide(seed: u64) -> Result<Left, String> {
    rounds(WorldOptions::wide(seed), seed)
}

/// As [`wide`], in a narrow world. What a seed does here does not change when wide worlds get more.
///
/// # Errors
/// The text of a broken promise.
pub fn narrow(seed: u64) -> Result<Left, String> {
    rounds(WorldOptions::narrow(seed), seed)
}

fn rounds(options: WorldOptions, seed: u64) -> Result<Left, String> {
    let dice = SeededEntropy::new(seed.wrapping_mul(0x2545_F491_4F6C_DD1D));
    let mut run = Run::new(options, seed);
    for round in 1..=2 + dice.next_u64() % 3 {
        let steps = [40, 40, 40, 200][pick(&dice, 4)] + dice.next_u64() % 160;
        run.meddle()?;
        let begun = run.disk.operations();
        // An error of the disk, a moment without space: what they leave behind is cut later.
        if dice.next_u64().is_multiple_of(3) {
            let fault = if dice.next_u64().is_multiple_of(2) {
                SimFault::Eio
            } else {
                SimFault::Enospc
            };
            run.disk.fail_at(begun + 1 + dice.next_u64() % 120, fault);
        }
        if !dice.next_u64().is_multiple_of(8) {
            let cut = begun + 1 + dice.next_u64() % (steps * 2);
            run.disk.fail_at(cut, SimFault::Cut);
        }
        run.round(seed ^ (round << 32), steps)?;
        run.disk = if dice.next_u64().is_multiple_of(4) {
            run.disk.kill()
        } else {
            run.disk.crash(dice.next_u64())
        };
        run.look(None)?;
        run.disk.set_capacity(None);
        if dice.next_u64().is_multiple_of(4) {
            // The server dies while it starts.
            run.disk.fail_at(1 + dice.next_u64() % 12, SimFault::Cut);
            run.round(seed ^ (round << 33), 0)?;
            run.disk = run.disk.crash(dice.next_u64());
            run.look(None)?;
        }
        if dice.next_u64().is_multiple_of(4) {
            run.open_derived()?;
        }
    }
    run.end()
}

/// A store that was stopped in order, and one that was not.
///
/// # Errors
/// The text of a broken promise.
pub fn small(options: WorldOptions, seed: u64, steps: u64, stop: bool) -> Result<Left, String> {
    let mut run = Run::new(options, seed);
    let mut world = run
        .open(run.disk.clone(), seed)
        .map_err(|stop| format!("{stop:?}"))?;
    let worked = world.work(steps).and_then(|()| match stop {
        true => world.stop(),
        false => Ok(()),
    });
    worked.map_err(|stop| format!("{stop:?}"))?;
    run.now = world.now();
    run.ledgers = std::mem::take(&mut world.ledgers);
    run.disk = run.disk.crash(seed);
    run.end()
}

fn pick(dice: &SeededEntropy, end: usize) -> usize {
    usize::try_from(dice.next_u64() % end as u64).expect("below a usize")
}

struct Run {
    options: WorldOptions,
    disk: SimDisk,
    ledgers: Ledgers,
    now: Timestamp,
    outcome: Outcome,
    /// What happens between the rounds of a wide world.
    dice: SeededEntropy,
    seals: Seals,
    /// Whether the last start came through, so that it has the key that is configured.
    is_open_known: bool,
    derived: Derived,
}

impl Run {
    fn new(options: WorldOptions, seed: u64) -> Self {
        Self {
            options,
            disk: SimDisk::new(),
            ledgers: Ledgers::new(),
            now: START.plus(Duration::from_secs(seed % 1_000_000)),
            outcome: Outcome::default(),
            dice: SeededEntropy::new(seed ^ 0x6265_7477_6565_6e21),
            seals: Seals::default(),
            is_open_known: false,
            derived: Derived::default(),
        }
    }

    /// What happens to a wide world while its server is down.
    fn meddle(&mut self) -> Result<(), String> {
        let Some(mut wide) = self.options.wide else {
            return Ok(());
        };
        self.disk.set_capacity(None);
        let one_in = |times: u64| self.dice.next_u64().is_multiple_of(times);
        wide.key = match wide.key {
            // Only an operator who has seen the server start gives up the key before.
            Some(key) if self.is_open_known && one_in(3) => Some(Key {
                number: key.number + 1,
                has_previous: true,
                ..key
            }),
            None if self.is_open_known && one_in(8) => Some(Key {
                number: 1,
                has_previous: false,
                from_the_start: false,
            }),
            key => key,
        };
        self.options.wide = Some(wide);
        let hours = Duration::from_secs(self.dice.next_u64() % (50 * 3600));
        match self.dice.next_u64() % 8 {
            0 => self.now = self.now.plus(hours),
            1 | 2 if wide.turns_back => self.now = self.now.minus(hours),
            _ => {}
        }
        if one_in(2) {
            let is_sealed = self.options.is_sealed();
            self.derived.meddle(&self.disk, &self.dice, is_sealed)?;
        }
        // What was there before the round is not the round's.
        self.look(None)
    }

    /// Looks at the bytes on the disk of an encrypted store. `data_key`: what is new since the last look is sealed with that or a later
    /// one. After a power cut that is not known: what had been written over is back.
    fn look(&mut self, data_key: Option<u16>) -> Result<(), String> {
        if let Some(key) = self.options.wide.and_then(|wide| wide.key) {
            // Where the power is gone nothing can be read.
            let disk = self.disk.kill();
            self.seals.look(&disk, data_key)?;
            if key.from_the_start {
                check_secret(&disk, &self.ledgers)?;
            }
        }
        Ok(())
    }

    /// Opens the store and works until that ends, by itself or by a fault.
    fn round(&mut self, seed: u64, steps: u64) -> Result<(), String> {
        let begun = self.disk.operations();
        let stops =
            self.options.wide.is_some() && steps > 0 && self.dice.next_u64().is_multiple_of(6);
        let opened = self.open(self.disk.clone(), seed);
        self.is_open_known = opened.is_ok();
        let mut data_key = None;
        if opened.is_ok() {
            let key = self.options.wide.and_then(|wide| wide.key);
            data_key = key.map(|key| key.number);
            self.derived.remember(&self.disk);
        }
        let worked = opened.and_then(|mut world| {
            let worked = world.work(steps).and_then(|()| match stops {
                true => world.stop(),
                false => Ok(()),
            });
            self.now = world.now();
            self.ledgers = std::mem::take(&mut world.ledgers);
            worked
        });
        self.outcome.operations += self.disk.operations() - begun;
        if matches!(worked, Ok(()) | Err(Stop::Crashed)) {
            self.look(data_key)?;
        }
        let was_cut = worked.is_err();
        if self.outcome.opens == 1 {
            self.outcome.first_was_cut = was_cut;
        }
        self.outcome.crashes += u64::from(was_cut);
        match worked {
            Err(Stop::Broken(why)) => Err(why),
            _ => Ok(()),
        }
    }

    fn open(&mut self, disk: SimDisk, seed: u64) -> Result<World, Stop> {
        self.outcome.opens += 1;
        self.options = self.options.started(self.outcome.opens);
        World::open(disk, self.options, seed, self.now, self.ledgers.clone())
    }

    /// Everything derived can be deleted: the state is the same.
    fn open_derived(&mut self) -> Result<(), String> {
        let bare = self.disk.kill();
        for path in bare.list_files() {
            let extension = path.extension();
            if extension.is_some_and(|extension| extension == "idx" || extension == "bin") {
                let removed = bare.shared().remove_file(&path);
                removed.map_err(|error| format!("{}: {error}", path.display()))?;
            }
        }
        let mut digests = Vec::new();
        for disk in [self.disk.kill(), bare] {
            let world = self.open(disk, 0);
            digests.push(world.map_err(|stop| format!("{stop:?}"))?.digests());
        }
        if digests.first() == digests.last() {
            Ok(())
        } else {
            Err("with derived files the state is another one than without".to_owned())
        }
    }

    fn end(mut self) -> Result<Left, String> {
        match self.open(self.disk.kill(), 0) {
            Ok(world) => Ok(Left {
                options: self.options,
                disk: self.disk,
                ledgers: world.ledgers,
                now: self.now,
                outcome: self.outcome,
            }),
            Err(Stop::Broken(why)) => Err(why),
            Err(Stop::Crashed) => Err("the store does not open on a sound disk".to_owned()),
        }
    }
}
