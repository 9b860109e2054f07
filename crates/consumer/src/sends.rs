//! What leaves a consumer now: deliveries and statuses.

use std::ops::Range;

use everjet_store::StoredMessage;

/// One thing to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outgoing<'a> {
    /// A stored message for a client: an `MSG`/`HMSG` to the subscribers of `to` that shows the stored subject.
    Delivery {
        /// Whose subscribers get it: the reply subject of a pull request, or the deliver subject.
        to: &'a [u8],
        /// The subject it was stored under, which is the subject the client sees.
        subject: &'a [u8],
        /// The reply subject the client sees, `$JS.ACK...`.
        ack_reply: &'a [u8],
        /// Header block; empty means none.
        headers: &'a [u8],
        /// Payload.
        payload: &'a [u8],
    },
    /// An empty message with a status header block; the client sees `to` as its subject.
    Status {
        /// Whose subscribers get it.
        to: &'a [u8],
        /// Reply subject of flow control requests; empty means none.
        reply: &'a [u8],
        /// Header block, always present.
        headers: &'a [u8],
    },
}

/// What of a stored message is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content<'a> {
    /// All, as it was stored.
    Stored,
    /// With these headers in place of the stored ones.
    Headers(&'a [u8]),
    /// These headers and no payload.
    HeadersOnly(&'a [u8]),
}

impl<'a> Content<'a> {
    /// The headers that are delivered.
    pub(crate) fn headers<'b>(&self, message: &'b StoredMessage) -> &'b [u8]
    where
        'a: 'b,
    {
        match self {
            Self::Stored => message.headers(),
            Self::Headers(headers) | Self::HeadersOnly(headers) => headers,
        }
    }

    /// The same with other headers.
    pub(crate) fn with_headers<'b>(&self, headers: &'b [u8]) -> Content<'b> {
        match self {
            Self::Stored | Self::Headers(_) => Content::Headers(headers),
            Self::HeadersOnly(_) => Content::HeadersOnly(headers),
        }
    }

    /// Bytes of headers and payload that are delivered.
    pub(crate) fn size(&self, message: &StoredMessage) -> usize {
        match self {
            Self::Stored => message.headers().len() + message.payload().len(),
            Self::Headers(headers) => headers.len() + message.payload().len(),
            Self::HeadersOnly(headers) => headers.len(),
        }
    }
}

#[derive(Clone, Debug)]
enum Item {
    Delivery {
        message: StoredMessage,
        to: Range<u32>,
        ack_reply: Range<u32>,
        /// In place of the stored ones.
        headers: Option<Range<u32>>,
        has_payload: bool,
    },
    Status {
        to: Range<u32>,
        reply: Range<u32>,
        headers: Range<u32>,
    },
}

/// Everything to send, in order: one byte buffer and small items, so that a delivery costs no allocation of its own.
///
/// Bounded by the budget of [`poll`](crate::Dispatcher::poll): whoever drives a stream sends and clears it every turn.
#[derive(Clone, Debug, Default)]
pub struct Sends {
    bytes: Vec<u8>,
    items: Vec<Item>,
    payload_bytes: usize,
}

impl Sends {
    /// Nothing to send.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets everything and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.items.clear();
        self.payload_bytes = 0;
    }

    /// Adds a delivery.
    pub fn push_delivery(
        &mut self,
        to: &[u8],
        message: StoredMessage,
        ack_reply: &[u8],
        content: Content<'_>,
    ) {
        let to = self.put(to);
        let ack_reply = self.put(ack_reply);
        self.payload_bytes += content.size(&message);
        let (headers, has_payload) = match content {
            Content::Stored => (None, true),
            Content::Headers(headers) => (Some(self.put(headers)), true),
            Content::HeadersOnly(headers) => (Some(self.put(headers)), false),
        };
        self.items.push(Item::Delivery {
            message,
            to,
            ack_reply,
            headers,
            has_payload,
        });
    }

    /// Adds a status.
    pub fn push_status(&mut self, to: &[u8], reply: &[u8], headers: &[u8]) {
        let to = self.put(to);
        let reply = self.put(reply);
        let headers = self.put(headers);
        self.items.push(Item::Status { to, reply, headers });
    }

    /// What is to be sent, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Outgoing<'_>> {
        self.items.iter().map(|item| match item {
            Item::Delivery {
                message,
                to,
                ack_reply,
                headers,
                has_payload,
            } => Outgoing::Delivery {
                to: self.at(to),
                subject: message.subject(),
                ack_reply: self.at(ack_reply),
                headers: headers
                    .as_ref()
                    .map_or_else(|| message.headers(), |headers| self.at(headers)),
                payload: if *has_payload { message.payload() } else { b"" },
            },
            Item::Status { to, reply, headers } => Outgoing::Status {
                to: self.at(to),
                reply: self.at(reply),
                headers: self.at(headers),
            },
        })
    }

    /// How many things are to be sent.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is nothing to send.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Bytes that sending will take, without the text of the protocol.
    #[must_use]
    pub fn size(&self) -> usize {
        self.bytes.len() + self.payload_bytes
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
    u32::try_from(length).expect("a turn sends less than 4 GiB of subjects: polling is bounded")
}
