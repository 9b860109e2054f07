//! A mixed load for a long time, with `kill -9` every few seconds.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use everjet_conformance::ServerProcess;
use everjet_conformance::endurance::{Depth, Ledger, Load, Pace, Random, check};

use crate::arguments::Arguments;

const PACE: Pace = Pace {
    pause: Duration::from_millis(20),
    window: 64,
};
/// Of 100 ends, so many are clean stops.
const CLEAN_STOPS: u64 = 10;
/// Every so many kills everything is read, else what came since the last one.
const WHOLE_EVERY: u64 = 20;

/// Soaks the server.
///
/// # Errors
/// What was found; the soak ends with the first finding.
pub(crate) fn run(arguments: &Arguments) -> Result<(), String> {
    let begun = Instant::now();
    let mut random = Random::new(arguments.seed);
    let config = "jetstream: { enabled: true, store_dir: \"{dir}/store\" }\n";
    let mut server = ServerProcess::start_with(&arguments.server, config, &[]);
    let ledger = Arc::new(Ledger::default());
    let left_out = Load::create(&server, &ledger);
    if !left_out.is_empty() {
        println!("left out, for this server does not have them: {left_out:?}");
    }
    let mut kills = 0;
    let mut before = "nothing";
    let mut slowest = Duration::ZERO;
    let mut resident = 0;
    while begun.elapsed() < arguments.duration {
        let load = Load::start(&server, &ledger, kills, PACE);
        let lived = Duration::from_millis(500 + random.below(9_500));
        let killed_at = Instant::now() + lived;
        let stored = ledger.acknowledged();
        thread::sleep(killed_at.saturating_duration_since(Instant::now()));
        resident = resident.max(server.resident_bytes());
        // A clean stop now and then: what it leaves has to fit to what kills leave.
        let is_clean = random.chance(CLEAN_STOPS);
        if is_clean {
            let status = server.terminate();
            if !status.success() {
                return Err(format!("a clean stop: {status}\n{}", server.log()));
            }
        } else {
            server.kill();
        }
        load.join();
        kills += 1;
        if ledger.acknowledged() == stored && lived > Duration::from_secs(5) {
            return Err(format!(
                "round {kills}: nothing was acknowledged\n{}",
                server.log()
            ));
        }
        let starting = Instant::now();
        server.start_again();
        slowest = slowest.max(starting.elapsed());
        let is_last = begun.elapsed() >= arguments.duration;
        let depth = match kills % WHOLE_EVERY == 0 || is_last {
            true => Depth::Whole,
            false => Depth::New,
        };
        let findings = check(&server, &ledger, depth);
        if !findings.is_clean() {
            let end = if is_clean { "a clean stop" } else { "a kill" };
            return Err(format!(
                "round {kills}, ended by {end}, the one before by {before}: {findings}\n{}",
                server.log()
            ));
        }
        before = if is_clean { "a clean stop" } else { "a kill" };
        if depth == Depth::Whole {
            println!("{}", figures(begun, kills, &ledger, slowest, resident));
        }
    }
    Ok(())
}

fn figures(
    begun: Instant,
    kills: u64,
    ledger: &Ledger,
    slowest: Duration,
    resident: u64,
) -> String {
    format!(
        "{} s, {kills} kills and stops, {} messages acknowledged, {} acknowledgements of consumers confirmed, {} chores, \
         slowest start {} ms, at most {} MiB resident: nothing found",
        begun.elapsed().as_secs(),
        ledger.acknowledged(),
        ledger.consumed(),
        ledger.chores(),
        slowest.as_millis(),
        resident >> 20
    )
}
