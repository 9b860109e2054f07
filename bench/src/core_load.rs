//! Core messages: publish only, and one publisher with one or more subscribers.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use everjet_conformance::ServerProcess;

use crate::connection::{open, read, round_trip, write};
use crate::machine::cpu_time;
use crate::rows::{Load, PAYLOAD};

/// Messages in one write of the publisher.
const BURST: u64 = 256;
/// Messages on their way to a subscriber at most: far below what makes it a slow one.
const WINDOW: u64 = 32_768;
const WARM_UP: Duration = Duration::from_millis(200);

fn burst() -> Vec<u8> {
    let message = format!("PUB bench.core {PAYLOAD}\r\n{}\r\n", "x".repeat(PAYLOAD));
    message.repeat(BURST as usize).into_bytes()
}

/// One publisher, nobody listens. Counts messages the server has read.
pub(crate) fn publish_only(server: &ServerProcess, length: Duration) -> Load {
    let pid = server.pid().expect("the server is running");
    let mut stream = open(server, "");
    let burst = burst();
    let warm = Instant::now();
    while warm.elapsed() < WARM_UP {
        write(&mut stream, &burst);
    }
    round_trip(&mut stream);
    let (start, cpu) = (Instant::now(), cpu_time(pid));
    let mut messages = 0;
    while start.elapsed() < length {
        write(&mut stream, &burst);
        messages += BURST;
    }
    round_trip(&mut stream);
    Load {
        messages,
        elapsed: start.elapsed(),
        cpu: cpu_time(pid).saturating_sub(cpu),
    }
}

/// One publisher and `subscribers` connections with one subscription each. Counts deliveries.
pub(crate) fn fan_out(server: &ServerProcess, length: Duration, subscribers: usize) -> Load {
    let pid = server.pid().expect("the server is running");
    let delivered: Vec<AtomicU64> = (0..subscribers).map(|_| AtomicU64::new(0)).collect();
    let stop = AtomicBool::new(false);
    let sinks: Vec<_> = delivered
        .iter()
        .map(|_| open(server, "SUB bench.core 1\r\n"))
        .collect();
    let mut publisher = open(server, "");
    let total = || {
        delivered
            .iter()
            .map(|count| count.load(Ordering::Relaxed))
            .sum::<u64>()
    };
    thread::scope(|scope| {
        for (mut sink, count) in sinks.into_iter().zip(&delivered) {
            let stop = &stop;
            scope.spawn(move || {
                // All messages are equal, so bytes count them.
                let size = format!("MSG bench.core 1 {PAYLOAD}\r\n\r\n").len() + PAYLOAD;
                let mut buffer = vec![0; 256 * 1_024];
                let mut bytes = 0;
                while !stop.load(Ordering::Relaxed) {
                    bytes += read(&mut sink, &mut buffer);
                    count.store((bytes / size) as u64, Ordering::Relaxed);
                }
            });
        }
        let burst = burst();
        let mut sent = 0;
        let mut publish_for = |length: Duration| {
            let start = Instant::now();
            while start.elapsed() < length {
                let slowest = delivered
                    .iter()
                    .map(|count| count.load(Ordering::Relaxed))
                    .min();
                if sent - slowest.unwrap_or(sent) >= WINDOW {
                    thread::sleep(Duration::from_micros(50));
                    continue;
                }
                write(&mut publisher, &burst);
                sent += BURST;
            }
        };
        publish_for(WARM_UP);
        let (start, cpu, before) = (Instant::now(), cpu_time(pid), total());
        publish_for(length);
        let load = Load {
            messages: total() - before,
            elapsed: start.elapsed(),
            cpu: cpu_time(pid).saturating_sub(cpu),
        };
        stop.store(true, Ordering::Relaxed);
        // Every sink is woken by one more message.
        write(&mut publisher, &burst);
        load
    })
}
