//! Power cuts at random times under load.

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use everjet_conformance::ServerProcess;
use everjet_conformance::endurance::{Depth, Findings, Ledger, Load, Pace, Random, check};

use crate::arguments::Arguments;
use crate::volume::{Volume, in_own_namespace};

const PACE: Pace = Pace {
    pause: Duration::from_millis(1),
    window: 128,
};
/// No cut is earlier, from when the streams exist or are served again.
const EARLIEST: Duration = Duration::from_secs(1);
/// How long a server may meet a disk that is gone before it is killed.
const DEAD_DISK_MS_MAX: u64 = 200;
/// A file system that has survived so many cuts is replaced, so that most streams are young when the power goes.
const GENERATIONS_MAX: u64 = 4;

/// Cuts the power as often as asked for.
///
/// # Errors
/// Why that is not possible here, or what was found.
pub(crate) fn run(arguments: &Arguments) -> Result<(), String> {
    if let Some(outcome) = in_own_namespace()? {
        return outcome;
    }
    let mut random = Random::new(arguments.seed);
    let mut total = Totals::default();
    while total.cuts < arguments.cuts {
        let generations = 1 + random.below(GENERATIONS_MAX);
        let generations = generations.min(arguments.cuts - total.cuts);
        one_volume(arguments, generations, &mut random, &mut total)?;
    }
    println!(
        "{} cuts on {} file systems, {} messages acknowledged, {} acknowledgements of consumers confirmed, {} chores; \
         after restart ready within {} ms (median {} ms): {}",
        total.cuts,
        total.volumes,
        total.acknowledged,
        total.consumed,
        total.chores,
        total.ready_ms.iter().max().copied().unwrap_or(0),
        median(&mut total.ready_ms),
        total.findings
    );
    match total.findings.is_clean() {
        true => Ok(()),
        false => Err("what was acknowledged did not survive".to_owned()),
    }
}

/// Whether it can be done here: mounts a file system and shuts it down.
///
/// # Errors
/// Why not.
pub(crate) fn possible() -> Result<(), String> {
    if let Some(outcome) = in_own_namespace()? {
        return outcome;
    }
    let mut volume = Volume::new()?;
    volume.cut()?;
    volume.power_on()
}

#[derive(Default)]
struct Totals {
    cuts: u64,
    volumes: u64,
    acknowledged: u64,
    consumed: u64,
    chores: u64,
    /// From the start of the process to its being ready, of every start after a cut.
    ready_ms: Vec<u128>,
    findings: Findings,
}

/// Cuts the power of one file system so often, or until something is wrong.
fn one_volume(
    arguments: &Arguments,
    generations: u64,
    random: &mut Random,
    total: &mut Totals,
) -> Result<(), String> {
    let mut volume = Volume::new()?;
    total.volumes += 1;
    let mut server = start(&arguments.server, &volume);
    let ledger = Arc::new(Ledger::default());
    let left_out = Load::create(&server, &ledger);
    if total.volumes == 1 && !left_out.is_empty() {
        println!("left out, for this server does not have them: {left_out:?}");
    }
    for generation in 0..generations {
        let begun = Instant::now();
        let longest = Duration::from_secs(arguments.seconds).saturating_sub(EARLIEST);
        // Half of them early: what is young is what a cut finds unfinished.
        let span = longest.as_millis() as u64 >> if random.chance(50) { 2 } else { 0 };
        let lived = EARLIEST + Duration::from_millis(random.below(span));
        let load = Load::start(&server, &ledger, generation, PACE);
        thread::sleep(lived.saturating_sub(begun.elapsed()));
        volume.cut()?;
        // A server that goes on without its disk must not acknowledge anything.
        thread::sleep(Duration::from_millis(random.below(DEAD_DISK_MS_MAX)));
        server.kill();
        load.join();
        volume.power_on()?;
        let starting = Instant::now();
        server.start_again();
        total.ready_ms.push(starting.elapsed().as_millis());
        total.cuts += 1;
        let findings = check(&server, &ledger, Depth::Whole);
        println!(
            "cut {}: {} ms after {}, {} acknowledged so far: {findings}",
            total.cuts,
            lived.as_millis(),
            if generation == 0 {
                "creation"
            } else {
                "restart"
            },
            ledger.acknowledged(),
        );
        let is_clean = findings.is_clean();
        total.findings += findings;
        // Each cut has told its own.
        total.findings.examples.clear();
        if !is_clean {
            println!("{}", server.log());
            break;
        }
    }
    server.kill();
    total.acknowledged += ledger.acknowledged();
    total.consumed += ledger.consumed();
    total.chores += ledger.chores();
    Ok(())
}

/// The server in its default configuration, with its store on the file system.
fn start(server: &Path, volume: &Volume) -> ServerProcess {
    let store = volume.path().join("store");
    let config = format!(
        "jetstream: {{ enabled: true, store_dir: \"{}\" }}\n",
        store.display()
    );
    ServerProcess::start_with(server, &config, &[])
}

fn median(values: &mut [u128]) -> u128 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}
