//! A durable pull consumer with explicit acknowledgements.

use std::time::{Duration, Instant};

use everjet_conformance::{JetStream, ServerProcess};
use memchr::memchr;

use crate::connection::{open, read, write};
use crate::machine::cpu_time;
use crate::outcome::Load;
use crate::rows::PAYLOAD;
use crate::stream_load::fill;

/// Messages a pull request asks for; two requests are under way at any time.
const BATCH: usize = 256;
/// Messages stored before: enough for the length of a run at this rate a second.
const RATE_MAX: f64 = 400_000.0;

/// Consumes and acknowledges a stored backlog until it is used up or the time is over. Counts acknowledged messages.
pub(crate) fn consume(server: &ServerProcess, length: Duration) -> Load {
    let backlog = (length.as_secs_f64() * RATE_MAX) as usize;
    fill(server, backlog);
    let mut js = JetStream::connect(server);
    js.create_consumer(
        "BENCH",
        "puller",
        r#""ack_policy":"explicit","max_ack_pending":20000"#,
    );
    let pid = server.pid().expect("the server is running");
    let mut stream = open(server, "SUB _INBOX.pull 1\r\n");
    let request = format!("{{\"batch\":{BATCH},\"expires\":20000000000}}");
    let request = format!(
        "PUB $JS.API.CONSUMER.MSG.NEXT.BENCH.puller _INBOX.pull {}\r\n{request}\r\n",
        request.len()
    );
    let (start, cpu) = (Instant::now(), cpu_time(pid));
    write(&mut stream, request.repeat(2).as_bytes());
    let mut received = 0;
    let mut buffer = vec![0; 256 * 1_024];
    let mut kept = 0;
    let mut acks = Vec::new();
    while received < backlog && start.elapsed() < length {
        let count = read(&mut stream, &mut buffer[kept..]);
        let end = kept + count;
        let mut at = 0;
        while let Some((reply, next)) = next_message(&buffer[at..end]) {
            at += next;
            let Some(reply) = reply else {
                acks.extend_from_slice(b"PONG\r\n");
                continue;
            };
            acks.extend_from_slice(b"PUB ");
            acks.extend_from_slice(reply);
            acks.extend_from_slice(b" 0\r\n\r\n");
            received += 1;
            if received % BATCH == 0 {
                acks.extend_from_slice(request.as_bytes());
            }
        }
        buffer.copy_within(at..end, 0);
        kept = end - at;
        if !acks.is_empty() {
            write(&mut stream, &acks);
            acks.clear();
        }
    }
    // The last acknowledgements count when the server has them: it answers a request behind them.
    let info = js.api("CONSUMER.INFO.BENCH.puller", "");
    assert!(info["error"].is_null(), "{info}");
    Load {
        messages: received as u64,
        elapsed: start.elapsed(),
        cpu: cpu_time(pid).saturating_sub(cpu),
    }
}

/// The reply subject of the first whole message, or `None` for a PING of the server, and where the next one starts.
///
/// # Panics
/// At anything else: a status would mean that the requests above are not what the server thinks.
fn next_message(bytes: &[u8]) -> Option<(Option<&[u8]>, usize)> {
    let line_end = memchr(b'\n', bytes)?;
    let line = &bytes[..line_end];
    if line == b"PING\r" {
        return Some((None, line_end + 1));
    }
    let fields: Vec<&[u8]> = line.splitn(5, |&byte| byte == b' ').collect();
    let [b"MSG", _subject, _sid, reply, _size] = fields.as_slice() else {
        panic!("unexpected {:?}", String::from_utf8_lossy(line));
    };
    let next = line_end + 1 + PAYLOAD + 2;
    (bytes.len() >= next).then_some((Some(*reply), next))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_messages_are_taken_apart() {
        let message = format!(
            "MSG bench.js 1 $JS.ACK.x {PAYLOAD}\r\n{}\r\n",
            "x".repeat(PAYLOAD)
        );
        assert_eq!(
            next_message(message.as_bytes()),
            Some((Some(b"$JS.ACK.x".as_slice()), message.len()))
        );
        assert_eq!(next_message(b"PING\r\nMSG"), Some((None, 6)));
        assert_eq!(next_message(&message.as_bytes()[..message.len() - 1]), None);
        assert_eq!(next_message(b"MSG bench.js"), None);
    }
}
