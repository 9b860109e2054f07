//! When a server that has just been started answers.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use everjet_conformance::ServerProcess;
use memchr::memmem;

use super::data::Set;
use crate::connection::prepare;

/// How long a start may take.
const START_MAX: Duration = Duration::from_secs(300);
/// How often is looked whether it has happened: well below the shortest start.
const STEP: Duration = Duration::from_micros(200);
/// How long an answer may take before it is asked for again.
const ANSWER_MAX: Duration = Duration::from_secs(1);

/// Waits until a message to the last stream is acknowledged and the same stream's information is there.
///
/// # Panics
/// When that takes minutes.
pub(crate) fn wait_until_answering(server: &ServerProcess, set: &Set) {
    let mut publish = Vec::new();
    set.push_message(&mut publish, set.subjects - 1);
    let info = format!(
        "PUB $JS.API.STREAM.INFO.{} _INBOX.ack 0\r\n\r\n",
        set.last_stream()
    );
    let deadline = Instant::now() + START_MAX;
    while try_to_talk(server, &publish, info.as_bytes()).is_none() {
        assert!(
            Instant::now() < deadline,
            "it does not start: {}",
            server.log()
        );
        thread::sleep(STEP);
    }
}

/// `None` when it does not listen, closes, or does not know the stream yet.
fn try_to_talk(server: &ServerProcess, publish: &[u8], info: &[u8]) -> Option<()> {
    let mut stream = prepare(TcpStream::connect(("127.0.0.1", server.port())).ok()?);
    stream.set_read_timeout(Some(ANSWER_MAX)).ok()?;
    stream.write_all(CONNECT).ok()?;
    ask(&mut stream, publish, b"\"seq\":")?;
    ask(&mut stream, info, b"\"state\":")
}

/// With an answer where nobody listens, so that there is always one.
const CONNECT: &[u8] =
    b"CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true}\r\nSUB _INBOX.ack 1\r\n";

/// Sends a request and waits for the answer, which must have `mark`.
fn ask(stream: &mut TcpStream, request: &[u8], mark: &[u8]) -> Option<()> {
    stream.write_all(request).ok()?;
    let mut seen = Vec::new();
    let mut buffer = [0; 4_096];
    loop {
        let count = stream.read(&mut buffer).ok().filter(|&count| count > 0)?;
        seen.extend_from_slice(&buffer[..count]);
        match verdict(&seen, mark) {
            Some(true) => return Some(()),
            Some(false) => return None,
            None => {}
        }
    }
}

/// Whether what was received so far has the answer, or a refusal.
fn verdict(seen: &[u8], mark: &[u8]) -> Option<bool> {
    let has = |text: &[u8]| memmem::find(seen, text).is_some();
    if has(b"NATS/1.0 503") || has(b"\"error\":") || has(b"-ERR") {
        return Some(false);
    }
    (has(mark) && seen.ends_with(b"\r\n")).then_some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_and_refusals_are_told_apart() {
        fn check(seen: &str, expected: Option<bool>) {
            assert_eq!(verdict(seen.as_bytes(), b"\"seq\":"), expected, "{seen:?}");
        }
        let ack = "MSG _INBOX.ack 1 27\r\n{\"stream\":\"PLAIN\",\"seq\":7}\r\n";
        check("INFO {}\r\n", None);
        check(&ack[..ack.len() - 4], None);
        check(ack, Some(true));
        check(
            "HMSG _INBOX.ack 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n",
            Some(false),
        );
        check("MSG _INBOX.ack 1 9\r\n{\"error\":{}}\r\n", Some(false));
    }
}
