//! What a client connection may do.

use std::time::Duration;

use crate::Credentials;

/// Limits and rules of client connections, shared by all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientLimits {
    /// Longest control line in bytes (`max_control_line`).
    pub control_line_max: usize,
    /// Largest message in bytes, headers included (`max_payload`).
    pub payload_max: usize,
    /// Most subscriptions of one connection; 0 for no limit (`max_subscriptions`).
    pub subscriptions_max: usize,
    /// Most tokens of a filter; 0 for no limit (`max_subscription_tokens`).
    pub subscription_tokens_max: usize,
    /// How often the server sends PING to a silent client (`ping_interval`).
    pub ping_interval: Duration,
    /// PINGs that may be unanswered when the next one is due (`ping_max`).
    pub ping_max: u32,
    /// What a client must show; `None` lets everybody in without CONNECT.
    pub credentials: Option<Credentials>,
    /// Time from accept until valid credentials were shown (`authorization.timeout`).
    pub auth_timeout: Duration,
}

impl Default for ClientLimits {
    /// The defaults of nats-server.
    fn default() -> Self {
        Self {
            control_line_max: 4096,
            payload_max: 1024 * 1024,
            subscriptions_max: 0,
            subscription_tokens_max: 0,
            ping_interval: Duration::from_secs(120),
            ping_max: 2,
            credentials: None,
            auth_timeout: Duration::from_secs(2),
        }
    }
}
