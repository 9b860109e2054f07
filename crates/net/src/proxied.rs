//! Connections that may begin with the header of a proxy.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use everjet_values::Timestamp;
use everjet_wire::{PROXY_HEADER_PEEK, ProxyError, ProxyHeader, decode_proxy_header};

use crate::socket::Socket;

/// Time from accept until the header is there, as in nats-server.
const HEADER_WITHIN: Duration = Duration::from_secs(5);

/// A connection whose first bytes have not been understood yet. The greeting does not wait for them.
///
/// They are looked at and left in the socket until it is known what they are, so that nothing has to be put back.
#[derive(Debug)]
pub(crate) struct Proxied {
    /// When the connection is given up.
    pub(crate) deadline: Timestamp,
    /// The header is known; so many bytes of it are still in front of the client's own.
    header: Option<(Option<SocketAddr>, usize)>,
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProxyStep {
    /// More bytes have to come first.
    Wait,
    /// What follows are the client's own bytes, which come from here, unless it is the address of the socket.
    Done(Option<SocketAddr>),
    /// The peer closed the connection without a word, as those do who only look whether the server is there.
    Closed,
    /// The peer closed the connection within the header.
    Cut,
    /// The header is wrong.
    Refused(ProxyError),
    /// Reading failed.
    Failed,
}

impl Proxied {
    pub(crate) fn new(now: Timestamp) -> Self {
        Self {
            deadline: now.plus(HEADER_WITHIN),
            header: None,
        }
    }

    /// Takes the header away, as far as it has come.
    pub(crate) fn read(&mut self, socket: &Socket, buffer: &mut [u8]) -> ProxyStep {
        loop {
            let read = match &mut self.header {
                None => Self::peek(socket, buffer, &mut self.header),
                Some((source, 0)) => return ProxyStep::Done(*source),
                Some((_, left)) => {
                    let room = (*left).min(buffer.len());
                    socket.read(&mut buffer[..room]).map(|count| {
                        *left -= count;
                        (count == 0).then_some(ProxyStep::Cut)
                    })
                }
            };
            match read {
                Ok(None) => {}
                Ok(Some(step)) => return step,
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return ProxyStep::Wait,
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::ConnectionReset => return ProxyStep::Closed,
                    _ => return ProxyStep::Failed,
                },
            }
        }
    }

    fn peek(
        socket: &Socket,
        buffer: &mut [u8],
        header: &mut Option<(Option<SocketAddr>, usize)>,
    ) -> io::Result<Option<ProxyStep>> {
        let room = PROXY_HEADER_PEEK.min(buffer.len());
        let count = socket.peek(&mut buffer[..room])?;
        if count == 0 {
            return Ok(Some(ProxyStep::Closed));
        }
        Ok(match decode_proxy_header(&buffer[..count]) {
            Ok(ProxyHeader::Incomplete) => Some(ProxyStep::Wait),
            Ok(ProxyHeader::Absent) => Some(ProxyStep::Done(None)),
            Ok(ProxyHeader::Present { source, size }) => {
                *header = Some((source, size));
                None
            }
            Err(error) => Some(ProxyStep::Refused(error)),
        })
    }
}
