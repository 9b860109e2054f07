//! The client's end of a connection within the process.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, MutexGuard};

use crate::mailbox::Readiness;
use crate::pipe::{CAPACITY, Shared, State};

/// A connection to a server in the same process: a client speaks the NATS protocol over it as over a socket, beginning with the
/// server's INFO. No socket and no file descriptor is behind it.
///
/// Reading and writing block. Each direction holds 256 KiB; what the client does not read is kept by the server up to `max_pending`,
/// above which the client is a slow consumer and loses the connection, as with a socket. Clones are handles to the same connection, for
/// instance one to read and one to write; the connection ends when the last one is dropped.
#[derive(Clone, Debug)]
pub struct InProcessConnection {
    end: Arc<ClientEnd>,
    read_timeout: Option<Duration>,
    write_timeout: Option<Duration>,
}

impl InProcessConnection {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            end: Arc::new(ClientEnd(shared)),
            read_timeout: None,
            write_timeout: None,
        }
    }

    /// How long a read through this handle waits before it fails with [`io::ErrorKind::TimedOut`]. Default `None`: for ever.
    pub fn set_read_timeout(&mut self, timeout: Option<Duration>) {
        self.read_timeout = timeout;
    }

    /// How long a write through this handle waits for room before it fails with [`io::ErrorKind::TimedOut`]. Default `None`: for
    /// ever.
    pub fn set_write_timeout(&mut self, timeout: Option<Duration>) {
        self.write_timeout = timeout;
    }

    /// Ends the connection for all handles.
    pub fn shutdown(&self) {
        self.end.close();
    }

    /// Reads what is there, or has the task woken when there is something; `Ok(0)` when the connection has ended. One task at a time
    /// can wait for it. For transports of clients on any async runtime.
    ///
    /// # Errors
    /// None so far.
    pub fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        match self.end.read(into) {
            Ok(count) => Poll::Ready(Ok(count)),
            Err(mut state) => {
                state.reading = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Writes what there is room for, or has the task woken when there is some. One task at a time can wait for it.
    ///
    /// # Errors
    /// [`io::ErrorKind::BrokenPipe`] when the connection has ended.
    pub fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.end.write(bytes) {
            Ok(result) => Poll::Ready(result),
            Err(mut state) => {
                state.writing = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Read for InProcessConnection {
    /// Reads what is there, waiting until that is something; `Ok(0)` when the connection has ended.
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let deadline = deadline(self.read_timeout);
        loop {
            match self.end.read(into) {
                Ok(count) => return Ok(count),
                Err(mut state) => wait(&self.end.0.client_readable, &mut state, deadline)?,
            }
        }
    }
}

impl Write for InProcessConnection {
    /// Writes what there is room for, waiting until there is some.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let deadline = deadline(self.write_timeout);
        loop {
            match self.end.write(bytes) {
                Ok(result) => return result,
                Err(mut state) => wait(&self.end.0.client_writable, &mut state, deadline)?,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Closes the connection when the last handle to it is gone.
#[derive(Debug)]
struct ClientEnd(Arc<Shared>);

impl ClientEnd {
    /// Reads at the client's end, if there is something or the end.
    fn read(&self, into: &mut [u8]) -> Result<usize, MutexGuard<'_, State>> {
        let mut state = self.0.state.lock();
        if state.to_client.read_closed {
            return Ok(0);
        }
        let Some(count) = state.to_client.take(into) else {
            return Err(state);
        };
        // Half of the room at once: not a mail for every few bytes.
        if state.to_client.room() >= CAPACITY / 2 && std::mem::take(&mut state.to_client.is_awaited)
        {
            Shared::tell(state, Readiness::WRITABLE);
        }
        Ok(count)
    }

    /// Writes at the client's end, if there is room.
    fn write(&self, bytes: &[u8]) -> Result<io::Result<usize>, MutexGuard<'_, State>> {
        let mut state = self.0.state.lock();
        if state.to_server.read_closed || state.to_server.write_closed {
            return Ok(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let Some(count) = state.to_server.put(bytes) else {
            return Err(state);
        };
        if count > 0 && std::mem::take(&mut state.to_server.is_awaited) {
            Shared::tell(state, Readiness::readable(false));
        }
        Ok(Ok(count))
    }

    fn close(&self) {
        let mut state = self.0.state.lock();
        state.to_client.read_closed = true;
        state.to_client.bytes = VecDeque::new();
        let is_first = !std::mem::replace(&mut state.to_server.write_closed, true);
        self.0.wake_reader(&mut state);
        self.0.wake_writer(&mut state);
        if is_first {
            // The end is always told, also to a reactor that has not read what is before it.
            Shared::tell(state, Readiness::readable(true));
        }
    }
}

impl Drop for ClientEnd {
    fn drop(&mut self) {
        self.close();
    }
}

/// When a call that starts now and may take `timeout` is over.
fn deadline(timeout: Option<Duration>) -> Option<Instant> {
    timeout.and_then(|timeout| Instant::now().checked_add(timeout))
}

fn wait(
    changed: &Condvar,
    state: &mut MutexGuard<'_, State>,
    deadline: Option<Instant>,
) -> io::Result<()> {
    match deadline {
        None => changed.wait(state),
        Some(deadline) => {
            if changed.wait_until(state, deadline).timed_out() {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
    }
    Ok(())
}
