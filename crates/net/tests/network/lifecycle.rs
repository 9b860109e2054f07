//! Connections without a socket, behind a proxy, and on their way out.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use everjet_conn::CloseReason;
use everjet_net::{InProcessConnection, NetCounters, WriteTimeout};

use crate::{CONNECT, PATIENCE, Server};

/// A client that never touches a socket.
struct Inside(BufReader<InProcessConnection>);

impl Inside {
    fn connect(server: &Server) -> Self {
        let mut connection = server.network.connect_in_process().expect("it accepts");
        connection.set_read_timeout(Some(PATIENCE));
        connection.set_write_timeout(Some(PATIENCE));
        let mut client = Self(BufReader::new(connection));
        let info = client.line();
        assert!(
            info.starts_with("INFO {") && !info.contains("client_ip"),
            "{info}"
        );
        client.send(CONNECT);
        client
    }

    fn send(&mut self, text: &str) {
        let sent = self.0.get_mut().write_all(text.as_bytes());
        sent.expect("the server reads");
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("the server writes");
        line
    }

    fn round_trip(&mut self) {
        self.send("PING\r\n");
        assert_eq!(self.line(), "PONG\r\n");
    }

    /// What comes until the connection ends.
    fn rest(&mut self) -> usize {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).expect("an end")
    }
}

#[test]
fn a_client_inside_and_one_outside_exchange_messages() {
    let server = Server::start(|_| {});
    let (mut inside, mut outside) = (Inside::connect(&server), server.connected());
    inside.send("SUB in 1\r\n");
    inside.round_trip();
    outside.send("SUB out 2\r\nPUB in 2\r\nhi\r\n");
    outside.round_trip();
    assert_eq!(inside.line(), "MSG in 1 2\r\n");
    assert_eq!(inside.line(), "hi\r\n");
    inside.send("PUB out 3\r\nyou\r\n");
    outside.expect("MSG out 2 3\r\nyou\r\n");
    assert_eq!(server.network.connection_count(), 2);
    drop(inside);
    assert_eq!(server.next_closing(), CloseReason::ClientClosed);
    assert_eq!(server.network.connection_count(), 1);
    assert_eq!(server.account.subscription_count(), 1);
}

#[test]
fn a_message_larger_than_the_pipe_arrives_whole() {
    let server = Server::start(|_| {});
    let mut inside = Inside::connect(&server);
    inside.send("SUB big 1\r\n");
    inside.round_trip();
    let mut writer = inside.0.get_ref().clone();
    let payload: Vec<u8> = (0..1_000_000u32).map(|n| b'a' + (n % 26) as u8).collect();
    let sent = payload.clone();
    let writing = std::thread::spawn(move || {
        let mut write = |bytes: &[u8]| writer.write_all(bytes).expect("the server reads");
        write(b"PUB big 1000000\r\n");
        write(&sent);
        write(b"\r\n");
    });
    assert_eq!(inside.line(), "MSG big 1 1000000\r\n");
    let mut got = vec![0; payload.len()];
    inside.0.read_exact(&mut got).expect("the payload follows");
    assert!(got == payload);
    writing.join().expect("it was written");
}

#[test]
fn a_client_inside_that_does_not_read_is_closed_and_the_others_go_on() {
    let server = Server::start(|config| config.pending_max = 1024 * 1024);
    let (mut slow, mut publisher) = (Inside::connect(&server), server.connected());
    slow.send("SUB data 1\r\n");
    slow.round_trip();
    let message = format!("PUB data 100000\r\n{}\r\n", "x".repeat(100_000));
    for _ in 0..20 {
        publisher.send(&message);
    }
    let reason = server.next_closing();
    assert_eq!(reason, CloseReason::SlowConsumerPendingBytes);
    publisher.round_trip();
    let rest = slow.rest();
    assert!((1..600_000).contains(&rest), "{rest} bytes were under way");
    assert_eq!(
        server.network.counters(),
        NetCounters {
            connections: 2,
            slow_consumers: 1,
            stale_connections: 0,
        }
    );
}

#[test]
fn a_server_that_stops_ends_connections_inside() {
    let server = Server::start(|_| {});
    let mut inside = Inside::connect(&server);
    inside.round_trip();
    server.network.shutdown().expect("the reactors are well");
    assert_eq!(inside.rest(), 0);
    let sent = inside.0.get_mut().write(b"PING\r\n");
    assert_eq!(
        sent.expect_err("it has ended").kind(),
        ErrorKind::BrokenPipe
    );
    let refused = server.network.connect_in_process();
    let kind = refused.expect_err("it has stopped").kind();
    assert_eq!(kind, ErrorKind::ConnectionRefused);
}

#[test]
fn one_connection_inside_too_many_is_told_so() {
    let server = Server::start(|config| config.connections_max = Some(1));
    let mut first = Inside::connect(&server);
    let second = server.network.connect_in_process().expect("it accepts");
    let mut text = String::new();
    let read = BufReader::new(second).read_to_string(&mut text);
    read.expect("an end");
    assert!(
        text.ends_with("-ERR 'maximum connections exceeded'\r\n"),
        "{text}"
    );
    first.round_trip();
}

#[test]
fn what_the_server_says_about_itself_can_change() {
    let server = Server::start(|_| {});
    let mut told = server.client();
    told.send("CONNECT {\"verbose\":false,\"protocol\":1}\r\nPING\r\n");
    told.expect("PONG\r\n");
    assert!(told.line().contains("\"connect_info\":true"));
    let mut old = server.connected();
    server.network.announce(|info| info.ldm = true);
    let info = told.line();
    assert!(
        info.starts_with("INFO {") && info.contains("\"ldm\":true"),
        "{info}"
    );
    told.round_trip();
    old.round_trip();
    let mut late = TcpStream::connect(server.network.local_addrs()[0]).expect("it listens");
    late.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let mut greeting = [0; 256];
    let count = late.read(&mut greeting).expect("the server speaks first");
    let greeting = String::from_utf8_lossy(&greeting[..count]);
    assert!(greeting.contains("\"ldm\":true"), "{greeting}");
}

#[test]
fn so_many_connections_are_closed_whichever_reactor_has_them() {
    let server = Server::start(|_| {});
    let clients: Vec<_> = (0..7).map(|_| server.connected()).collect();
    for (count, left) in [(1, 6), (4, 2), (100, 0)] {
        let closed = server.network.connection_count() - left;
        server.network.disconnect(count);
        for _ in 0..closed {
            assert_eq!(server.next_closing(), CloseReason::ServerShutdown);
        }
        assert_eq!(server.network.connection_count(), left);
    }
    for mut client in clients {
        client.expect_end();
    }
}

fn behind_a_proxy(header: &[u8]) -> (Server, String) {
    let server = Server::start(|config| config.listeners[0].plan.proxy_header = true);
    let mut socket = TcpStream::connect(server.network.local_addrs()[0]).expect("it listens");
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let mut reader = BufReader::new(socket.try_clone().expect("a socket"));
    let mut text = String::new();
    reader
        .read_line(&mut text)
        .expect("the server speaks first");
    assert!(!text.contains("client_ip"), "{text}");
    text.clear();
    socket.write_all(header).expect("the server reads");
    let connect = b"CONNECT {\"verbose\":false,\"protocol\":1}\r\nPING\r\n";
    socket.write_all(connect).expect("the server reads");
    // Of one that is refused, the end is all that comes.
    while !text.contains("INFO") && reader.read_line(&mut text).expect("an answer") > 0 {}
    (server, text)
}

#[test]
fn a_proxy_says_where_a_client_connects_from() {
    for (header, ip) in [
        (
            &b"PROXY TCP4 10.1.2.3 10.0.0.1 5555 4222\r\n"[..],
            "10.1.2.3",
        ),
        (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
        (
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\x0a\x01\x02\x03\x0a\x00\x00\x01\x15\xb3\x10\x7e",
            "10.1.2.3",
        ),
        (b"", "127.0.0.1"),
    ] {
        let (_server, text) = behind_a_proxy(header);
        assert!(text.starts_with("PONG\r\nINFO {"), "{text}");
        assert!(text.contains(&format!("\"client_ip\":\"{ip}\"")), "{text}");
    }
}

#[test]
fn extensions_of_a_proxy_are_passed_over_however_long() {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff".to_vec();
    header.extend([10, 1, 2, 3, 10, 0, 0, 1, 0x15, 0xb3, 0x10, 0x7e]);
    header.resize(16 + 65_535, b'P');
    let (_server, text) = behind_a_proxy(&header);
    assert!(text.contains("\"client_ip\":\"10.1.2.3\""), "{text}");
}

#[test]
fn a_wrong_header_of_a_proxy_closes_the_connection() {
    let (server, text) = behind_a_proxy(b"PROXY TCP4 nobody 10.0.0.1 5555 4222\r\n");
    assert_eq!(text, "");
    assert_eq!(server.next_closing(), CloseReason::ProtocolViolation);
}

/// Six megabytes for a client that reads a little each time that somebody else is asked whether he is still there.
fn slow_but_steady(write_timeout: WriteTimeout) -> (Server, usize) {
    const MESSAGES: usize = 60;
    let server = Server::start(|config| {
        config.write_timeout = write_timeout;
        config.write_deadline = Duration::from_millis(400);
        config.limits.ping_interval = Duration::from_millis(10);
        config.limits.ping_max = 1_000_000;
    });
    let mut metronome = server.client();
    let mut slow = Inside::connect(&server);
    slow.send("SUB data 1\r\n");
    let mut publisher = Inside::connect(&server);
    publisher.send("PING\r\n");
    let message = format!("PUB data 100000\r\n{}\r\n", "x".repeat(100_000));
    slow.send("PING\r\n");
    while slow.line() != "PONG\r\n" {}
    for _ in 0..MESSAGES {
        publisher.send(&message);
    }
    let mut buffer = vec![0; 64 * 1024];
    let mut total = 0;
    while total < MESSAGES * 100_000 {
        assert_eq!(metronome.line(), "PING\r\n");
        match slow.0.get_mut().read(&mut buffer).expect("bytes or an end") {
            0 => break,
            count => total += count,
        }
    }
    (server, total)
}

#[test]
fn who_takes_something_stays() {
    let (_server, total) = slow_but_steady(WriteTimeout::Retry);
    assert!(total >= 6_000_000, "{total}");
}

#[test]
fn who_does_not_take_everything_in_time_is_closed_where_asked_for() {
    let (server, total) = slow_but_steady(WriteTimeout::Close);
    assert!(total < 6_000_000, "{total}");
    let reason = server.next_closing();
    assert_eq!(reason, CloseReason::SlowConsumerWriteDeadline);
}
