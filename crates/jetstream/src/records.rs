//! Records of the server itself in the journal: streams that come and go.

use everjet_api::StreamConfig;
use everjet_store::{JournalBatch, StreamId};
use everjet_values::{EntryIndex, Timestamp};
use serde::{Deserialize, Serialize};

/// Journal record kind of [`StreamCreated`]; such records belong to [`StreamId::SERVER`].
pub(crate) const STREAM_CREATED: u8 = 1;
/// Journal record kind of [`StreamDeleted`].
pub(crate) const STREAM_DELETED: u8 = 2;

/// A stream exists from the moment this record is durable.
#[derive(Serialize, Deserialize)]
pub(crate) struct StreamCreated {
    pub(crate) id: StreamId,
    pub(crate) account: String,
    pub(crate) name: String,
    pub(crate) created: Timestamp,
    pub(crate) config: StreamConfig,
}

impl StreamCreated {
    fn record(&self, batch: &mut JournalBatch) {
        push_json(batch, STREAM_CREATED, self);
    }
}

/// A stream is gone from the moment this record is durable.
#[derive(Serialize, Deserialize)]
pub(crate) struct StreamDeleted {
    pub(crate) id: StreamId,
}

impl StreamDeleted {
    fn record(&self, batch: &mut JournalBatch) {
        push_json(batch, STREAM_DELETED, self);
    }
}

fn push_json(batch: &mut JournalBatch, kind: u8, value: &impl Serialize) {
    let json =
        serde_json::to_vec(value).expect("maps with string keys and numbers always serialise");
    // Twice: damage to one record must not bring a deleted stream back, or lose a whole one.
    batch.push_twice(StreamId::SERVER, EntryIndex::ZERO, kind, |body| {
        body.extend_from_slice(&json);
    });
}

/// Adds to `batch` the record that creates a stream in `account`: it exists once the record is durable.
pub fn record_stream_created(
    batch: &mut JournalBatch,
    id: StreamId,
    account: &str,
    created: Timestamp,
    config: &StreamConfig,
) {
    let (account, name) = (account.to_owned(), config.name.clone());
    StreamCreated {
        id,
        account,
        name,
        created,
        config: config.clone(),
    }
    .record(batch);
}

/// Adds to `batch` the record that deletes a stream: it is gone once the record is durable.
pub fn record_stream_deleted(batch: &mut JournalBatch, id: StreamId) {
    StreamDeleted { id }.record(batch);
}
