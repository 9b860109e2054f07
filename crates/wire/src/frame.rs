//! What the decoder yields.

/// A message as it is published or delivered; every part borrows from the buffer it was read into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Message<'a> {
    /// Where it goes; not validated.
    pub subject: &'a [u8],
    /// Where answers go; empty when none are asked for.
    pub reply: &'a [u8],
    /// The whole header block, from `NATS/1.0` to the empty line inclusive; empty when there is none.
    pub headers: &'a [u8],
    /// The body, without headers.
    pub payload: &'a [u8],
}

/// One operation of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// `CONNECT {json}`: the JSON, undecoded; see [`ConnectOptions::parse`](crate::ConnectOptions::parse).
    Connect(&'a [u8]),
    /// `PUB` or `HPUB`.
    Publish(Message<'a>),
    /// `SUB subject [queue] sid`.
    Subscribe {
        /// The filter; not validated.
        subject: &'a [u8],
        /// The queue group; empty when there is none.
        queue: &'a [u8],
        /// The client's name for the subscription: an opaque token.
        sid: &'a [u8],
    },
    /// `UNSUB sid [max]`.
    Unsubscribe {
        /// The client's name for the subscription.
        sid: &'a [u8],
        /// Deliveries, counted from the `SUB`, after which the subscription ends; none means now.
        max: Option<u64>,
    },
    /// `PING`.
    Ping,
    /// `PONG`.
    Pong,
    /// `INFO {json}`: servers send it to each other; from a client it means nothing.
    Info(&'a [u8]),
    /// `+OK`.
    Ok,
    /// `-ERR text`: the text with its quotes.
    Err(&'a [u8]),
}
