//! One thread's turn: what arrived together is matched, staged and delivered together.

use std::sync::Arc;

use crate::mapper::Mapper;
use crate::matches::{Matches, Route};
use crate::memo::Memo;
use crate::random::Random;
use crate::staging::{ConnectionStaging, Consignment, LocalStaging, SharedBody, is_shared};
use crate::subscription::Admission;
use crate::{Account, Destination, Mappings, Message, Origin, Sink, Subscription};

/// The 503 answer up to the subject of the request.
const NO_RESPONDERS: &[u8] = b"NATS/1.0 503\r\nNats-Subject: ";

/// The staging area of one thread. It lives as long as its thread and is used turn after turn; buffers and remembered
/// matches stay in it.
pub struct Turn {
    memo: Memo,
    mapper: Mapper,
    staging: Staging,
    /// Subscriptions that took their last message and are to be removed.
    ended: Vec<Arc<Subscription>>,
    /// Kept for its memory; empty but during a flush.
    running: Vec<Consignment>,
    /// How often the flush under way has called receivers.
    rounds: u32,
}

/// What deliveries write to, apart from the memo that they read.
struct Staging {
    random: Random,
    connections: ConnectionStaging,
    locals: LocalStaging,
}

/// One message on its way to its receivers.
struct Publication<'a> {
    message: &'a Message<'a>,
    /// The subject it travels to.
    to: &'a [u8],
    origin: Origin,
    /// What follows the `sid` in a `MSG`, when it is known and may be copied; else empty.
    rest: &'a [u8],
    /// Upper bound of the receivers, to tell whether sharing the payload pays.
    receivers: usize,
    body: SharedBody,
}

impl Turn {
    /// A staging area with nothing in it; `seed` makes the choice of queue group members repeatable.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            memo: Memo::new(),
            mapper: Mapper::new(!seed),
            staging: Staging {
                random: Random::new(seed),
                connections: ConnectionStaging::new(),
                locals: LocalStaging::default(),
            },
            ended: Vec::new(),
            running: Vec::new(),
            rounds: 0,
        }
    }

    /// The same for a thread that has answers for many at once, most of which wait for nothing but them: from eight connections a
    /// flush on they are left to the threads that own them ([`Destination::hand_over`]).
    #[must_use]
    pub fn handing_over(seed: u64) -> Self {
        let mut turn = Self::new(seed);
        turn.staging.connections.hands_over = true;
        turn
    }

    /// Stages a message for everybody in the account who wants its subject, and returns how many that are: each plain
    /// subscription, and one member of each queue group. What a connection publishes is mapped before ([`Mappings`]).
    ///
    /// Much staged for one connection may be delivered at once; the rest waits for [`Self::flush`].
    pub fn publish(
        &mut self,
        account: &Arc<Account>,
        origin: Origin,
        message: &Message<'_>,
    ) -> usize {
        self.publish_as_is(account, origin, message, &[])
    }

    /// As [`Self::publish`], for a message that came as [`everjet_wire::PlainPublish`] with that `rest`, which its receivers get
    /// as it is.
    #[inline]
    pub fn publish_as_is(
        &mut self,
        account: &Arc<Account>,
        origin: Origin,
        message: &Message<'_>,
        rest: &[u8],
    ) -> usize {
        match account.mappings() {
            Some(mappings) if origin.connection.is_some() => {
                self.publish_mapped(account, mappings, origin, message, rest)
            }
            _ => self.stage(account, origin, message.subject, message, rest),
        }
    }

    /// As [`Self::publish`], for a message that travels to another subject than the one it shows: a consumer's delivery
    /// goes to an inbox and shows connections the stored subject. Parties inside the server get it under `to`.
    pub fn publish_to(
        &mut self,
        account: &Arc<Account>,
        origin: Origin,
        to: &[u8],
        message: &Message<'_>,
    ) -> usize {
        self.stage(account, origin, to, message, &[])
    }

    #[inline]
    fn stage(
        &mut self,
        account: &Arc<Account>,
        origin: Origin,
        to: &[u8],
        message: &Message<'_>,
        rest: &[u8],
    ) -> usize {
        let matches = self.memo.matches(account, to);
        if matches.len() == 0 {
            return 0;
        }
        let mut publication = Publication {
            message,
            to,
            origin,
            rest,
            receivers: matches.len(),
            body: SharedBody::default(),
        };
        let staged = self
            .staging
            .deliver(matches, &mut publication, &mut self.ended);
        self.memo.release_passing();
        if !self.ended.is_empty() {
            account.unsubscribe_all(&self.ended);
            self.ended.clear();
        }
        self.flush_full();
        staged
    }

    /// Delivers early what is staged for connections that get much.
    #[inline]
    fn flush_full(&mut self) {
        if self.staging.connections.has_full() {
            self.settle();
            self.staging.connections.flush_full();
        }
    }

    /// Has everything counted that was staged. Happens by itself before anything staged is delivered; only who is about to
    /// limit a subscription ([`Account::limit_deliveries`]) calls it.
    pub fn settle(&mut self) {
        self.memo.settle();
    }

    #[inline(never)]
    fn publish_mapped(
        &mut self,
        account: &Arc<Account>,
        mappings: &Mappings,
        origin: Origin,
        message: &Message<'_>,
        rest: &[u8],
    ) -> usize {
        let mut buffer = self.mapper.lend_buffer();
        let mapped = self
            .mapper
            .map(account.id(), mappings, message.subject, &mut buffer);
        let staged = mapped.map_or(0, |subject| {
            let mapped = Message {
                subject,
                ..*message
            };
            self.stage(account, origin, subject, &mapped, rest)
        });
        if staged == 0 && origin.wants_no_responders && !message.reply.is_empty() {
            self.mapper.note_unanswered(message.subject, mapped);
        }
        self.mapper.return_buffer(buffer);
        staged
    }

    /// Stages protocol bytes for one connection without matching, in order with what is published to it.
    pub fn send_raw(&mut self, destination: &Arc<dyn Destination>, bytes: &[u8]) {
        let connections = &mut self.staging.connections;
        connections.stage(destination, destination.id(), |batch| batch.push(bytes));
        self.flush_full();
    }

    /// Stages a message for one known connection and `sid` without matching, counting nothing: answers of the server
    /// that only the requester may see.
    pub fn send(&mut self, destination: &Arc<dyn Destination>, sid: &[u8], message: &Message<'_>) {
        let headers = destination.supports_headers();
        self.staging
            .connections
            .stage(destination, destination.id(), |batch| {
                everjet_wire::put_message(batch.inline_mut(), message, sid, headers);
            });
        self.flush_full();
    }

    /// Stages the 503 answer to a request that nobody took, when the publisher asked for such answers and has a plain
    /// subscription that `reply` matches. It does not count as a delivery of that subscription.
    ///
    /// The answer is what nats-server sends: status 503 without a description, and the subject of the request, which for the
    /// request that was just published is the mapped one.
    pub fn answer_no_responders(
        &mut self,
        account: &Account,
        origin: Origin,
        subject: &[u8],
        reply: &[u8],
    ) {
        let Some(connection) = origin.connection.filter(|_| origin.wants_no_responders) else {
            return;
        };
        let Some(subscription) = account.plain_subscription_of(connection, reply) else {
            return;
        };
        if let Sink::Connection(destination) = subscription.sink() {
            let subject = self.mapper.shown(subject);
            let headers = [NO_RESPONDERS, subject, b"\r\n\r\n"].concat();
            let message = Message {
                subject: reply,
                reply: b"",
                headers: &headers,
                payload: b"",
            };
            self.send(destination, subscription.sid(), &message);
        }
    }

    /// Delivers what is staged: once to every connection, then once to every receiver inside the server; what those
    /// stage is delivered too, until nothing is left.
    pub fn flush(&mut self) {
        self.mapper.forget_unanswered();
        self.rounds = 0;
        loop {
            self.flush_connections();
            if self.staging.locals.is_empty() {
                self.rounds = 0;
                return;
            }
            self.rounds = self.rounds.saturating_add(1);
            let mut running = std::mem::take(&mut self.running);
            self.staging.locals.take(&mut running);
            for (receiver, mut batch) in running.drain(..) {
                receiver.receive(&mut batch, self);
                self.staging.locals.recycle(batch);
            }
            self.running = running;
        }
    }

    /// Delivers what is staged for connections and leaves what is staged for receivers inside the server to
    /// [`Self::flush`]. For a receiver that must have its messages on their way before it lets another thread go on in
    /// its place.
    pub fn flush_connections(&mut self) {
        self.settle();
        self.staging.connections.flush();
    }

    /// How often the flush under way has called receivers inside the server: more than a few times means that their messages
    /// cause each other, and a receiver should go on elsewhere instead of keeping this thread. 0 outside a flush.
    #[must_use]
    pub fn rounds(&self) -> u32 {
        self.rounds
    }

    /// Whether nothing is staged.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.staging.connections.is_empty() && self.staging.locals.is_empty()
    }
}

impl Staging {
    #[inline]
    fn deliver(
        &mut self,
        matches: &mut Matches,
        publication: &mut Publication<'_>,
        ended: &mut Vec<Arc<Subscription>>,
    ) -> usize {
        let Matches {
            plain,
            queued,
            groups,
            prefixes,
        } = matches;
        if publication.receivers > 1 && is_shared(publication.message) {
            publication.rest = &[];
        }
        let mut staged = 0;
        for route in plain {
            staged += usize::from(self.deliver_to(route, prefixes, publication, ended));
        }
        for range in groups {
            let members = &mut queued[range.clone()];
            staged += usize::from(self.deliver_to_one(members, prefixes, publication, ended));
        }
        staged
    }

    /// Delivers to one member of a queue group: a uniformly random one, or the next after it that takes the message.
    fn deliver_to_one(
        &mut self,
        members: &mut [Route],
        prefixes: &[u8],
        publication: &mut Publication<'_>,
        ended: &mut Vec<Arc<Subscription>>,
    ) -> bool {
        let first = self.random.below(members.len());
        let (before, from) = members.split_at_mut(first);
        let mut candidates = from.iter_mut().chain(before);
        candidates.any(|member| {
            !is_closed(member.subscription.sink())
                && self.deliver_to(member, prefixes, publication, ended)
        })
    }

    /// Whether the subscription took the message.
    #[inline]
    fn deliver_to(
        &mut self,
        route: &mut Route,
        prefixes: &[u8],
        publication: &mut Publication<'_>,
        ended: &mut Vec<Arc<Subscription>>,
    ) -> bool {
        let origin = publication.origin;
        let connection = route.connection();
        if origin.no_echo && connection.is_some() && connection == origin.connection {
            return false;
        }
        match route.admit() {
            Admission::Refused => return false,
            Admission::Granted => {}
            Admission::Last => ended.push(route.subscription.clone()),
        }
        if !publication.rest.is_empty()
            && let Some(id) = connection
            && let Some(prefix) = route.prefix(prefixes)
            && self
                .connections
                .stage_at(route.slot, id, prefix, publication.rest)
        {
            return true;
        }
        self.render_to(route, publication);
        true
    }

    /// Delivers without anything prepared, or for the first time in a turn.
    fn render_to(&mut self, route: &mut Route, publication: &mut Publication<'_>) {
        let (message, origin) = (publication.message, publication.origin);
        let subscription = &route.subscription;
        match subscription.sink() {
            Sink::Local(receiver) => {
                let addressed = Message {
                    subject: publication.to,
                    ..*message
                };
                self.locals.stage(receiver, &addressed, origin);
            }
            Sink::Connection(destination) => {
                let id = route
                    .connection()
                    .expect("set when the sink is a connection");
                let slot = self.connections.slot(destination, id, route.slot);
                route.slot = slot;
                self.connections.stage_in(slot, |batch| {
                    let sid = subscription.sid();
                    if !publication.rest.is_empty() {
                        batch.push_forwarded(message.subject, sid, publication.rest);
                        return;
                    }
                    let headers = !message.headers.is_empty() && destination.supports_headers();
                    let receivers = publication.receivers;
                    publication
                        .body
                        .render(batch, message, sid, headers, receivers);
                });
            }
        }
    }
}

fn is_closed(sink: &Sink) -> bool {
    match sink {
        Sink::Connection(destination) => destination.is_closed(),
        Sink::Local(_) => false,
    }
}
