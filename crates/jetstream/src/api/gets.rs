//! Gets of one message that are answered by the thread that has the request, reactors included: when nobody works on the stream at
//! the moment, the message is durable and in memory, be it the server's or the operating system's. Then nobody has to be woken, and what
//! came together leaves together. Everything else goes the way of all other requests.

use std::sync::Arc;

use everjet_api::{ApiCall, OneMessage, render_message};
use everjet_routing::{Message, Origin, Turn};
use everjet_store::{Lookup, MessageView, ReadError, StoredMessage};
use everjet_stream::Looked;
use everjet_subject::has_wildcards;
use everjet_values::StreamSequence;

use super::{Request, direct};
use crate::actor::{StreamActor, Wait};
use crate::host::Host;

/// Gets of one stream that are looked up together, and how many and how much a reactor answers before it turns to others: a
/// get costs it about two microseconds, or the copy of its message.
const TOGETHER_MAX: usize = 64;
const IN_PLACE_MAX: usize = 512;
const IN_PLACE_BYTES_MAX: usize = 1 << 20;

/// A request for one message.
pub(super) struct Get<'a> {
    pub(super) message: Message<'a>,
    pub(super) origin: Origin,
    stream: &'a str,
    wanted: OneMessage<'a>,
    form: Form,
}

/// How a message is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// As a message.
    Direct,
    /// As JSON.
    Api,
}

/// What the stream says of a get.
enum Found {
    Message(Lookup<StoredMessage>),
    /// There is none.
    Nothing,
    /// The answer takes more than a look.
    Involved,
}

/// Who goes on with a get that could not be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A thread that may wait for the disk.
    Disk,
    /// The thread for everything.
    Api,
}

/// Answers gets that come together.
pub(super) struct Gets<'a> {
    host: &'a Host,
    /// Whether this thread may wait for the stream. It never waits for the disk.
    wait: Wait,
    /// Those that wait to be looked up, all of one stream.
    waiting: Vec<Get<'a>>,
    /// What may still be answered by this thread.
    count_left: usize,
    bytes_left: usize,
    /// For their memory.
    record: Vec<u8>,
    rendered: Vec<u8>,
}

impl<'a> Get<'a> {
    /// The get that a request is, if it is one that needs no search.
    pub(super) fn of(call: &ApiCall<'a>, message: Message<'a>, origin: Origin) -> Option<Self> {
        // A newer API than ours may be asked for; that is refused elsewhere.
        if !message.headers.is_empty() && !direct::serves_level(message.headers) {
            return None;
        }
        let (stream, wanted, form) = match *call {
            ApiCall::DirectGet {
                stream,
                subject: Some(subject),
            } if message.payload.is_empty() => {
                (stream, OneMessage::LastOf(subject.as_bytes()), Form::Direct)
            }
            ApiCall::DirectGet {
                stream,
                subject: None,
            } => (stream, OneMessage::parse(message.payload)?, Form::Direct),
            ApiCall::MsgGet { stream } => (stream, OneMessage::parse(message.payload)?, Form::Api),
            _ => return None,
        };
        let is_filter = matches!(wanted, OneMessage::LastOf(subject) if has_wildcards(subject));
        (!is_filter && !message.reply.is_empty()).then_some(Self {
            message,
            origin,
            stream,
            wanted,
            form,
        })
    }

    /// Whether it must not be answered before requests that were sent before it. Direct gets may be answered by any replica, and
    /// in any order.
    pub(super) fn keeps_its_place(&self) -> bool {
        self.form == Form::Api
    }

    /// As a request that others go on with.
    pub(super) fn to_request(&self) -> Request {
        Request::of(&self.message, self.origin)
    }
}

impl<'a> Gets<'a> {
    pub(super) fn new(host: &'a Host, wait: Wait) -> Self {
        Self {
            host,
            wait,
            waiting: Vec::new(),
            count_left: IN_PLACE_MAX,
            bytes_left: IN_PLACE_BYTES_MAX,
            record: Vec::new(),
            rendered: Vec::new(),
        }
    }

    /// Takes a get; what cannot be answered, of this and of those before, is left to `others`. The rest may wait for
    /// [`Gets::answer`].
    pub(super) fn push(
        &mut self,
        get: Get<'a>,
        turn: &mut Turn,
        others: &mut impl FnMut(&Get<'a>, Next),
    ) {
        let is_other = |first: &Get<'_>| first.stream != get.stream;
        if self.waiting.len() == TOGETHER_MAX || self.waiting.first().is_some_and(is_other) {
            self.answer(turn, others);
        }
        if self.count_left == 0 || self.bytes_left == 0 {
            return others(&get, Next::Api);
        }
        self.count_left -= 1;
        self.waiting.push(get);
    }

    /// Answers those that wait.
    pub(super) fn answer(&mut self, turn: &mut Turn, others: &mut impl FnMut(&Get<'a>, Next)) {
        let mut gets = std::mem::take(&mut self.waiting);
        if let Some(first) = gets.first() {
            match self.look_up(first.stream, &gets, turn) {
                Some((actor, found)) => {
                    for (get, found) in gets.iter().zip(found) {
                        if let Err(next) = self.answer_one(&actor, get, &found, turn) {
                            others(get, next);
                        }
                    }
                }
                None => gets.iter().for_each(|get| others(get, Next::Api)),
            }
        }
        gets.clear();
        self.waiting = gets;
    }

    /// Where the messages are. `None` when that takes waiting, or there is no such stream.
    fn look_up(
        &self,
        stream: &str,
        gets: &[Get<'_>],
        turn: &mut Turn,
    ) -> Option<(Arc<StreamActor>, Vec<Found>)> {
        let (actor, allows_direct) = self.host.registry.find_for_gets(stream)?;
        let found = actor.look_now(turn, self.wait, |stream| {
            // What is told of a stream must be durable as a whole; a message that is got directly must be.
            let is_durable = actor.is_durable(stream);
            let is_allowed = |form| match form {
                Form::Direct => allows_direct,
                Form::Api => is_durable,
            };
            let wanted: Vec<_> = gets.iter().map(|get| get.wanted).collect();
            let looked = stream.messages(&wanted).into_iter().zip(gets);
            let found = |(looked, get): (_, &Get<'_>)| {
                if is_allowed(get.form) {
                    found(looked, stream.durable())
                } else {
                    Found::Involved
                }
            };
            looked.map(found).collect()
        })?;
        Some((actor, found))
    }

    /// Answers if that takes no waiting.
    fn answer_one(
        &mut self,
        actor: &StreamActor,
        get: &Get<'_>,
        found: &Found,
        turn: &mut Turn,
    ) -> Result<(), Next> {
        if self.bytes_left == 0 {
            return Err(Next::Api);
        }
        let mut record = std::mem::take(&mut self.record);
        let answered = match found {
            Found::Message(Lookup::Ready(message)) => {
                self.show(actor, get, &message.view(), turn);
                Ok(())
            }
            Found::Message(Lookup::Cold(read)) => match read.message_now(&mut record) {
                Some(message) => {
                    self.show(actor, get, &message, turn);
                    Ok(())
                }
                None => Err(Next::Disk),
            },
            Found::Nothing if get.form == Form::Direct => {
                let status = direct::status_block(404, direct::NOT_FOUND);
                self.reply(get, &status, b"", turn);
                Ok(())
            }
            Found::Nothing | Found::Involved => Err(Next::Api),
        };
        self.record = record;
        answered
    }

    fn show(
        &mut self,
        actor: &StreamActor,
        get: &Get<'_>,
        message: &MessageView<'_>,
        turn: &mut Turn,
    ) {
        let mut rendered = std::mem::take(&mut self.rendered);
        rendered.clear();
        match get.form {
            Form::Direct => {
                rendered = direct::message_block(rendered, &actor.name, message);
                self.reply(get, &rendered, message.payload, turn);
            }
            Form::Api => {
                let parts = (message.headers, message.payload);
                render_message(
                    &mut rendered,
                    message.subject,
                    message.sequence,
                    parts,
                    message.time,
                );
                self.reply(get, b"", &rendered, turn);
            }
        }
        self.rendered = rendered;
    }

    fn reply(&mut self, get: &Get<'_>, headers: &[u8], payload: &[u8], turn: &mut Turn) {
        self.bytes_left = self
            .bytes_left
            .saturating_sub(headers.len() + payload.len());
        let message = Message {
            subject: get.message.reply,
            reply: b"",
            headers,
            payload,
        };
        turn.publish(self.host.registry.account(), Origin::SERVER, &message);
    }
}

/// What may be shown of a message that was looked for.
fn found(looked: Looked, durable: StreamSequence) -> Found {
    match looked {
        // What a power cut could still take back is not shown before it is durable.
        Ok((sequence, _)) if sequence > durable => Found::Involved,
        Ok((_, found)) => Found::Message(found),
        Err(ReadError::NotFound | ReadError::Deleted) => Found::Nothing,
        Err(_) => Found::Involved,
    }
}
