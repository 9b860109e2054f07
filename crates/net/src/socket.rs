//! The pipe of bytes under a connection.

use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::sync::Arc;

use mio::net::TcpStream;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};

use crate::mailbox::{Mailbox, Place};
use crate::pipe::Pipe;

/// The pipe of bytes under a connection. Shared by the reactor that reads and whoever writes.
#[derive(Debug)]
pub(crate) enum Socket {
    /// A socket of the operating system.
    Tcp(TcpStream),
    /// A client in this process.
    InProcess(Pipe),
}

impl Socket {
    /// Makes the poller tell of readiness, and turns off what delays small writes.
    ///
    /// # Errors
    /// The peer is gone already, or there is no memory for one more.
    pub(crate) fn register(&self, registry: &Registry, token: Token) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => {
                stream.set_nodelay(true)?;
                // By its descriptor, because the socket is shared by then when it moves to another poller.
                let mut source = SourceFd(&stream.as_raw_fd());
                registry.register(&mut source, token, Interest::READABLE | Interest::WRITABLE)
            }
            Self::InProcess(_) => Ok(()),
        }
    }

    /// Ends what [`Self::register`] began.
    ///
    /// # Errors
    /// What the operating system says.
    pub(crate) fn deregister(&self, registry: &Registry) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => registry.deregister(&mut SourceFd(&stream.as_raw_fd())),
            Self::InProcess(_) => Ok(()),
        }
    }

    /// Whether another poller can take it over.
    pub(crate) fn is_movable(&self) -> bool {
        matches!(self, Self::Tcp(_))
    }

    /// Names the reactor that owns the connection, for readiness of which no poller tells.
    pub(crate) fn attach(&self, owner: &Arc<Mailbox>, place: Place) {
        match self {
            Self::Tcp(_) => {}
            Self::InProcess(pipe) => pipe.attach(owner.clone(), place),
        }
    }

    /// Looks at the next bytes without taking them, `Ok(0)` at the end.
    ///
    /// # Errors
    /// As [`Self::read`]; [`io::ErrorKind::Unsupported`] where nothing has to be looked at.
    pub(crate) fn peek(&self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.peek(into),
            Self::InProcess(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Reads what is there, `Ok(0)` at the end.
    ///
    /// # Errors
    /// What the operating system says; [`io::ErrorKind::WouldBlock`] when nothing is there now.
    pub(crate) fn read(&self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => (&*stream).read(into),
            Self::InProcess(pipe) => pipe.read(into),
        }
    }

    /// Closes one or both directions.
    ///
    /// # Errors
    /// The peer is gone already.
    pub(crate) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.shutdown(how),
            Self::InProcess(pipe) => {
                pipe.shutdown(how);
                Ok(())
            }
        }
    }
}

impl Write for &Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream) => (&*stream).write(bytes),
            Socket::InProcess(pipe) => pipe.write(&[IoSlice::new(bytes)]),
        }
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream) => (&*stream).write_vectored(slices),
            Socket::InProcess(pipe) => pipe.write(slices),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
