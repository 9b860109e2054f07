//! Sockets of clients: the listener, the reactors that own the connections, and their outbound buffers.
//!
//! A reactor is a thread that waits for readiness, reads, steps the machines of `everjet-conn`, publishes through its
//! [`Turn`](everjet_routing::Turn), and writes every destination once. Nothing here decides anything about the protocol.
//!
//! What is shared between threads: an outbound buffer per connection (a mutex, held for an append and one write), a
//! mailbox per reactor (a mutex, held for an append or a swap), the buffers of connections within the process (a mutex, held for a
//! copy), and counters.
#![forbid(unsafe_code)]

mod config;
mod connection;
mod error;
mod events;
mod in_process;
mod layer;
mod listener;
mod load;
mod mailbox;
mod network;
mod opening;
mod outbound;
mod partial;
mod pending;
mod pipe;
mod proxied;
mod reactor;
mod slots;
mod socket;
mod subscription_table;
mod throttle;
mod timers;
mod tls;
mod tracing;
mod websocket;

pub use config::{ListenerConfig, NetConfig, WriteTimeout};
pub use error::StartError;
pub use events::{ConnectionFacts, ConnectionKind, Events, Handshake};
pub use in_process::InProcessConnection;
pub use load::Placement;
pub use network::{NetCounters, Network};
pub use opening::OpeningPlan;
pub use tls::{TlsContext, TlsError, TlsSwitch};
pub use websocket::WebSocketPlan;
