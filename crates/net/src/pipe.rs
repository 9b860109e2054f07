//! Connections within the process: two bounded buffers in place of a socket, and the reactor's end of them.
//!
//! It never blocks. It is told of readiness by mail, at most one mail a direction at a time: when it found nothing to
//! read, or no room to write, the next change at the client's end posts one. The client's end is
//! [`InProcessConnection`].

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::sync::Arc;
use std::task::Waker;

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::in_process::InProcessConnection;
use crate::mailbox::{Mail, Mailbox, Place, Readiness};

/// Bytes that each direction holds; what is beyond waits on its side, as with the buffers of a socket.
pub(crate) const CAPACITY: usize = 256 * 1024;

/// An idle connection keeps no larger buffer than this.
const KEPT_BYTES: usize = 4 * 1024;

/// A pair of ends, connected.
pub(crate) fn pair() -> (Pipe, InProcessConnection) {
    let shared = Arc::new(Shared::default());
    (Pipe(shared.clone()), InProcessConnection::new(shared))
}

#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) state: Mutex<State>,
    /// The client may have something to read.
    pub(crate) client_readable: Condvar,
    /// The client may have room to write.
    pub(crate) client_writable: Condvar,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) to_server: Direction,
    pub(crate) to_client: Direction,
    /// Where readiness is told; `None` until the reactor has taken the connection over.
    owner: Option<(Arc<Mailbox>, Place)>,
    /// The task that waits for something to read.
    pub(crate) reading: Option<Waker>,
    /// The task that waits for room to write.
    pub(crate) writing: Option<Waker>,
}

/// One direction.
#[derive(Debug, Default)]
pub(crate) struct Direction {
    pub(crate) bytes: VecDeque<u8>,
    /// Nothing more will be written: who reads sees the end behind what is there.
    pub(crate) write_closed: bool,
    /// Nobody will read: who writes is told so.
    pub(crate) read_closed: bool,
    /// The reactor wants to be told of a change.
    pub(crate) is_awaited: bool,
}

impl Direction {
    pub(crate) fn room(&self) -> usize {
        CAPACITY - self.bytes.len()
    }

    /// Takes as much as there is room for; `None` when there is none.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> Option<usize> {
        let count = bytes.len().min(self.room());
        self.bytes.extend(&bytes[..count]);
        (count > 0 || bytes.is_empty()).then_some(count)
    }

    /// Gives what is there; `None` when that is nothing and the end is not reached.
    pub(crate) fn take(&mut self, into: &mut [u8]) -> Option<usize> {
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
    pub(crate) fn wake_reader(&self, state: &mut State) {
        self.client_readable.notify_all();
        if let Some(task) = state.reading.take() {
            task.wake();
        }
    }

    /// Lets the client look again for room to write.
    pub(crate) fn wake_writer(&self, state: &mut State) {
        self.client_writable.notify_all();
        if let Some(task) = state.writing.take() {
            task.wake();
        }
    }

    /// Tells the reactor after the lock is let go: its mailbox has one of its own.
    pub(crate) fn tell(state: MutexGuard<'_, State>, readiness: Readiness) {
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

#[cfg(test)]
mod tests;
