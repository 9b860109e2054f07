//! Peers that mean harm or know no better. In each test the published error or a close is the answer, memory stays bounded,
//! and two clients that behave go on with their requests meanwhile.

mod flood;
mod lies;
mod slow;
mod vanish;

use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use everjet_conformance::{RawClient, ServerProcess};

const MEBIBYTE: u64 = 1 << 20;
/// Longer than anything here takes; only a failing test waits so long.
const PATIENCE: Duration = Duration::from_secs(20);
const QUIET: &[u8] = b"CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true}\r\n";

/// Two clients that behave: one asks, the other answers.
struct Neighbours {
    asking: RawClient,
    answering: RawClient,
    rounds: u64,
}

impl Neighbours {
    #[track_caller]
    fn of(server: &ServerProcess) -> Self {
        Self::with(server, "")
    }

    /// With further members of the CONNECT object, such as `"auth_token":"t",`.
    #[track_caller]
    fn with(server: &ServerProcess, credentials: &str) -> Self {
        let ready = || {
            let mut client = server.connect();
            assert!(client.line().starts_with("INFO "));
            let connect = format!(
                "CONNECT {{{credentials}\"verbose\":false,\"pedantic\":false,\"headers\":true}}\r\nPING\r\n"
            );
            client.send(connect.as_bytes());
            assert_eq!(client.line(), "PONG");
            client
        };
        let (mut asking, mut answering) = (ready(), ready());
        asking.send(b"SUB neighbours.inbox.* 1\r\n");
        settle(&mut asking);
        answering.send(b"SUB neighbours.service 1\r\n");
        settle(&mut answering);
        Self {
            asking,
            answering,
            rounds: 0,
        }
    }

    /// A request and its reply, undisturbed.
    #[track_caller]
    fn talk(&mut self) {
        let start = Instant::now();
        self.exchange();
        let took = start.elapsed();
        assert!(took < UNDISTURBED, "a reply took {took:?}");
    }

    #[track_caller]
    fn exchange(&mut self) {
        self.rounds += 1;
        let request = format!(
            "PUB neighbours.service neighbours.inbox.{} 2\r\nhi\r\n",
            self.rounds
        );
        self.asking.send(request.as_bytes());
        let request = self.answering.message();
        let reply = request.reply.expect("a request has a reply subject");
        self.answering
            .send(format!("PUB {reply} 3\r\nyes\r\n").as_bytes());
        let answer = self.asking.message();
        assert_eq!(answer.subject, format!("neighbours.inbox.{}", self.rounds));
        assert_eq!(answer.text(), "yes");
    }
}

/// Longest that a request and its reply may take beside somebody who keeps the server busy: much more than they do take on a
/// slow machine, much less than the work that is asked for.
const UNDISTURBED: Duration = Duration::from_secs(2);

/// Asks whether anybody listens: a request that nobody can answer is answered with 503.
struct Asking(RawClient);

impl Asking {
    #[track_caller]
    fn of(server: &ServerProcess) -> Self {
        let mut client = RawClient::ready(server.port());
        client.send(b"SUB asking.inbox 1\r\nSUB asking.end 2\r\n");
        settle(&mut client);
        Self(client)
    }

    #[track_caller]
    fn is_unanswered(&mut self, subject: &str) -> bool {
        let request = format!("PUB {subject} asking.inbox 0\r\n\r\nPUB asking.end 0\r\n\r\n");
        self.0.send(request.as_bytes());
        let first = self.0.message();
        if first.subject == "asking.end" {
            return false;
        }
        assert_eq!(first.status().as_deref(), Some("503"));
        assert_eq!(self.0.message().subject, "asking.end");
        true
    }
}

/// A client that was greeted and has sent a CONNECT without verbose.
#[track_caller]
fn quiet(server: &ServerProcess) -> RawClient {
    let mut client = server.connect();
    assert!(client.line().starts_with("INFO "));
    client.send(QUIET);
    settle(&mut client);
    client
}

/// The next line that is no PING: on a slow machine a test may last until the server asks.
#[track_caller]
fn line(client: &mut RawClient) -> String {
    loop {
        match client.line() {
            ping if ping == "PING" => client.send(b"PONG\r\n"),
            line => return line,
        }
    }
}

/// A round trip: what was sent is done, and nothing else is under way.
#[track_caller]
fn settle(client: &mut RawClient) {
    client.send(b"PING\r\n");
    assert_eq!(line(client), "PONG");
}

/// Reads the next line, which is this error, and then the end of the connection.
#[track_caller]
fn expect_refused(client: &mut RawClient, error: &str) {
    assert_eq!(line(client), format!("-ERR '{error}'"));
    client.expect_closed();
}

/// Writes until the server has closed the connection; it may take bytes that it reads away.
#[track_caller]
fn send_until_closed(client: &RawClient, bytes: &[u8], total_max: u64) {
    let mut socket = client.socket();
    let timeout = socket.set_write_timeout(Some(PATIENCE));
    timeout.expect("a positive timeout is accepted");
    let mut sent = 0;
    while let Ok(count) = socket.write(bytes) {
        sent += count as u64;
        assert!(sent <= total_max, "still open after {sent} bytes");
    }
}

/// Reads whatever comes until the connection ends, and says how much it was.
#[track_caller]
fn read_to_the_end(client: &RawClient) -> u64 {
    let mut socket = client.socket();
    let timeout = socket.set_read_timeout(Some(PATIENCE));
    timeout.expect("a positive timeout is accepted");
    let mut buffer = vec![0; 1 << 16];
    let mut total = 0;
    loop {
        match socket.read(&mut buffer) {
            Ok(0) => return total,
            Ok(count) => total += count as u64,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return total,
            Err(error) => panic!("the connection does not end: {error}"),
        }
    }
}

/// Talks with the neighbours until `done`: what the server does about a peer that is gone, it does when it notices.
#[track_caller]
fn talk_until(neighbours: &mut Neighbours, what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "{what}");
        neighbours.talk();
    }
}

/// Asserts that memory grew by less than this since it was `before`. Only ours is judged: the bounds of others are theirs.
#[track_caller]
fn expect_grown_less_than(server: &ServerProcess, before: u64, most: u64) {
    let now = server.resident_bytes();
    let grown = now.saturating_sub(before);
    assert!(
        grown < most || everjet_conformance::executable::is_reference(),
        "resident memory grew by {grown} bytes, from {before} to {now}"
    );
}
