//! A check on the checker: bugs that are planted on purpose are found by random seeds, and the same seeds find nothing without them.
#![cfg(debug_assertions)]

use std::panic::{AssertUnwindSafe, catch_unwind};

use everjet_simulation::{rot, run};
use everjet_store::{PlantedBug, plant};

/// A bug that so many seeds do not find would have to be looked for differently. Most are found by less than a hundred.
const SEEDS_MAX: u64 = 2_000;

/// What a seed says with this bug in it; a panic of the product is a finding, too.
fn find(bug: Option<PlantedBug>, seed: u64) -> Option<String> {
    plant(bug);
    let found = catch_unwind(AssertUnwindSafe(|| match bug {
        Some(bug) if needs_rot(bug) => rot::random(seed).map(|_| ()),
        _ => run::random(seed).map(|_| ()),
    }));
    plant(None);
    match found {
        Ok(result) => result.err(),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Some(format!("panic: {}", text.unwrap_or_default()))
        }
    }
}

/// Whether the bug shows on damage only.
fn needs_rot(bug: PlantedBug) -> bool {
    matches!(
        bug,
        PlantedBug::HeadOutsideChecksum
            | PlantedBug::IndexUnchecked
            | PlantedBug::RecordUnchecked
            | PlantedBug::WrittenBehindDamage
    )
}

/// Where to begin: the rare ones shortly before a seed that finds them, or every run of the tests would take minutes. With
/// `EVERJET_PLANTED=all` all begin at zero; that is how the table in the README was made. Names of bugs there, with commas, take only those.
fn first_seed(bug: PlantedBug) -> u64 {
    if std::env::var("EVERJET_PLANTED").is_ok_and(|wanted| wanted == "all") {
        return 0;
    }
    match bug {
        PlantedBug::FailedSyncRetried => 80,
        PlantedBug::HeadOutsideChecksum => 40,
        PlantedBug::LeftoverIndexKept => 470,
        PlantedBug::IndexUnchecked => 25,
        PlantedBug::NoChain => 80,
        PlantedBug::ErasureNotSynced => 345,
        PlantedBug::BatchSplit => 470,
        PlantedBug::RemovalsOfDroppedForgotten => 200,
        PlantedBug::CompactedNotSynced => 160,
        PlantedBug::RemovalsWhileCompactedForgotten => 70,
        _ => 0,
    }
}

/// Plants these bugs, one after the other, and prints how many seeds each takes.
fn check(bugs: &[PlantedBug]) {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let mut missed = Vec::new();
    let mut seeds = Vec::new();
    let wanted = std::env::var("EVERJET_PLANTED")
        .ok()
        .filter(|wanted| wanted != "all");
    let is_wanted = |bug: &&PlantedBug| {
        wanted
            .as_ref()
            .is_none_or(|names| names.split(',').any(|name| name == format!("{bug:?}")))
    };
    for bug in bugs.iter().filter(is_wanted) {
        let first = first_seed(*bug);
        let found =
            (first..first + SEEDS_MAX).find_map(|seed| Some((seed, find(Some(*bug), seed)?)));
        match found {
            Some((seed, why)) => {
                seeds.push(seed);
                let why: String = why.chars().take(120).collect();
                println!("| {bug:?} | {} | {why} |", seed + 1);
            }
            None => missed.push(*bug),
        }
    }
    std::panic::set_hook(hook);
    assert!(
        missed.is_empty(),
        "{SEEDS_MAX} seeds do not find {missed:?}"
    );
    for seed in seeds {
        assert_eq!(find(None, seed), None, "seed {seed} without any bug");
        let damaged = rot::random(seed).map(|_| ());
        assert_eq!(damaged, Ok(()), "seed {seed} without any bug");
    }
}

#[test]
fn every_planted_bug_is_found_by_random_seeds_1() {
    check(&PlantedBug::ALL[..PlantedBug::ALL.len() / 2]);
}

#[test]
fn every_planted_bug_is_found_by_random_seeds_2() {
    check(&PlantedBug::ALL[PlantedBug::ALL.len() / 2..]);
}
