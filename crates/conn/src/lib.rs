//! Connection machines: one per kind of connection. They take frames and the time, and return what the driver is to do;
//! answers to the peer are appended to a buffer. Nothing here does I/O.
//!
//! [`Client`] is the machine of a client connection.
#![forbid(unsafe_code)]

mod action;
mod client;
mod close;
mod complaint;
mod credentials;
mod facts;
mod introduction;
mod keepalive;
mod limits;
mod publish;
mod ready;

pub use action::{Action, Subscriptions};
pub use client::Client;
pub use close::{Close, CloseReason};
pub use complaint::{Refusal, complaint};
pub use credentials::Credentials;
pub use facts::{Peer, ServerFacts, TlsFacts};
pub use introduction::{Entrance, Introduction, PresetCredentials};
pub use limits::ClientLimits;
pub use ready::ClientIdentity;
