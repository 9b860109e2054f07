//! Telling subscribers of batches that were given up.

use std::sync::Arc;

use everjet_routing::{Account, Message, Origin, Turn};
use everjet_stream::AbandonedBatch;
use everjet_values::{Entropy, Timestamp, token};
use serde::Serialize;

/// Subject of the advisory, before the name of the stream.
const SUBJECT: &str = "$JS.EVENT.ADVISORY.STREAM.BATCH_ABANDONED.";
/// Its type.
const TYPE: &str = "io.nats.jetstream.advisory.v1.stream_batch_abandoned";
/// Length of the names of advisories, as nats-server gives them.
const ID_LEN: usize = 22;

/// What subscribers get.
#[derive(Serialize)]
struct Advisory<'a> {
    r#type: &'a str,
    id: &'a str,
    timestamp: Timestamp,
    stream: &'a str,
    batch: &'a str,
    reason: &'a str,
}

/// Publishes an advisory for each, if anybody listens.
pub(crate) fn tell(
    account: &Arc<Account>,
    stream: &str,
    abandoned: &[AbandonedBatch],
    now: Timestamp,
    entropy: &dyn Entropy,
    turn: &mut Turn,
) {
    let subject = format!("{SUBJECT}{stream}");
    if !account.has_interest(subject.as_bytes()) {
        return;
    }
    for batch in abandoned {
        let advisory = Advisory {
            r#type: TYPE,
            id: &token(entropy, ID_LEN),
            timestamp: now,
            stream,
            batch: &String::from_utf8_lossy(&batch.id),
            reason: batch.reason.as_str(),
        };
        let payload = serde_json::to_vec(&advisory).expect("strings and times always serialise");
        let message = Message {
            subject: subject.as_bytes(),
            reply: b"",
            headers: b"",
            payload: &payload,
        };
        turn.publish(account, Origin::SERVER, &message);
    }
}
