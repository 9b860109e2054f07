//! The Everjet server: NATS and JetStream in one process, as a library to embed and as the binary `nats-server`.
//!
//! ```no_run
//! use everjet_server::Server;
//!
//! let server = Server::builder().host("127.0.0.1").port(0).jetstream("./jetstream_data").start()?;
//! println!("connect to {}", server.client_url());
//! server.stop();
//! # Ok::<(), everjet_server::ServerError>(())
//! ```
//!
//! Everything runs on threads of its own; no async runtime is needed. When the server is dropped it is stopped as by
//! [`Server::stop`].
#![forbid(unsafe_code)]

mod builder;
mod check;
mod connections;
mod domain;
mod error;
mod import;
mod key_file;
mod lame_duck;
mod log;
mod options;
mod reload;
mod seams;
mod server;
mod signals;
mod subcommand;
mod websocket;

pub mod cli;

pub use builder::ServerBuilder;
pub use error::ServerError;
pub use everjet_config::{
    CertificateFiles, CipherSuite, Curve, HandshakeFirst, TlsOptions, TlsVersion,
};
pub use everjet_jetstream::{
    Finding, Health, HealthStatus, ScrubOptions, ScrubProgress, Severity, SyncPolicy,
};
pub use everjet_net::{InProcessConnection, TlsError};
pub use everjet_subject::{MapDestination, MappingError, SubjectMapping};
pub use log::{Log, LogLevel, LogOptions};
pub use server::Server;

/// The version of Everjet.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
