//! The floor of request and reply: four hops over loopback sockets with nothing decided on the way.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};

use mio::{Events, Interest, Poll, Token};

/// A thread that waits on a poller for two connections and copies what one sends to the other, as a server without any work would.
pub(crate) struct Relay {
    /// The requester's end.
    pub(crate) client: TcpStream,
    /// The responder's end.
    pub(crate) responder: TcpStream,
    ends: Vec<TcpStream>,
    thread: Option<JoinHandle<()>>,
}

impl Relay {
    /// Starts the thread.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port is free");
        let (client, first) = pair(&listener);
        let (responder, second) = pair(&listener);
        let ends = [&client, &responder].map(|end| end.try_clone().expect("a descriptor is left"));
        Self {
            client,
            responder,
            ends: ends.into(),
            thread: Some(thread::spawn(|| copy([first, second]))),
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        for end in &self.ends {
            let _ = end.shutdown(Shutdown::Both);
        }
        if let Some(thread) = self.thread.take() {
            // It ends when an end is closed; a panic in it has been printed.
            let _ = thread.join();
        }
    }
}

fn pair(listener: &TcpListener) -> (TcpStream, TcpStream) {
    let address = listener.local_addr().expect("a bound listener has one");
    let near = TcpStream::connect(address).expect("our own listener accepts");
    let (far, _) = listener.accept().expect("our own connection arrives");
    for stream in [&near, &far] {
        stream
            .set_nodelay(true)
            .expect("a fresh socket takes options");
    }
    (near, far)
}

/// Copies until one end is closed.
fn copy(streams: [TcpStream; 2]) {
    let mut poll = Poll::new().expect("a poller can be made");
    let mut streams = streams.map(|stream| {
        stream
            .set_nonblocking(true)
            .expect("a socket can be non-blocking");
        mio::net::TcpStream::from_std(stream)
    });
    for (index, stream) in streams.iter_mut().enumerate() {
        poll.registry()
            .register(stream, Token(index), Interest::READABLE)
            .expect("a socket can be polled");
    }
    let mut events = Events::with_capacity(2);
    let mut buffer = [0; 4_096];
    loop {
        match poll.poll(&mut events, None) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => panic!("the poller: {error}"),
        }
        for event in &events {
            let Token(from) = event.token();
            let count = match streams[from].read(&mut buffer) {
                Ok(0) => return,
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                Err(_) => return,
            };
            // One message is under way at a time, so the socket has room for it.
            if streams[1 - from].write_all(&buffer[..count]).is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_end_sends_the_other_gets() {
        let mut relay = Relay::start();
        let mut buffer = [0; 5];
        relay.client.write_all(b"hello").expect("sent");
        relay.responder.read_exact(&mut buffer).expect("received");
        assert_eq!(&buffer, b"hello");
        relay.responder.write_all(b"world").expect("sent");
        relay.client.read_exact(&mut buffer).expect("received");
        assert_eq!(&buffer, b"world");
    }
}
