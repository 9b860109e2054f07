//! The NATS text protocol as bytes: [`decode()`] turns what a client sends into [`Frame`]s, the `put_*` functions write
//! what it receives; header blocks, `INFO`, `CONNECT` and the header of a proxy have their own types.
//!
//! Nothing here keeps state or decides anything: whether a frame is allowed, and what happens next, is up to the
//! machine of the connection.
#![forbid(unsafe_code)]

mod connect;
mod decode;
mod encode;
mod error;
mod frame;
mod headers;
mod info;
mod plain_publish;
mod proxy;
mod quoted;
mod trace;

pub use connect::{ConnectError, ConnectOptions, Secret, SubjectPermission};
pub use decode::{Decoded, Limits, decode};
pub use encode::{OK, PING, PONG, put_err, put_forwarded, put_hmsg, put_message, put_msg};
pub use error::DecodeError;
pub use frame::{Frame, Message};
pub use headers::{HeaderBuilder, Headers, strip};
pub use info::ServerInfo;
pub use plain_publish::{PlainPublish, decode_plain_publish};
pub use proxy::{PROXY_HEADER_PEEK, ProxyError, ProxyHeader, decode_proxy_header};
pub use quoted::put_quoted;
pub use trace::{TraceDirection, TraceOptions, trace};
