//! The pipe of bytes under a connection.

use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

/// The pipe of bytes under a connection. Shared by the reactor that reads and whoever writes.
#[derive(Debug)]
pub(crate) enum Socket {
    /// A socket of the operating system.
    Tcp(TcpStream),
}

impl Socket {
    /// Makes the poller tell of readiness, and turns off what delays small writes.
    ///
    /// # Errors
    /// The peer is gone already, or there is no memory for one more.
    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => {
                stream.set_nodelay(true)?;
                registry.register(stream, token, Interest::READABLE | Interest::WRITABLE)
            }
        }
    }

    /// Reads what is there, `Ok(0)` at the end.
    ///
    /// # Errors
    /// What the operating system says; [`io::ErrorKind::WouldBlock`] when nothing is there now.
    pub(crate) fn read(&self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => (&*stream).read(into),
        }
    }

    /// Closes one or both directions.
    ///
    /// # Errors
    /// The peer is gone already.
    pub(crate) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.shutdown(how),
        }
    }
}

impl Write for &Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream) => (&*stream).write(bytes),
        }
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream) => (&*stream).write_vectored(slices),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
