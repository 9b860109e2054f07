//! Purging by subject, and what publishers notice of it.

use std::thread;
use std::time::{Duration, Instant};

use everjet_conformance::{JetStream, ServerProcess};

use super::data::{Data, Set, TENTHS};
use super::paced;
use super::pipe::Pipe;
use super::site::Site;
use crate::figure::Figure;
use crate::machine::cpu_time_of_threads;
use crate::outcome::Outcome;
use crate::rows::WINDOW;
use crate::statistics::Latencies;

/// How long the publisher runs before, and how long it does that before it counts.
const BEFORE: Duration = Duration::from_secs(1);
const WARM_UP: Duration = Duration::from_millis(500);
/// Keys that are purged one after the other, without a publisher, to see how long that takes.
const ALONE: u64 = 500;
/// Keys that are purged beside the publisher, and from one to the next.
const BESIDE: u64 = 1_000;
const PACE: Duration = Duration::from_millis(1);
/// Tenths that are purged one after the other, the first half of them beside the publisher. It is busy with another one.
const PURGED_TENTHS: u64 = 6;
/// What is published at least that long from the beginning of a purge on counts as meanwhile: a purge may end before what it left
/// to be done.
const MEANWHILE_MIN: Duration = Duration::from_millis(100);
/// From the end of one purge of a tenth to the next.
const PAUSE: Duration = Duration::from_millis(200);
const PATIENCE: Duration = Duration::from_secs(120);

/// Single keys at a fixed pace beside a publisher, then one after the other.
pub(crate) fn single(site: &mut Site<'_>) -> Outcome {
    let count = |set: &Set, most: u64| most.min(set.subjects / TENTHS);
    let beside = |purger: &mut Purger, set: &Set| {
        let start = Instant::now();
        for index in 0..count(set, BESIDE) {
            purger.purge(&set.subject(index * TENTHS + 2), 1);
            wait_until(start + PACE * (index as u32 + 1));
        }
        purger.spans.push((start, Instant::now()));
    };
    let alone = |purger: &mut Purger, set: &Set| {
        for index in 0..count(set, ALONE) {
            purger.purge(&set.subject(index * TENTHS + 1), 1);
        }
    };
    run(site, beside, alone)
}

/// A tenth of the keys by a wildcard: three beside a publisher, three more after that.
pub(crate) fn wildcard(site: &mut Site<'_>) -> Outcome {
    let purge = |purger: &mut Purger, set: &Set, tenth: u64| {
        purger.purge(&format!("$KV.bench.g{tenth}.>"), set.subjects / TENTHS);
    };
    let beside = |purger: &mut Purger, set: &Set| {
        for tenth in 1..=PURGED_TENTHS / 2 {
            let start = Instant::now();
            purge(purger, set, tenth);
            let end = Instant::now().max(start + MEANWHILE_MIN);
            wait_until(end);
            purger.spans.push((start, end));
            thread::sleep(PAUSE);
        }
    };
    let alone = |purger: &mut Purger, set: &Set| {
        for tenth in PURGED_TENTHS / 2 + 1..=PURGED_TENTHS {
            purge(purger, set, tenth);
        }
    };
    run(site, beside, alone)
}

/// Purges `beside` the publisher, for what the publisher sees, and then `alone`, for what a purge takes.
fn run(
    site: &mut Site<'_>,
    beside: impl FnOnce(&mut Purger, &Set),
    alone: impl FnOnce(&mut Purger, &Set),
) -> Outcome {
    let set = site.set(Data::Bucket);
    let server = site.take_running(Data::Bucket);
    let pid = server.pid().expect("the server is running");
    let mut purger = Purger::connect(&server);
    let (begin, samples) = paced::beside(&server, &set, || {
        thread::sleep(WARM_UP);
        let begin = Instant::now();
        thread::sleep(BEFORE);
        beside(&mut purger, &set);
        begin
    });
    let mut before = paced::within(&samples, &[(begin, begin + BEFORE)]);
    let mut during = paced::within(&samples, &purger.spans);
    thread::sleep(PAUSE);
    purger.times = Latencies::default();
    let cpu = cpu_time_of_threads(pid);
    alone(&mut purger, &set);
    let cpu = cpu_time_of_threads(pid).saturating_sub(cpu);
    let each = cpu.as_secs_f64() * 1e6 / purger.times.len() as f64;
    refill(&server, &set);
    site.keep(Data::Bucket, server);
    let (before, during) = (before.percentile_us(99.0), during.percentile_us(99.0));
    Outcome::default()
        .with(Figure::TimeEach, purger.times.percentile_us(50.0))
        .with(Figure::Cpu, each)
        .with(Figure::BeforeP99, before)
        .with(Figure::DuringP99, during)
        .with(Figure::OverBefore, during / before)
}

struct Purger {
    js: JetStream,
    times: Latencies,
    /// When something was being purged.
    spans: Vec<(Instant, Instant)>,
}

impl Purger {
    fn connect(server: &ServerProcess) -> Self {
        let mut js = JetStream::connect(server);
        js.raw().set_patience(PATIENCE);
        Self {
            js,
            times: Latencies::default(),
            spans: Vec::new(),
        }
    }

    fn purge(&mut self, filter: &str, expected: u64) {
        let body = format!("{{\"filter\":\"{filter}\"}}");
        let start = Instant::now();
        let answer = self.js.api("STREAM.PURGE.KV_bench", &body);
        self.times.record(start.elapsed());
        assert_eq!(answer["purged"], expected, "{answer}");
    }
}

fn wait_until(when: Instant) {
    thread::sleep(when.saturating_duration_since(Instant::now()));
}

/// Gives all keys of the purged tenths a value again.
fn refill(server: &ServerProcess, set: &Set) {
    let mut pipe = Pipe::open(server, WINDOW, |out, index| {
        let number = index / PURGED_TENTHS * TENTHS + 1 + index % PURGED_TENTHS;
        set.push_message(out, number);
    });
    pipe.publish(set.subjects / TENTHS * PURGED_TENTHS);
}
