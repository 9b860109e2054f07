//! What goes out to one connection, from whichever thread.

use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use everjet_conn::CloseReason;
use everjet_routing::{ConnectionId, Destination, OutBatch};
use parking_lot::Mutex;

use crate::events::{ConnectionFacts, Handshake};
use crate::layer::{Findings, Layer};
use crate::mailbox::{Mail, Mailbox, Place};
use crate::pending::{PendingQueue, write_batch};
use crate::socket::Socket;
use crate::tracing::OutTrace;

/// The outgoing side of a connection.
///
/// Whoever flushes a turn writes the socket itself. Only when the socket is full do bytes stay here; the owner's poller
/// then goes on at writability. A producer never waits: above the bound the connection is closed.
pub(crate) struct Outbound {
    id: ConnectionId,
    pending_max: usize,
    /// Shows what goes out; `None` unless frames are traced.
    trace: Option<Box<OutTrace>>,
    supports_headers: AtomicBool,
    closed: AtomicBool,
    /// Whether bytes are pending, to be seen without the lock. Set before a write that finds the socket full: whatever makes the
    /// socket writable after that is seen by an owner who looks here.
    stalled: AtomicBool,
    state: Mutex<State>,
}

struct State {
    home: Home,
    /// `None` when the connection is closed, so that a remembered subscription does not keep the socket open.
    socket: Option<Arc<Socket>>,
    /// What turns the bytes of the text protocol into those of the socket; `None` when they are the same.
    layer: Option<Box<dyn Layer>>,
    pending: PendingQueue,
    /// Whether the owner watches the write deadline.
    watched: bool,
    /// Bytes that waited when the watch began and have not been written since.
    backlog: usize,
    /// Why it was cut by who wrote to it.
    cut: Option<CloseReason>,
}

/// Where a connection's owner is told of it. It changes when another reactor takes the connection over.
#[derive(Clone)]
struct Home {
    owner: Arc<Mailbox>,
    place: Place,
}

/// A mail that is still to be posted, when no lock is held.
type Notice = (Arc<Mailbox>, Mail);

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
        socket: Arc<Socket>,
        layer: Option<Box<dyn Layer>>,
        pending_max: usize,
        trace: Option<Box<OutTrace>>,
    ) -> Self {
        Self {
            id: place.id,
            pending_max,
            trace,
            supports_headers: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            stalled: AtomicBool::new(false),
            state: Mutex::new(State {
                home: Home { owner, place },
                socket: Some(socket),
                layer,
                pending: PendingQueue::default(),
                watched: false,
                backlog: 0,
                cut: None,
            }),
        }
    }

    pub(crate) fn set_supports_headers(&self, supported: bool) {
        self.supports_headers.store(supported, Ordering::Release);
    }

    /// Another reactor owns the connection from now on. What happened before that it finds with [`Self::is_stalled`] and
    /// [`Destination::is_closed`]; of what happens from now on it is told.
    pub(crate) fn move_to(&self, owner: Arc<Mailbox>, place: Place) {
        self.state.lock().home = Home { owner, place };
    }

    /// Goes on with what is pending. The owner calls it when the socket takes bytes again.
    ///
    /// The poller says so with every event, and whoever wrote what the peer answered may still hold the lock: the owner does
    /// not wait for it in vain.
    pub(crate) fn flush_pending(&self) -> Flushed {
        if !self.stalled.load(Ordering::SeqCst) {
            return Flushed::Empty;
        }
        let mut state = self.state.lock();
        let State {
            socket,
            pending,
            backlog,
            ..
        } = &mut *state;
        let Some(socket) = socket else {
            return Flushed::Empty;
        };
        if pending.is_empty() {
            return Flushed::Empty;
        }
        match pending.write_to(&**socket) {
            Err(_) => Flushed::Failed,
            Ok(_) if pending.is_empty() => {
                self.stalled.store(false, Ordering::SeqCst);
                *backlog = 0;
                Flushed::Empty
            }
            Ok(written) => {
                *backlog = backlog.saturating_sub(written);
                Flushed::Pending {
                    progress: written > 0,
                }
            }
        }
    }

    /// Whether bytes are pending. If not, the owner need not watch the deadline until it is told again.
    pub(crate) fn is_stalled(&self) -> bool {
        let mut state = self.state.lock();
        state.watched = !state.pending.is_empty();
        state.watched
    }

    /// Begins the watch over what is pending now.
    pub(crate) fn begin_watch(&self) {
        let mut state = self.state.lock();
        state.backlog = state.pending.len();
    }

    /// Whether some of what was pending when the watch began still is.
    pub(crate) fn has_backlog(&self) -> bool {
        self.state.lock().backlog > 0
    }

    /// Who is shown with traced frames from now on.
    pub(crate) fn trace_as(&self, facts: ConnectionFacts<'_>) {
        if let Some(trace) = &self.trace {
            trace.set_client(facts);
        }
    }

    /// Turns bytes from the wire into plain ones, as [`Layer::decode`] says; what the layer answers is written. Only for
    /// connections with a layer.
    ///
    /// # Errors
    /// The connection ends for this reason.
    pub(crate) fn decode(
        &self,
        wire: &mut &[u8],
        plain: &mut Vec<u8>,
        plain_max: usize,
    ) -> Result<(), CloseReason> {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let Some(layer) = &mut state.layer else {
            *wire = &[];
            return Ok(());
        };
        let mut answer = Vec::new();
        let result = layer.decode(wire, plain, plain_max, &mut answer);
        if !answer.is_empty() {
            let mail = self.write(state, &OutBatch::from(answer));
            drop(guard);
            post(mail);
        }
        result
    }

    /// Writes bytes as they go to the socket, whatever the layer.
    pub(crate) fn write_bare(&self, bytes: Vec<u8>) {
        let mut guard = self.state.lock();
        let mail = self.write(&mut guard, &OutBatch::from(bytes));
        drop(guard);
        post(mail);
    }

    /// Leaves the layer out if bytes pass it as they are, or if `anyway`; returns whether there is none now.
    pub(crate) fn shed_layer(&self, anyway: bool) -> bool {
        let mut state = self.state.lock();
        if anyway
            || state
                .layer
                .as_ref()
                .is_some_and(|layer| layer.is_transparent())
        {
            state.layer = None;
        }
        state.layer.is_none()
    }

    /// What became of the layer's TLS handshake; once.
    pub(crate) fn take_handshake(&self) -> Option<Handshake> {
        self.state.lock().layer.as_mut()?.take_handshake()
    }

    /// Whether the layer's handshake is done, if there is a layer.
    pub(crate) fn is_ready(&self) -> bool {
        let state = self.state.lock();
        state.layer.as_ref().is_none_or(|layer| layer.is_ready())
    }

    /// What the layer found out about the client, when it is ready.
    pub(crate) fn take_findings(&self) -> Findings {
        let mut state = self.state.lock();
        let layer = state.layer.as_mut();
        layer.map_or_else(Findings::default, |layer| layer.take_findings())
    }

    /// Why the layer let nobody in.
    pub(crate) fn refusal(&self) -> Option<String> {
        self.state.lock().layer.as_ref()?.refusal()
    }

    /// Writes the layer's last words, unless the connection is cut already.
    pub(crate) fn finish(&self, reason: CloseReason) {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let mut words = Vec::new();
        if let Some(layer) = &mut state.layer {
            layer.finish(reason, &mut words);
        }
        if !words.is_empty() {
            // The connection ends anyway: nobody has to be told.
            self.write(state, &OutBatch::from(words));
        }
    }

    /// Why the connection was cut, if it was. The owner may see the end of the socket before it is told.
    pub(crate) fn cut_reason(&self) -> Option<CloseReason> {
        self.state.lock().cut
    }

    /// Forgets the socket and what is pending. Later deliveries are dropped.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        let mut state = self.state.lock();
        state.socket = None;
        state.layer = None;
        state.pending.clear();
    }

    /// Writes or queues the bytes, and returns what the owner is to be told.
    fn append(&self, rendered: &mut OutBatch) -> Option<Notice> {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        if let Some(layer) = &mut state.layer {
            encode(&mut **layer, rendered);
        }
        self.write(state, rendered)
    }

    /// Leaves the bytes to the owner, and returns what it is to be told.
    fn leave(&self, rendered: &mut OutBatch) -> Option<Notice> {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        if let Some(layer) = &mut state.layer {
            encode(&mut **layer, rendered);
        }
        state.socket.as_ref()?;
        let was_empty = state.pending.is_empty();
        state.pending.append(rendered, 0);
        if state.pending.len() > self.pending_max {
            return Some(self.cut(state, CloseReason::SlowConsumerPendingBytes));
        }
        self.stalled.store(true, Ordering::SeqCst);
        // Otherwise it knows, or the poller will tell.
        let Home { owner, place } = &state.home;
        was_empty.then(|| (owner.clone(), Mail::Flush(*place)))
    }

    /// As [`Self::append`], for bytes as they go to the socket.
    fn write(&self, state: &mut State, rendered: &OutBatch) -> Option<Notice> {
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
        let was_empty = state.pending.is_empty();
        state.pending.append(rendered, written);
        if was_empty {
            // The socket may have become writable before the mark was there to be seen.
            self.stalled.store(true, Ordering::SeqCst);
            if state.pending.write_to(&**socket).is_err() {
                return Some(self.cut(state, CloseReason::WriteError));
            }
            if state.pending.is_empty() {
                self.stalled.store(false, Ordering::SeqCst);
                return None;
            }
        }
        if state.pending.len() > self.pending_max {
            return Some(self.cut(state, CloseReason::SlowConsumerPendingBytes));
        }
        let told = std::mem::replace(&mut state.watched, true);
        let Home { owner, place } = &state.home;
        (!told).then(|| (owner.clone(), Mail::Stalled(*place)))
    }

    /// Cuts the connection from the thread that wrote to it; the owner frees the rest.
    fn cut(&self, state: &mut State, reason: CloseReason) -> Notice {
        self.closed.store(true, Ordering::Release);
        state.pending.clear();
        state.cut = Some(reason);
        if let Some(socket) = state.socket.take() {
            // An error means that the socket is disconnected already, which is what is wanted.
            let _ = socket.shutdown(Shutdown::Both);
        }
        let Home { owner, place } = &state.home;
        (owner.clone(), Mail::Close(*place, reason))
    }
}

impl Destination for Outbound {
    fn id(&self) -> ConnectionId {
        self.id
    }

    fn supports_headers(&self) -> bool {
        self.supports_headers.load(Ordering::Acquire)
    }

    fn deliver(&self, rendered: &mut OutBatch) {
        if let Some(trace) = &self.trace {
            trace.show(rendered);
        }
        let mail = self.append(rendered);
        post(mail);
        rendered.clear();
    }

    fn hand_over(&self, rendered: &mut OutBatch) {
        if let Some(trace) = &self.trace {
            trace.show(rendered);
        }
        if let Some((owner, mail)) = self.leave(rendered) {
            // A reactor that has ended has closed its connections.
            let _ = owner.post_quietly(mail);
        }
        rendered.clear();
    }

    fn wake_owner(&self) {
        let owner = self.state.lock().home.owner.clone();
        // One that cannot be woken reads its mail at its next event.
        let _ = owner.wake();
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}

fn post(notice: Option<Notice>) {
    if let Some((owner, mail)) = notice {
        // A reactor that cannot be woken reads its mail at its next event, and a cut socket is one.
        let _ = owner.post(mail);
    }
}

/// Replaces plain bytes by what stands for them on the wire.
fn encode(layer: &mut dyn Layer, rendered: &mut OutBatch) {
    let mut wire = Vec::with_capacity(rendered.len() + 64);
    match rendered.as_inline() {
        Some(bytes) => layer.encode(bytes, &mut wire),
        None => {
            // One run of bytes makes fewer units of the layer than many small ones.
            let mut plain = Vec::with_capacity(rendered.len());
            for piece in rendered.pieces() {
                plain.extend_from_slice(piece.as_bytes());
            }
            layer.encode(&plain, &mut wire);
        }
    }
    *rendered = OutBatch::from(wire);
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use mio::{Poll, Token, Waker};

    use super::*;
    use crate::pipe;

    const PLACE: Place = Place {
        slot: 3,
        id: ConnectionId(7),
    };

    #[test]
    fn what_is_handed_over_leaves_with_its_owner_and_in_order() {
        let poll = Poll::new().expect("a poller");
        let waker = Waker::new(poll.registry(), Token(0)).expect("a waker");
        let mailbox = Arc::new(Mailbox::new(waker));
        let (pipe, mut client) = pipe::pair();
        let socket = Arc::new(Socket::InProcess(pipe));
        let outbound = Outbound::new(PLACE, mailbox.clone(), socket, None, 30, None);
        let mut mails = Vec::new();

        outbound.hand_over(&mut OutBatch::from(b"first ".to_vec()));
        outbound.hand_over(&mut OutBatch::from(b"second ".to_vec()));
        outbound.wake_owner();
        // Who writes itself gets behind them.
        outbound.deliver(&mut OutBatch::from(b"third ".to_vec()));
        mailbox.take(&mut mails);
        assert!(
            matches!(mails[..], [Mail::Flush(PLACE), Mail::Stalled(PLACE)]),
            "{mails:?}"
        );
        mails.clear();
        assert_eq!(outbound.flush_pending(), Flushed::Empty);
        outbound.deliver(&mut OutBatch::from(b"fourth".to_vec()));
        let mut read = [0; 64];
        let count = client.read(&mut read).expect("it is there");
        assert_eq!(read[..count], *b"first second third fourth");

        // The bound holds for what is handed over, too.
        outbound.hand_over(&mut OutBatch::from(vec![b'x'; 30]));
        assert!(!outbound.is_closed());
        outbound.hand_over(&mut OutBatch::from(b"x".to_vec()));
        assert!(outbound.is_closed());
        let reason = CloseReason::SlowConsumerPendingBytes;
        assert_eq!(outbound.cut_reason(), Some(reason));
    }
}
