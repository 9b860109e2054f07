//! A publisher with a window of unacknowledged messages that may all be different.

use std::net::TcpStream;

use everjet_conformance::ServerProcess;
use memchr::{memchr_iter, memmem};

use crate::connection::{open, read, write};

/// One connection, and what makes its messages.
pub(crate) struct Pipe<F> {
    stream: TcpStream,
    /// Appends the message with that number, whose reply subject must be `_INBOX.ack`.
    push: F,
    window: usize,
    sent: usize,
    acknowledged: usize,
    newlines: usize,
    out: Vec<u8>,
    buffer: Vec<u8>,
}

impl<F: FnMut(&mut Vec<u8>, u64)> Pipe<F> {
    pub(crate) fn open(server: &ServerProcess, window: usize, push: F) -> Self {
        Self {
            stream: open(server, "SUB _INBOX.ack 1\r\n"),
            push,
            window,
            sent: 0,
            acknowledged: 0,
            newlines: 0,
            out: Vec::new(),
            buffer: vec![0; 256 * 1_024],
        }
    }

    pub(crate) fn acknowledged(&self) -> usize {
        self.acknowledged
    }

    /// Publishes and reads acknowledgements while `more` says so.
    pub(crate) fn run(&mut self, more: impl Fn(&Self) -> bool) {
        while more(self) {
            self.send(u64::MAX);
        }
    }

    /// Publishes that many messages and waits for all acknowledgements.
    pub(crate) fn publish(&mut self, count: u64) {
        let end = self.sent as u64 + count;
        while (self.sent as u64) < end {
            self.send(end - self.sent as u64);
        }
        self.drain();
    }

    /// Fills the window, with `most` messages at most, and reads some acknowledgements. The window stays seven eighths full at
    /// least, so that one write carries several messages.
    fn send(&mut self, most: u64) {
        let free = self.window - (self.sent - self.acknowledged);
        if free >= (self.window / 8).max(1) {
            self.out.clear();
            for _ in 0..most.min(free as u64) {
                (self.push)(&mut self.out, self.sent as u64);
                self.sent += 1;
            }
            write(&mut self.stream, &self.out);
        }
        self.read_acknowledgements();
    }

    /// Waits for the acknowledgements of what was sent.
    pub(crate) fn drain(&mut self) {
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

/// How many line ends there are: an acknowledgement is two lines, `MSG …` and its JSON.
///
/// # Panics
/// At what says that something was not stored.
pub(crate) fn acknowledgement_lines(bytes: &[u8]) -> usize {
    let error = memmem::find(bytes, b"\"error\"").or_else(|| memmem::find(bytes, b"-ERR"));
    assert!(
        error.is_none(),
        "not stored: {}",
        String::from_utf8_lossy(bytes)
    );
    memchr_iter(b'\n', bytes).count()
}
