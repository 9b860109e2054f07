//! What is known of a client before it says anything in the text protocol.

use std::sync::Arc;

use everjet_wire::{ConnectOptions, Secret};

/// A client that came in through another door than the one for plain clients.
#[derive(Clone, Debug)]
pub struct Introduction {
    /// The door.
    pub entrance: Arc<Entrance>,
    /// What counts in place of credentials that its CONNECT leaves out.
    pub preset: PresetCredentials,
}

/// A door: INFO tells the client its address instead of that for plain clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entrance {
    /// The name or address that is listened on, `host` of INFO.
    pub host: String,
    /// `port` of INFO.
    pub port: u16,
}

/// Credentials from elsewhere, such as cookies. What is empty does not count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PresetCredentials {
    /// For `user`.
    pub user: String,
    /// For `pass`.
    pub pass: Secret,
    /// For `auth_token`.
    pub token: Secret,
}

impl PresetCredentials {
    /// Fills in what the CONNECT leaves out. Each field by itself, as nats-server does it.
    pub(crate) fn fill_in(&self, options: &mut ConnectOptions) {
        if options.user.is_empty() {
            options.user.clone_from(&self.user);
        }
        if options.pass.is_empty() {
            options.pass.clone_from(&self.pass);
        }
        if options.auth_token.is_empty() {
            options.auth_token.clone_from(&self.token);
        }
    }
}
