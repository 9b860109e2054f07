//! Publishers and counting subscribers: one thread writes prepared bytes for all publishers, one reads for all subscribers.
//!
//! Threads of their own would compete with the server for two processors, and the order in which they run would be measured.

use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use everjet_conformance::ServerProcess;

use crate::connection::{open, round_trip, write};
use crate::machine::cpu_time;
use crate::outcome::Load;
use crate::sinks;

/// Bytes on their way to one subscriber at most: far below what makes it a slow one.
const WINDOW_BYTES: usize = 5 << 20;
/// Bytes on their way to all subscribers together.
const WINDOW_BYTES_TOTAL: usize = 64 << 20;
/// Messages on their way to one subscriber at most.
const WINDOW_MESSAGES: usize = 32_768;
/// What one write of a publisher holds, about.
const CHUNK_BYTES: usize = 40 << 10;
/// Messages in one write of a publisher.
const CHUNK_MESSAGES_MAX: usize = 256;
const CHUNK_MESSAGES_MIN: usize = 4;
pub(crate) const WARM_UP: Duration = Duration::from_millis(200);

/// Which subscriber gets a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Receivers {
    /// Every connection gets every message.
    All,
    /// The deliveries are spread over the connections.
    Shared,
}

/// What the rate and the processor time are divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Messages published.
    Message,
    /// Deliveries.
    Delivery,
}

/// What one write of a publisher carries.
#[derive(Clone, Debug)]
pub(crate) struct Chunk {
    pub(crate) bytes: Vec<u8>,
    pub(crate) messages: u64,
    /// How many deliveries they cause in total.
    pub(crate) deliveries: u64,
}

/// Who publishes what to whom.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Connections that publish, in turns.
    pub(crate) publishers: usize,
    /// What each subscriber sends after CONNECT.
    pub(crate) subscribers: Vec<String>,
    /// What is published, over and over.
    pub(crate) chunks: Vec<Chunk>,
    /// Bytes of a delivery; all are equal, so bytes count them.
    pub(crate) delivery_bytes: usize,
    pub(crate) receivers: Receivers,
    pub(crate) unit: Unit,
}

impl Plan {
    /// Publishers of equal messages of `payload` bytes to one subject, and subscribers that each get all of them.
    pub(crate) fn one_subject(publishers: usize, subscribers: usize, payload: usize) -> Self {
        let message = message("bench.core", payload);
        let count = chunk_messages(message.len());
        let chunk = Chunk {
            bytes: message.repeat(count).into_bytes(),
            messages: count as u64,
            deliveries: (count * subscribers) as u64,
        };
        Self {
            publishers,
            subscribers: vec!["SUB bench.core 1\r\n".to_owned(); subscribers],
            chunks: vec![chunk],
            delivery_bytes: delivery_bytes("bench.core", "1", payload),
            receivers: Receivers::All,
            unit: Unit::Delivery,
        }
    }

    /// Messages (to all) or deliveries (shared) that may be under way.
    fn window(&self) -> u64 {
        let each = WINDOW_BYTES.min(WINDOW_BYTES_TOTAL / self.subscribers.len().max(1));
        (each / self.delivery_bytes).clamp(CHUNK_MESSAGES_MIN, WINDOW_MESSAGES) as u64
    }

    /// Deliveries a message causes on average.
    fn deliveries_each(&self) -> f64 {
        let chunks = self.chunks.iter();
        let (messages, deliveries) = chunks.fold((0, 0), |(messages, deliveries), chunk| {
            (messages + chunk.messages, deliveries + chunk.deliveries)
        });
        deliveries as f64 / messages as f64
    }
}

/// A message as a publisher sends it.
pub(crate) fn message(subject: &str, payload: usize) -> String {
    format!("PUB {subject} {payload}\r\n{}\r\n", "x".repeat(payload))
}

/// Bytes of a message as a subscriber gets it.
pub(crate) fn delivery_bytes(subject: &str, sid: &str, payload: usize) -> usize {
    format!("MSG {subject} {sid} {payload}\r\n\r\n").len() + payload
}

/// How many messages of that size one write carries.
pub(crate) fn chunk_messages(bytes: usize) -> usize {
    (CHUNK_BYTES / bytes).clamp(CHUNK_MESSAGES_MIN, CHUNK_MESSAGES_MAX)
}

/// A plan being carried out. Nothing is published outside [`Self::run`] and [`Self::measure`].
pub(crate) struct Traffic<'a> {
    plan: &'a Plan,
    pid: u32,
    publishers: Vec<TcpStream>,
    received: &'a [AtomicU64],
    next: usize,
    messages: u64,
    deliveries: u64,
}

impl Plan {
    /// Connects everybody and lets `body` decide how long to publish.
    pub(crate) fn carry_out<R>(
        &self,
        server: &ServerProcess,
        body: impl FnOnce(&mut Traffic<'_>) -> R,
    ) -> R {
        let subscribers = self.subscribers.iter();
        let subscribers: Vec<_> = subscribers.map(|then| open(server, then)).collect();
        let ends: Vec<_> = subscribers
            .iter()
            .map(|stream| stream.try_clone().expect("a descriptor is left"))
            .collect();
        let received: Vec<_> = subscribers.iter().map(|_| AtomicU64::new(0)).collect();
        let stop = AtomicBool::new(false);
        let mut traffic = Traffic {
            plan: self,
            pid: server.pid().expect("the server is running"),
            publishers: (0..self.publishers).map(|_| open(server, "")).collect(),
            received: &received,
            next: 0,
            messages: 0,
            deliveries: 0,
        };
        thread::scope(|scope| {
            scope.spawn(|| sinks::count_bytes(subscribers, &received, &stop));
            let _stop = StopSinks {
                stop: &stop,
                ends: &ends,
            };
            let result = body(&mut traffic);
            // What is still on its way must not reach the subscribers of the next plan.
            traffic.publishers.iter_mut().for_each(round_trip);
            result
        })
    }

    /// Warms up and measures once.
    pub(crate) fn measure(&self, server: &ServerProcess, length: Duration) -> Load {
        self.carry_out(server, |traffic| {
            traffic.run(WARM_UP);
            traffic.measure(length)
        })
    }
}

/// Ends the thread of the sinks when dropped, so that a panic beside it ends the comparison instead of waiting for it.
struct StopSinks<'a> {
    stop: &'a AtomicBool,
    ends: &'a [TcpStream],
}

impl Drop for StopSinks<'_> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for end in self.ends {
            // The server may have closed it already, which the sink reports.
            let _ = end.shutdown(Shutdown::Both);
        }
    }
}

/// Sets a flag when dropped, so that a thread which waits for it ends even after a panic.
pub(crate) struct SetOnDrop<'a>(pub(crate) &'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Traffic<'_> {
    /// Publishes for about that long.
    pub(crate) fn run(&mut self, length: Duration) {
        let window = self.plan.window();
        let start = Instant::now();
        while start.elapsed() < length {
            if self.under_way() >= window {
                thread::sleep(Duration::from_micros(50));
                continue;
            }
            let chunk = &self.plan.chunks[self.next % self.plan.chunks.len()];
            let publisher = self.next % self.publishers.len();
            write(&mut self.publishers[publisher], &chunk.bytes);
            self.next += 1;
            self.messages += chunk.messages;
            self.deliveries += chunk.deliveries;
        }
    }

    /// As [`Self::run`], and says what was delivered meanwhile.
    pub(crate) fn measure(&mut self, length: Duration) -> Load {
        let (start, cpu, before) = (Instant::now(), cpu_time(self.pid), self.delivered());
        self.run(length);
        let delivered = self.delivered() - before;
        Load {
            messages: match self.plan.unit {
                Unit::Delivery => delivered,
                Unit::Message => (delivered as f64 / self.plan.deliveries_each()) as u64,
            },
            elapsed: start.elapsed(),
            cpu: cpu_time(self.pid).saturating_sub(cpu),
        }
    }

    /// Messages published so far.
    pub(crate) fn published(&self) -> u64 {
        self.messages
    }

    fn under_way(&self) -> u64 {
        match self.plan.receivers {
            Receivers::Shared => self.deliveries.saturating_sub(self.delivered()),
            Receivers::All => {
                let slowest = self.received.iter().map(|bytes| self.count(bytes)).min();
                self.messages
                    .saturating_sub(slowest.unwrap_or(self.messages))
            }
        }
    }

    fn delivered(&self) -> u64 {
        self.received.iter().map(|bytes| self.count(bytes)).sum()
    }

    fn count(&self, bytes: &AtomicU64) -> u64 {
        bytes.load(Ordering::Relaxed) / self.plan.delivery_bytes as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_and_windows_fit_the_size_of_a_message() {
        fn check(subscribers: usize, payload: usize, messages: u64, window: u64) {
            let plan = Plan::one_subject(1, subscribers, payload);
            let chunk = &plan.chunks[0];
            let got = (chunk.messages, plan.window());
            assert_eq!(got, (messages, window), "{subscribers} x {payload} B");
            assert_eq!(chunk.deliveries, messages * subscribers as u64);
            assert_eq!(chunk.bytes.len() as u64 % messages, 0);
        }
        check(1, 16, 256, 32_768);
        check(1, 128, 256, 32_768);
        check(1, 1_024, 39, 4_997);
        check(1, 16_384, 4, 319);
        check(10, 128, 256, 32_768);
        check(100, 128, 256, 4_415);
    }

    #[test]
    fn a_delivery_is_as_long_as_the_server_renders_it() {
        let rendered = format!("MSG bench.core 1 16\r\n{}\r\n", "x".repeat(16));
        assert_eq!(delivery_bytes("bench.core", "1", 16), rendered.len());
        assert_eq!(message("a", 2), "PUB a 2\r\nxx\r\n");
    }
}
