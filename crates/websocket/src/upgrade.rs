//! The request that makes an HTTP connection a WebSocket one (RFC 6455, section 4.2).

use std::fmt;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::encode::Encoder;
use crate::origin::OriginRules;
use crate::request::{Head, Malformed};
use crate::response::{put_error, put_switching};

/// Longest request, cookies included.
const REQUEST_MAX: usize = 8 * 1024;

/// What a listener asks of upgrade requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpgradeRules {
    /// Which pages may connect.
    pub origins: OriginRules,
    /// Whether the listener is behind TLS: decides what the same origin is.
    pub tls: bool,
    /// Whether compression is agreed to when a client offers it.
    pub compression: bool,
    /// Names of the cookies with credentials.
    pub cookies: Cookies,
    /// Headers added to the answer.
    pub headers: Vec<(String, String)>,
}

/// What cookies say in place of the fields of CONNECT; in the rules, the names of these cookies.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Cookies {
    /// For `user`.
    pub user: Option<String>,
    /// For `pass`.
    pub pass: Option<String>,
    /// For `auth_token`.
    pub token: Option<String>,
}

impl fmt::Debug for Cookies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: &Option<String>| value.as_ref().map(|_| "[redacted]");
        f.debug_struct("Cookies")
            .field("user", &self.user)
            .field("pass", &shown(&self.pass))
            .field("token", &shown(&self.token))
            .finish()
    }
}

/// What an accepted request says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Whether compression was agreed on.
    pub compression: bool,
    /// How to write frames to this client.
    pub encoder: Encoder,
    /// Credentials from cookies.
    pub cookies: Cookies,
    /// Where a proxy says that the client is.
    pub forwarded_for: Option<IpAddr>,
}

/// What comes of the bytes of a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// The request is not complete.
    Incomplete,
    /// The answer is written, frames follow.
    Accepted(Request),
    /// The answer is written, the connection is to be closed.
    Refused(Refusal),
}

/// Why a request was refused. Shown as nats-server words it in its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The request is longer than 8 KiB.
    TooLong,
    /// It is no HTTP request.
    Malformed,
    /// An HTTP version other than 1.x.
    Version,
    /// A header's name has a character that none has.
    HeaderName,
    /// No `Host` header.
    NoHost,
    /// A `Host` header with characters that no host has.
    Host,
    /// The path is that of leaf nodes.
    LeafNode,
    /// The path is that of MQTT.
    Mqtt,
    /// The method is not GET.
    Method,
    /// The `Host` header is empty.
    EmptyHost,
    /// `Upgrade` does not say `websocket`.
    Upgrade,
    /// `Connection` does not say `Upgrade`.
    Connection,
    /// No `Sec-WebSocket-Key`.
    NoKey,
    /// A key that is not the base64 of 16 bytes.
    Key,
    /// A `Sec-WebSocket-Version` other than 13.
    WebSocketVersion,
    /// The page may not connect.
    Origin(&'static str),
}

impl Refusal {
    /// Status line and body of the answer, both as nats-server has them.
    fn answer(self) -> (&'static str, &'static str) {
        match self {
            Self::TooLong => (
                "431 Request Header Fields Too Large",
                "431 Request Header Fields Too Large",
            ),
            Self::Malformed => ("400 Bad Request", "400 Bad Request"),
            Self::Version => (
                "505 HTTP Version Not Supported",
                "505 HTTP Version Not Supported: unsupported protocol version",
            ),
            Self::HeaderName => ("400 Bad Request", "400 Bad Request: invalid header name"),
            Self::NoHost => (
                "400 Bad Request",
                "400 Bad Request: missing required Host header",
            ),
            Self::Host => ("400 Bad Request", "400 Bad Request: malformed Host header"),
            Self::LeafNode | Self::Mqtt => ("404 Not Found", "Not Found\n"),
            Self::Method => ("405 Method Not Allowed", "Method Not Allowed\n"),
            Self::EmptyHost
            | Self::Upgrade
            | Self::Connection
            | Self::NoKey
            | Self::Key
            | Self::WebSocketVersion => ("400 Bad Request", "Bad Request\n"),
            Self::Origin(_) => ("403 Forbidden", "Forbidden\n"),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "request larger than 8 KiB",
            Self::Malformed => "malformed HTTP request",
            Self::Version => "unsupported protocol version",
            Self::HeaderName => "invalid header name",
            Self::NoHost => "missing required Host header",
            Self::Host => "malformed Host header",
            Self::LeafNode => "not configured to accept leaf node connections",
            Self::Mqtt => "mqtt websocket endpoint not enabled",
            Self::Method => "request method must be GET",
            Self::EmptyHost => "'Host' missing in request",
            Self::Upgrade => "invalid value for header 'Upgrade'",
            Self::Connection => "invalid value for header 'Connection'",
            Self::NoKey => "key missing",
            Self::Key => "invalid websocket key",
            Self::WebSocketVersion => "invalid version",
            Self::Origin(why) => return write!(f, "origin not allowed: {why}"),
        })
    }
}

impl From<Malformed> for Refusal {
    fn from(malformed: Malformed) -> Self {
        match malformed {
            Malformed::Syntax => Self::Malformed,
            Malformed::Version => Self::Version,
            Malformed::HeaderName => Self::HeaderName,
            Malformed::NoHost => Self::NoHost,
            Malformed::Host => Self::Host,
        }
    }
}

/// The beginning of a connection: gathers the request, at most 8 KiB of it, and answers it.
#[derive(Debug, Default)]
pub struct Upgrade {
    head: Vec<u8>,
}

impl Upgrade {
    /// Takes bytes from the wire, up to the end of the request, and appends the answer to `answer` when it is there. Not to be called
    /// again after that.
    pub fn step(&mut self, wire: &mut &[u8], rules: &UpgradeRules, answer: &mut Vec<u8>) -> Step {
        let held = self.head.len();
        let fitting = wire.len().min(REQUEST_MAX - held);
        self.head.extend_from_slice(&wire[..fitting]);
        let Some(size) = end_of_head(&self.head, held) else {
            // Nothing is left to look at in what did not fit.
            *wire = &[];
            if self.head.len() < REQUEST_MAX {
                return Step::Incomplete;
            }
            return refuse(Refusal::TooLong, answer);
        };
        *wire = &wire[size - held..];
        self.head.truncate(size);
        let head = std::mem::take(&mut self.head);
        match accept(&head, rules, answer) {
            Ok(request) => Step::Accepted(request),
            Err(refusal) => refuse(refusal, answer),
        }
    }
}

fn refuse(refusal: Refusal, answer: &mut Vec<u8>) -> Step {
    let (status, body) = refusal.answer();
    put_error(answer, status, body);
    Step::Refused(refusal)
}

/// The size of the head with its empty line, of which the first `looked_at` bytes are known not to hold it.
fn end_of_head(bytes: &[u8], looked_at: usize) -> Option<usize> {
    let mut from = looked_at.saturating_sub(2);
    while let Some(at) = bytes[from..].iter().position(|&byte| byte == b'\n') {
        let behind = from + at + 1;
        match &bytes[behind..] {
            [b'\n', ..] => return Some(behind + 1),
            [b'\r', b'\n', ..] => return Some(behind + 2),
            _ => from = behind,
        }
    }
    None
}

fn accept(head: &[u8], rules: &UpgradeRules, answer: &mut Vec<u8>) -> Result<Request, Refusal> {
    let head = Head::parse(head)?;
    if head.path.ends_with("/mqtt") {
        return Err(Refusal::Mqtt);
    }
    if head.method != "GET" {
        return Err(Refusal::Method);
    }
    let host = head.first("host").unwrap_or_default();
    if host.is_empty() {
        return Err(Refusal::EmptyHost);
    }
    if !head.lists("upgrade", "websocket") {
        return Err(Refusal::Upgrade);
    }
    if !head.lists("connection", "upgrade") {
        return Err(Refusal::Connection);
    }
    let key = head.first("sec-websocket-key").unwrap_or_default();
    if key.is_empty() {
        return Err(Refusal::NoKey);
    }
    if STANDARD.decode(key).map(|key| key.len()) != Ok(16) {
        return Err(Refusal::Key);
    }
    if !head.lists("sec-websocket-version", "13") {
        return Err(Refusal::WebSocketVersion);
    }
    let origin = head.first("origin").filter(|origin| !origin.is_empty());
    let origin = origin.or_else(|| head.first("sec-websocket-origin"));
    rules
        .origins
        .check(origin, host, rules.tls)
        .map_err(Refusal::Origin)?;
    if head.path.ends_with("/leafnode") {
        return Err(Refusal::LeafNode);
    }
    let compression = rules.compression && offers_compression(&head);
    put_switching(answer, key, compression, &rules.headers);
    let agent = head.first("user-agent").unwrap_or_default();
    let browser = agent.starts_with("Mozilla/");
    Ok(Request {
        compression,
        encoder: Encoder {
            compression,
            browser,
            // Chrome calls itself Safari too, but without the version.
            safari: browser && agent.contains("Version/") && agent.contains("Safari/"),
        },
        cookies: cookies(&head, &rules.cookies),
        forwarded_for: head
            .first("x-forwarded-for")
            .and_then(|address| address.parse().ok()),
    })
}

/// Whether an extension of the list is the compression, and can be had as offered.
fn offers_compression(head: &Head<'_>) -> bool {
    head.all("sec-websocket-extensions")
        .flat_map(|value| value.split(','))
        .any(|extension| {
            let mut parts = extension.split(';').map(str::trim);
            let is_deflate = parts
                .next()
                .is_some_and(|name| name.eq_ignore_ascii_case("permessage-deflate"));
            is_deflate && parts.all(is_acceptable)
        })
}

/// Whether a parameter of the offer changes nothing, because it is a hint or what the server does anyway. Asking for a smaller window
/// is neither: the server does not have it.
fn is_acceptable(parameter: &str) -> bool {
    let name = parameter.split('=').next().unwrap_or_default().trim();
    !name.eq_ignore_ascii_case("server_max_window_bits")
}

fn cookies(head: &Head<'_>, names: &Cookies) -> Cookies {
    let value = |name: &Option<String>| {
        let name = name.as_deref()?;
        let same = head.cookies().filter(|(known, _)| *known == name);
        same.last().map(|(_, value)| value.to_owned())
    };
    Cookies {
        user: value(&names.user),
        pass: value(&names.pass),
        token: value(&names.token),
    }
}

#[cfg(test)]
mod tests;
