//! `$JS.API.>` as a subscription: pulls go to their stream at once, gets are answered when they can be, everything else goes to the
//! API thread.

use std::sync::Arc;

use everjet_api::{ApiCall, parse_api_subject};
use everjet_routing::{LocalReceiver, Message, MessageBatch, Origin, Turn};

use super::gets::{Get, Gets, Next};
use super::{ApiWorker, Request};
use crate::actor::{StreamActor, Wait};
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
        let mut on_disk = Vec::new();
        let mut others = |get: &Get<'_>, next| match next {
            Next::Disk => on_disk.push(get.to_request()),
            Next::Api => self.worker.queue(get.to_request()),
        };
        let mut gets = Gets::new(self.worker.host(), Wait::No);
        for (message, origin) in batch.iter() {
            // Unknown calls are not answered, as in nats-server.
            let Some(call) = parse_api_subject(message.subject) else {
                continue;
            };
            if let ApiCall::ConsumerNext { stream, .. } = call {
                self.pull(stream, &message, origin, &mut pulls, turn);
            } else {
                let get = Get::of(&call, message, origin);
                match get.filter(|get| !get.keeps_its_place() || self.worker.is_idle()) {
                    Some(get) => gets.push(get, turn, &mut others),
                    None => {
                        gets.answer(turn, &mut others);
                        self.worker.queue(Request::of(&message, origin));
                    }
                }
            }
        }
        gets.answer(turn, &mut others);
        self.worker.answer_from_disk(on_disk);
        for (actor, share) in pulls {
            actor.post_pulls(share, turn);
        }
    }
}
