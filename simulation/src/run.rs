//! One seed, one run: rounds of work that power cuts, kills and faults of the disk end.

use everjet_testkit::{SimDisk, SimFault};
use everjet_values::{Entropy, SeededEntropy, Timestamp};

use crate::world::START;
use crate::{Ledgers, Stop, World, WorldOptions};

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

/// Everything by seed: the world, the number of rounds, and how each ends.
///
/// # Errors
/// The text of a broken promise.
pub fn random(seed: u64) -> Result<Left, String> {
    let dice = SeededEntropy::new(seed.wrapping_mul(0x2545_F491_4F6C_DD1D));
    let mut run = Run::new(WorldOptions::random(seed), seed);
    for round in 1..=2 + dice.next_u64() % 3 {
        let steps = [40, 40, 40, 200][pick(&dice, 4)] + dice.next_u64() % 160;
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
        if dice.next_u64().is_multiple_of(4) {
            // The server dies while it starts.
            run.disk.fail_at(1 + dice.next_u64() % 12, SimFault::Cut);
            run.round(seed ^ (round << 33), 0)?;
            run.disk = run.disk.crash(dice.next_u64());
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
}

impl Run {
    fn new(options: WorldOptions, seed: u64) -> Self {
        Self {
            options,
            disk: SimDisk::new(),
            ledgers: Ledgers::new(),
            now: START.plus(std::time::Duration::from_secs(seed % 1_000_000)),
            outcome: Outcome::default(),
        }
    }

    /// Opens the store and works until that ends, by itself or by a fault.
    fn round(&mut self, seed: u64, steps: u64) -> Result<(), String> {
        let begun = self.disk.operations();
        let opened = self.open(self.disk.clone(), seed);
        let worked = opened.and_then(|mut world| {
            let worked = world.work(steps);
            self.now = world.now();
            self.ledgers = std::mem::take(&mut world.ledgers);
            worked
        });
        self.outcome.operations += self.disk.operations() - begun;
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
