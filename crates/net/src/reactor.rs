//! A reactor: one thread, its connections, and their turns.

mod moving;

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use everjet_conn::{Client, ClientLimits, Close, CloseReason, Peer, ServerFacts};
use everjet_routing::{Account, ConnectionId, Turn};
use everjet_values::{Clock, Timestamp};
use everjet_wire::TraceOptions;
use mio::event::Event;
use mio::net::TcpStream;
use mio::{Poll, Token};
use parking_lot::Mutex;

use crate::config::WriteTimeout;
use crate::connection::{Connection, Reading, Workbench};
use crate::events::{ConnectionKind, Events};
use crate::listener::Listeners;
use crate::load::{Loads, Meter};
use crate::mailbox::{Accepted, Admission, Mail, Mailbox, Place, Readiness};
use crate::opening::{Beginning, OpeningPlan};
use crate::outbound::{Flushed, Outbound};
use crate::proxied::Proxied;
use crate::slots::{Lingering, Slots};
use crate::socket::Socket;
use crate::timers::Timers;
use crate::tracing::{OutTrace, TracedClient};

/// What one read may bring; shared by all connections of the reactor.
const READ_BYTES: usize = 256 * 1024;

/// Readiness events taken at once.
const EVENTS_MAX: usize = 1024;

/// How long what a peer still sends is read away after its connection was closed with a reason.
///
/// Closing a socket with unread bytes makes the operating system send a reset, which may overtake the last words: the
/// client would see "connection reset" instead of, say, `Maximum Payload Violation`.
const LINGER: Duration = Duration::from_secs(1);

/// How many bytes are read away: twice the largest payload that can be configured. Who still sends after that is not
/// looking up, and costs a processor what a second of a fast network carries.
const LINGER_BYTES_MAX: usize = 128 * 1024 * 1024;

pub(crate) const WAKER: Token = Token(usize::MAX);

/// What all reactors share.
pub(crate) struct Shared {
    /// Rules of connections that are accepted from now on.
    pub(crate) limits: ArcSwap<ClientLimits>,
    /// What the server says about itself at its start; see [`Mail::Announce`].
    pub(crate) facts: Arc<ServerFacts>,
    pub(crate) connections_max: Option<usize>,
    pub(crate) pending_max: usize,
    pub(crate) write_deadline: Duration,
    pub(crate) write_timeout: WriteTimeout,
    pub(crate) trace: Option<TraceOptions>,
    pub(crate) account: Arc<Account>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) events: Arc<dyn Events>,
    pub(crate) mailboxes: Vec<Arc<Mailbox>>,
    pub(crate) loads: Loads,
    pub(crate) connections: AtomicUsize,
    pub(crate) last_id: AtomicU64,
    pub(crate) counters: Counters,
}

/// What is counted over all reactors. All of it is rare.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) slow_consumers: AtomicU64,
    pub(crate) stale_connections: AtomicU64,
}

impl Counters {
    fn count(&self, reason: CloseReason) {
        let counter = match reason {
            CloseReason::SlowConsumerPendingBytes | CloseReason::SlowConsumerWriteDeadline => {
                &self.slow_consumers
            }
            CloseReason::StaleConnection => &self.stale_connections,
            _ => return,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

impl Shared {
    /// Whether a connection that is one of `count` is let in.
    pub(crate) fn admission(&self, count: usize, is_throttled: bool) -> Admission {
        let is_full = self.connections_max.is_some_and(|max| count > max);
        match (is_full, is_throttled) {
            (true, _) => Admission::TooMany,
            (false, true) => Admission::TooFast,
            (false, false) => Admission::Granted,
        }
    }

    /// Asks the reactor behind the one with this mailbox to close connections.
    fn disconnect(&self, mailbox: &Arc<Mailbox>, count: usize, hops: usize) {
        let own = self
            .mailboxes
            .iter()
            .position(|other| Arc::ptr_eq(other, mailbox));
        let next = own.map_or(0, |own| (own + 1) % self.mailboxes.len());
        // A reactor that has ended has closed all of its connections.
        let _ = self.mailboxes[next].post(Mail::Disconnect { count, hops });
    }
}

impl Shared {
    /// Tells what became of a connection's handshake, if that is new.
    fn tell_handshake(&self, connection: &mut Connection) {
        if let Some(outcome) = connection.handshake.take() {
            self.events.handshake(connection.facts(), &outcome);
        }
    }
}

/// One thread's connections.
pub(crate) struct Reactor {
    shared: Arc<Shared>,
    mailbox: Arc<Mailbox>,
    /// What the server says about itself now.
    facts: Arc<ServerFacts>,
    poll: Poll,
    listeners: Listeners,
    meter: Meter,
    slots: Slots,
    /// Slots of connections that may have something to read.
    readable: Vec<usize>,
    /// Connections to be closed at the end of the turn, when their last words are written.
    ending: Vec<(Place, CloseReason)>,
    timers: Timers,
    bench: Workbench,
    /// Where [`Mail::Disconnect`] goes on.
    disconnect_from: usize,
    /// The reactor that is to get all connections that can be moved, at the end of the turn.
    rotate_to: Option<usize>,
    /// Set when the reactor is to end: how long pending output may still be written.
    stop_at: Option<Timestamp>,
}

impl Reactor {
    pub(crate) fn new(
        index: usize,
        shared: Arc<Shared>,
        poll: Poll,
        listeners: Listeners,
        seed: u64,
    ) -> Self {
        let mailbox = shared.mailboxes[index].clone();
        let now = shared.clock.now();
        let bench = Workbench {
            account: shared.account.clone(),
            turn: Turn::new(seed),
            out: Vec::new(),
            buffer: vec![0; READ_BYTES].into(),
            events: shared.events.clone(),
            trace: shared.trace,
            clock: shared.clock.clone(),
            leaving: Vec::new(),
        };
        Self {
            facts: shared.facts.clone(),
            shared,
            mailbox,
            poll,
            listeners,
            meter: Meter::new(index, now),
            slots: Slots::default(),
            readable: Vec::new(),
            ending: Vec::new(),
            timers: Timers::default(),
            bench,
            disconnect_from: 0,
            rotate_to: None,
            stop_at: None,
        }
    }

    /// Runs turns until told to end.
    ///
    /// # Errors
    /// The poller failed, which leaves nothing to wait for.
    pub(crate) fn run(mut self) -> io::Result<()> {
        let result = self.turns();
        // What is posted from now on would wait for ever.
        self.mailbox.close();
        result
    }

    fn turns(&mut self) -> io::Result<()> {
        let mut events = mio::Events::with_capacity(EVENTS_MAX);
        let mut mails = Vec::new();
        let mut readable = Vec::new();
        let mut now = self.shared.clock.now();
        loop {
            self.shared.loads.sleeps(self.meter.reactor());
            match self.poll.poll(&mut events, self.patience(now)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => other?,
            }
            self.shared.loads.wakes(self.meter.reactor());
            now = self.shared.clock.now();
            self.mailbox.take(&mut mails);
            for mail in mails.drain(..) {
                self.on_mail(mail, now);
            }
            for event in &events {
                self.on_event(event, now);
            }
            self.accept(now);
            std::mem::swap(&mut readable, &mut self.readable);
            for slot in readable.drain(..) {
                self.read(slot, now);
            }
            while let Some((at, place)) = self.timers.pop_due(now) {
                self.on_due(at, place, now);
            }
            self.bench.turn.flush();
            self.end_connections(now);
            self.bench.free_places();
            if self.is_done(now) {
                self.end_all();
                return Ok(());
            }
            self.relieve(now);
        }
    }

    /// How long the poller may wait.
    fn patience(&self, now: Timestamp) -> Option<Duration> {
        if !(self.readable.is_empty() && self.bench.leaving.is_empty()) {
            return Some(Duration::ZERO);
        }
        let retry = self.listeners.next_try(now);
        let due = [self.timers.next(), retry, self.stop_at];
        let next = due.into_iter().flatten().min()?;
        Some(next.since(now))
    }

    fn on_mail(&mut self, mail: Mail, now: Timestamp) {
        match mail {
            Mail::Accepted(accepted) => self.open(accepted, now),
            Mail::Adopt(moving) => self.adopt(moving, now),
            Mail::Rotate => {
                let next = (self.meter.reactor() + 1) % self.shared.mailboxes.len();
                self.rotate_to = Some(next);
            }
            Mail::Close(place, reason) => self.ending.push((place, reason)),
            Mail::Flush(place) => self.flush(place, now),
            Mail::Stalled(place) => {
                let deadline = now.plus(self.shared.write_deadline);
                if let Some(connection) = self.slots.at(place) {
                    connection.outbound.begin_watch();
                    connection.watch_at = now;
                    connection.progress_at = now;
                    connection.deadline_at = Some(deadline);
                    self.timers.set(deadline, place);
                }
            }
            Mail::Ready(place, readiness) => {
                self.on_ready(place.slot, Some(place.id), readiness, now)
            }
            Mail::Announce(facts) => self.announce(facts),
            Mail::Disconnect { count, hops } => self.disconnect(count, hops),
            Mail::StopAccepting => self.listeners.close(),
            Mail::Shutdown(deadline) => {
                self.listeners.close();
                self.stop_at = Some(deadline);
            }
        }
    }

    /// Writes what another thread has left for a connection.
    fn flush(&mut self, place: Place, now: Timestamp) {
        let Some(connection) = self.slots.at(place) else {
            return;
        };
        match connection.outbound.flush_pending() {
            Flushed::Empty => {}
            Flushed::Failed => self.ending.push((place, CloseReason::WriteError)),
            Flushed::Pending { .. } => {
                if connection.outbound.is_stalled() {
                    self.on_mail(Mail::Stalled(place), now);
                }
            }
        }
    }

    fn on_event(&mut self, event: &Event, now: Timestamp) {
        if event.token() == WAKER {
            return;
        }
        if self.listeners.on_ready(event.token()) {
            return;
        }
        self.on_ready(event.token().0, None, event.into(), now);
    }

    /// Goes on with the connection in a slot; with a number, only if it is that one.
    fn on_ready(
        &mut self,
        slot: usize,
        id: Option<ConnectionId>,
        readiness: Readiness,
        now: Timestamp,
    ) {
        if let Some(lingering) = self.slots.lingering(slot) {
            if id.is_none_or(|id| id == lingering.id) && lingering.read_away(&mut self.bench.buffer)
            {
                self.slots.release(slot);
            }
            return;
        }
        let Some(connection) = self.slots.get(slot) else {
            return;
        };
        if id.is_some_and(|id| id != connection.id()) {
            return;
        }
        if readiness.writable {
            match connection.outbound.flush_pending() {
                Flushed::Pending { progress: false } => {}
                Flushed::Empty | Flushed::Pending { progress: true } => {
                    connection.progress_at = now;
                }
                Flushed::Failed => {
                    let id = connection.id();
                    let place = Place { slot, id };
                    self.ending.push((place, CloseReason::WriteError));
                    return;
                }
            }
        }
        if readiness.readable {
            connection.read_closed |= readiness.read_closed;
            if !connection.listed {
                connection.listed = true;
                self.readable.push(slot);
            }
        }
    }

    fn accept(&mut self, now: Timestamp) {
        let mut listeners = std::mem::take(&mut self.listeners);
        for listener in listeners.iter_mut() {
            let plan = listener.plan.clone();
            let result = listener.accept(now, |socket, peer, is_throttled| {
                self.place(socket, peer, plan.clone(), is_throttled, now);
            });
            if let Err(error) = result {
                self.shared.events.accept_failed(&error);
            }
            if let Some(count) = listener.take_throttled(now) {
                self.shared.events.handshakes_refused(count);
            }
        }
        self.listeners = listeners;
    }

    /// Gives an accepted connection to the reactor that shall have it.
    fn place(
        &mut self,
        socket: TcpStream,
        peer: SocketAddr,
        plan: Arc<OpeningPlan>,
        is_throttled: bool,
        now: Timestamp,
    ) {
        let count = self.shared.connections.fetch_add(1, Ordering::AcqRel) + 1;
        let accepted = Accepted {
            socket: Socket::Tcp(socket),
            peer: Some(peer),
            plan,
            admission: self.shared.admission(count, is_throttled),
        };
        let mailbox = self.shared.mailboxes[self.shared.loads.place(now)].clone();
        if Arc::ptr_eq(&mailbox, &self.mailbox) {
            self.open(accepted, now);
        } else if let Err(error) = mailbox.post(Mail::Accepted(accepted)) {
            self.shared.events.accept_failed(&error);
        }
    }

    fn open(&mut self, accepted: Accepted, now: Timestamp) {
        let Accepted {
            socket,
            peer,
            plan,
            admission,
        } = accepted;
        let slot = self.slots.vacant();
        let registered = socket.register(self.poll.registry(), Token(slot));
        let beginning =
            registered.and_then(|()| plan.begin(admission, now).map_err(io::Error::other));
        let Beginning {
            layer,
            opening,
            tls,
        } = match beginning {
            Ok(beginning) => beginning,
            Err(error) => {
                self.shared.connections.fetch_sub(1, Ordering::AcqRel);
                self.shared.events.accept_failed(&error);
                return;
            }
        };
        let id = ConnectionId(self.shared.last_id.fetch_add(1, Ordering::Relaxed) + 1);
        let place = Place { slot, id };
        let socket = Arc::new(socket);
        let (kind, limits) = match &plan.websocket {
            Some(websocket) => (ConnectionKind::WebSocket, websocket.limits.clone()),
            None => (ConnectionKind::Client, self.shared.limits.load_full()),
        };
        let outbound = Arc::new(Outbound::new(
            place,
            self.mailbox.clone(),
            socket.clone(),
            layer,
            self.shared.pending_max,
            self.out_trace(id, kind, peer),
        ));
        // The address of a proxy is none of the client's business.
        let known = peer.filter(|_| !plan.proxy_header);
        let peer_facts = Peer {
            id: id.0,
            ip: known.map(|peer| peer.ip().to_canonical()),
        };
        let facts = self.facts.clone();
        let client = Client::new(limits, facts, peer_facts, now).with_tls(tls);
        socket.attach(&self.mailbox, place);
        let mut connection = Connection::new(socket, peer, kind, client, outbound, opening, now);
        if plan.proxy_header {
            let proxied = Proxied::new(now);
            self.timers.set(proxied.deadline, place);
            connection.proxied = Some(Box::new(proxied));
        }
        if connection.is_known() {
            self.shared.events.opened(connection.facts());
        }
        let admitted = match opening {
            None => connection.greet(admission, &mut self.bench),
            Some(opening) if opening.greeted => connection.greet_bare(admission, &mut self.bench),
            // Nobody can read anything yet: the handshakes that are too many are what is to be avoided.
            Some(_) if admission == Admission::TooFast => Err(Close {
                reason: CloseReason::MaximumConnectionsExceeded,
            }),
            Some(_) => Ok(()),
        };
        if let Err(close) = admitted {
            self.ending.push((place, close.reason));
        }
        connection.timer_at = match opening {
            Some(opening) => opening.deadline,
            None => connection.client.next_timer(),
        };
        self.timers.set(connection.timer_at, place);
        self.slots.put(Box::new(connection));
    }

    fn read(&mut self, slot: usize, now: Timestamp) {
        let Some(connection) = self.slots.get(slot) else {
            return;
        };
        connection.listed = false;
        if self.stop_at.is_some() {
            return;
        }
        let was_known = connection.is_known();
        let reading = connection.read(now, &mut self.bench);
        if !was_known && connection.is_known() {
            self.shared.events.opened(connection.facts());
        }
        self.shared.tell_handshake(connection);
        let place = Place {
            slot,
            id: connection.id(),
        };
        // The end of the opening or a CONNECT may bring the time forward: what is set then would come too late.
        let next = connection.client.next_timer();
        if connection.opening.is_none() && next < connection.timer_at {
            connection.timer_at = next;
            self.timers.set(next, place);
        }
        match reading {
            Reading::Drained => {}
            Reading::More => {
                connection.listed = true;
                self.readable.push(slot);
            }
            Reading::Ended(reason) => self.ending.push((place, reason)),
        }
    }

    /// Looks at what was set for `at`: the machine's timer, the write deadline, or something out of date.
    fn on_due(&mut self, at: Timestamp, place: Place, now: Timestamp) {
        let lingering = self.slots.lingering(place.slot);
        if lingering.is_some_and(|one| one.id == place.id && at >= one.until) {
            self.slots.release(place.slot);
        }
        let Some(connection) = self.slots.at(place) else {
            return;
        };
        if let Some(proxied) = &connection.proxied
            && now >= proxied.deadline
        {
            connection.complain(&self.bench, &"timeout reading PROXY protocol header");
            self.ending.push((place, CloseReason::ProtocolViolation));
            return;
        }
        let is_deadline = connection.deadline_at == Some(at);
        if connection.timer_at == at {
            self.on_machine_timer(place, now);
        }
        if is_deadline {
            self.on_write_deadline(place, now);
        }
    }

    fn on_machine_timer(&mut self, place: Place, now: Timestamp) {
        let Some(connection) = self.slots.at(place) else {
            return;
        };
        if connection.opening.is_some() {
            let ended = connection.on_opening_due(now, &mut self.bench);
            self.shared.tell_handshake(connection);
            if let Some(reason) = ended {
                self.ending.push((place, reason));
                return;
            }
            connection.timer_at = match connection.opening {
                Some(opening) => opening.deadline,
                None => connection.client.next_timer(),
            };
            self.timers.set(connection.timer_at, place);
            return;
        }
        let result = connection.client.on_timer(now, &mut self.bench.out);
        connection.send_answers(&mut self.bench);
        if let Err(close) = result {
            self.ending.push((place, close.reason));
            return;
        }
        connection.timer_at = connection.client.next_timer();
        self.timers.set(connection.timer_at, place);
    }

    fn on_write_deadline(&mut self, place: Place, now: Timestamp) {
        let write_deadline = self.shared.write_deadline;
        let Some(connection) = self.slots.at(place) else {
            return;
        };
        connection.deadline_at = None;
        if !connection.outbound.is_stalled() {
            return;
        }
        let mut deadline = connection.progress_at.plus(write_deadline);
        if self.shared.write_timeout == WriteTimeout::Close {
            if !connection.outbound.has_backlog() {
                connection.outbound.begin_watch();
                connection.watch_at = now;
            }
            deadline = deadline.min(connection.watch_at.plus(write_deadline));
        }
        if now >= deadline {
            let reason = CloseReason::SlowConsumerWriteDeadline;
            self.ending.push((place, reason));
        } else {
            connection.deadline_at = Some(deadline);
            self.timers.set(deadline, place);
        }
    }

    fn end_connections(&mut self, now: Timestamp) {
        let mut ending = std::mem::take(&mut self.ending);
        for (place, reason) in ending.drain(..) {
            if self.slots.at(place).is_none() {
                continue;
            }
            let cut = self
                .slots
                .at(place)
                .and_then(|one| one.outbound.cut_reason());
            let reason = cut.unwrap_or(reason);
            let Some(socket) = self.end(place.slot, reason) else {
                continue;
            };
            // An error says that the peer is gone already.
            let said = socket.shutdown(Shutdown::Write);
            let mut lingering = Lingering {
                id: place.id,
                socket,
                until: now.plus(LINGER),
                bytes_left: LINGER_BYTES_MAX,
            };
            if is_told(reason) && said.is_ok() && !lingering.read_away(&mut self.bench.buffer) {
                self.timers.set(lingering.until, place);
                self.slots.linger(place.slot, lingering);
            } else {
                self.slots.release(place.slot);
            }
        }
        self.ending = ending;
    }

    /// Tells everybody what the server says about itself from now on.
    fn announce(&mut self, facts: Arc<ServerFacts>) {
        for connection in self.slots.iter_mut() {
            connection
                .client
                .announce(facts.clone(), &mut self.bench.out);
            connection.send_answers(&mut self.bench);
        }
        self.facts = facts;
    }

    /// Closes so many connections; what is missing here is asked of the next reactor.
    fn disconnect(&mut self, mut count: usize, hops: usize) {
        while count > 0
            && let Some(place) = self.slots.next_open(self.disconnect_from)
        {
            self.disconnect_from = place.slot + 1;
            self.ending.push((place, CloseReason::ServerShutdown));
            count -= 1;
        }
        if count > 0 && hops > 0 {
            // Nobody comes any more when this is asked for, so that whoever was passed by has closed already.
            self.disconnect_from = 0;
            self.shared.disconnect(&self.mailbox, count, hops - 1);
        }
    }

    fn out_trace(
        &self,
        id: ConnectionId,
        kind: ConnectionKind,
        peer: Option<SocketAddr>,
    ) -> Option<Box<OutTrace>> {
        let options = self.shared.trace?;
        Some(Box::new(OutTrace {
            events: self.shared.events.clone(),
            options,
            id,
            account: self.facts.account.clone(),
            client: Mutex::new(TracedClient::new(kind, peer)),
        }))
    }

    fn end_all(&mut self) {
        for slot in 0..self.slots.len() {
            self.end(slot, CloseReason::ServerShutdown);
        }
    }

    /// Frees everything of a connection but its socket.
    fn end(&mut self, slot: usize, reason: CloseReason) -> Option<Arc<Socket>> {
        let mut connection = self.slots.take(slot)?;
        let refusal = connection.outbound.refusal();
        connection.outbound.finish(reason);
        connection.outbound.close();
        let subscriptions = connection.subscriptions.take();
        self.bench.retire(subscriptions);
        self.shared.connections.fetch_sub(1, Ordering::AcqRel);
        self.shared.counters.count(reason);
        if let Some(text) = refusal {
            self.shared.events.refused(connection.peer, &text);
        }
        if connection.is_known() {
            self.shared.events.closed(connection.facts(), reason);
        }
        Some(connection.socket)
    }

    /// Whether the reactor was told to end, and what was pending is written or out of time.
    fn is_done(&self, now: Timestamp) -> bool {
        let Some(deadline) = self.stop_at else {
            return false;
        };
        now >= deadline || self.slots.iter().all(|one| !one.outbound.is_stalled())
    }
}

/// Whether the peer is told why its connection is closed.
fn is_told(reason: CloseReason) -> bool {
    use CloseReason as Reason;
    !matches!(
        reason,
        Reason::ClientClosed
            | Reason::ReadError
            | Reason::WriteError
            | Reason::SlowConsumerPendingBytes
            | Reason::SlowConsumerWriteDeadline
    )
}
