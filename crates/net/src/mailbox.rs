//! Messages to a reactor from other threads.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use everjet_conn::CloseReason;
use everjet_routing::ConnectionId;
use everjet_values::Timestamp;
use mio::Waker;
use parking_lot::Mutex;

use crate::opening::OpeningPlan;
use crate::socket::Socket;

/// What other threads want of a reactor.
#[derive(Debug)]
pub(crate) enum Mail {
    /// Take over an accepted connection.
    Accepted(Accepted),
    /// Close a connection: writing to it failed.
    Close(Place, CloseReason),
    /// Watch the write deadline of a connection: its socket is full.
    Stalled(Place),
    /// Close the listener.
    StopAccepting,
    /// Send what is pending until the time given, close everything, and end.
    Shutdown(Timestamp),
}

/// A connection between accept and its reactor.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) socket: Socket,
    pub(crate) peer: SocketAddr,
    /// How it begins.
    pub(crate) plan: Arc<OpeningPlan>,
    /// Whether there is room for it; if not it is told so and closed.
    pub(crate) admitted: bool,
}

/// Where a reactor keeps a connection. The number tells whether the slot has been given to another one since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) slot: usize,
    pub(crate) id: ConnectionId,
}

/// A reactor's mailbox, and the handle that wakes it.
#[derive(Debug)]
pub(crate) struct Mailbox {
    mails: Mutex<Vec<Mail>>,
    waker: Waker,
}

impl Mailbox {
    pub(crate) fn new(waker: Waker) -> Self {
        Self {
            mails: Mutex::new(Vec::new()),
            waker,
        }
    }

    /// Adds a mail and wakes the reactor, unless mail that it was woken for is still there.
    ///
    /// # Errors
    /// The reactor could not be woken; it sees the mail when something else wakes it.
    pub(crate) fn post(&self, mail: Mail) -> io::Result<()> {
        let mut mails = self.mails.lock();
        let woken = !mails.is_empty();
        mails.push(mail);
        drop(mails);
        if woken { Ok(()) } else { self.waker.wake() }
    }

    /// Takes all mails, leaving the buffer of `into` for the next ones.
    pub(crate) fn take(&self, into: &mut Vec<Mail>) {
        std::mem::swap(&mut *self.mails.lock(), into);
    }
}
