//! How a connection begins: what comes before its text protocol.

use std::time::Duration;

use everjet_conn::CloseReason;
use everjet_values::Timestamp;

use crate::layer::{Layer, Over};

/// How connections of one listener begin.
#[derive(Clone, Debug)]
pub struct OpeningPlan {
    /// Time from accept until all layers are ready for the text protocol.
    pub handshake_timeout: Duration,
    /// Whether the header of a proxy may come first, which says where the client connects from (`proxy_protocol`).
    pub proxy_header: bool,
}

impl Default for OpeningPlan {
    /// Nothing before the text protocol.
    fn default() -> Self {
        Self {
            handshake_timeout: Duration::from_secs(2),
            proxy_header: false,
        }
    }
}

impl OpeningPlan {
    /// The layers of a new connection, the lowest first, as one. `None` when the protocol is spoken on the bare socket.
    pub(crate) fn layer(&self) -> Option<Box<dyn Layer>> {
        let layers: Vec<Box<dyn Layer>> = Vec::new();
        layers
            .into_iter()
            .reduce(|lower, upper| Box::new(Over::new(lower, upper)))
    }
}

/// A connection on its way to the greeting.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opening {
    /// When it is given up.
    pub(crate) deadline: Timestamp,
    /// What it is then closed with.
    pub(crate) reason: CloseReason,
}
