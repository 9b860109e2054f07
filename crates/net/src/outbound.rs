//! What goes out to one connection, from whichever thread.

use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use everjet_conn::CloseReason;
use everjet_routing::{ConnectionId, Destination, OutBatch};
use mio::net::TcpStream;
use parking_lot::Mutex;

use crate::mailbox::{Mail, Mailbox, Place};
use crate::pending::{PendingQueue, write_batch};

/// The outgoing side of a connection.
///
/// Whoever flushes a turn writes the socket itself. Only when the socket is full do bytes stay here; the owner's poller
/// then goes on at writability. A producer never waits: above the bound the connection is closed.
pub(crate) struct Outbound {
    place: Place,
    owner: Arc<Mailbox>,
    pending_max: usize,
    supports_headers: AtomicBool,
    closed: AtomicBool,
    state: Mutex<State>,
}

struct State {
    /// `None` when the connection is closed, so that a remembered subscription does not keep the socket open.
    socket: Option<Arc<TcpStream>>,
    pending: PendingQueue,
    /// Whether the owner watches the write deadline.
    watched: bool,
}

/// What became of pending bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flushed {
    /// Nothing is pending.
    Empty,
    /// Bytes are pending; `progress` tells whether some were written.
    Pending { progress: bool },
    /// The socket failed.
    Failed,
}

impl Outbound {
    pub(crate) fn new(
        place: Place,
        owner: Arc<Mailbox>,
        socket: Arc<TcpStream>,
        pending_max: usize,
    ) -> Self {
        Self {
            place,
            owner,
            pending_max,
            supports_headers: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            state: Mutex::new(State {
                socket: Some(socket),
                pending: PendingQueue::default(),
                watched: false,
            }),
        }
    }

    pub(crate) fn set_supports_headers(&self, supported: bool) {
        self.supports_headers.store(supported, Ordering::Release);
    }

    /// Goes on with what is pending. The owner calls it when the socket takes bytes again.
    pub(crate) fn flush_pending(&self) -> Flushed {
        let mut state = self.state.lock();
        let State {
            socket, pending, ..
        } = &mut *state;
        let Some(socket) = socket else {
            return Flushed::Empty;
        };
        if pending.is_empty() {
            return Flushed::Empty;
        }
        match pending.write_to(&**socket) {
            Err(_) => Flushed::Failed,
            Ok(_) if pending.is_empty() => Flushed::Empty,
            Ok(written) => Flushed::Pending {
                progress: written > 0,
            },
        }
    }

    /// Whether bytes are pending. If not, the owner need not watch the deadline until it is told again.
    pub(crate) fn is_stalled(&self) -> bool {
        let mut state = self.state.lock();
        state.watched = !state.pending.is_empty();
        state.watched
    }

    /// Forgets the socket and what is pending. Later deliveries are dropped.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        let mut state = self.state.lock();
        state.socket = None;
        state.pending.clear();
    }

    /// Writes or queues the bytes, and returns what the owner is to be told.
    fn append(&self, rendered: &OutBatch) -> Option<Mail> {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let socket = state.socket.as_ref()?;
        let written = if state.pending.is_empty() {
            match write_batch(&**socket, rendered) {
                Ok(written) => written,
                Err(_) => return Some(self.cut(state, CloseReason::WriteError)),
            }
        } else {
            0
        };
        if written == rendered.len() {
            return None;
        }
        state.pending.append(rendered, written);
        if state.pending.len() > self.pending_max {
            return Some(self.cut(state, CloseReason::SlowConsumerPendingBytes));
        }
        let told = std::mem::replace(&mut state.watched, true);
        (!told).then_some(Mail::Stalled(self.place))
    }

    /// Cuts the connection from the thread that wrote to it; the owner frees the rest.
    fn cut(&self, state: &mut State, reason: CloseReason) -> Mail {
        self.closed.store(true, Ordering::Release);
        state.pending.clear();
        if let Some(socket) = state.socket.take() {
            // An error means that the socket is disconnected already, which is what is wanted.
            let _ = socket.shutdown(Shutdown::Both);
        }
        Mail::Close(self.place, reason)
    }
}

impl Destination for Outbound {
    fn id(&self) -> ConnectionId {
        self.place.id
    }

    fn supports_headers(&self) -> bool {
        self.supports_headers.load(Ordering::Acquire)
    }

    fn deliver(&self, rendered: &mut OutBatch) {
        if let Some(mail) = self.append(rendered) {
            // A reactor that cannot be woken reads its mail at its next event, and a cut socket is one.
            let _ = self.owner.post(mail);
        }
        rendered.clear();
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}
