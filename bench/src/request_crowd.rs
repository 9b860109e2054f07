//! Many clients with one request under way each, on one thread.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::thread;
use std::time::{Duration, Instant};

use everjet_conformance::ServerProcess;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::connection::open;
use crate::frames::{self, Frame};
use crate::machine::cpu_time;
use crate::outcome::{Load, Outcome};
use crate::request_load::{Requests, SERVICE, answer};
use crate::traffic::WARM_UP;

/// More than one answer and a PING.
const BUFFER: usize = 1_024;
/// How often the clock is looked at when nothing arrives.
const TICK: Duration = Duration::from_millis(50);

/// `clients` connections and one that answers. Counts requests.
pub(crate) fn many_clients(server: &ServerProcess, length: Duration, clients: usize) -> Outcome {
    let pid = server.pid().expect("the server is running");
    let responder = open(server, SERVICE);
    let responder_end = responder.try_clone().expect("a descriptor is left");
    let mut crowd = Crowd::connect(server, clients);
    thread::scope(|scope| {
        scope.spawn(|| answer(responder));
        crowd.start();
        crowd.run(WARM_UP);
        let (start, cpu, before) = (Instant::now(), cpu_time(pid), crowd.answered);
        crowd.run(length);
        let load = Load {
            messages: crowd.answered - before,
            elapsed: start.elapsed(),
            cpu: cpu_time(pid).saturating_sub(cpu),
        };
        // Only reading ends: an answer that is under way must not find the socket closed.
        let _ = responder_end.shutdown(Shutdown::Read);
        load.into()
    })
}

struct Crowd {
    poll: Poll,
    members: Vec<Member>,
    answered: u64,
}

struct Member {
    stream: TcpStream,
    requests: Requests,
    buffer: [u8; BUFFER],
    kept: usize,
}

impl Crowd {
    fn connect(server: &ServerProcess, clients: usize) -> Self {
        let poll = Poll::new().expect("a poller can be made");
        let members = (0..clients)
            .map(|client| {
                let stream = open(server, &Requests::subscription(client));
                stream
                    .set_nonblocking(true)
                    .expect("a socket can be non-blocking");
                let mut stream = TcpStream::from_std(stream);
                poll.registry()
                    .register(&mut stream, Token(client), Interest::READABLE)
                    .expect("a socket can be polled");
                Member {
                    stream,
                    requests: Requests::of(client),
                    buffer: [0; BUFFER],
                    kept: 0,
                }
            })
            .collect();
        Self {
            poll,
            members,
            answered: 0,
        }
    }

    /// Sends everybody's first request.
    fn start(&mut self) {
        for member in &mut self.members {
            member.send_request();
        }
    }

    /// Answers every answer with the next request, for about that long.
    fn run(&mut self, length: Duration) {
        let start = Instant::now();
        let mut events = Events::with_capacity(self.members.len());
        while start.elapsed() < length {
            match self.poll.poll(&mut events, Some(TICK)) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => panic!("the poller: {error}"),
            }
            for event in &events {
                let Token(client) = event.token();
                self.answered += self.members[client].read();
            }
        }
    }
}

impl Member {
    /// Takes what has arrived; returns how many answers that were.
    fn read(&mut self) -> u64 {
        let count = match self.stream.read(&mut self.buffer[self.kept..]) {
            Ok(0) => panic!("the server closed a client's connection"),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return 0,
            Err(error) => panic!("a client: {error}"),
        };
        let end = self.kept + count;
        let (mut at, mut answers) = (0, 0);
        while let Some((frame, used)) = frames::next(&self.buffer[at..end]) {
            match frame {
                Frame::Ping => self.stream.write_all(b"PONG\r\n").expect("there is room"),
                Frame::Message { .. } => answers += 1,
            }
            at += used;
        }
        self.buffer.copy_within(at..end, 0);
        self.kept = end - at;
        for _ in 0..answers {
            self.send_request();
        }
        answers
    }

    fn send_request(&mut self) {
        // One request is under way, so the socket has room for it.
        self.stream
            .write_all(self.requests.next())
            .expect("there is room");
    }
}
