//! `$JS.API.>` as a subscription: pulls go to their stream at once, everything else to the API thread.

use std::sync::Arc;

use everjet_api::{ApiCall, parse_api_subject};
use everjet_routing::{LocalReceiver, Message, MessageBatch, Origin, Turn};

use super::{ApiWorker, Request};
use crate::actor::StreamActor;
use crate::registry::Registry;

/// Takes `$JS.API.>`.
pub(crate) struct ApiInlet {
    registry: Arc<Registry>,
    worker: Arc<ApiWorker>,
}

impl ApiInlet {
    pub(crate) fn new(registry: Arc<Registry>, worker: Arc<ApiWorker>) -> Self {
        Self { registry, worker }
    }

    fn pull(
        &self,
        stream: &str,
        message: &Message<'_>,
        origin: Origin,
        pulls: &mut Vec<(Arc<StreamActor>, MessageBatch)>,
        turn: &mut Turn,
    ) {
        if let Some((_, batch)) = pulls.iter_mut().find(|(actor, _)| *actor.name == *stream) {
            batch.push(message, origin);
        } else if let Some(actor) = self.registry.find(stream) {
            let mut batch = MessageBatch::new();
            batch.push(message, origin);
            pulls.push((actor, batch));
        } else {
            // nats-server has no subscription for consumers that do not exist, so the requester hears that nobody listens.
            turn.answer_no_responders(
                self.registry.account(),
                origin,
                message.subject,
                message.reply,
            );
        }
    }
}

impl LocalReceiver for ApiInlet {
    fn receive(&self, batch: &mut MessageBatch, turn: &mut Turn) {
        let mut pulls = Vec::new();
        for (message, origin) in batch.iter() {
            match parse_api_subject(message.subject) {
                Some(ApiCall::ConsumerNext { stream, .. }) => {
                    self.pull(stream, &message, origin, &mut pulls, turn)
                }
                // Unknown calls are not answered, as in nats-server.
                None => {}
                Some(_) => self.worker.queue(Request {
                    subject: message.subject.to_vec(),
                    reply: message.reply.to_vec(),
                    headers: message.headers.to_vec(),
                    body: message.payload.to_vec(),
                    origin,
                }),
            }
        }
        for (actor, share) in pulls {
            actor.post_pulls(share, turn);
        }
    }
}
