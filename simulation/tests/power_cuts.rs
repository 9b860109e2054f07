//! Power cuts at every operation of the disk, and what must hold after each.

use std::collections::BTreeMap;

use everjet_simulation::{Ledger, World, WorldOptions};
use everjet_testkit::{SimDisk, SimFault};

const PLAIN: WorldOptions = WorldOptions {
    streams: 2,
    max_msgs: -1,
    max_msgs_per_subject: -1,
};
const LIMITED: WorldOptions = WorldOptions {
    streams: 1,
    max_msgs: 12,
    max_msgs_per_subject: 5,
};

/// Cuts the power at operation `cut`, opens the store again, and lets it go on for a while, some rounds long.
/// Returns whether the first cut came before the work ended.
fn run(options: WorldOptions, seed: u64, cut: u64) -> bool {
    let mut disk = SimDisk::new();
    let mut ledgers: BTreeMap<String, Ledger> = BTreeMap::new();
    let mut was_cut = false;
    for round in 0..3 {
        let place = format!("seed {seed}, cut {cut}, round {round}");
        disk.fail_at(disk.operations() + cut * (round + 1), SimFault::Cut);
        let opened = World::open(disk.clone(), options, seed + round, ledgers.clone());
        let worked = opened
            .unwrap_or_else(|why| panic!("{place}: {why}"))
            .map(|mut world| {
                let worked = world.work(60);
                ledgers = std::mem::take(&mut world.ledgers);
                worked
            });
        was_cut |= round == 0 && !matches!(worked, Ok(Ok(())));
        disk = disk.crash(seed.wrapping_mul(31).wrapping_add(cut).wrapping_add(round));
        same_from_checkpoint_and_from_scan(&disk, options, &ledgers, &place);
    }
    let last = World::open(disk, options, seed, ledgers);
    assert!(
        last.unwrap_or_else(|why| panic!("seed {seed}, cut {cut}, at the end: {why}"))
            .is_ok()
    );
    was_cut
}

/// Everything derived can be deleted: the state is the same.
fn same_from_checkpoint_and_from_scan(
    disk: &SimDisk,
    options: WorldOptions,
    ledgers: &BTreeMap<String, Ledger>,
    place: &str,
) {
    let digests = |disk: SimDisk| {
        let world = World::open(disk, options, 0, ledgers.clone());
        let world = world.unwrap_or_else(|why| panic!("{place}: {why}"));
        world
            .unwrap_or_else(|_| panic!("{place}: nothing cuts this disk"))
            .digests()
    };
    let bare = disk.kill();
    for path in disk.list_files() {
        let derived = path
            .extension()
            .is_some_and(|extension| extension == "idx" || extension == "bin");
        if derived {
            bare.shared().remove_file(&path).expect("it was listed");
        }
    }
    assert_eq!(
        digests(disk.kill()),
        digests(bare),
        "{place}: checkpoint and scan differ"
    );
}

fn cut_everywhere(options: WorldOptions, seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let mut cut = 1;
        while run(options, seed, cut) {
            cut += 1;
            assert!(cut < 10_000, "seed {seed}: the work never ends by itself");
        }
        assert!(
            cut > 20,
            "seed {seed}: the work did too little ({cut} operations) to test anything"
        );
    }
}

#[test]
fn a_cut_at_any_operation_loses_nothing_acknowledged_and_invents_nothing() {
    cut_everywhere(PLAIN, 0..8);
}

#[test]
fn a_cut_at_any_operation_keeps_the_limits() {
    cut_everywhere(LIMITED, 100..108);
}

#[test]
fn random_cuts_over_many_seeds() {
    for seed in 1_000..2_500u64 {
        let options = if seed.is_multiple_of(2) {
            PLAIN
        } else {
            LIMITED
        };
        run(options, seed, seed * 7_919 % 90 + 1);
    }
}
