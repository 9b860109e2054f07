//! Ten subscribers of which one does not read.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use everjet_conformance::ServerProcess;

use crate::connection::open;
use crate::figure::Figure;
use crate::outcome::Outcome;
use crate::traffic::{Plan, SetOnDrop, Traffic, WARM_UP};

const SUBSCRIBERS: usize = 10;
/// What a server keeps for a connection that does not read, 64 MiB unless configured, and what the two sockets hold: after this
/// many bytes it must have given up on the connection, and the next one takes its place.
const STALLED_BYTES: u64 = 80 << 20;
/// Phases without and with a stalled subscriber, in turns.
const ROUNDS: u32 = 2;

/// One publisher. Yields which part of the rate with ten reading subscribers is left with nine and one that never reads; when the
/// server drops that one, another one subscribes.
pub(crate) fn one_of_ten(server: &ServerProcess, length: Duration, payload: usize) -> Outcome {
    let healthy = Plan::one_subject(1, SUBSCRIBERS, payload);
    let remaining = Plan::one_subject(1, SUBSCRIBERS - 1, payload);
    let (mut all, mut kept) = (0.0, 0.0);
    for _ in 0..ROUNDS {
        let phase = length / ROUNDS;
        all += healthy.carry_out(server, |traffic| rate(traffic, phase, &AtomicU64::new(0)));
        kept += beside_a_stalled_one(server, &remaining, phase);
    }
    Outcome::default()
        .with(Figure::Rate, kept / f64::from(ROUNDS))
        .with(Figure::RateKept, kept / all * 100.0)
}

fn beside_a_stalled_one(server: &ServerProcess, remaining: &Plan, length: Duration) -> f64 {
    let (published, over) = (AtomicU64::new(0), AtomicBool::new(false));
    let each = remaining.delivery_bytes as u64;
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let stalled = open(server, "SUB bench.core 1\r\n");
                let since = published.load(Ordering::Relaxed);
                while !over.load(Ordering::Relaxed)
                    && (published.load(Ordering::Relaxed) - since) * each < STALLED_BYTES
                {
                    thread::sleep(Duration::from_millis(1));
                }
                drop(stalled);
            }
        });
        let _end = SetOnDrop(&over);
        remaining.carry_out(server, |traffic| rate(traffic, length, &published))
    })
}

/// Messages published a second; `published` is kept up to date meanwhile.
fn rate(traffic: &mut Traffic<'_>, length: Duration, published: &AtomicU64) -> f64 {
    let step = Duration::from_millis(5);
    let run = |traffic: &mut Traffic<'_>, length| {
        let start = Instant::now();
        while start.elapsed() < length {
            traffic.run(step);
            published.store(traffic.published(), Ordering::Relaxed);
        }
        start.elapsed()
    };
    run(traffic, WARM_UP);
    let before = traffic.published();
    let elapsed = run(traffic, length);
    (traffic.published() - before) as f64 / elapsed.as_secs_f64()
}
