//! 1:1 traffic while another connection subscribes and unsubscribes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use everjet_conformance::ServerProcess;

use crate::connection::{open, round_trip, write};
use crate::figure::Figure;
use crate::outcome::{Load, Outcome};
use crate::traffic::{Plan, SetOnDrop, WARM_UP};

/// SUBs a second, and as many UNSUBs.
const CHURN: f64 = 5_000.0;
/// Subscriptions that live at a time.
const ALIVE: u64 = 100;
/// Phases without and with churn, in turns.
const ROUNDS: u32 = 2;

/// One publisher, one subscriber, and in every other phase 5,000 SUBs and 5,000 UNSUBs a second on other subjects with the same
/// first token. Yields what the churn adds to the processor time of a message; handling the churn itself is part of it.
pub(crate) fn beside_one_to_one(
    server: &ServerProcess,
    length: Duration,
    payload: usize,
) -> Outcome {
    let (active, over) = (AtomicBool::new(false), AtomicBool::new(false));
    let (mut quiet, mut churned) = (Load::default(), Load::default());
    thread::scope(|scope| {
        let churn = scope.spawn(|| churn(server, &active, &over));
        let end = SetOnDrop(&over);
        Plan::one_subject(1, 1, payload).carry_out(server, |traffic| {
            traffic.run(WARM_UP);
            for _ in 0..ROUNDS {
                quiet += traffic.measure(length / ROUNDS);
                active.store(true, Ordering::Relaxed);
                traffic.run(WARM_UP);
                churned += traffic.measure(length / ROUNDS);
                active.store(false, Ordering::Relaxed);
                traffic.run(WARM_UP);
            }
        });
        drop(end);
        let share = churn.join().expect("the churn runs to its end");
        if share < 0.95 {
            eprintln!("  only {:.0} % of the churn was sent", share * 100.0);
        }
    });
    Outcome::from(churned).with(
        Figure::CpuGrowth,
        growth(quiet.cpu_each_us(), churned.cpu_each_us()),
    )
}

/// What comes on top, in per cent.
fn growth(before: f64, after: f64) -> f64 {
    (after / before.max(1e-9) - 1.0) * 100.0
}

/// Subscribes and unsubscribes at [`CHURN`] while active; returns how much of that was managed.
fn churn(server: &ServerProcess, active: &AtomicBool, over: &AtomicBool) -> f64 {
    let mut stream = open(server, "");
    let (mut sent, mut due) = (0, 0.0);
    let mut last = Instant::now();
    let mut lines = String::new();
    while !over.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(1));
        let now = Instant::now();
        if active.load(Ordering::Relaxed) {
            due += (now - last).as_secs_f64() * CHURN;
        }
        last = now;
        lines.clear();
        while (sent as f64) < due {
            put_turn(&mut lines, sent);
            sent += 1;
        }
        write(&mut stream, lines.as_bytes());
    }
    let sent_in_time = sent as f64;
    round_trip(&mut stream);
    sent_in_time / due.max(1.0)
}

/// One SUB, and the UNSUB of the subscription that is [`ALIVE`] turns old.
fn put_turn(lines: &mut String, turn: u64) {
    lines.push_str(&format!("SUB bench.churn.{turn} {turn}\r\n"));
    if let Some(old) = turn.checked_sub(ALIVE) {
        lines.push_str(&format!("UNSUB {old}\r\n"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_what_comes_on_top() {
        fn check(before: f64, after: f64, expected: f64) {
            assert!((growth(before, after) - expected).abs() < 1e-9);
        }
        check(1.0, 1.1, 10.000_000_000_000_009);
        check(2.0, 2.0, 0.0);
        check(2.0, 1.0, -50.0);
    }

    #[test]
    fn every_subscription_ends() {
        let mut lines = String::new();
        put_turn(&mut lines, 99);
        put_turn(&mut lines, 100);
        assert_eq!(
            lines,
            "SUB bench.churn.99 99\r\nSUB bench.churn.100 100\r\nUNSUB 0\r\n"
        );
    }
}
