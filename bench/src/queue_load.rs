//! A work queue: each message is published, delivered, acknowledged and by that removed.

use std::time::{Duration, Instant};

use everjet_conformance::{JetStream, ServerProcess};
use memchr::memchr;

use crate::connection::{open, read, write};
use crate::machine::cpu_time;
use crate::outcome::Load;
use crate::rows::PAYLOAD;

/// Messages a pull request asks for; two requests are under way at any time.
const BATCH: usize = 500;
/// Messages in the queue at any time: more than the requests ask for, so that nobody waits for a publish.
const QUEUED: usize = 4 * BATCH;
const WARM_UP: Duration = Duration::from_millis(200);

/// One worker that publishes a message for each one it acknowledges. Counts messages that went through.
///
/// # Panics
/// When the queue holds anything else in the end than what is still under way.
pub(crate) fn work(server: &ServerProcess, length: Duration) -> Load {
    let mut js = JetStream::connect(server);
    js.create_stream(
        "BENCH",
        r#"{"name":"BENCH","subjects":["bench.js"],"retention":"workqueue"}"#,
    );
    js.create_consumer(
        "BENCH",
        "worker",
        r#""ack_policy":"explicit","max_ack_pending":20000"#,
    );
    let pid = server.pid().expect("the server is running");
    let mut worker = Worker::open(server);
    let warm = Instant::now();
    worker.run(|| warm.elapsed() < WARM_UP);
    let (start, cpu, before) = (Instant::now(), cpu_time(pid), worker.done);
    worker.run(|| start.elapsed() < length);
    // The last acknowledgements count when the server has them: it answers a request behind them.
    worker.confirm();
    let load = Load {
        messages: (worker.done - before) as u64,
        elapsed: start.elapsed(),
        cpu: cpu_time(pid).saturating_sub(cpu),
    };
    js.wait_until("what was acknowledged is removed", |js| {
        let state = &js.api("STREAM.INFO.BENCH", "")["state"];
        state["messages"].as_u64() == Some(QUEUED as u64)
    });
    load
}

struct Worker {
    stream: std::net::TcpStream,
    publish: Vec<u8>,
    request: Vec<u8>,
    buffer: Vec<u8>,
    kept: usize,
    out: Vec<u8>,
    done: usize,
    is_confirmed: bool,
}

impl Worker {
    fn open(server: &ServerProcess) -> Self {
        let subscriptions = "SUB _INBOX.pull 1\r\nSUB _INBOX.ack 2\r\nSUB _INBOX.last 3\r\n";
        let mut stream = open(server, subscriptions);
        let payload = "x".repeat(PAYLOAD);
        let publish = format!("PUB bench.js _INBOX.ack {PAYLOAD}\r\n{payload}\r\n").into_bytes();
        let request = format!("{{\"batch\":{BATCH},\"expires\":20000000000}}");
        let request = format!(
            "PUB $JS.API.CONSUMER.MSG.NEXT.BENCH.worker _INBOX.pull {}\r\n{request}\r\n",
            request.len()
        )
        .into_bytes();
        write(&mut stream, &publish.repeat(QUEUED));
        write(&mut stream, &request.repeat(2));
        Self {
            stream,
            publish,
            request,
            buffer: vec![0; 256 * 1_024],
            kept: 0,
            out: Vec::new(),
            done: 0,
            is_confirmed: false,
        }
    }

    fn run(&mut self, mut goes_on: impl FnMut() -> bool) {
        while goes_on() {
            self.turn();
        }
    }

    fn confirm(&mut self) {
        write(
            &mut self.stream,
            b"PUB $JS.API.CONSUMER.INFO.BENCH.worker _INBOX.last 0\r\n\r\n",
        );
        while !self.is_confirmed {
            self.turn();
        }
    }

    fn turn(&mut self) {
        let count = read(&mut self.stream, &mut self.buffer[self.kept..]);
        let end = self.kept + count;
        let mut at = 0;
        while let Some((frame, next)) = next_frame(&self.buffer[at..end]) {
            at += next;
            match frame {
                Frame::Ping => self.out.extend_from_slice(b"PONG\r\n"),
                Frame::Published => {}
                Frame::Confirmed => self.is_confirmed = true,
                Frame::Delivery { reply } => {
                    self.out.extend_from_slice(b"PUB ");
                    self.out.extend_from_slice(reply);
                    self.out.extend_from_slice(b" 0\r\n\r\n");
                    self.out.extend_from_slice(&self.publish);
                    self.done += 1;
                    if self.done.is_multiple_of(BATCH) {
                        self.out.extend_from_slice(&self.request);
                    }
                }
            }
        }
        self.buffer.copy_within(at..end, 0);
        self.kept = end - at;
        if !self.out.is_empty() {
            write(&mut self.stream, &self.out);
            self.out.clear();
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Frame<'a> {
    Ping,
    /// A publish was acknowledged.
    Published,
    /// The request behind the last acknowledgement was answered.
    Confirmed,
    Delivery {
        reply: &'a [u8],
    },
}

/// The first whole frame, and where the next one starts.
///
/// # Panics
/// At anything that does not belong to this load: a status would mean that requests are not what the server thinks.
fn next_frame(bytes: &[u8]) -> Option<(Frame<'_>, usize)> {
    let line_end = memchr(b'\n', bytes)?;
    let line = bytes[..line_end].trim_ascii_end();
    if line == b"PING" {
        return Some((Frame::Ping, line_end + 1));
    }
    let fields: Vec<&[u8]> = line.split(|&byte| byte == b' ').collect();
    let (frame, size) = match fields.as_slice() {
        [b"MSG", _subject, b"1", reply, size] => (Frame::Delivery { reply }, size),
        [b"MSG", _subject, b"2", size] => (Frame::Published, size),
        [b"MSG", _subject, b"3", size] => (Frame::Confirmed, size),
        _ => panic!("unexpected {:?}", String::from_utf8_lossy(line)),
    };
    let size = std::str::from_utf8(size).expect("digits");
    let size: usize = size.parse().expect("a size");
    let next = line_end + 1 + size + 2;
    (bytes.len() >= next).then_some((frame, next))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_frames_are_taken_apart() {
        let delivery = b"MSG bench.js 1 $JS.ACK.x 3\r\nabc\r\n";
        let reply = b"$JS.ACK.x".as_slice();
        assert_eq!(
            next_frame(delivery),
            Some((Frame::Delivery { reply }, delivery.len()))
        );
        assert_eq!(next_frame(&delivery[..delivery.len() - 1]), None);
        assert_eq!(next_frame(b"PING\r\nMSG"), Some((Frame::Ping, 6)));
        assert_eq!(
            next_frame(b"MSG _INBOX.ack 2 2\r\n{}\r\nPING"),
            Some((Frame::Published, 24))
        );
        assert_eq!(next_frame(b"MSG bench.js"), None);
    }
}
