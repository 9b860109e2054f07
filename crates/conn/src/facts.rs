//! What the server says about itself, and what it knows about a peer.

use core::net::IpAddr;

use everjet_wire::ServerInfo;

/// The part of INFO that is the same for all clients.
///
/// Per connection the machine adds `client_id`, `client_ip`, `auth_required` and, after the first PONG,
/// `connect_info` and `remote_account`; `headers` and `max_payload` come from here and the limits.
#[derive(Clone, Debug)]
pub struct ServerFacts {
    /// The template.
    pub info: ServerInfo,
    /// The account of clients, shown as `remote_account`.
    pub account: String,
}

/// The other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The connection's number, `client_id` of INFO.
    pub id: u64,
    /// Where the client connects from, `client_ip` of INFO. `None` when that is not known (yet), or not a place.
    pub ip: Option<IpAddr>,
}

/// What INFO says about TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TlsFacts {
    /// `tls_required`: the client must upgrade.
    pub required: bool,
    /// `tls_available`: the client may upgrade.
    pub available: bool,
    /// `tls_verify`: the client must show a certificate.
    pub verify: bool,
}
