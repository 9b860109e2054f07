//! The server's side of WebSocket (RFC 6455) as bytes: [`Upgrade`] reads the HTTP request and renders the answer, [`Decoder`] turns
//! frames into the bytes that they carry, [`Encoder`] does the reverse. Messages may be compressed (RFC 7692, without context takeover).
//!
//! What the bytes mean is not known here: the boundaries of messages mean nothing to the protocol above, as with nats-server. Nothing
//! here does I/O or reads the clock; who drives it bounds the time that a request may take.
#![forbid(unsafe_code)]

mod close;
mod decode;
mod encode;
mod header;
mod inflate;
mod mask;
mod origin;
mod request;
mod response;
mod upgrade;

pub use close::{CloseStatus, put_close};
pub use decode::{Cause, Decoder, End, Violation};
pub use encode::{Deflater, Encoder};
pub use origin::{Origin, OriginError, OriginRules};
pub use upgrade::{Cookies, Refusal, Request, Step, Upgrade, UpgradeRules};
