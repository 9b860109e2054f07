//! What calls of a [`Stream`](crate::Stream) want done.

use std::ops::Range;

use everjet_api::{ApiError, BatchFlow};
use everjet_consumer::Sends;
use everjet_store::JournalBatch;
use everjet_values::StreamSequence;

/// What calls of a [`Stream`](crate::Stream) want done. Calls append to it; whoever drives the stream empties and
/// reuses it.
#[derive(Default)]
pub struct Output {
    /// Records to commit, in order.
    pub journal: JournalBatch,
    /// Somebody waits until these records are durable (a publish with reply, an API change, a double acknowledgement);
    /// when it is false they may be synced later, together with others.
    pub sync_wanted: bool,
    /// To release after the records of `journal`, and all before them, are durable. When `journal` is empty they wait
    /// only for what was committed before.
    pub effects: Effects,
    /// To send now.
    pub sends: Sends,
}

impl Output {
    /// Nothing to do.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.journal.is_empty() && self.effects.is_empty() && self.sends.is_empty()
    }

    /// Forgets everything and keeps the memory.
    pub fn clear(&mut self) {
        self.journal.clear();
        self.sync_wanted = false;
        self.effects.clear();
        self.sends.clear();
    }
}

/// An answer that leaves once what it tells of is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect<'a> {
    /// The message is stored: a PubAck goes to `reply`.
    Stored {
        /// Where the publisher waits.
        reply: &'a [u8],
        /// Sequence of the message, of the original for a duplicate.
        sequence: StreamSequence,
        /// Whether the message id was seen before.
        duplicate: bool,
    },
    /// The message added to a counter: a PubAck with the sum goes to `reply`.
    Counted {
        /// Where the publisher waits.
        reply: &'a [u8],
        /// Sequence of the message.
        sequence: StreamSequence,
        /// The sum.
        value: &'a str,
    },
    /// A batch is stored: a PubAck goes to `reply`.
    StoredBatch {
        /// Where the publisher waits.
        reply: &'a [u8],
        /// Sequence of its last message.
        sequence: StreamSequence,
        /// Its id.
        id: &'a [u8],
        /// How many messages it has.
        count: u64,
    },
    /// The message was not stored: a PubAck with an error goes to `reply`.
    Refused {
        /// Where the publisher waits.
        reply: &'a [u8],
        /// Why.
        error: &'a ApiError,
    },
    /// An answer of the API, rendered.
    Respond {
        /// Where the requester waits.
        reply: &'a [u8],
        /// The answer.
        body: &'a [u8],
    },
    /// An acknowledgement was taken, or a message of a batch that is not committed yet: an empty message goes to `reply`.
    AckReply {
        /// Where the acknowledger or publisher waits.
        reply: &'a [u8],
    },
    /// Something about a fast batch goes to `reply`.
    BatchFlow {
        /// Where the publisher waits.
        reply: &'a [u8],
        /// The document.
        body: &'a [u8],
    },
    /// A stored message is published again.
    Republish {
        /// Its new subject.
        to: &'a [u8],
        /// Its headers, and where it is stored.
        headers: &'a [u8],
        /// Its body, or nothing.
        payload: &'a [u8],
    },
}

#[derive(Clone, Debug)]
enum Item {
    Stored {
        reply: Range<u32>,
        sequence: StreamSequence,
        duplicate: bool,
    },
    Counted {
        reply: Range<u32>,
        sequence: StreamSequence,
        value: Box<str>,
    },
    StoredBatch {
        reply: Range<u32>,
        sequence: StreamSequence,
        id: Range<u32>,
        count: u64,
    },
    Refused {
        reply: Range<u32>,
        error: Box<ApiError>,
    },
    Respond {
        reply: Range<u32>,
        body: Vec<u8>,
    },
    AckReply {
        reply: Range<u32>,
    },
    BatchFlow {
        reply: Range<u32>,
        body: Vec<u8>,
    },
    Republish(Box<Republished>),
}

/// A message that is published again. Payloads are not in the common buffer, which they would make large.
#[derive(Clone, Debug)]
struct Republished {
    to: Vec<u8>,
    headers: Vec<u8>,
    payload: Vec<u8>,
}

/// Answers that leave once the records before them are durable, in order: one byte buffer and small items.
#[derive(Clone, Debug, Default)]
pub struct Effects {
    bytes: Vec<u8>,
    items: Vec<Item>,
}

impl Effects {
    /// No answers.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a PubAck; without a reply subject nothing is added.
    pub fn stored(&mut self, reply: &[u8], sequence: StreamSequence, duplicate: bool) {
        if !reply.is_empty() {
            let reply = self.put(reply);
            self.items.push(Item::Stored {
                reply,
                sequence,
                duplicate,
            });
        }
    }

    /// Adds a PubAck with the value of a counter; without a reply subject nothing is added.
    pub fn counted(&mut self, reply: &[u8], sequence: StreamSequence, value: String) {
        if !reply.is_empty() {
            let reply = self.put(reply);
            self.items.push(Item::Counted {
                reply,
                sequence,
                value: value.into(),
            });
        }
    }
    /// Adds a PubAck for a batch; without a reply subject nothing is added.
    pub fn stored_batch(&mut self, reply: &[u8], sequence: StreamSequence, id: &[u8], count: u64) {
        if !reply.is_empty() {
            let (reply, id) = (self.put(reply), self.put(id));
            self.items.push(Item::StoredBatch {
                reply,
                sequence,
                id,
                count,
            });
        }
    }

    /// Adds a PubAck with an error; without a reply subject nothing is added.
    pub fn refused(&mut self, reply: &[u8], error: ApiError) {
        if !reply.is_empty() {
            let reply = self.put(reply);
            self.items.push(Item::Refused {
                reply,
                error: Box::new(error),
            });
        }
    }

    /// Adds an answer of the API; without a reply subject nothing is added.
    pub fn respond(&mut self, reply: &[u8], body: Vec<u8>) {
        if !reply.is_empty() {
            let reply = self.put(reply);
            self.items.push(Item::Respond { reply, body });
        }
    }

    /// Adds the answer to an acknowledgement, or to a message of a batch that is not committed yet; without a reply subject nothing is added.
    pub fn ack_reply(&mut self, reply: &[u8]) {
        if !reply.is_empty() {
            let reply = self.put(reply);
            self.items.push(Item::AckReply { reply });
        }
    }

    /// Adds what the publisher of a fast batch hears; without a reply subject nothing is added.
    pub fn batch_flow(&mut self, reply: &[u8], flow: &BatchFlow) {
        self.batch_answer(reply, flow.render());
    }

    /// The same, rendered.
    pub fn batch_answer(&mut self, reply: &[u8], body: Vec<u8>) {
        if !reply.is_empty() {
            let reply = self.put(reply);
            self.items.push(Item::BatchFlow { reply, body });
        }
    }

    /// Adds a stored message that is published again.
    pub fn republish(&mut self, to: Vec<u8>, headers: Vec<u8>, payload: &[u8]) {
        self.items.push(Item::Republish(Box::new(Republished {
            to,
            headers,
            payload: payload.to_vec(),
        })));
    }

    /// The answers in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Effect<'_>> {
        self.items.iter().map(|item| match item {
            Item::Stored {
                reply,
                sequence,
                duplicate,
            } => Effect::Stored {
                reply: self.at(reply),
                sequence: *sequence,
                duplicate: *duplicate,
            },
            Item::Counted {
                reply,
                sequence,
                value,
            } => Effect::Counted {
                reply: self.at(reply),
                sequence: *sequence,
                value,
            },
            Item::StoredBatch {
                reply,
                sequence,
                id,
                count,
            } => Effect::StoredBatch {
                reply: self.at(reply),
                sequence: *sequence,
                id: self.at(id),
                count: *count,
            },
            Item::Refused { reply, error } => Effect::Refused {
                reply: self.at(reply),
                error,
            },
            Item::Respond { reply, body } => Effect::Respond {
                reply: self.at(reply),
                body,
            },
            Item::AckReply { reply } => Effect::AckReply {
                reply: self.at(reply),
            },
            Item::BatchFlow { reply, body } => Effect::BatchFlow {
                reply: self.at(reply),
                body,
            },
            Item::Republish(message) => Effect::Republish {
                to: &message.to,
                headers: &message.headers,
                payload: &message.payload,
            },
        })
    }

    /// How many answers wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether no answer waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Forgets all answers and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.items.clear();
    }

    fn put(&mut self, bytes: &[u8]) -> Range<u32> {
        let from = offset(self.bytes.len());
        self.bytes.extend_from_slice(bytes);
        from..offset(self.bytes.len())
    }

    fn at(&self, range: &Range<u32>) -> &[u8] {
        self.bytes
            .get(range.start as usize..range.end as usize)
            .expect("ranges were made by put and the buffer only grows until it is cleared")
    }
}

fn offset(length: usize) -> u32 {
    u32::try_from(length).expect("the reply subjects of a turn are far below 4 GiB")
}
