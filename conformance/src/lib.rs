//! Black-box suites that run against any server executable: Everjet's, or nats-server.
//!
//! The library holds what the suites share: starting, stopping and killing a server process, a raw protocol client,
//! transcripts (the dialogue of a test as text) and JetStream requests without a client library. It knows no type of the product, so
//! that a test here can only fail for something the outside can see.
//!
//! Which executable is tested is decided by the environment, see [`executable`].
#![forbid(unsafe_code)]

mod backup;
pub mod endurance;
pub mod executable;
mod jetstream;
mod pki;
mod raw;
mod server;
mod transcript;
pub mod websocket;

pub use backup::{Backup, back_up, restore};
pub use jetstream::{JetStream, Reply};
pub use pki::{Certificate, Pki, TlsClient, TlsVersion};
pub use raw::{Message, RawClient};
pub use server::{ServerProcess, Signal};
pub use transcript::check;
