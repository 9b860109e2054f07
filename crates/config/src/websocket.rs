//! The block `websocket { … }`: a second port, for clients that speak WebSocket.

use std::time::Duration;

use everjet_websocket::{Cookies, Origin, OriginRules};

use crate::reader::Reader;
use crate::unsupported::{self, Block};
use crate::{AuthorizationOptions, Entry, HandshakeFirst, Kind, ListenOptions, TlsOptions, Value};

const HANDSHAKE_TIMEOUT_DEFAULT: Duration = Duration::from_secs(2);

/// Headers that the answer to an upgrade request has already, or must not have.
const HEADERS_REFUSED: [&str; 5] = [
    "host",
    "content-length",
    "connection",
    "upgrade",
    "nats-no-masking",
];

/// The port for WebSocket clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebSocketOptions {
    /// Where they connect to. The port has no default; zero lets the operating system choose one (written as -1).
    pub listen: ListenOptions,
    /// TLS of this port; `None` for plain `ws`, which must be asked for with `no_tls`.
    pub tls: Option<TlsOptions>,
    /// Which pages may connect. Default all of them.
    pub origins: OriginRules,
    /// Time from the connection to a complete upgrade request. Default 2 s.
    pub handshake_timeout: Duration,
    /// Whether messages are compressed when the client wants it. Default no.
    pub compression: bool,
    /// What these clients must show, and how long they may take from the upgrade on; what is not set is the same as for all
    /// others.
    pub authorization: AuthorizationOptions,
    /// Names of the cookies that stand for what a CONNECT leaves out. Default none.
    pub cookies: Cookies,
    /// Headers added to the answer to an upgrade request, in their order. Default none.
    pub headers: Vec<(String, String)>,
    /// Time without traffic after which the server sends PING; `None` for the same as for all others.
    pub ping_interval: Option<Duration>,
}

impl Default for WebSocketOptions {
    fn default() -> Self {
        Self {
            listen: ListenOptions::default(),
            tls: None,
            origins: OriginRules::default(),
            handshake_timeout: HANDSHAKE_TIMEOUT_DEFAULT,
            compression: false,
            authorization: AuthorizationOptions::default(),
            cookies: Cookies::default(),
            headers: Vec::new(),
            ping_interval: None,
        }
    }
}

impl WebSocketOptions {
    /// Reads the block. `None` when something is wrong with it, which `reader` then knows.
    pub(crate) fn read(entry: &Entry, reader: &mut Reader) -> Option<Self> {
        let Kind::Table(table) = &entry.value.kind else {
            reader.mismatch(entry, "a block");
            return None;
        };
        let errors = reader.errors.len();
        let mut options = Self::default();
        let (mut has_port, mut no_tls) = (false, false);
        for inner in table.entries() {
            let key = inner.key.to_ascii_lowercase();
            match key.as_str() {
                "port" | "listen" => {
                    has_port = true;
                    if has_port_zero(&inner.value) {
                        reader.refuse(
                            inner,
                            "port 0 is not from 1 to 65535, or -1 for any free port",
                        );
                    } else {
                        options.listen.take(&key, inner, reader);
                    }
                }
                "no_tls" => no_tls = reader.boolean(inner).unwrap_or_default(),
                "tls" => options.tls = read_tls(inner, reader),
                _ => options.take(&key, inner, reader),
            }
        }
        if reader.errors.len() == errors {
            if !has_port {
                reader.refuse(entry, "websocket requires a port");
            }
            if !no_tls && options.tls.is_none() {
                reader.refuse(entry, "websocket requires TLS configuration");
            }
        }
        (reader.errors.len() == errors).then_some(options)
    }

    fn take(&mut self, key: &str, entry: &Entry, reader: &mut Reader) {
        match key {
            "host" | "net" => {
                self.listen.take(key, entry, reader);
            }
            "same_origin" => {
                self.origins.same_origin = reader.boolean(entry).unwrap_or_default();
            }
            "allowed_origins" | "allowed_origin" | "allow_origins" | "allow_origin" | "origins"
            | "origin" => self.origins.allowed = origins(entry, reader),
            "handshake_timeout" => {
                let timeout = reader.seconds_or_duration(entry);
                self.handshake_timeout = timeout
                    .filter(|timeout| !timeout.is_zero())
                    .unwrap_or(HANDSHAKE_TIMEOUT_DEFAULT);
            }
            "compress" | "compression" => {
                self.compression = reader.boolean(entry).unwrap_or_default();
            }
            "authorization" | "authentication" => self.authorization.take(entry, reader),
            "user_cookie" => self.cookies.user = reader.optional_text(entry),
            "pass_cookie" => self.cookies.pass = reader.optional_text(entry),
            "token_cookie" => self.cookies.token = reader.optional_text(entry),
            "headers" => self.headers = headers(entry, reader),
            "ping_interval" => {
                let interval = reader.duration(entry);
                self.ping_interval = interval.filter(|interval| !interval.is_zero());
            }
            key => unsupported::refuse(Block::WebSocket, key, entry, reader),
        }
    }
}

/// The handshake is always first, and within the time for the whole request.
fn read_tls(entry: &Entry, reader: &mut Reader) -> Option<TlsOptions> {
    let options = TlsOptions::read(entry, reader)?;
    if options.handshake_first != HandshakeFirst::Never {
        reader.refuse(
            entry,
            "websocket: \"handshake_first\" has no meaning here, the handshake always is",
        );
    }
    // A value of its own could not be kept apart from the time for the request.
    if options.timeout != TlsOptions::new("", "").timeout {
        reader.refuse(
            entry,
            "websocket: \"timeout\" of tls has no meaning here, \"handshake_timeout\" is for the whole request",
        );
    }
    Some(options)
}

/// nats-server takes port 0 for "no WebSocket".
fn has_port_zero(value: &Value) -> bool {
    match &value.kind {
        Kind::Integer(port) => *port == 0,
        Kind::Text(address) => address.ends_with(":0"),
        _ => false,
    }
}

fn origins(entry: &Entry, reader: &mut Reader) -> Vec<Origin> {
    let values = match &entry.value.kind {
        Kind::List(values) => &values[..],
        _ => std::slice::from_ref(&entry.value),
    };
    let mut origins = Vec::new();
    for value in values {
        let Kind::Text(text) = &value.kind else {
            reader.mismatch(entry, "texts such as \"https://example.com\"");
            continue;
        };
        match Origin::parse(text) {
            Ok(origin) => origins.push(origin),
            Err(error) => reader.refuse(
                entry,
                format!("unable to parse allowed origin {text:?}: {error}"),
            ),
        }
    }
    origins
}

fn headers(entry: &Entry, reader: &mut Reader) -> Vec<(String, String)> {
    let Kind::Table(table) = &entry.value.kind else {
        reader.mismatch(entry, "a block");
        return Vec::new();
    };
    let mut headers = Vec::new();
    for inner in table.entries() {
        let (name, value) = (&inner.key, reader.text(inner));
        let lower = name.to_ascii_lowercase();
        if HEADERS_REFUSED.contains(&lower.as_str()) {
            let text = format!("websocket: invalid header {name:?} not allowed");
            reader.refuse(inner, text);
        } else if lower.starts_with("sec-websocket-") {
            let text = format!(
                "websocket: invalid header {name:?}, \"Sec-WebSocket-\" prefix not allowed"
            );
            reader.refuse(inner, text);
        } else if !is_header_name(name) || value.as_deref().is_some_and(has_control) {
            let text = format!("websocket: header {name:?} can not be written as one line");
            reader.refuse(inner, text);
        } else if let Some(value) = value {
            headers.push((name.clone(), value));
        }
    }
    headers
}

fn is_header_name(name: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(is_token)
}

fn has_control(value: &str) -> bool {
    value.bytes().any(|byte| byte.is_ascii_control())
}

#[cfg(test)]
mod tests;
