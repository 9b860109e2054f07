//! A connection as its reactor keeps it, and how bytes become actions.

use std::fmt::Display;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use everjet_conn::{Action, Client, Close, CloseReason, complaint};
use everjet_routing::{
    Account, ConnectionId, Destination, Message, Origin, Sink, Subscription, Turn,
};
use everjet_values::{Clock, Timestamp};
use everjet_wire::{Decoded, TraceDirection, TraceOptions, decode, decode_plain_publish, trace};

use crate::events::{ConnectionFacts, ConnectionKind, Events, Handshake};
use crate::mailbox::Admission;
use crate::opening::{Due, Opening};
use crate::outbound::Outbound;
use crate::partial::gather;
use crate::proxied::{Proxied, ProxyStep};
use crate::socket::Socket;
use crate::subscription_table::SubscriptionTable;

/// An incomplete frame up to this size is copied in front of what is read next; a larger one is gathered in its own
/// buffer, so that a slow sender of large messages does not make the server copy them again and again.
const COPIED_MAX: usize = 16 * 1024;

/// Bytes from the wire that a layer gets at a time. What is left of them when its share of the turn is used up is kept.
const WIRE_READ_MAX: usize = 64 * 1024;

/// Plain bytes that are stepped at a time when they come through a layer.
const PLAIN_STEP_BYTES: usize = 64 * 1024;

/// Plain bytes of one turn that come through a layer: what is inflated must not hold up the others.
const PLAIN_TURN_BYTES: usize = 1024 * 1024;

/// Work, in frames and deliveries, after which a connection looks at the clock.
const WORK_PER_LOOK: usize = 1024;

/// What a SUB counts for: it takes a lock and makes threads forget what they remembered.
const WORK_OF_SUBSCRIBE: usize = 16;

/// What a request that nobody answers counts for: the subscriptions of its sender are looked through.
const WORK_OF_NO_RESPONDERS: usize = 64;

/// How long a connection keeps its thread at a time; then the others have their turn. Bytes that took microseconds to send
/// may ask for minutes of work: messages to very many subscriptions.
const SLICE: Duration = Duration::from_millis(4);

/// Places of subscriptions that are freed at a time. Clients have fewer; what has more must not hold up the others.
const PLACES_FREED_MAX: usize = 4096;

/// What one thread lends to the connections it steps.
pub(crate) struct Workbench {
    pub(crate) account: Arc<Account>,
    pub(crate) turn: Turn,
    /// Answers of the machine on their way to the turn; empty between frames.
    pub(crate) out: Vec<u8>,
    /// What is read goes here; connections own no buffer but for an incomplete frame.
    pub(crate) buffer: Box<[u8]>,
    pub(crate) events: Arc<dyn Events>,
    /// How frames are shown; `None` when they are not.
    pub(crate) trace: Option<TraceOptions>,
    /// Tells when a connection has had the thread for long enough.
    pub(crate) clock: Arc<dyn Clock>,
    /// Retired subscriptions whose place in the account is still to be freed.
    pub(crate) leaving: Vec<Arc<Subscription>>,
}

impl Workbench {
    /// Ends subscriptions: at once for whoever publishes, their place in the account is freed turn by turn.
    pub(crate) fn retire(&mut self, mut subscriptions: Vec<Arc<Subscription>>) {
        self.account.retire(&subscriptions);
        self.leaving.append(&mut subscriptions);
        self.free_places();
    }

    /// Frees the places of a bounded number of retired subscriptions; returns whether some are left.
    pub(crate) fn free_places(&mut self) -> bool {
        let kept = self.leaving.len().saturating_sub(PLACES_FREED_MAX);
        self.account.unsubscribe_all(&self.leaving[kept..]);
        self.leaving.truncate(kept);
        if self.leaving.is_empty() {
            self.leaving = Vec::new();
        }
        kept > 0
    }
}

/// What a connection's owner keeps of it.
pub(crate) struct Connection {
    pub(crate) socket: Arc<Socket>,
    /// Where the client connects from; `None` from within the process.
    pub(crate) peer: Option<SocketAddr>,
    kind: ConnectionKind,
    /// Where a proxy says that a WebSocket client is.
    forwarded_for: Option<IpAddr>,
    pub(crate) client: Client,
    pub(crate) outbound: Arc<Outbound>,
    pub(crate) subscriptions: SubscriptionTable,
    origin: Origin,
    /// The beginning of a frame whose rest has not come; without memory when there is none.
    partial: Vec<u8>,
    /// Bytes of the whole frame, when its control line has told; else 0.
    needed: usize,
    /// The slice was over: whole frames may wait in `partial`, and come before anything that is read.
    unfinished: bool,
    /// How much of `partial` was taken already; not zero only while it waits for the next slice.
    taken: usize,
    /// Whether a layer is between the socket and the protocol.
    layered: bool,
    /// What comes before the greeting; `None` when the client was greeted.
    pub(crate) opening: Option<Opening>,
    /// Set while the header of a proxy may be in front of everything else.
    pub(crate) proxied: Option<Box<Proxied>>,
    /// The layer's end, which came behind frames that are left to the next slice.
    ended: Option<CloseReason>,
    /// What became of a TLS handshake, until the reactor tells it.
    pub(crate) handshake: Option<Handshake>,
    /// Bytes from the wire, possibly none, with which the layer goes on before anything more is read.
    held: Option<Vec<u8>>,
    /// The peer closed its sending side: read until the end shows.
    pub(crate) read_closed: bool,
    /// Whether the reactor has it on its list of connections to read from.
    pub(crate) listed: bool,
    /// When it was last read from.
    pub(crate) active_at: Timestamp,
    /// The time that is set for the machine; an entry of the timers with another one is out of date.
    pub(crate) timer_at: Timestamp,
    /// The time that is set to look after pending bytes, if any.
    pub(crate) deadline_at: Option<Timestamp>,
    /// Since when pending bytes are watched.
    pub(crate) watch_at: Timestamp,
    /// Writing made no progress since; counts while bytes are pending.
    pub(crate) progress_at: Timestamp,
}

/// What a read led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// The socket is empty: wait for readiness.
    Drained,
    /// There may be more.
    More,
    /// The connection ends.
    Ended(CloseReason),
}

impl Connection {
    pub(crate) fn new(
        socket: Arc<Socket>,
        peer: Option<SocketAddr>,
        kind: ConnectionKind,
        client: Client,
        outbound: Arc<Outbound>,
        opening: Option<Opening>,
        now: Timestamp,
    ) -> Self {
        let mut connection = Self {
            socket,
            peer,
            kind,
            forwarded_for: None,
            client,
            outbound,
            subscriptions: SubscriptionTable::default(),
            origin: Origin::SERVER,
            partial: Vec::new(),
            needed: 0,
            unfinished: false,
            taken: 0,
            layered: opening.is_some(),
            opening,
            proxied: None,
            ended: None,
            handshake: None,
            held: None,
            read_closed: false,
            listed: false,
            active_at: now,
            timer_at: now,
            deadline_at: None,
            watch_at: now,
            progress_at: now,
        };
        connection.refresh();
        connection
    }

    /// Whether another reactor can take it over: it is past its beginning, and not at its end.
    pub(crate) fn is_movable(&self) -> bool {
        self.opening.is_none()
            && self.proxied.is_none()
            && self.ended.is_none()
            && self.socket.is_movable()
            && !self.outbound.is_closed()
    }

    /// Reads once and does what the bytes say. The amount per call is bounded by the buffer.
    pub(crate) fn read(&mut self, now: Timestamp, bench: &mut Workbench) -> Reading {
        self.active_at = now;
        if self.unfinished {
            return self.go_on(now, bench);
        }
        if let Some(reason) = self.ended {
            return Reading::Ended(reason);
        }
        // The buffer leaves the bench while frames borrow from it.
        let mut buffer = std::mem::take(&mut bench.buffer);
        if self.proxied.is_some()
            && let Err(reading) = self.read_proxy_header(bench, &mut buffer)
        {
            bench.buffer = buffer;
            return reading;
        }
        let reading = if self.layered {
            self.read_through_layer(now, bench, &mut buffer)
        } else if self.partial.len() <= COPIED_MAX && self.needed <= buffer.len() {
            self.read_behind_partial(now, bench, &mut buffer)
        } else {
            self.read_into_partial(now, bench, &mut buffer)
        };
        bench.buffer = buffer;
        reading
    }

    /// Takes the header of a proxy away, if there is one.
    ///
    /// # Errors
    /// The client's own bytes are not reached.
    fn read_proxy_header(&mut self, bench: &Workbench, buffer: &mut [u8]) -> Result<(), Reading> {
        let Some(proxied) = &mut self.proxied else {
            return Ok(());
        };
        let violation = Reading::Ended(CloseReason::ProtocolViolation);
        match proxied.read(&self.socket, buffer) {
            ProxyStep::Wait => Err(Reading::Drained),
            ProxyStep::Done(source) => {
                self.proxied = None;
                self.peer = source.or(self.peer);
                if let Some(peer) = self.peer {
                    self.client.set_peer_ip(peer.ip().to_canonical());
                }
                self.outbound.trace_as(self.facts());
                Ok(())
            }
            ProxyStep::Closed => Err(Reading::Ended(CloseReason::ClientClosed)),
            ProxyStep::Failed => Err(Reading::Ended(CloseReason::ReadError)),
            ProxyStep::Cut => {
                self.complain(bench, &"the PROXY protocol header breaks off");
                Err(violation)
            }
            ProxyStep::Refused(error) => {
                self.complain(bench, &error);
                Err(violation)
            }
        }
    }

    /// Tells the log.
    pub(crate) fn complain(&self, bench: &Workbench, complaint: &dyn Display) {
        bench.events.complained(self.facts(), complaint);
    }

    fn complain_of(&self, bench: &Workbench, close: &Close, frame: &[u8]) {
        if let Some(text) = complaint(close.reason, frame) {
            self.complain(bench, &text);
        }
    }

    /// Shows a frame that came.
    #[cold]
    fn show(&self, bench: &Workbench, options: &TraceOptions, frame: &[u8]) {
        trace(frame, TraceDirection::In, options, |line| {
            bench.events.traced(self.facts(), line);
        });
    }

    /// Sends what the machine wrote, behind what this turn has staged for the connection already.
    pub(crate) fn send_answers(&self, bench: &mut Workbench) {
        if !bench.out.is_empty() {
            let destination: Arc<dyn Destination> = self.outbound.clone();
            bench.turn.send_raw(&destination, &bench.out);
            bench.out.clear();
        }
    }

    /// Speaks first: whatever comes before the protocol is done.
    ///
    /// # Errors
    /// The client is not let in, and is told why.
    pub(crate) fn greet(
        &mut self,
        admission: Admission,
        bench: &mut Workbench,
    ) -> Result<(), Close> {
        self.opening = None;
        self.client.greeting(&mut bench.out);
        let admitted = self.refuse(admission, bench);
        self.send_answers(bench);
        admitted
    }

    /// Greets a WebSocket client: its request was answered.
    ///
    /// # Errors
    /// As for [`Self::greet`].
    fn greet_upgraded(
        &mut self,
        now: Timestamp,
        admission: Admission,
        bench: &mut Workbench,
    ) -> Result<(), Close> {
        let findings = self.outbound.take_findings();
        self.forwarded_for = findings.forwarded_for;
        self.outbound.trace_as(self.facts());
        if let Some(introduction) = findings.introduction {
            self.client.introduce(now, introduction);
        }
        self.greet(admission, bench)
    }

    /// Whether the log knows it: a WebSocket peer is a client only when its request was accepted.
    pub(crate) fn is_known(&self) -> bool {
        self.kind == ConnectionKind::Client || self.opening.is_none()
    }

    /// Speaks first over the bare socket; the layers begin behind it.
    ///
    /// # Errors
    /// As for [`Self::greet`].
    pub(crate) fn greet_bare(
        &self,
        admission: Admission,
        bench: &mut Workbench,
    ) -> Result<(), Close> {
        self.client.greeting(&mut bench.out);
        let admitted = self.refuse(admission, bench);
        self.outbound.write_bare(std::mem::take(&mut bench.out));
        admitted
    }

    /// Writes why the client is not let in, if it is not.
    fn refuse(&self, admission: Admission, bench: &mut Workbench) -> Result<(), Close> {
        match admission {
            Admission::Granted => Ok(()),
            Admission::TooMany => Err(self.client.refuse_connection(&mut bench.out)),
            Admission::TooFast => Err(self.client.refuse_handshake(&mut bench.out)),
        }
    }

    /// Does what is due before the layers are ready. Returns why the connection ends, if it does.
    pub(crate) fn on_opening_due(
        &mut self,
        now: Timestamp,
        bench: &mut Workbench,
    ) -> Option<CloseReason> {
        match self.opening.as_mut()?.on_deadline(now) {
            Due::Close(reason) => {
                if reason == CloseReason::TlsHandshakeFailure {
                    self.handshake = Some(Handshake::TimedOut);
                }
                return Some(reason);
            }
            Due::Greet => {
                let admission = self.opening?.admission;
                return self
                    .greet_bare(admission, bench)
                    .err()
                    .map(|close| close.reason);
            }
            Due::Plain => {
                self.layered = !self.outbound.shed_layer(true);
                self.opening = None;
            }
            Due::Wait => {}
        }
        None
    }

    /// Notes what a layer made of bytes: whether it is ready for the protocol, or not needed.
    ///
    /// # Errors
    /// As for [`Self::greet`].
    fn on_layer_progress(&mut self, now: Timestamp, bench: &mut Workbench) -> Result<(), Close> {
        let Some(opening) = &mut self.opening else {
            return Ok(());
        };
        opening.begun = true;
        let (is_upgrade, admission) = (opening.is_upgrade, opening.admission);
        self.handshake = self.outbound.take_handshake();
        if !self.outbound.is_ready() {
            return Ok(());
        }
        if is_upgrade {
            return self.greet_upgraded(now, admission, bench);
        }
        self.layered = !self.outbound.shed_layer(false);
        if opening.greeted {
            self.opening = None;
            return Ok(());
        }
        self.greet(admission, bench)
    }

    /// What an end of the socket means while the layers are not ready.
    fn ended_in_opening(&mut self, reason: CloseReason) -> CloseReason {
        use CloseReason::{ClientClosed, ReadError, TlsHandshakeFailure};
        match self.opening {
            Some(opening)
                if matches!(reason, ClientClosed | ReadError)
                    && opening.is_handshake()
                    && !opening.is_upgrade =>
            {
                self.handshake = Some(Handshake::Failed {
                    error: if opening.begun {
                        "unexpected EOF"
                    } else {
                        "EOF"
                    }
                    .to_owned(),
                    is_probe: !opening.begun,
                });
                TlsHandshakeFailure
            }
            _ => reason,
        }
    }

    pub(crate) fn id(&self) -> ConnectionId {
        self.outbound.id()
    }

    pub(crate) fn facts(&self) -> ConnectionFacts<'_> {
        ConnectionFacts {
            id: self.id(),
            kind: self.kind,
            peer: self.peer,
            forwarded_for: self.forwarded_for,
            account: self.client.account(),
            identity: self.client.identity(),
        }
    }

    /// Takes the frames that were left when the last slice was over.
    fn go_on(&mut self, now: Timestamp, bench: &mut Workbench) -> Reading {
        let bytes = std::mem::take(&mut self.partial);
        let start = std::mem::take(&mut self.taken);
        match self.step(now, bench, &bytes[start..]) {
            // Nothing is copied again: a slice may be over after a few frames.
            Ok(used) if self.unfinished => {
                self.taken = start + used;
                self.partial = bytes;
            }
            Ok(used) => self.keep(&bytes[start + used..]),
            Err(close) => return Reading::Ended(close.reason),
        }
        Reading::More
    }

    /// The usual case: the beginning of a frame, if there is one, is put in front of what comes.
    fn read_behind_partial(
        &mut self,
        now: Timestamp,
        bench: &mut Workbench,
        buffer: &mut [u8],
    ) -> Reading {
        let held = self.partial.len();
        buffer[..held].copy_from_slice(&self.partial);
        let room = buffer.len() - held;
        let count = match received(self.socket.read(&mut buffer[held..])) {
            Ok(count) => count,
            Err(reading) => return reading,
        };
        self.client.on_data(now);
        let bytes = &buffer[..held + count];
        match self.step(now, bench, bytes) {
            Ok(used) => self.keep(&bytes[used..]),
            Err(close) => return Reading::Ended(close.reason),
        }
        self.after(count == room)
    }

    /// A large frame: gathered to its end and not beyond, so that it is decoded where it lies.
    fn read_into_partial(
        &mut self,
        now: Timestamp,
        bench: &mut Workbench,
        buffer: &mut [u8],
    ) -> Reading {
        let missing = self.needed.saturating_sub(self.partial.len());
        let room = match missing {
            0 => buffer.len(),
            missing => missing.min(buffer.len()),
        };
        let count = match received(self.socket.read(&mut buffer[..room])) {
            Ok(count) => count,
            Err(reading) => return reading,
        };
        self.client.on_data(now);
        gather(&mut self.partial, &buffer[..count], self.needed);
        if self.partial.len() >= self.needed {
            let bytes = std::mem::take(&mut self.partial);
            match self.step(now, bench, &bytes) {
                Ok(used) => self.keep(&bytes[used..]),
                Err(close) => return Reading::Ended(close.reason),
            }
        }
        self.after(count == room)
    }

    /// Bytes that something stands for on the wire: decoded piece by piece, so that neither memory nor the turn is theirs.
    fn read_through_layer(
        &mut self,
        now: Timestamp,
        bench: &mut Workbench,
        buffer: &mut [u8],
    ) -> Reading {
        let held = self.held.take();
        // Behind bytes that were held back there may be more by now.
        let mut filled = true;
        let mut wire = if let Some(held) = &held {
            &held[..]
        } else {
            let room = WIRE_READ_MAX.min(buffer.len());
            let count = match received(self.socket.read(&mut buffer[..room])) {
                Ok(count) => count,
                Err(Reading::Ended(reason)) => {
                    return Reading::Ended(self.ended_in_opening(reason));
                }
                Err(reading) => return reading,
            };
            self.client.on_data(now);
            filled = count == room;
            &buffer[..count]
        };
        let mut plain = Vec::new();
        let mut total = 0;
        loop {
            plain.clear();
            let decoded = self
                .outbound
                .decode(&mut wire, &mut plain, PLAIN_STEP_BYTES);
            if let Err(close) = self.on_layer_progress(now, bench) {
                return Reading::Ended(close.reason);
            }
            total += plain.len();
            if let Err(close) = self.step_plain(now, bench, &plain) {
                return Reading::Ended(close.reason);
            }
            if let Err(reason) = decoded {
                return self.end_after_frames(reason);
            }
            if plain.len() < PLAIN_STEP_BYTES {
                return self.after(filled);
            }
            if total >= PLAIN_TURN_BYTES || self.unfinished {
                self.held = Some(wire.to_vec());
                return Reading::More;
            }
        }
    }

    /// Ends the connection, after the frames that the slice has left.
    fn end_after_frames(&mut self, reason: CloseReason) -> Reading {
        if self.unfinished {
            self.ended = Some(reason);
            return Reading::More;
        }
        Reading::Ended(reason)
    }

    /// Takes plain bytes that came through a layer.
    fn step_plain(
        &mut self,
        now: Timestamp,
        bench: &mut Workbench,
        plain: &[u8],
    ) -> Result<(), Close> {
        if plain.is_empty() {
            return Ok(());
        }
        if self.partial.is_empty() {
            let used = self.step(now, bench, plain)?;
            self.keep(&plain[used..]);
            return Ok(());
        }
        self.partial.extend_from_slice(plain);
        if self.partial.len() >= self.needed {
            let bytes = std::mem::take(&mut self.partial);
            let used = self.step(now, bench, &bytes)?;
            self.keep(&bytes[used..]);
        }
        Ok(())
    }

    /// Keeps the beginning of a frame, or gives its buffer back.
    fn keep(&mut self, rest: &[u8]) {
        if rest.is_empty() {
            self.partial = Vec::new();
            return;
        }
        self.partial.clear();
        let needed = match rest.len() {
            // It is copied in front of what comes next: its buffer need not grow.
            ..=COPIED_MAX => rest.len(),
            _ => self.needed,
        };
        gather(&mut self.partial, rest, needed);
    }

    fn after(&self, filled: bool) -> Reading {
        if filled || self.read_closed || self.unfinished {
            Reading::More
        } else {
            Reading::Drained
        }
    }

    /// Decodes frames and does what they say, as long as the slice lasts; returns how many bytes that took.
    fn step(
        &mut self,
        now: Timestamp,
        bench: &mut Workbench,
        bytes: &[u8],
    ) -> Result<usize, Close> {
        let mut used = 0;
        let mut work = 0;
        let mut over_at = None;
        self.needed = 0;
        self.unfinished = false;
        while used < bytes.len() {
            if work >= WORK_PER_LOOK {
                work = 0;
                if self.outbound.is_closed() {
                    // Its end is on the way; nobody hears the rest.
                    return Ok(bytes.len());
                }
                let clock = bench.clock.now();
                if clock >= *over_at.get_or_insert_with(|| clock.plus(SLICE)) {
                    self.unfinished = true;
                    break;
                }
            }
            if bench.trace.is_none()
                && let Some(plain) = decode_plain_publish(&bytes[used..], self.client.limits())
                && self.client.passes(&plain.message)
            {
                work += 1 + self.publish(&plain.message, plain.rest, bench);
                used += plain.used;
                continue;
            }
            match decode(&bytes[used..], self.client.limits()) {
                Ok(Decoded::Frame { frame, used: size }) => {
                    if let Some(options) = &bench.trace {
                        self.show(bench, options, &bytes[used..used + size]);
                    }
                    let outcome =
                        self.client
                            .on_frame(now, frame, &self.subscriptions, &mut bench.out);
                    self.send_answers(bench);
                    match outcome {
                        Ok(action) => work += 1 + self.perform(action, bench),
                        Err(close) => {
                            self.complain_of(bench, &close, &bytes[used..used + size]);
                            return Err(close);
                        }
                    }
                    used += size;
                }
                Ok(Decoded::Incomplete { needed }) => {
                    self.needed = needed;
                    break;
                }
                Err(error) => {
                    let close = self.client.on_decode_error(error, &mut bench.out);
                    self.send_answers(bench);
                    self.complain_of(bench, &close, &bytes[used..]);
                    return Err(close);
                }
            }
        }
        Ok(used)
    }

    /// Does what the machine asks for, and says how much work that was beyond one frame.
    #[inline]
    fn perform(&mut self, action: Action<'_>, bench: &mut Workbench) -> usize {
        match action {
            Action::None => {}
            Action::Refused(refusal) => self.complain(bench, &refusal),
            Action::Publish(message) => return self.publish(&message, &[], bench),
            Action::Subscribe { filter, queue, sid } => {
                let sink = Sink::Connection(self.outbound.clone());
                let subscription = Arc::new(Subscription::new(filter, queue, sid, sink));
                self.subscriptions.insert(subscription.clone());
                bench.account.subscribe(subscription);
                return WORK_OF_SUBSCRIBE;
            }
            Action::Unsubscribe { sid, max } => {
                let ended = self.subscriptions.get(sid).is_some_and(|known| {
                    max.is_none_or(|max| {
                        bench.turn.settle();
                        bench.account.limit_deliveries(known, max.get())
                    })
                });
                if ended && let Some(subscription) = self.subscriptions.remove(sid) {
                    bench.account.unsubscribe(&subscription);
                    return WORK_OF_SUBSCRIBE;
                }
            }
            Action::Connected => self.refresh(),
            Action::Reconnected => {
                bench.retire(self.subscriptions.take());
                self.refresh();
            }
        }
        0
    }

    /// Publishes a message and says how much work that was; `rest` is what [`Turn::publish_as_is`] takes, or empty.
    #[inline]
    fn publish(&self, message: &Message<'_>, rest: &[u8], bench: &mut Workbench) -> usize {
        let receivers = bench
            .turn
            .publish_as_is(&bench.account, self.origin, message, rest);
        if receivers == 0 && !message.reply.is_empty() {
            let account = &bench.account;
            bench
                .turn
                .answer_no_responders(account, self.origin, message.subject, message.reply);
            return WORK_OF_NO_RESPONDERS;
        }
        receivers
    }

    /// Takes over what a CONNECT changed.
    fn refresh(&mut self) {
        self.origin = Origin {
            connection: Some(self.outbound.id()),
            no_echo: !self.client.echoes(),
            wants_no_responders: self.client.wants_no_responders(),
        };
        self.outbound
            .set_supports_headers(self.client.supports_headers());
        self.outbound.trace_as(self.facts());
    }
}

/// The bytes that a read call brought, or what it means that there are none.
fn received(result: io::Result<usize>) -> Result<usize, Reading> {
    match result {
        Ok(0) => Err(Reading::Ended(CloseReason::ClientClosed)),
        Ok(count) => Ok(count),
        Err(error) => Err(match error.kind() {
            io::ErrorKind::WouldBlock => Reading::Drained,
            io::ErrorKind::Interrupted => Reading::More,
            io::ErrorKind::ConnectionReset => Reading::Ended(CloseReason::ClientClosed),
            _ => Reading::Ended(CloseReason::ReadError),
        }),
    }
}
