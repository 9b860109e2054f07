//! Fast batches: a publisher that numbers its messages and hears now and then how far they are stored.
//!
//! Each message is stored as any other; only what is said about them is less. What a message is in its batch stands in its reply
//! subject. Who publishes, and how far, belongs to the server that serves the stream: after a restart the publisher hears that its
//! batch is unknown. Words, codes and limits are those of nats-server 2.15.1.

mod call;
mod flow;

use everjet_api::{ApiError, BatchFlow, ErrorCode, StreamConfig, render_duplicate_batch_ack};
use everjet_values::{StreamSequence, Timestamp};
use everjet_wire::strip;

use crate::batch::without_level;
use crate::checks::{self, Admission, REQUEST_INFO};
use crate::machine::{Publish, Stream};
use crate::output::Output;

pub(crate) use call::is_call;
use call::{Call, Operation};
use flow::Ingest;
pub(crate) use flow::Ingests;

/// Longest id.
const ID_MAX: usize = 64;

/// The rules for a configuration.
///
/// # Errors
/// The error of nats-server.
pub(crate) fn check_config(config: &StreamConfig) -> Result<(), ApiError> {
    match config.allow_batched && config.mirror.is_some() {
        true => Err(ErrorCode::MirrorWithBatchPublish.error()),
        false => Ok(()),
    }
}

impl Stream {
    /// A message with the reply subject of a fast batch came. `reply` is where the publisher waits, empty when nobody is to be answered.
    ///
    /// # Errors
    /// The answer to a message that is in no batch, or with which its batch ends before anything was stored.
    #[inline(never)]
    pub(crate) fn take_ingested(
        &mut self,
        now: Timestamp,
        publish: &Publish<'_>,
        reply: &[u8],
        out: &mut Output,
    ) -> Result<(), ApiError> {
        let config = &self.state.config;
        checks::check_sealed(config)?;
        checks::check_message_size(config, publish)?;
        if !config.allow_batched {
            return Err(ErrorCode::BatchPublishDisabled.error());
        }
        let call = Call::parse(publish.reply);
        let call = call.ok_or_else(|| ErrorCode::BatchPublishInvalidPattern.error())?;
        if call.id.len() > ID_MAX {
            return Err(ErrorCode::BatchPublishInvalidBatchId.error());
        }
        // It is taken out, and put back when it goes on.
        let mut ingest = self.ingests.take(now, &call)?;
        let stripped =
            without_level(publish.headers).ok_or_else(|| ErrorCode::RequiredApiLevel.error())?;
        let publish = Publish {
            headers: stripped.as_deref().unwrap_or(publish.headers),
            ..*publish
        };
        if self.go_on(now, &mut ingest, &call, &publish, reply, out)? {
            self.ingests.put(call.id, ingest);
        }
        Ok(())
    }

    /// Returns whether the batch goes on.
    fn go_on(
        &mut self,
        now: Timestamp,
        ingest: &mut Ingest,
        call: &Call<'_>,
        publish: &Publish<'_>,
        reply: &[u8],
        out: &mut Output,
    ) -> Result<bool, ApiError> {
        if call.operation == Operation::Ping {
            return Ok(self.answer_ping(ingest, call, reply, out));
        }
        let expected = ingest.last + 1;
        if call.number != expected {
            out.effects.batch_flow(
                reply,
                &BatchFlow::Gap {
                    last_seq: expected,
                    seq: call.number,
                },
            );
            if !ingest.takes_gaps || call.number < expected {
                return Ok(finish(ingest, call, reply, out));
            }
        }
        if call.operation == Operation::End {
            ingest.last = call.number - 1;
            return Ok(finish(ingest, call, reply, out));
        }
        ingest.last = call.number;
        if call.number == 1 && call.operation == Operation::Store {
            out.effects.batch_flow(reply, &ingest.ack());
        }
        match self.ingest(now, publish, out) {
            Ok(Ingested::As(sequence)) => {
                ingest.stored = sequence;
                ingest.reached = call.number;
            }
            Ok(Ingested::Before(sequence)) => {
                if call.number == 1 && call.operation == Operation::StoreLast {
                    let id = String::from_utf8_lossy(call.id);
                    let stream = &self.state.config.name;
                    let body = render_duplicate_batch_ack(stream, sequence.0, &id);
                    out.effects.batch_answer(reply, body);
                    return Ok(false);
                }
                ingest.reached = call.number;
            }
            Err(error) if call.number == 1 && !ingest.takes_gaps => return Err(error),
            Err(error) => {
                let seq = call.number;
                out.effects
                    .batch_flow(reply, &BatchFlow::Err { seq, error });
                if ingest.takes_gaps && call.operation == Operation::Store {
                    return Ok(true);
                }
                ingest.last -= 1;
                return Ok(finish(ingest, call, reply, out));
            }
        }
        if call.operation == Operation::StoreLast {
            return Ok(finish(ingest, call, reply, out));
        }
        if let Some(ack) = ingest.next_ack(self.ingests.open() + 1) {
            out.effects.batch_flow(reply, &ack);
        }
        Ok(true)
    }

    fn answer_ping(
        &mut self,
        ingest: &mut Ingest,
        call: &Call<'_>,
        reply: &[u8],
        out: &mut Output,
    ) -> bool {
        if call.number > ingest.last {
            out.effects.batch_flow(
                reply,
                &BatchFlow::Gap {
                    last_seq: ingest.last + 1,
                    seq: call.number + 1,
                },
            );
            if !ingest.takes_gaps {
                return finish(ingest, call, reply, out);
            }
            ingest.last = call.number;
            ingest.reached = call.number;
            if let Some(ack) = ingest.next_ack(self.ingests.open() + 1) {
                out.effects.batch_flow(reply, &ack);
                return true;
            }
        }
        out.effects.batch_flow(reply, &ingest.acked());
        true
    }

    /// Stores a message as any other, without an answer of its own.
    fn ingest(
        &mut self,
        now: Timestamp,
        publish: &Publish<'_>,
        out: &mut Output,
    ) -> Result<Ingested, ApiError> {
        let wanted = self.is_wanted(publish.subject);
        match checks::all(&self.state, now, publish, wanted)? {
            Admission::Duplicate(sequence) => Ok(Ingested::Before(sequence)),
            Admission::Stored { has_request_info } => {
                let stripped = has_request_info.then(|| strip(publish.headers, &[REQUEST_INFO]));
                let publish = Publish {
                    headers: stripped.as_deref().unwrap_or(publish.headers),
                    ..*publish
                };
                self.store_counted(now, &publish, out).map(Ingested::As)
            }
            Admission::Skipped => Ok(Ingested::As(self.skip_message(now, publish, out))),
        }
    }
}

/// What became of a message.
enum Ingested {
    /// It has this sequence.
    As(StreamSequence),
    /// It is a duplicate of the message with this sequence.
    Before(StreamSequence),
}

/// The batch is over, and the publisher hears how far it came. Returns false, for it does not go on.
fn finish(ingest: &Ingest, call: &Call<'_>, reply: &[u8], out: &mut Output) -> bool {
    out.sync_wanted |= !reply.is_empty();
    out.effects
        .stored_batch(reply, ingest.stored, call.id, ingest.last);
    false
}
