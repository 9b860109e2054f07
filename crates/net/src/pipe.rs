//! Connections within the process: two bounded buffers in place of a socket.
//!
//! The reactor's end never blocks. It is told of readiness by mail, at most one mail a direction at a time: when it found nothing to
//! read, or no room to write, the next change at the client's end posts one. The client's end blocks, as a `TcpStream` does.

use std::collections::VecDeque;
use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::mailbox::{Mail, Mailbox, Place, Readiness};

/// Bytes that each direction holds; what is beyond waits on its side, as with the buffers of a socket.
const CAPACITY: usize = 256 * 1024;

/// An idle connection keeps no larger buffer than this.
const KEPT_BYTES: usize = 4 * 1024;

/// A pair of ends, connected.
pub(crate) fn pair() -> (Pipe, InProcessConnection) {
    let shared = Arc::new(Shared::default());
    let client = Arc::new(ClientEnd(shared.clone()));
    let connection = InProcessConnection {
        end: client,
        read_timeout: None,
        write_timeout: None,
    };
    (Pipe(shared), connection)
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// The client may have something to read.
    client_readable: Condvar,
    /// The client may have room to write.
    client_writable: Condvar,
}

#[derive(Debug, Default)]
struct State {
    to_server: Direction,
    to_client: Direction,
    /// Where readiness is told; `None` until the reactor has taken the connection over.
    owner: Option<(Arc<Mailbox>, Place)>,
    /// The task that waits for something to read.
    reading: Option<Waker>,
    /// The task that waits for room to write.
    writing: Option<Waker>,
}

/// One direction.
#[derive(Debug, Default)]
struct Direction {
    bytes: VecDeque<u8>,
    /// Nothing more will be written: who reads sees the end behind what is there.
    write_closed: bool,
    /// Nobody will read: who writes is told so.
    read_closed: bool,
    /// The reactor wants to be told of a change.
    is_awaited: bool,
}

impl Direction {
    fn room(&self) -> usize {
        CAPACITY - self.bytes.len()
    }

    /// Takes as much as there is room for; `None` when there is none.
    fn put(&mut self, bytes: &[u8]) -> Option<usize> {
        let count = bytes.len().min(self.room());
        self.bytes.extend(&bytes[..count]);
        (count > 0 || bytes.is_empty()).then_some(count)
    }

    /// Gives what is there; `None` when that is nothing and the end is not reached.
    fn take(&mut self, into: &mut [u8]) -> Option<usize> {
        if self.bytes.is_empty() {
            return (self.write_closed || into.is_empty()).then_some(0);
        }
        let count = self.bytes.len().min(into.len());
        let (front, back) = self.bytes.as_slices();
        let split = front.len().min(count);
        into[..split].copy_from_slice(&front[..split]);
        into[split..count].copy_from_slice(&back[..count - split]);
        self.bytes.drain(..count);
        if self.bytes.is_empty() && self.bytes.capacity() > KEPT_BYTES {
            self.bytes = VecDeque::new();
        }
        Some(count)
    }
}

impl Shared {
    /// Lets the client look again for something to read.
    fn wake_reader(&self, state: &mut State) {
        self.client_readable.notify_all();
        if let Some(task) = state.reading.take() {
            task.wake();
        }
    }

    /// Lets the client look again for room to write.
    fn wake_writer(&self, state: &mut State) {
        self.client_writable.notify_all();
        if let Some(task) = state.writing.take() {
            task.wake();
        }
    }

    /// Reads at the client's end, if there is something or the end.
    fn client_read(&self, into: &mut [u8]) -> Result<usize, MutexGuard<'_, State>> {
        let mut state = self.state.lock();
        if state.to_client.read_closed {
            return Ok(0);
        }
        let Some(count) = state.to_client.take(into) else {
            return Err(state);
        };
        // Half of the room at once: not a mail for every few bytes.
        if state.to_client.room() >= CAPACITY / 2 && std::mem::take(&mut state.to_client.is_awaited)
        {
            Self::tell(state, Readiness::WRITABLE);
        }
        Ok(count)
    }

    /// Writes at the client's end, if there is room.
    fn client_write(&self, bytes: &[u8]) -> Result<io::Result<usize>, MutexGuard<'_, State>> {
        let mut state = self.state.lock();
        if state.to_server.read_closed || state.to_server.write_closed {
            return Ok(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let Some(count) = state.to_server.put(bytes) else {
            return Err(state);
        };
        if count > 0 && std::mem::take(&mut state.to_server.is_awaited) {
            Self::tell(state, Readiness::readable(false));
        }
        Ok(Ok(count))
    }

    /// Tells the reactor after the lock is let go: its mailbox has one of its own.
    fn tell(state: MutexGuard<'_, State>, readiness: Readiness) {
        let owner = state.owner.clone();
        drop(state);
        if let Some((mailbox, place)) = owner {
            // A reactor that has ended reads no more.
            let _ = mailbox.post(Mail::Ready(place, readiness));
        }
    }
}

/// The reactor's end.
#[derive(Debug)]
pub(crate) struct Pipe(Arc<Shared>);

impl Pipe {
    /// Names the reactor that is told of readiness from now on, and of what is there already.
    pub(crate) fn attach(&self, mailbox: Arc<Mailbox>, place: Place) {
        let mut state = self.0.state.lock();
        state.owner = Some((mailbox, place));
        let is_readable = !state.to_server.bytes.is_empty() || state.to_server.write_closed;
        state.to_server.is_awaited = !is_readable;
        if is_readable {
            let readiness = Readiness::readable(state.to_server.write_closed);
            Shared::tell(state, readiness);
        }
    }

    /// Reads what is there, `Ok(0)` at the end.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when nothing is there now.
    pub(crate) fn read(&self, into: &mut [u8]) -> io::Result<usize> {
        let mut state = self.0.state.lock();
        let was_full = state.to_server.room() == 0;
        let taken = state.to_server.take(into);
        // A short read counts as having seen the end of what is there: who reads does not come back without being told.
        state.to_server.is_awaited = state.to_server.bytes.is_empty();
        if was_full && taken.is_some() {
            self.0.wake_writer(&mut state);
        }
        taken.ok_or_else(|| io::ErrorKind::WouldBlock.into())
    }

    /// Writes as much as there is room for.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when there is none, [`io::ErrorKind::BrokenPipe`] when the client is gone.
    pub(crate) fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut state = self.0.state.lock();
        let direction = &mut state.to_client;
        if direction.read_closed || direction.write_closed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let was_empty = direction.bytes.is_empty();
        let mut total = 0;
        for slice in slices {
            let Some(count) = direction.put(slice) else {
                break;
            };
            total += count;
        }
        direction.is_awaited = direction.room() == 0;
        if was_empty && total > 0 {
            self.0.wake_reader(&mut state);
        }
        if total == 0 && slices.iter().any(|slice| !slice.is_empty()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(total)
    }

    /// Ends one or both directions.
    pub(crate) fn shutdown(&self, how: Shutdown) {
        let mut state = self.0.state.lock();
        if how != Shutdown::Read {
            state.to_client.write_closed = true;
        }
        if how != Shutdown::Write {
            state.to_server.read_closed = true;
        }
        self.0.wake_reader(&mut state);
        self.0.wake_writer(&mut state);
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.shutdown(Shutdown::Both);
    }
}

/// Closes the connection when the last handle to it is gone.
#[derive(Debug)]
struct ClientEnd(Arc<Shared>);

impl ClientEnd {
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
        match self.shared().client_read(into) {
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
        match self.shared().client_write(bytes) {
            Ok(result) => Poll::Ready(result),
            Err(mut state) => {
                state.writing = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    fn shared(&self) -> &Shared {
        &self.end.0
    }
}

impl Read for InProcessConnection {
    /// Reads what is there, waiting until that is something; `Ok(0)` when the connection has ended.
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let deadline = deadline(self.read_timeout);
        let shared = self.shared();
        loop {
            match shared.client_read(into) {
                Ok(count) => return Ok(count),
                Err(mut state) => wait(&shared.client_readable, &mut state, deadline)?,
            }
        }
    }
}

impl Write for InProcessConnection {
    /// Writes what there is room for, waiting until there is some.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let deadline = deadline(self.write_timeout);
        let shared = self.shared();
        loop {
            match shared.client_write(bytes) {
                Ok(result) => return result,
                Err(mut state) => wait(&shared.client_writable, &mut state, deadline)?,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
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

#[cfg(test)]
mod tests;
