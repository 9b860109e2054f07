//! The configuration language of nats-server, the options that this version of the server has, and its command line.
//!
//! Nothing here reads a file or the environment: [`Sources`] is the seam, implemented by the server. Every key that
//! nats-server knows is known here too; those that are not built are refused by name, so that no option is accepted
//! and then ignored.

#![forbid(unsafe_code)]

mod advertise;
mod args;
mod authorization;
mod cursor;
mod encryption;
mod error;
mod files;
mod flags;
mod jetstream;
mod lame_duck;
mod limits;
mod listen;
mod logging;
mod mappings;
mod options;
mod overrides;
mod parser;
mod reader;
mod scalar;
mod signal;
mod text;
mod tls;
mod unsupported;
mod value;
mod websocket;

pub use advertise::Advertise;
pub use args::{Invocation, parse_args, usage};
pub use authorization::{AuthorizationOptions, Credentials};
pub use encryption::{EncryptionOptions, Secret, StoreCipher};
pub use error::{ConfigError, ConfigErrors, Position};
pub use files::FileOptions;
pub use jetstream::{JetStreamOptions, SyncPolicy};
pub use lame_duck::LameDuckOptions;
pub use limits::{LimitOptions, WriteTimeout};
pub use listen::ListenOptions;
pub use logging::LoggingOptions;
pub use options::{Loaded, Options, load};
pub use overrides::Overrides;
pub use parser::{Sources, parse};
pub use signal::{SignalCommand, SignalRequest};
pub use tls::{CertificateFiles, CipherSuite, Curve, HandshakeFirst, TlsOptions, TlsVersion};
pub use value::{Entry, Kind, Table, Value};
pub use websocket::WebSocketOptions;
