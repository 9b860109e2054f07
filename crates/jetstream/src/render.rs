//! From what a stream wants said to what clients get.

use std::sync::Arc;

use everjet_api::{
    ApiError, ErrorCode, PubAcks, ResponseType, render_batch_ack, render_counter_ack, render_error,
    render_pub_ack, render_pub_ack_error,
};
use everjet_routing::{Account, Message, Origin, Turn};
use everjet_stream::{Effect, Effects, Outgoing, Sends};

/// Header block that answers a publish when too much waits for the disk.
const TOO_MANY_REQUESTS: &[u8] = b"NATS/1.0 429 Too Many Requests\r\n\r\n";

/// Why publishes are refused before the stream sees them.
pub(crate) enum Refusal {
    /// The disk is full, or file streams hold what they may.
    NoSpace,
    /// Memory streams hold what they may.
    NoMemory,
    /// The journal failed, with the reason.
    JournalFailed(String),
    /// Too much waits for the disk.
    TooManyRequests,
}

impl Refusal {
    /// Tells the publisher at `reply`, at once: what is refused waits for nothing.
    pub(crate) fn answer(
        &self,
        account: &Arc<Account>,
        stream: &str,
        reply: &[u8],
        turn: &mut Turn,
    ) {
        if reply.is_empty() {
            return;
        }
        let error = match self {
            Self::NoSpace => ErrorCode::StorageResourcesExceeded.error(),
            Self::NoMemory => ErrorCode::MemoryResourcesExceeded.error(),
            Self::JournalFailed(why) => journal_failed(why),
            Self::TooManyRequests => {
                let message = Message {
                    subject: reply,
                    reply: b"",
                    headers: TOO_MANY_REQUESTS,
                    payload: b"",
                };
                turn.publish(account, Origin::SERVER, &message);
                return;
            }
        };
        let mut payload = Vec::with_capacity(128);
        render_pub_ack_error(&mut payload, stream, &error);
        let message = Message {
            subject: reply,
            reply: b"",
            headers: b"",
            payload: &payload,
        };
        turn.publish(account, Origin::SERVER, &message);
    }
}

/// The error of everything that could not be made durable.
pub(crate) fn journal_failed(why: &str) -> ApiError {
    ErrorCode::StreamStoreFailed
        .error()
        .with("err", format_args!("not stored, the journal failed: {why}"))
}

/// The answer of the same type that says that what was asked for is not durable; `None` when the body is no answer.
fn failed_response(body: &[u8], why: &str) -> Option<Vec<u8>> {
    let kind = ResponseType::ALL.iter().copied().find(|kind| {
        let prefix = format!("{{\"type\":\"{}\"", kind.as_str());
        body.starts_with(prefix.as_bytes())
    });
    kind.map(|kind| render_error(kind, &journal_failed(why)))
}

/// Publishes the answers; with `failure` nothing is acknowledged and whoever waits is told why.
pub(crate) fn release(
    account: &Arc<Account>,
    (stream, domain): (&str, Option<&str>),
    effects: &Effects,
    failure: Option<&str>,
    turn: &mut Turn,
) {
    let mut acks = PubAcks::new(stream, domain);
    let mut payload = Vec::new();
    for effect in effects.iter() {
        payload.clear();
        let reply = match (effect, failure) {
            (
                Effect::Republish {
                    to,
                    headers,
                    payload,
                },
                None,
            ) => {
                let message = Message {
                    subject: to,
                    reply: b"",
                    headers,
                    payload,
                };
                turn.publish(account, Origin::SERVER, &message);
                continue;
            }
            (
                Effect::Stored {
                    reply,
                    sequence,
                    duplicate: false,
                },
                None,
            ) => {
                let ack = acks.stored(sequence.0);
                let message = Message {
                    subject: reply,
                    reply: b"",
                    headers: b"",
                    payload: ack.payload,
                };
                turn.publish_as_is(account, Origin::SERVER, &message, ack.rest);
                continue;
            }
            (
                Effect::Stored {
                    reply,
                    sequence,
                    duplicate: true,
                },
                None,
            ) => {
                render_pub_ack(&mut payload, stream, domain, sequence.0, true);
                reply
            }
            (
                Effect::Counted {
                    reply,
                    sequence,
                    value,
                },
                None,
            ) => {
                render_counter_ack(&mut payload, stream, domain, sequence.0, value);
                reply
            }
            (
                Effect::StoredBatch {
                    reply,
                    sequence,
                    id,
                    count,
                },
                None,
            ) => {
                let id = String::from_utf8_lossy(id);
                render_batch_ack(&mut payload, stream, None, sequence.0, &id, count);
                reply
            }
            (
                Effect::Stored { reply, .. }
                | Effect::Counted { reply, .. }
                | Effect::StoredBatch { reply, .. }
                | Effect::BatchFlow { reply, .. },
                Some(why),
            ) => {
                render_pub_ack_error(&mut payload, stream, &journal_failed(why));
                reply
            }
            (Effect::Refused { reply, error }, _) => {
                render_pub_ack_error(&mut payload, stream, error);
                reply
            }
            (Effect::Respond { reply, body }, None) => {
                payload.extend_from_slice(body);
                reply
            }
            (Effect::Respond { reply, body }, Some(why)) => {
                let Some(failed) = failed_response(body, why) else {
                    // An advisory of what is not durable.
                    continue;
                };
                payload.extend_from_slice(&failed);
                reply
            }
            // An acknowledgement that is not durable is not confirmed: its message comes again.
            // Nor is a message published again: it may not be stored.
            (Effect::AckReply { .. } | Effect::Republish { .. }, Some(_)) => continue,
            (Effect::AckReply { reply }, None) => reply,
            (Effect::BatchFlow { reply, body }, None) => {
                payload.extend_from_slice(body);
                reply
            }
        };
        let message = Message {
            subject: reply,
            reply: b"",
            headers: b"",
            payload: &payload,
        };
        turn.publish(account, Origin::SERVER, &message);
    }
}

/// Sends deliveries and statuses.
pub(crate) fn send(account: &Arc<Account>, sends: &Sends, turn: &mut Turn) {
    for outgoing in sends.iter() {
        match outgoing {
            Outgoing::Delivery {
                to,
                subject,
                ack_reply,
                headers,
                payload,
            } => {
                let message = Message {
                    subject,
                    reply: ack_reply,
                    headers,
                    payload,
                };
                turn.publish_to(account, Origin::SERVER, to, &message);
            }
            Outgoing::Status { to, reply, headers } => {
                let message = Message {
                    subject: to,
                    reply,
                    headers,
                    payload: b"",
                };
                turn.publish(account, Origin::SERVER, &message);
            }
        }
    }
}
