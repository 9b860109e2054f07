//! What subscribers are told about the API, streams and consumers. Rendered only when somebody listens.

use std::sync::Arc;

use everjet_api::{
    API_AUDIT_SUBJECT, Advice, AdvisedClient, AdvisoryFrame, ApiAudit, BatchAbandoned,
    ConsumerAdvice, StreamActed, StreamAction, render_advisory,
};
use everjet_routing::{Account, Message, Origin, Turn};
use everjet_stream::{AbandonedBatch, Advisory};
use everjet_values::{Clock, Entropy, token};

use crate::api::Request;

/// Length of names that are drawn, as nats-server gives them.
const NAME_LEN: usize = 22;

/// Makes advisories. Streams hear them as connections do: many keep `$JS.EVENT.>`.
pub(crate) struct Advisories {
    account: Arc<Account>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    server_name: String,
    domain: Option<String>,
}

impl Advisories {
    pub(crate) fn new(
        account: Arc<Account>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        (server_name, domain): (&str, Option<&str>),
    ) -> Self {
        Self {
            account,
            clock,
            entropy,
            server_name: server_name.to_owned(),
            domain: domain.map(str::to_owned),
        }
    }

    /// Name of the server.
    pub(crate) fn server_name(&self) -> &str {
        &self.server_name
    }

    /// A name that nothing else has.
    pub(crate) fn draw_name(&self) -> String {
        token(&*self.entropy, NAME_LEN)
    }

    /// Whether answers to API requests are advised of.
    pub(crate) fn is_audited(&self) -> bool {
        self.account.is_heard(API_AUDIT_SUBJECT.as_bytes())
    }

    /// The advisory about a request and its answer.
    pub(crate) fn audit(&self, request: &Request, response: &[u8]) -> Vec<u8> {
        self.render(&ApiAudit {
            server: &self.server_name,
            client: &self.client(request.origin),
            subject: &String::from_utf8_lossy(&request.subject),
            request: &String::from_utf8_lossy(&request.body),
            response: &String::from_utf8_lossy(response),
        })
    }

    /// Who asked, as far as it is known here.
    pub(crate) fn client(&self, origin: Origin) -> AdvisedClient {
        AdvisedClient {
            id: origin.connection.map_or(0, |connection| connection.0),
            acc: self.account.name().to_owned(),
            server: self.server_name.clone(),
            kind: "Client",
            client_type: "nats",
        }
    }

    /// The advisory of something that happened to a stream, and its subject; `None` when nobody listens.
    pub(crate) fn stream_acted(
        &self,
        stream: &str,
        action: StreamAction,
    ) -> Option<(String, Vec<u8>)> {
        let subject = action.subject(stream);
        let body = || self.render(&StreamActed { stream, action });
        self.account
            .is_heard(subject.as_bytes())
            .then(|| (subject, body()))
    }

    /// Tells subscribers of something that happened to a stream.
    pub(crate) fn tell_stream_acted(&self, stream: &str, action: StreamAction, turn: &mut Turn) {
        if let Some((subject, body)) = self.stream_acted(stream, action) {
            self.publish(&subject, &body, turn);
        }
    }

    /// Tells subscribers what happened to consumers of a stream.
    pub(crate) fn tell_of_consumers(&self, stream: &str, happened: &[Advisory], turn: &mut Turn) {
        for Advisory { consumer, event } in happened {
            let advice = ConsumerAdvice {
                account: self.account.name(),
                stream,
                consumer,
                event,
            };
            self.tell(&advice.subject(), &advice, turn);
        }
    }

    /// Tells subscribers of batches that a stream gave up.
    pub(crate) fn tell_abandoned(
        &self,
        stream: &str,
        abandoned: &[AbandonedBatch],
        turn: &mut Turn,
    ) {
        for batch in abandoned {
            let advice = BatchAbandoned {
                stream,
                batch: &String::from_utf8_lossy(&batch.id),
                reason: batch.reason.as_str(),
            };
            self.tell(&advice.subject(), &advice, turn);
        }
    }

    /// Tells subscribers, if there are any.
    pub(crate) fn tell<T: Advice>(&self, subject: &str, advice: &T, turn: &mut Turn) {
        if self.account.is_heard(subject.as_bytes()) {
            let body = self.render(advice);
            self.publish(subject, &body, turn);
        }
    }

    /// Publishes what was rendered.
    pub(crate) fn publish(&self, subject: &str, body: &[u8], turn: &mut Turn) {
        let message = Message {
            subject: subject.as_bytes(),
            reply: b"",
            headers: b"",
            payload: body,
        };
        turn.publish(&self.account, Origin::SERVER, &message);
    }

    fn render<T: Advice>(&self, advice: &T) -> Vec<u8> {
        let frame = AdvisoryFrame {
            id: &self.draw_name(),
            time: self.clock.now(),
            domain: self.domain.as_deref(),
        };
        render_advisory(frame, advice)
    }
}
