//! Direct gets of many messages: answered by reader threads, part by part, so that what others want to read comes in between.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use everjet_routing::{Message, Origin, Turn};
use everjet_store::{JournalBatch, Lookup};
use everjet_stream::{AfterPart, GetMany, OneOfMany};
use everjet_wire::HeaderBuilder;

use super::Request;
use super::direct::{NOT_FOUND, message_headers, status_block};
use crate::actor::{StreamActor, Wait};
use crate::host::Host;

/// Gets that may be under way in turns; more are answered one after the other, each as a whole.
const IN_TURNS_MAX: usize = 64;

/// A request for many messages that is being answered.
pub(super) struct ManyGets {
    host: Arc<Host>,
    actor: Arc<StreamActor>,
    many: GetMany,
    reply: Vec<u8>,
    is_plain: bool,
    /// For its memory.
    rendered: Vec<u8>,
}

impl ManyGets {
    /// `no_headers` goes for messages in order only; who gets the last messages of several subjects has to be told which.
    pub(super) fn new(
        host: Arc<Host>,
        actor: Arc<StreamActor>,
        many: GetMany,
        request: &Request,
        no_headers: bool,
    ) -> Self {
        Self {
            is_plain: no_headers && many.is_in_order(),
            host,
            actor,
            many,
            reply: request.reply.clone(),
            rendered: Vec::new(),
        }
    }

    /// Answers, or has a reader thread go on with it later. Only on threads that may wait.
    pub(super) fn run(mut self, turn: &mut Turn) {
        while self.give_part(turn) {
            // Bounded memory, whatever is asked for: what was rendered goes to who asked.
            turn.flush();
            let host = Arc::clone(&self.host);
            if host.gets_in_turns.fetch_add(1, Ordering::AcqRel) < IN_TURNS_MAX {
                host.readers().run(Box::new(move |turn| {
                    self.host.gets_in_turns.fetch_sub(1, Ordering::AcqRel);
                    self.run(turn);
                }));
                return;
            }
            host.gets_in_turns.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Whether there is more.
    fn give_part(&mut self, turn: &mut Turn) -> bool {
        let many = &mut self.many;
        let looked = self
            .actor
            .look_back(turn, Wait::Yes, |stream| many.go_on(stream));
        let Some(Lookup::Ready(part)) = looked else {
            // The stream is gone.
            self.reply(&status_block(404, NOT_FOUND), b"", turn);
            return false;
        };
        for message in &part.messages {
            self.show(message, turn);
        }
        let status = match part.then {
            AfterPart::More => return true,
            AfterPart::NotDurable => {
                // What a power cut could still take back is not shown before it is durable.
                turn.flush();
                match self
                    .host
                    .commit
                    .commit_and_wait(&mut JournalBatch::default())
                {
                    Ok(()) => return true,
                    Err(why) => status_block(500, &why),
                }
            }
            AfterPart::End {
                pending,
                last,
                up_to,
            } => {
                let mut number = itoa::Buffer::new();
                let mut block = HeaderBuilder::with_status(204, "EOB");
                block.push("Nats-Num-Pending", number.format(pending));
                block.push("Nats-Last-Sequence", number.format(last.0));
                if let Some(up_to) = up_to {
                    block.push("Nats-UpTo-Sequence", number.format(up_to.0));
                }
                block.finish()
            }
            AfterPart::NotFound => status_block(404, NOT_FOUND),
            AfterPart::NoResults => status_block(404, "No Results"),
            AfterPart::TooManyResults => status_block(413, "Too Many Results"),
            AfterPart::Unreadable(why) => status_block(500, &why),
        };
        self.reply(&status, b"", turn);
        false
    }

    fn show(&mut self, one: &OneOfMany, turn: &mut Turn) {
        let message = one.message.view();
        let mut rendered = std::mem::take(&mut self.rendered);
        if !self.is_plain {
            let mut number = itoa::Buffer::new();
            let mut block = message_headers(rendered, &self.actor.name, &message);
            block.push("Nats-Num-Pending", number.format(one.pending));
            block.push("Nats-Last-Sequence", number.format(one.previous.0));
            rendered = block.finish();
        }
        self.reply(&rendered, message.payload, turn);
        self.rendered = rendered;
    }

    fn reply(&self, headers: &[u8], payload: &[u8], turn: &mut Turn) {
        let message = Message {
            subject: &self.reply,
            reply: b"",
            headers,
            payload,
        };
        turn.publish(self.host.registry.account(), Origin::SERVER, &message);
    }
}
