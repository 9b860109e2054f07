//! The JetStream API: requests on `$JS.API.>`. Gets of one message are answered where they arrive if that takes no waiting (`gets.rs`), all
//! else is worked off by one thread that may wait for streams. Questions whose answer is on disk go on to the reader threads, so that a
//! slow disk keeps nobody else's requests waiting.
//!
//! Finding who answers, permission to ask, and errors of the envelope are decided once, here and in `worker.rs`; one file for what
//! concerns streams, one for messages, one for consumers.

mod backups;
mod consumers;
mod direct;
mod gets;
mod inlet;
mod many;
mod messages;
mod streams;
mod worker;

pub(crate) use inlet::ApiInlet;
pub(crate) use worker::ApiWorker;

use std::sync::Arc;

use everjet_api::{API_AUDIT_SUBJECT, ApiError, ErrorCode, ResponseType, render_response};
use everjet_routing::{Message, Origin, Turn};
use everjet_store::{ColdRead, Lookup};
use everjet_stream::{Output, Stream};
use everjet_values::Timestamp;
use serde::Serialize;

use crate::actor::{StreamActor, Wait};
use crate::host::Host;

/// A request, owned: it outlives the turn it came with.
pub(crate) struct Request {
    pub(crate) subject: Vec<u8>,
    pub(crate) reply: Vec<u8>,
    pub(crate) headers: Vec<u8>,
    pub(crate) body: Vec<u8>,
    pub(crate) origin: Origin,
}

impl Request {
    fn of(message: &Message<'_>, origin: Origin) -> Self {
        Self {
            subject: message.subject.to_vec(),
            reply: message.reply.to_vec(),
            headers: message.headers.to_vec(),
            body: message.payload.to_vec(),
            origin,
        }
    }

    fn message(&self) -> Message<'_> {
        Message {
            subject: &self.subject,
            reply: &self.reply,
            headers: &self.headers,
            payload: &self.body,
        }
    }

    fn bytes(&self) -> usize {
        self.body.len() + self.headers.len()
    }
}

/// How a call ends.
enum Answer {
    /// Send this.
    Now(Vec<u8>),
    /// The answer leaves with the effects of the stream, once what it tells of is durable.
    WithEffects,
    /// There is nothing to say, or it was said.
    Silence,
    /// The disk has to be waited for: to be asked again by a thread that may.
    Later,
}

/// One call being worked on.
struct Call<'a> {
    host: &'a Arc<Host>,
    request: &'a Request,
    kind: ResponseType,
    turn: &'a mut Turn,
    /// Whether this thread may wait for old messages.
    wait: Wait,
    /// Whether somebody listens to what is asked and answered.
    is_audited: bool,
    /// What is to be done when the answer has left.
    afterwards: Option<Box<dyn FnOnce()>>,
}

impl Call<'_> {
    /// The stream of that name.
    fn stream(&self, name: &str) -> Result<Arc<StreamActor>, ApiError> {
        let registry = &self.host.registry;
        registry
            .find(name)
            .ok_or_else(|| match registry.offline(name) {
                Some(stream) => ErrorCode::StreamOfflineReason.because(stream.why),
                None => ErrorCode::StreamNotFound.error(),
            })
    }

    /// Runs `work`, which changes the stream; its answer leaves when the change is durable.
    fn change<T: Serialize>(
        &mut self,
        actor: &Arc<StreamActor>,
        work: impl FnOnce(&mut Stream, Timestamp, &mut Output) -> Result<T, ApiError>,
    ) -> Result<Answer, ApiError> {
        self.change_reading(actor, |_| None, work)
    }

    /// As [`Call::change`], after what `needed` names was read. The stream goes on meanwhile.
    fn change_reading<T: Serialize>(
        &mut self,
        actor: &Arc<StreamActor>,
        needed: impl Fn(&Stream) -> Option<ColdRead>,
        work: impl FnOnce(&mut Stream, Timestamp, &mut Output) -> Result<T, ApiError>,
    ) -> Result<Answer, ApiError> {
        if actor.is_on_disk() && self.host.commit.is_stuck() {
            return Err(ErrorCode::StorageResourcesExceeded.error());
        }
        let (host, request, kind) = (self.host, self.request, self.kind);
        let is_audited = self.is_audited;
        let mut work = Some(work);
        // What changes a stream keeps its place among the requests.
        let worked = actor.with_reads(self.turn, Wait::Yes, |stream, now, output| {
            if let Some(read) = needed(stream) {
                return Lookup::Cold(read);
            }
            let work = work.take().expect("it is asked for an answer once");
            Lookup::Ready(work(stream, now, output).map(|answer| {
                let body = render_response(kind, Ok(answer));
                if is_audited {
                    let audit = host.advisories.audit(request, &body);
                    output.effects.respond(API_AUDIT_SUBJECT.as_bytes(), audit);
                }
                output.effects.respond(&request.reply, body);
                output.sync_wanted = true;
                Answer::WithEffects
            }))
        });
        answer_of(worked)
    }

    /// The journal failed or a write to it does not return: who waits for it waits in vain.
    pub(super) fn nothing_becomes_durable(&self) -> bool {
        self.host.commit.failure().is_some() || self.host.commit.is_stuck()
    }

    /// Runs `work`, which only looks. What it tells of is durable when the answer leaves.
    fn read<T: Serialize>(
        &mut self,
        actor: &Arc<StreamActor>,
        mut work: impl FnMut(&mut Stream, Timestamp) -> Result<T, ApiError>,
    ) -> Result<Answer, ApiError> {
        self.read_cold(actor, |stream, now| work(stream, now).map(Lookup::Ready))
    }

    /// As [`Call::read`], for work that may need what is on disk. Where that must not be waited for the answer is to ask again.
    fn read_cold<T: Serialize>(
        &mut self,
        actor: &Arc<StreamActor>,
        mut work: impl FnMut(&mut Stream, Timestamp) -> Result<Lookup<T>, ApiError>,
    ) -> Result<Answer, ApiError> {
        let (host, request, kind) = (self.host, self.request, self.kind);
        let is_audited = self.is_audited;
        let waits_in_vain = self.nothing_becomes_durable();
        let worked = actor.with_reads(self.turn, self.wait, |stream, now, output| {
            let result = match work(stream, now) {
                Ok(Lookup::Cold(read)) => return Lookup::Cold(read),
                Ok(Lookup::Ready(answer)) => Ok(answer),
                Err(error) => Err(error),
            };
            // While nothing more becomes durable, reading goes on with what there is.
            if waits_in_vain || actor.is_durable(stream) {
                let now = |answer| Answer::Now(render_response(kind, Ok(answer)));
                return Lookup::Ready(result.map(now));
            }
            // That something is gone may be as little durable as that it is there.
            let body = render_response(kind, result.as_ref());
            if is_audited && !is_unremarkable(kind, result.is_ok()) {
                let audit = host.advisories.audit(request, &body);
                output.effects.respond(API_AUDIT_SUBJECT.as_bytes(), audit);
            }
            output.effects.respond(&request.reply, body);
            Lookup::Ready(Ok(Answer::WithEffects))
        });
        answer_of(worked)
    }

    /// An answer that needs no stream.
    fn answer(&self, result: impl Serialize) -> Answer {
        Answer::Now(render_response(self.kind, Ok(result)))
    }

    /// The request must ask for nothing in its body.
    fn expect_empty(&self) -> Result<(), ApiError> {
        if everjet_api::is_empty_request(&self.request.body) {
            Ok(())
        } else {
            Err(ErrorCode::NotEmptyRequest.error())
        }
    }

    /// Reads the body as strictly as the server is configured to.
    fn body<T: everjet_api::Request>(&self) -> Result<T, ApiError> {
        if self.host.config.strict {
            everjet_api::decode_strict(&self.request.body)
        } else {
            everjet_api::decode_lenient(&self.request.body)
        }
    }

    /// As [`Call::body`], for requests that nobody needs to say anything in: what is neither object nor list is passed over, as in
    /// nats-server.
    fn body_if_any<T: everjet_api::Request>(&self) -> Result<T, ApiError> {
        match self.request.body.trim_ascii_start().first() {
            Some(b'{' | b'[') => self.body(),
            _ => Ok(T::default()),
        }
    }

    /// Publishes one message to the requester.
    fn reply(&mut self, headers: &[u8], payload: &[u8]) {
        if self.request.reply.is_empty() {
            return;
        }
        let message = Message {
            subject: &self.request.reply,
            reply: b"",
            headers,
            payload,
        };
        self.turn
            .publish(self.host.registry.account(), Origin::SERVER, &message);
    }
}

/// Whether an answer is neither counted nor advised of: messages are read too often for that.
fn is_unremarkable(kind: ResponseType, is_success: bool) -> bool {
    kind == ResponseType::StreamMsgGet && is_success
}

/// What came of working on a stream that may be gone by now.
fn answer_of(worked: Option<Lookup<Result<Answer, ApiError>>>) -> Result<Answer, ApiError> {
    match worked {
        Some(Lookup::Ready(answer)) => answer,
        Some(Lookup::Cold(_)) => Ok(Answer::Later),
        None => Err(ErrorCode::StreamNotFound.error()),
    }
}
