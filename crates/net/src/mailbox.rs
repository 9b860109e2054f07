//! Messages to a reactor from other threads.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use everjet_conn::{CloseReason, ServerFacts};
use everjet_routing::ConnectionId;
use everjet_values::Timestamp;
use mio::Waker;
use mio::event::Event;
use parking_lot::Mutex;

use crate::connection::Connection;
use crate::opening::OpeningPlan;
use crate::socket::Socket;

/// What other threads want of a reactor.
#[derive(Debug)]
pub(crate) enum Mail {
    /// Take over an accepted connection.
    Accepted(Accepted),
    /// Take over a connection that another reactor served until now.
    Adopt(Moving),
    /// Give all connections that can be moved to the next reactor.
    Rotate,
    /// Close a connection: writing to it failed.
    Close(Place, CloseReason),
    /// Watch the write deadline of a connection: its socket is full.
    Stalled(Place),
    /// Write what another thread has left for a connection.
    Flush(Place),
    /// A connection without a file descriptor is ready.
    Ready(Place, Readiness),
    /// From now on the server says this about itself.
    Announce(Arc<ServerFacts>),
    /// Close so many connections, or hand the rest on to the next reactor, so many times at most.
    Disconnect {
        /// Connections to close.
        count: usize,
        /// Reactors that may still be asked.
        hops: usize,
    },
    /// Close the listener.
    StopAccepting,
    /// Send what is pending until the time given, close everything, and end.
    Shutdown(Timestamp),
}

/// A connection between accept and its reactor.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) socket: Socket,
    /// Where it comes from; `None` from within the process.
    pub(crate) peer: Option<SocketAddr>,
    /// How it begins.
    pub(crate) plan: Arc<OpeningPlan>,
    /// Whether there is room for it; if not it is told why and closed.
    pub(crate) admission: Admission,
}

/// A connection between two reactors.
pub(crate) struct Moving {
    pub(crate) connection: Box<Connection>,
    /// What the client was told of the server.
    pub(crate) facts: Arc<ServerFacts>,
}

impl fmt::Debug for Moving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Moving")
            .field(&self.connection.id())
            .finish()
    }
}

/// Whether a connection is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    Granted,
    /// There are as many connections as there may be.
    TooMany,
    /// There were as many handshakes in this second as there may be.
    TooFast,
}

/// What a connection is ready for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Readiness {
    pub(crate) readable: bool,
    /// The peer sends nothing more.
    pub(crate) read_closed: bool,
    pub(crate) writable: bool,
}

impl Readiness {
    pub(crate) const WRITABLE: Self = Self {
        readable: false,
        read_closed: false,
        writable: true,
    };

    pub(crate) const fn readable(read_closed: bool) -> Self {
        Self {
            readable: true,
            read_closed,
            writable: false,
        }
    }
}

impl From<&Event> for Readiness {
    fn from(event: &Event) -> Self {
        let read_closed = event.is_read_closed() || event.is_error();
        Self {
            readable: event.is_readable() || read_closed,
            read_closed,
            writable: event.is_writable(),
        }
    }
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
    mails: Mutex<Mails>,
    waker: Waker,
}

#[derive(Debug, Default)]
struct Mails {
    waiting: Vec<Mail>,
    /// The reactor was woken for them.
    woken: bool,
    /// The reactor has ended and reads no more.
    closed: bool,
}

impl Mailbox {
    pub(crate) fn new(waker: Waker) -> Self {
        Self {
            mails: Mutex::default(),
            waker,
        }
    }

    /// Adds a mail and wakes the reactor, unless mail that it was woken for is still there.
    ///
    /// # Errors
    /// The reactor could not be woken; it sees the mail when something else wakes it. Or it has ended, and the mail is dropped.
    pub(crate) fn post(&self, mail: Mail) -> io::Result<()> {
        self.post_quietly(mail)?;
        self.wake()
    }

    /// Adds a mail; [`Mailbox::wake`] follows, for this and others.
    ///
    /// # Errors
    /// The reactor has ended, and the mail is dropped.
    pub(crate) fn post_quietly(&self, mail: Mail) -> io::Result<()> {
        let mut mails = self.mails.lock();
        if mails.closed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        mails.waiting.push(mail);
        Ok(())
    }

    /// Wakes the reactor if there is mail that it was not woken for.
    ///
    /// # Errors
    /// As for [`Mailbox::post`].
    pub(crate) fn wake(&self) -> io::Result<()> {
        let mut mails = self.mails.lock();
        let due = !mails.waiting.is_empty() && !mails.woken;
        mails.woken |= due;
        drop(mails);
        if due { self.waker.wake() } else { Ok(()) }
    }

    /// Takes all mails, leaving the buffer of `into` for the next ones.
    pub(crate) fn take(&self, into: &mut Vec<Mail>) {
        let mut mails = self.mails.lock();
        std::mem::swap(&mut mails.waiting, into);
        mails.woken = false;
    }

    /// Drops what is waiting and everything to come: the reactor ends.
    pub(crate) fn close(&self) {
        let mut mails = self.mails.lock();
        mails.closed = true;
        let left = std::mem::take(&mut mails.waiting);
        // What is dropped with a mail, such as a connection, may itself want to post one.
        drop(mails);
        drop(left);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mio::{Events, Poll, Token};

    use super::*;

    #[test]
    fn mails_that_came_quietly_share_a_wake_up() {
        let mut poll = Poll::new().expect("a poller");
        let waker = Waker::new(poll.registry(), Token(0)).expect("a waker");
        let mailbox = Mailbox::new(waker);
        let mut is_woken = || {
            let mut events = Events::with_capacity(4);
            let polled = poll.poll(&mut events, Some(Duration::ZERO));
            polled.expect("the poller works");
            !events.is_empty()
        };
        let post = || mailbox.post_quietly(Mail::Rotate).expect("it is open");
        mailbox.wake().expect("it can be woken");
        assert!(!is_woken(), "there is no mail");
        post();
        post();
        assert!(!is_woken());
        mailbox.wake().expect("it can be woken");
        assert!(is_woken());
        post();
        mailbox.post(Mail::StopAccepting).expect("it is open");
        assert!(!is_woken(), "it has not looked since");
        let mut mails = Vec::new();
        mailbox.take(&mut mails);
        assert_eq!(mails.len(), 4);
        mailbox.post(Mail::Rotate).expect("it is open");
        assert!(is_woken());
    }
}
