//! A plain socket behind the handshake, for hot loops.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use everjet_conformance::ServerProcess;

/// A server that is silent for this long ends the comparison.
const PATIENCE: Duration = Duration::from_secs(20);
const CONNECT: &[u8] =
    b"CONNECT {\"verbose\":false,\"pedantic\":false,\"protocol\":0,\"headers\":true}\r\nPING\r\n";

/// Connects, sends CONNECT and `then`, and waits until the server has taken both.
pub(crate) fn open(server: &ServerProcess, then: &str) -> TcpStream {
    let stream =
        TcpStream::connect(("127.0.0.1", server.port())).expect("the server accepts connections");
    stream
        .set_nodelay(true)
        .expect("a fresh socket takes options");
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("a positive timeout is accepted");
    stream
        .set_write_timeout(Some(PATIENCE))
        .expect("a positive timeout is accepted");
    let mut stream = stream;
    write(&mut stream, CONNECT);
    wait_for_pong(&mut stream);
    write(&mut stream, then.as_bytes());
    round_trip(&mut stream);
    stream
}

/// Sends PING and waits for the PONG: everything sent before has been processed. Only for connections that receive nothing else.
pub(crate) fn round_trip(stream: &mut TcpStream) {
    write(stream, b"PING\r\n");
    wait_for_pong(stream);
}

/// Writes everything.
pub(crate) fn write(stream: &mut TcpStream, bytes: &[u8]) {
    stream
        .write_all(bytes)
        .expect("the server takes what is sent");
}

/// Reads some bytes, at least one.
pub(crate) fn read(stream: &mut TcpStream, buffer: &mut [u8]) -> usize {
    let count = stream.read(buffer).expect("the server answers in time");
    assert!(count > 0, "the server closed the connection");
    count
}

fn wait_for_pong(stream: &mut TcpStream) {
    let mut seen = Vec::new();
    let mut buffer = [0; 4_096];
    while !seen.ends_with(b"PONG\r\n") {
        let count = read(stream, &mut buffer);
        seen.extend_from_slice(&buffer[..count]);
        assert!(
            !seen.starts_with(b"-ERR"),
            "{}",
            String::from_utf8_lossy(&seen)
        );
    }
}
