//! Publishing into a stream with a window of unacknowledged messages.

use std::time::{Duration, Instant};

use everjet_conformance::{JetStream, ServerProcess};
use memchr::{memchr_iter, memmem};

use crate::connection::{open, read, write};
use crate::machine::cpu_time;
use crate::outcome::Load;
use crate::rows::PAYLOAD;

const WARM_UP: Duration = Duration::from_millis(200);

/// One publisher with `window` messages in flight, one stream with file storage. Counts acknowledgements.
pub(crate) fn publish(server: &ServerProcess, length: Duration, window: usize) -> Load {
    create_stream(server);
    let pid = server.pid().expect("the server is running");
    let mut publisher = Publisher::open(server, window);
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
    create_stream(server);
    let mut publisher = Publisher::open(server, 1_024);
    publisher.run(|publisher| publisher.sent < count);
    publisher.drain();
}

fn create_stream(server: &ServerProcess) {
    let mut js = JetStream::connect(server);
    js.create_stream(
        "BENCH",
        r#"{"name":"BENCH","subjects":["bench.js"],"storage":"file"}"#,
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
    fn open(server: &ServerProcess, window: usize) -> Self {
        let message = format!(
            "PUB bench.js _INBOX.ack {PAYLOAD}\r\n{}\r\n",
            "x".repeat(PAYLOAD)
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

    /// An acknowledgement is two lines: `MSG …` and its JSON.
    fn read_acknowledgements(&mut self) {
        let count = read(&mut self.stream, &mut self.buffer);
        let bytes = &self.buffer[..count];
        let error = memmem::find(bytes, b"\"error\"").or_else(|| memmem::find(bytes, b"-ERR"));
        assert!(
            error.is_none(),
            "not stored: {}",
            String::from_utf8_lossy(bytes)
        );
        self.newlines += memchr_iter(b'\n', bytes).count();
        self.acknowledged = self.newlines / 2;
    }
}
