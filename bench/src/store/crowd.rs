//! Several publishers, or one for each of many streams, on one thread.

use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use everjet_conformance::ServerProcess;
use memchr::{memchr, memmem};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use super::data::{Data, Set};
use super::site::Site;
use super::syncs;
use crate::connection::open;
use crate::figure::Figure;
use crate::machine::cpu_time;
use crate::outcome::{Load, Outcome};
use crate::rows::{DURABLE, PAYLOAD};
use crate::stream_load::create_stream;

const WARM_UP: Duration = Duration::from_millis(300);
/// Acknowledgements that one read takes at most, about a hundred bytes each.
const BUFFER: usize = 64 << 10;
/// How often the clock is looked at when nothing arrives.
const TICK: Duration = Duration::from_millis(50);
/// Connections that publish to the many streams.
const CONNECTIONS_TO_MANY: usize = 10;

/// `publishers` connections with `window` messages in flight each, to one stream. Counts acknowledgements.
pub(crate) fn publish(
    server: &ServerProcess,
    length: Duration,
    publishers: usize,
    window: usize,
) -> Outcome {
    create_stream(server, "file");
    let members = (0..publishers).map(|member| {
        let message = message("bench.js", member, 0);
        Member::open(server, member, vec![message], window)
    });
    let mut crowd = Crowd::of(members.collect());
    crowd.start();
    crowd.run_for(WARM_UP);
    crowd.measure(server, length).into()
}

/// A thousand streams with one message in flight each, synced before the acknowledgement.
pub(crate) fn many_streams(site: &mut Site<'_>) -> Outcome {
    let server = site.start(DURABLE);
    let mut crowd = to_many(&server, &site.set(Data::Streams));
    crowd.run_for(WARM_UP);
    crowd.measure(&server, site.length).into()
}

/// The same, with the syncs counted.
pub(crate) fn many_streams_syncs(site: &mut Site<'_>) -> Outcome {
    let server = site.start(DURABLE);
    let mut crowd = to_many(&server, &site.set(Data::Streams));
    crowd.run_for(WARM_UP);
    let before = crowd.acknowledged;
    let mut counting = syncs::Counting::start(&server, site.length);
    crowd.run(|| !counting.is_over());
    let messages = crowd.acknowledged - before;
    let each = counting.count() as f64 / (messages as f64).max(1.0);
    Outcome::default().with(Figure::Syncs, each)
}

/// A crowd that has a message to every stream in flight.
fn to_many(server: &ServerProcess, set: &Set) -> Crowd {
    set.create_streams(server);
    let members = (0..CONNECTIONS_TO_MANY).map(|member| {
        let streams = (0..set.subjects).skip(member).step_by(CONNECTIONS_TO_MANY);
        let messages = streams.enumerate();
        let messages = messages.map(|(slot, stream)| message(&set.subject(stream), member, slot));
        Member::open(server, member, messages.collect(), 1)
    });
    let mut crowd = Crowd::of(members.collect());
    crowd.start();
    crowd
}

/// The reply subject says which message was acknowledged.
fn message(subject: &str, member: usize, slot: usize) -> Vec<u8> {
    let payload = "x".repeat(PAYLOAD);
    format!("PUB {subject} _INBOX.ack.{member}.{slot} {PAYLOAD}\r\n{payload}\r\n").into_bytes()
}

struct Crowd {
    poll: Poll,
    members: Vec<Member>,
    acknowledged: u64,
}

struct Member {
    stream: TcpStream,
    /// Each is published again when it was acknowledged.
    messages: Vec<Vec<u8>>,
    /// How often each is in flight.
    window: usize,
    buffer: Vec<u8>,
    kept: usize,
    out: Vec<u8>,
}

impl Crowd {
    fn of(mut members: Vec<Member>) -> Self {
        let poll = Poll::new().expect("a poller can be made");
        for (index, member) in members.iter_mut().enumerate() {
            poll.registry()
                .register(&mut member.stream, Token(index), Interest::READABLE)
                .expect("a socket can be polled");
        }
        Self {
            poll,
            members,
            acknowledged: 0,
        }
    }

    /// Sends what is to be in flight.
    fn start(&mut self) {
        for member in &mut self.members {
            for message in &member.messages {
                member.out.extend_from_slice(&message.repeat(member.window));
            }
            member.flush();
        }
    }

    fn run_for(&mut self, length: Duration) {
        let start = Instant::now();
        self.run(|| start.elapsed() < length);
    }

    /// Publishes what was acknowledged again, while `more` says so.
    fn run(&mut self, mut more: impl FnMut() -> bool) {
        let mut events = Events::with_capacity(self.members.len());
        while more() {
            match self.poll.poll(&mut events, Some(TICK)) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => panic!("the poller: {error}"),
            }
            for event in &events {
                let Token(index) = event.token();
                self.acknowledged += self.members[index].read();
            }
        }
    }

    fn measure(&mut self, server: &ServerProcess, length: Duration) -> Load {
        let pid = server.pid().expect("the server is running");
        let (start, cpu, before) = (Instant::now(), cpu_time(pid), self.acknowledged);
        self.run_for(length);
        Load {
            messages: self.acknowledged - before,
            elapsed: start.elapsed(),
            cpu: cpu_time(pid).saturating_sub(cpu),
        }
    }
}

impl Member {
    fn open(server: &ServerProcess, member: usize, messages: Vec<Vec<u8>>, window: usize) -> Self {
        let stream = open(server, &format!("SUB _INBOX.ack.{member}.* 1\r\n"));
        stream
            .set_nonblocking(true)
            .expect("a socket can be non-blocking");
        Self {
            stream: TcpStream::from_std(stream),
            messages,
            window,
            buffer: vec![0; BUFFER],
            kept: 0,
            out: Vec::new(),
        }
    }

    /// Takes what has arrived; returns how many acknowledgements that were.
    fn read(&mut self) -> u64 {
        let mut acknowledged = 0;
        // A short read empties the socket; only then the poller reports it again.
        loop {
            let room = self.buffer.len() - self.kept;
            let count = match self.stream.read(&mut self.buffer[self.kept..]) {
                Ok(0) => panic!("the server closed a publisher's connection"),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("a publisher: {error}"),
            };
            let end = self.kept + count;
            let mut at = 0;
            while let Some((slot, used)) = acknowledgement(&self.buffer[at..end]) {
                at += used;
                let Some(slot) = slot else {
                    self.out.extend_from_slice(b"PONG\r\n");
                    continue;
                };
                acknowledged += 1;
                self.out.extend_from_slice(&self.messages[slot]);
            }
            self.buffer.copy_within(at..end, 0);
            self.kept = end - at;
            if count < room {
                break;
            }
        }
        self.flush();
        acknowledged
    }

    fn flush(&mut self) {
        // What may be in flight is far less than what a socket takes.
        self.stream.write_all(&self.out).expect("there is room");
        self.out.clear();
    }
}

/// The slot of the first whole acknowledgement, or `None` for a PING of the server, and where the next one starts.
///
/// # Panics
/// At anything that says that a message was not stored.
fn acknowledgement(bytes: &[u8]) -> Option<(Option<usize>, usize)> {
    let line_end = memchr(b'\n', bytes)?;
    let line = &bytes[..line_end];
    if line == b"PING\r" {
        return Some((None, line_end + 1));
    }
    let rest = &bytes[line_end + 1..];
    let end = memchr(b'\n', rest)?;
    let slot = slot(line).filter(|_| memmem::find(&rest[..end], b"\"error\"").is_none());
    let slot = slot.unwrap_or_else(|| panic!("not stored: {}", String::from_utf8_lossy(bytes)));
    Some((Some(slot), line_end + 1 + end + 1))
}

/// The last token of the subject in `MSG <subject> <sid> …`.
fn slot(line: &[u8]) -> Option<usize> {
    let subject = line.strip_prefix(b"MSG ")?;
    let subject = &subject[..memchr(b' ', subject)?];
    let digits = subject.rsplit(|&byte| byte == b'.').next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledgements_say_what_was_stored() {
        fn check(bytes: &str, expected: Option<(Option<usize>, usize)>) {
            assert_eq!(acknowledgement(bytes.as_bytes()), expected, "{bytes:?}");
        }
        let ack = "MSG _INBOX.ack.3.42 1 9\r\n{\"seq\":1}\r\n";
        check(ack, Some((Some(42), ack.len())));
        check(&ack[..ack.len() - 1], None);
        check("PING\r\nMSG", Some((None, 6)));
        check("MSG _INBOX", None);
    }

    #[test]
    #[should_panic(expected = "not stored")]
    fn a_refused_message_ends_the_run() {
        let _ = acknowledgement(b"MSG _INBOX.ack.3.42 1 12\r\n{\"error\":{}}\r\n");
    }

    #[test]
    fn messages_carry_their_slot() {
        let message = String::from_utf8(message("many.7", 3, 42)).expect("ASCII");
        assert!(
            message.starts_with("PUB many.7 _INBOX.ack.3.42 128\r\nx"),
            "{message}"
        );
    }
}
