//! `kill -9` in a loop under load: what was acknowledged is there, once, what was removed stays so, and what a consumer acknowledged too.
//!
//! `EVERJET_CRASH_ROUNDS` sets the number of rounds (20). `cargo xtask soak` is the same for hours, and with a pace of its own.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use everjet_conformance::endurance::{Depth, Findings, Ledger, Load, Pace, Random, check};
use everjet_conformance::{ServerProcess, executable};

/// How long a round may take to reach its number of acknowledgements.
const PATIENCE: Duration = Duration::from_secs(30);
/// Many rounds, not many messages: all of them are read again and again.
const PACE: Pace = Pace {
    pause: Duration::from_millis(4),
    window: 64,
};

#[test]
fn nothing_acknowledged_is_lost_by_kill_9() {
    let rounds = std::env::var("EVERJET_CRASH_ROUNDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(20);
    let mut server = ServerProcess::start_jetstream();
    let ledger = Arc::new(Ledger::default());
    let left_out = Load::create(&server, &ledger);
    let mut random = Random::new(0x9e37);
    for round in 0..rounds {
        // Early and late in what the server writes.
        let stored = ledger.acknowledged() + 300 + random.below(3_000);
        let consumed = ledger.consumed() + 100;
        let load = Load::start(&server, &ledger, round, PACE);
        let begun = Instant::now();
        while ledger.acknowledged() < stored || ledger.consumed() < consumed {
            assert!(
                begun.elapsed() < PATIENCE && !load.is_finished(),
                "round {round}: too few acknowledgements\n{}",
                server.log()
            );
            thread::sleep(Duration::from_millis(1));
        }
        server.kill();
        load.join();
        server.start_again();
        expect_clean(check(&server, &ledger, Depth::New), round);
    }
    // In the end from the first message on.
    expect_clean(check(&server, &ledger, Depth::Whole), rounds);
    println!(
        "{rounds} rounds, {} acknowledged messages, {} confirmed acknowledgements of consumers, {} chores; left out: {left_out:?}",
        ledger.acknowledged(),
        ledger.consumed(),
        ledger.chores()
    );
}

#[track_caller]
fn expect_clean(mut findings: Findings, round: u64) {
    if executable::is_reference() {
        // nats-server forgets acknowledgements it has confirmed (docs/differences.md).
        findings.redelivered = 0;
        findings.returned = 0;
        findings.miscounted = 0;
        findings.examples.clear();
    }
    assert!(findings.is_clean(), "round {round}: {findings}");
}
