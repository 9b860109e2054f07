//! Publishing into a stream with a window of unacknowledged messages.

use std::time::{Duration, Instant};

use everjet_conformance::{JetStream, ServerProcess};

use crate::connection::{open, read, write};
use crate::machine::cpu_time;
use crate::outcome::Load;
use crate::rows::PAYLOAD;
use crate::store::pipe::acknowledgement_lines;

const WARM_UP: Duration = Duration::from_millis(200);

/// What is published into what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Messages in flight.
    pub(crate) window: usize,
    /// Bytes of each.
    pub(crate) payload: usize,
    /// Where the stream keeps them.
    pub(crate) storage: &'static str,
}

impl Shape {
    /// [`PAYLOAD`] bytes, in files.
    pub(crate) const fn window(window: usize) -> Self {
        Self {
            window,
            payload: PAYLOAD,
            storage: "file",
        }
    }
}

/// One publisher, one stream. Counts acknowledgements.
pub(crate) fn publish(server: &ServerProcess, length: Duration, shape: Shape) -> Load {
    create_stream(server, shape.storage);
    let pid = server.pid().expect("the server is running");
    let mut publisher = Publisher::open(server, shape);
    publisher.run(|publisher| publisher.started.elapsed() < WARM_UP);
    let (start, cpu) = (Instant::now(), cpu_time(pid));
    let before = publisher.acknowledged;
    publisher.run(|_| start.elapsed() < length);
    Load {
        messages: (publisher.acknowledged - before) as u64,
        elapsed: start.elapsed(),
        cpu: cpu_time(pid).saturating_sub(cpu),
    }
}

/// Fills the stream with `count` messages.
pub(crate) fn fill(server: &ServerProcess, count: usize) {
    create_stream(server, "file");
    let mut publisher = Publisher::open(server, Shape::window(1_024));
    publisher.run(|publisher| publisher.sent < count);
    publisher.drain();
}

/// Creates the stream of these loads, for the subject `bench.js`.
pub(crate) fn create_stream(server: &ServerProcess, storage: &str) {
    let mut js = JetStream::connect(server);
    js.create_stream(
        "BENCH",
        &format!(r#"{{"name":"BENCH","subjects":["bench.js"],"storage":"{storage}"}}"#),
    );
}

struct Publisher {
    stream: std::net::TcpStream,
    started: Instant,
    messages: Vec<u8>,
    message: usize,
    window: usize,
    sent: usize,
    acknowledged: usize,
    newlines: usize,
    buffer: Vec<u8>,
}

impl Publisher {
    fn open(server: &ServerProcess, shape: Shape) -> Self {
        let Shape {
            window, payload, ..
        } = shape;
        let message = format!(
            "PUB bench.js _INBOX.ack {payload}\r\n{}\r\n",
            "x".repeat(payload)
        );
        Self {
            stream: open(server, "SUB _INBOX.ack 1\r\n"),
            started: Instant::now(),
            messages: message.repeat(window).into_bytes(),
            message: message.len(),
            window,
            sent: 0,
            acknowledged: 0,
            newlines: 0,
            buffer: vec![0; 256 * 1_024],
        }
    }

    /// Publishes and reads acknowledgements while `more` says so. The window stays seven eighths full at least, so that one write
    /// carries several messages.
    fn run(&mut self, more: impl Fn(&Self) -> bool) {
        let least = (self.window / 8).max(1);
        while more(self) {
            let free = self.window - (self.sent - self.acknowledged);
            if free >= least {
                write(&mut self.stream, &self.messages[..free * self.message]);
                self.sent += free;
            }
            self.read_acknowledgements();
        }
    }

    fn drain(&mut self) {
        while self.acknowledged < self.sent {
            self.read_acknowledgements();
        }
    }

    fn read_acknowledgements(&mut self) {
        let count = read(&mut self.stream, &mut self.buffer);
        self.newlines += acknowledgement_lines(&self.buffer[..count]);
        self.acknowledged = self.newlines / 2;
    }
}
