//! Requests and replies through a server: the latency for one client, the cost for many.

use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use everjet_conformance::ServerProcess;

use crate::connection::{open, read, write};
use crate::figure::Figure;
use crate::frames::{self, Frame};
use crate::machine::cpu_time;
use crate::outcome::{Load, Outcome};
use crate::relay::Relay;
use crate::statistics::Latencies;
use crate::traffic::WARM_UP;

const PAYLOAD: usize = 128;
/// Slices of a run in which server and relay take turns.
const SLICES: u32 = 4;
pub(crate) const SERVICE: &str = "SUB bench.service 1\r\n";

/// The next request of a client: every one has a reply subject of its own, as with the official clients.
pub(crate) struct Requests {
    bytes: Vec<u8>,
    /// Where the eight digits are that change.
    digits: usize,
    count: u32,
}

impl Requests {
    /// Those of one client.
    pub(crate) fn of(client: usize) -> Self {
        let start = format!("PUB bench.service _INBOX.client{client:04}.");
        let rest = format!("00000000 {PAYLOAD}\r\n{}\r\n", "x".repeat(PAYLOAD));
        Self {
            digits: start.len(),
            bytes: (start + &rest).into_bytes(),
            count: 0,
        }
    }

    /// What the client subscribes to.
    pub(crate) fn subscription(client: usize) -> String {
        format!("SUB _INBOX.client{client:04}.* 1\r\n")
    }

    /// The bytes of the next request.
    pub(crate) fn next(&mut self) -> &[u8] {
        self.count = (self.count + 1) % 100_000_000;
        let digits = format!("{:08}", self.count);
        self.bytes[self.digits..][..digits.len()].copy_from_slice(digits.as_bytes());
        &self.bytes
    }
}

/// Answers what arrives until the connection is shut down: one write for all requests of one read.
pub(crate) fn answer(mut stream: TcpStream) {
    let payload = "y".repeat(PAYLOAD);
    let mut buffer = vec![0; 256 * 1_024];
    let mut kept = 0;
    let mut answers = Vec::new();
    loop {
        let count = match std::io::Read::read(&mut stream, &mut buffer[kept..]) {
            Ok(count) if count > 0 => count,
            _ => return,
        };
        let end = kept + count;
        let mut at = 0;
        while let Some((frame, used)) = frames::next(&buffer[at..end]) {
            match frame {
                Frame::Ping => answers.extend_from_slice(b"PONG\r\n"),
                Frame::Message { reply, .. } => {
                    answers.extend_from_slice(b"PUB ");
                    answers.extend_from_slice(reply);
                    answers.extend_from_slice(format!(" {PAYLOAD}\r\n{payload}\r\n").as_bytes());
                }
            }
            at += used;
        }
        buffer.copy_within(at..end, 0);
        kept = end - at;
        if !answers.is_empty() {
            write(&mut stream, &answers);
            answers.clear();
        }
    }
}

/// One client with one request under way, in turns through the server and through the raw relay.
pub(crate) fn one_client(server: &ServerProcess, length: Duration) -> Outcome {
    let pid = server.pid().expect("the server is running");
    let responder = open(server, SERVICE);
    let responder_end = responder.try_clone().expect("a descriptor is left");
    let mut client = Client {
        stream: open(server, &Requests::subscription(0)),
        requests: Requests::of(0),
        buffer: vec![0; 4_096],
    };
    let mut relay = RelayClient::start();
    let (mut through_server, mut through_relay) = (Latencies::default(), Latencies::default());
    let mut load = Load::default();
    thread::scope(|scope| {
        scope.spawn(|| answer(responder));
        repeat(WARM_UP, &mut Latencies::default(), || client.request());
        repeat(WARM_UP, &mut Latencies::default(), || relay.request());
        for _ in 0..SLICES {
            let (start, cpu, before) = (Instant::now(), cpu_time(pid), through_server.len());
            repeat(length / SLICES, &mut through_server, || client.request());
            load += Load {
                messages: (through_server.len() - before) as u64,
                elapsed: start.elapsed(),
                cpu: cpu_time(pid).saturating_sub(cpu),
            };
            repeat(length / SLICES, &mut through_relay, || relay.request());
        }
        let _ = responder_end.shutdown(Shutdown::Both);
    });
    let (p50, relay_p50) = (
        through_server.percentile_us(50.0),
        through_relay.percentile_us(50.0),
    );
    Outcome::from(load)
        .with(Figure::P50, p50)
        .with(Figure::P99, through_server.percentile_us(99.0))
        .with(Figure::RelayP50, relay_p50)
        .with(Figure::RelayP99, through_relay.percentile_us(99.0))
        .with(Figure::OverRelay, p50 / relay_p50.max(1e-9))
}

/// Records how long `request` takes, again and again for that long.
fn repeat(length: Duration, latencies: &mut Latencies, mut request: impl FnMut()) {
    let start = Instant::now();
    let mut began = start;
    while began - start < length {
        request();
        let ended = Instant::now();
        latencies.record(ended - began);
        began = ended;
    }
}

struct Client {
    stream: TcpStream,
    requests: Requests,
    buffer: Vec<u8>,
}

impl Client {
    /// Sends a request and waits for its answer.
    fn request(&mut self) {
        write(&mut self.stream, self.requests.next());
        let (mut at, mut end) = (0, 0);
        let mut answered = false;
        // A PING that begins behind the answer is read to its end, so that the next request starts with an empty buffer.
        while !answered || at < end {
            end += read(&mut self.stream, &mut self.buffer[end..]);
            while let Some((frame, used)) = frames::next(&self.buffer[at..end]) {
                at += used;
                match frame {
                    Frame::Ping => write(&mut self.stream, b"PONG\r\n"),
                    Frame::Message { .. } => answered = true,
                }
            }
        }
    }
}

/// The same bytes through the relay.
struct RelayClient {
    relay: Relay,
    request: Vec<u8>,
    buffer: Vec<u8>,
    responder: Option<thread::JoinHandle<()>>,
}

impl RelayClient {
    fn start() -> Self {
        let relay = Relay::start();
        let request = Requests::of(0).bytes;
        let size = request.len();
        let mut responder = relay.responder.try_clone().expect("a descriptor is left");
        let responder = thread::spawn(move || {
            let mut buffer = vec![0; size];
            while std::io::Read::read_exact(&mut responder, &mut buffer).is_ok() {
                write(&mut responder, &buffer);
            }
        });
        Self {
            relay,
            buffer: vec![0; size],
            request,
            responder: Some(responder),
        }
    }

    fn request(&mut self) {
        write(&mut self.relay.client, &self.request);
        std::io::Read::read_exact(&mut self.relay.client, &mut self.buffer)
            .expect("the relay is running");
    }
}

impl Drop for RelayClient {
    fn drop(&mut self) {
        let _ = self.relay.responder.shutdown(Shutdown::Both);
        if let Some(responder) = self.responder.take() {
            let _ = responder.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_has_its_own_reply_subject() {
        let mut requests = Requests::of(7);
        let start = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..56]).into_owned();
        let first = start(requests.next());
        let second = start(requests.next());
        assert_eq!(
            first,
            "PUB bench.service _INBOX.client0007.00000001 128\r\nxxxxxx"
        );
        assert_eq!(second, first.replace("00000001", "00000002"));
        assert_eq!(Requests::subscription(7), "SUB _INBOX.client0007.* 1\r\n");
    }

    #[test]
    fn latencies_are_recorded_until_the_time_is_over() {
        let mut latencies = Latencies::default();
        let mut calls = 0;
        repeat(Duration::from_millis(1), &mut latencies, || calls += 1);
        assert_eq!(latencies.len(), calls);
        assert!(calls > 0);
        let mut relay = RelayClient::start();
        relay.request();
        relay.request();
        assert_eq!(relay.buffer, relay.request);
    }
}
