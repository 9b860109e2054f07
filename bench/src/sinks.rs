//! Subscribers that only count what they get.

use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use mio::{Events, Interest, Poll, Token};

/// How much is read at once: more than a socket's buffer usually holds.
const BUFFER: usize = 256 * 1_024;
/// How often a silent server's sinks look whether to stop.
const TICK: Duration = Duration::from_millis(50);

/// Adds the bytes that each connection receives to its counter until `stop` is set and the connections were shut down.
///
/// # Panics
/// When the server closes a connection before.
pub(crate) fn count_bytes(mut streams: Vec<TcpStream>, counts: &[AtomicU64], stop: &AtomicBool) {
    match streams.len() {
        0 => {}
        1 => one(&mut streams[0], &counts[0], stop),
        _ => many(streams, counts, stop),
    }
}

/// A blocking read a time: the cheapest.
fn one(stream: &mut TcpStream, count: &AtomicU64, stop: &AtomicBool) {
    let mut buffer = vec![0; BUFFER];
    let mut bytes = 0;
    while let Some(more) = took(stream.read(&mut buffer), stop) {
        bytes += more;
        count.store(bytes, Ordering::Relaxed);
    }
}

fn many(streams: Vec<TcpStream>, counts: &[AtomicU64], stop: &AtomicBool) {
    let mut poll = Poll::new().expect("a poller can be made");
    let mut streams: Vec<_> = streams
        .into_iter()
        .map(|stream| {
            stream
                .set_nonblocking(true)
                .expect("a socket can be non-blocking");
            mio::net::TcpStream::from_std(stream)
        })
        .collect();
    for (index, stream) in streams.iter_mut().enumerate() {
        poll.registry()
            .register(stream, Token(index), Interest::READABLE)
            .expect("a socket can be polled");
    }
    let mut events = Events::with_capacity(streams.len());
    let mut buffer = vec![0; BUFFER];
    while !stop.load(Ordering::Relaxed) {
        match poll.poll(&mut events, Some(TICK)) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => panic!("the poller: {error}"),
        }
        for event in &events {
            let Token(index) = event.token();
            // A short read empties the socket; only then the poller reports it again.
            loop {
                match streams[index].read(&mut buffer) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    result => {
                        let Some(more) = took(result, stop) else {
                            return;
                        };
                        counts[index].fetch_add(more, Ordering::Relaxed);
                        if more < BUFFER as u64 {
                            break;
                        }
                    }
                }
            }
        }
    }
}

/// The bytes of a read, or none when it is time to stop.
fn took(result: std::io::Result<usize>, stop: &AtomicBool) -> Option<u64> {
    if stop.load(Ordering::Relaxed) {
        return None;
    }
    match result {
        Ok(0) => panic!("the server closed a subscriber's connection"),
        Ok(count) => Some(count as u64),
        Err(error) => panic!("a subscriber: {error}"),
    }
}
