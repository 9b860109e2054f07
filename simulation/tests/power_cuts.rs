//! Power cuts at every operation of the disk, and what must hold after each.

use everjet_simulation::{WorldOptions, run};

fn cut_everywhere(options: WorldOptions, seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let mut cut = 1;
        loop {
            let left = run::cut_at(options, seed, cut);
            let left = left.unwrap_or_else(|why| panic!("seed {seed}, cut {cut}: {why}"));
            if !left.outcome.first_was_cut {
                break;
            }
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
    cut_everywhere(WorldOptions::PLAIN, 0..2);
}

#[test]
fn a_cut_at_any_operation_keeps_the_limits() {
    cut_everywhere(WorldOptions::LIMITED, 100..102);
}

/// `EVERJET_SEEDS` says how many; the nightly run takes a million with the release build.
#[test]
fn random_worlds_keep_their_promises() {
    let seeds = std::env::var("EVERJET_SEEDS").ok();
    let seeds = seeds.and_then(|text| text.parse().ok()).unwrap_or(200);
    for seed in 0..seeds {
        if let Err(why) = run::random(seed) {
            panic!("seed {seed}: {why}");
        }
    }
}

/// Worlds that were broken once.
#[test]
fn what_was_broken_stays_mended() {
    // A segment is dropped whole while it is being rewritten together with others: its messages were back after a restart.
    // A checkpoint file without a segment that was empty, and a crash before the manifest without it: messages of it were back.
    for seed in [1_073_441, 2_012_081] {
        if let Err(why) = run::narrow(seed) {
            panic!("seed {seed}: {why}");
        }
    }
    // A store got a key, and a crash came while a segment without messages was begun anew: what was written to it then was hidden.
    // A process was killed while it wrote a keyring, and the next start did not make sure of the names it found: 500,951.
    // A prepared file of the journal was forgotten when the disk was full, and with it what had to be overwritten: 103,385.
    // A consumer's state was removed that a deleted stream of the same name had left to be removed: 3,006,989.
    for seed in [38_717, 103_385, 500_951, 3_006_989] {
        if let Err(why) = run::wide(seed) {
            panic!("seed {seed}: {why}");
        }
    }
}

#[test]
fn a_cut_at_any_operation_brings_nothing_back_that_was_acknowledged() {
    cut_everywhere(WorldOptions::QUEUES, 0..1);
    let interest = WorldOptions {
        retention: everjet_api::Retention::Interest,
        ..WorldOptions::QUEUES
    };
    cut_everywhere(interest, 0..1);
}
