//! A publisher that publishes at a fixed pace, whatever the server does: who waits while the server is stuck sees one long
//! latency, who goes on sees all those that others would have had.

use std::collections::VecDeque;
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use everjet_conformance::ServerProcess;

use super::bucket::Randomly;
use super::data::{Set, TENTHS};
use super::pipe::acknowledgement_lines;
use crate::connection::{open, read, write};
use crate::statistics::Latencies;
use crate::traffic::SetOnDrop;

/// Between two messages.
const PACE: Duration = Duration::from_micros(200);

/// When a message was sent, and how long its acknowledgement took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    sent: Instant,
    latency: Duration,
}

/// What was sent and is not acknowledged.
#[derive(Default)]
struct Sent {
    times: VecDeque<Instant>,
    /// Nothing follows.
    is_over: bool,
}

/// Overwrites random keys of the first tenth while `body` runs. Returns its result and all latencies.
pub(crate) fn beside<R>(
    server: &ServerProcess,
    set: &Set,
    body: impl FnOnce() -> R,
) -> (R, Vec<Sample>) {
    let stream = open(server, "SUB _INBOX.ack 1\r\n");
    let reading = stream.try_clone().expect("a descriptor is left");
    let sent = Mutex::new(Sent::default());
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let samples = scope.spawn(|| take_acknowledgements(reading, &sent));
        scope.spawn(|| publish(stream, set, &sent, &stop));
        let stop = SetOnDrop(&stop);
        let result = body();
        drop(stop);
        (result, samples.join().expect("every message is answered"))
    })
}

fn publish(mut stream: TcpStream, set: &Set, sent: &Mutex<Sent>, stop: &AtomicBool) {
    let mut numbers = Randomly::below(set.subjects / TENTHS);
    let mut next = Instant::now();
    let mut message = Vec::new();
    loop {
        message.clear();
        set.push_message(&mut message, numbers.next() * TENTHS);
        let last = stop.load(Ordering::Relaxed);
        {
            let mut sent = sent.lock().expect("nobody panics while holding it");
            sent.times.push_back(Instant::now());
            sent.is_over = last;
        }
        write(&mut stream, &message);
        if last {
            return;
        }
        next += PACE;
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}

/// One connection's acknowledgements from one stream come in the order of its messages.
fn take_acknowledgements(mut stream: TcpStream, sent: &Mutex<Sent>) -> Vec<Sample> {
    let mut samples = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    let mut lines = 0;
    loop {
        let count = read(&mut stream, &mut buffer);
        lines += acknowledgement_lines(&buffer[..count]);
        let now = Instant::now();
        let mut sent = sent.lock().expect("nobody panics while holding it");
        for _ in 0..lines / 2 {
            let sent = sent.times.pop_front();
            let sent = sent.expect("only what was sent is acknowledged");
            let latency = now - sent;
            samples.push(Sample { sent, latency });
        }
        lines %= 2;
        if sent.is_over && sent.times.is_empty() {
            return samples;
        }
    }
}

/// The latencies of what was sent in one of those spans.
pub(crate) fn within(samples: &[Sample], spans: &[(Instant, Instant)]) -> Latencies {
    let mut latencies = Latencies::default();
    for sample in samples {
        if spans
            .iter()
            .any(|(from, to)| (*from..*to).contains(&sample.sent))
        {
            latencies.record(sample.latency);
        }
    }
    latencies
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_belong_to_when_a_message_was_sent() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let samples = [1, 5, 9, 13].map(|ms| Sample {
            sent: at(ms),
            latency: Duration::from_millis(ms),
        });
        let mut found = within(&samples, &[(at(5), at(9)), (at(12), at(20))]);
        assert_eq!(found.len(), 2);
        assert!((found.percentile_us(50.0) - 5_000.0).abs() < 1e-9);
        assert!((found.percentile_us(100.0) - 13_000.0).abs() < 1e-9);
    }
}
