//! Who published a message.

/// The number of a connection, unique for the life of the server process; clients see it as `client_id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// Who published a message, as far as delivery depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The publishing connection; `None` for the server itself.
    pub connection: Option<ConnectionId>,
    /// Whether subscriptions of the publishing connection itself are passed over (`echo: false`).
    pub no_echo: bool,
    /// Whether the publisher wants a 503 answer to a request that nobody takes (`no_responders: true`).
    pub wants_no_responders: bool,
}

impl Origin {
    /// The server itself: delivered to everybody, wants no answer.
    pub const SERVER: Self = Self {
        connection: None,
        no_echo: false,
        wants_no_responders: false,
    };
}
