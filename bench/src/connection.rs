//! A plain socket behind the handshake, for hot loops.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use everjet_conformance::ServerProcess;
use socket2::{Domain, Protocol, Socket, Type};

/// A server that is silent for this long ends the comparison.
const PATIENCE: Duration = Duration::from_secs(20);
/// What a client sends when it has seen INFO.
pub(crate) const CONNECT: &[u8] =
    b"CONNECT {\"verbose\":false,\"pedantic\":false,\"protocol\":0,\"headers\":true}\r\nPING\r\n";
/// Loopback addresses that connections come from in turns: each has its own ports, and its own closed ones that wait.
const SOURCES: usize = 8;

/// Connects, sends CONNECT and `then`, and waits until the server has taken both.
pub(crate) fn open(server: &ServerProcess, then: &str) -> TcpStream {
    let stream =
        TcpStream::connect(("127.0.0.1", server.port())).expect("the server accepts connections");
    let mut stream = prepare(stream);
    write(&mut stream, CONNECT);
    wait_for_pong(&mut stream);
    write(&mut stream, then.as_bytes());
    round_trip(&mut stream);
    stream
}

/// Connects from one of several addresses, and nothing more: for thousands of connections.
pub(crate) fn connect_from(server: &ServerProcess, number: usize) -> TcpStream {
    let last = u8::try_from(2 + number % SOURCES).expect("few sources");
    let source = SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0));
    let server = SocketAddr::from((Ipv4Addr::LOCALHOST, server.port()));
    let socket =
        Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).expect("a descriptor is left");
    socket
        .bind(&source.into())
        .expect("all of 127.0.0.0/8 is this machine");
    socket
        .connect(&server.into())
        .expect("the server accepts connections");
    prepare(socket.into())
}

/// Sets what every connection has: no delay, and an end to patience.
pub(crate) fn prepare(stream: TcpStream) -> TcpStream {
    stream
        .set_nodelay(true)
        .expect("a fresh socket takes options");
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("a positive timeout is accepted");
    stream
        .set_write_timeout(Some(PATIENCE))
        .expect("a positive timeout is accepted");
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

/// Reads up to the first PONG, which must be the last thing that was sent.
pub(crate) fn wait_for_pong(stream: &mut TcpStream) {
    wait_for(stream, b"PONG\r\n");
}

/// Reads until what was received ends so.
pub(crate) fn wait_for(stream: &mut TcpStream, end: &[u8]) {
    let mut seen = Vec::new();
    let mut buffer = [0; 4_096];
    while !seen.ends_with(end) {
        let count = read(stream, &mut buffer);
        seen.extend_from_slice(&buffer[..count]);
        assert!(
            !seen.starts_with(b"-ERR"),
            "{}",
            String::from_utf8_lossy(&seen)
        );
    }
}
