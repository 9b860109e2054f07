//! The PROXY protocol: what a load balancer says about a connection before the client's first byte.
//!
//! Version 1 is a line of at most 107 bytes, `PROXY TCP4 <source> <destination> <source port> <destination port>` and CRLF, or
//! `PROXY UNKNOWN …`. Version 2 is binary, numbers in network byte order:
//!
//! ```text
//! offset  bytes
//!      0     12  signature 0D 0A 0D 0A 00 0D 0A 51 55 49 54 0A
//!     12      1  version 2 in the upper half; command in the lower: 0 LOCAL, 1 PROXY
//!     13      1  address family in the upper half: 0 none, 1 IPv4, 2 IPv6; transport in the lower: 1 stream
//!     14      2  number of bytes that follow
//!     16         IPv4: source 4, destination 4, ports 2 and 2; IPv6: 16, 16, 2, 2; then extensions, passed over
//! ```
//!
//! Published by HAProxy (<https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt>). What is refused, and with which words, follows
//! nats-server 2.15.1, and so does that a connection without a header is taken as it is.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Bytes that are enough to tell everything about a header. Extensions may follow them.
pub const PROXY_HEADER_PEEK: usize = LINE_MAX;

/// Longest line of version 1, its CRLF included.
const LINE_MAX: usize = 107;

const LINE_START: &[u8] = b"PROXY ";

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// As many bytes tell the versions apart, and either from a client that speaks for itself.
const TELLING: usize = 6;

/// What the first bytes of a connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyHeader {
    /// More bytes are needed to know. Never the answer to [`PROXY_HEADER_PEEK`] bytes.
    Incomplete,
    /// There is no header: the bytes are the client's.
    Absent,
    /// A header.
    Present {
        /// Where the client connects from; `None` when the proxy speaks for itself (`LOCAL`, `UNKNOWN`), for instance to see
        /// whether the server is there: the address of the socket counts.
        source: Option<SocketAddr>,
        /// Bytes of the header. With extensions that may be more than were looked at; the client's bytes come behind them.
        size: usize,
    },
}

/// Why a header is refused; the connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyError {
    /// A line of version 1 without an end.
    LineTooLong,
    /// A line of version 1 with too few or too many words.
    LineFormat,
    /// A transport in version 1 that is none of `TCP4`, `TCP6` and `UNKNOWN`.
    LineTransport,
    /// What stands in the place of an address is none, or of the other family.
    Address,
    /// What stands in the place of a port is none.
    Port,
    /// The signature of version 2 breaks off.
    Signature,
    /// A version that is not 2, in the upper half of the byte.
    Version(u8),
    /// A command that is neither LOCAL nor PROXY.
    Command(u8),
    /// A transport that is not a stream.
    Transport,
    /// An address family that is neither IPv4 nor IPv6, in the upper half of the byte.
    Family(u8),
    /// Fewer bytes than an address of the family takes.
    AddressSize(u16),
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const INVALID: &str = "invalid PROXY protocol header";
        const UNSUPPORTED: &str = "unsupported PROXY protocol feature";
        match self {
            Self::LineTooLong => write!(f, "{INVALID}: v1 line too long"),
            Self::LineFormat => write!(f, "{INVALID}: invalid v1 format"),
            Self::LineTransport => write!(f, "{INVALID}: invalid protocol"),
            Self::Address => write!(f, "{INVALID}: invalid address"),
            Self::Port => write!(f, "{INVALID}: invalid port"),
            Self::Signature => write!(f, "{INVALID}: invalid signature"),
            Self::Version(version) => write!(f, "{INVALID}: invalid version {version:#04x}"),
            Self::Command(command) => write!(f, "unknown PROXY protocol command: {command:#04x}"),
            Self::Transport => write!(f, "{UNSUPPORTED}: only STREAM protocol supported"),
            Self::Family(family) => {
                write!(f, "{UNSUPPORTED}: unsupported address family {family:#04x}")
            }
            Self::AddressSize(size) => write!(f, "{INVALID}: address data too short: {size} bytes"),
        }
    }
}

impl std::error::Error for ProxyError {}

/// Reads the header of a proxy from the first bytes of a connection, the first [`PROXY_HEADER_PEEK`] of them at most.
///
/// # Errors
/// The bytes begin like a header and are none.
pub fn decode_proxy_header(bytes: &[u8]) -> Result<ProxyHeader, ProxyError> {
    let bytes = bytes.get(..PROXY_HEADER_PEEK).unwrap_or(bytes);
    if bytes.starts_with(LINE_START) {
        return decode_line(bytes);
    }
    let telling = bytes.get(..TELLING).unwrap_or(bytes);
    if SIGNATURE.starts_with(telling) {
        return match bytes.get(..SIGNATURE.len()) {
            Some(signature) if signature != SIGNATURE => Err(ProxyError::Signature),
            Some(_) => decode_binary(bytes.get(SIGNATURE.len()..).unwrap_or_default()),
            None if SIGNATURE.starts_with(bytes) => Ok(ProxyHeader::Incomplete),
            None => Err(ProxyError::Signature),
        };
    }
    Ok(if LINE_START.starts_with(bytes) {
        ProxyHeader::Incomplete
    } else {
        ProxyHeader::Absent
    })
}

fn decode_line(bytes: &[u8]) -> Result<ProxyHeader, ProxyError> {
    let Some(feed) = memchr::memchr(b'\n', bytes) else {
        return if bytes.len() < LINE_MAX {
            Ok(ProxyHeader::Incomplete)
        } else {
            Err(ProxyError::LineTooLong)
        };
    };
    let line = bytes.get(LINE_START.len()..feed).unwrap_or_default();
    let line = line.strip_suffix(b"\r").ok_or(ProxyError::LineFormat)?;
    let line = str::from_utf8(line).map_err(|_| ProxyError::LineFormat)?;
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let source = match words[..] {
        ["UNKNOWN", ..] => None,
        [
            transport,
            source,
            destination,
            source_port,
            destination_port,
        ] => {
            let is_wanted: fn(&IpAddr) -> bool = match transport {
                "TCP4" => IpAddr::is_ipv4,
                "TCP6" => IpAddr::is_ipv6,
                _ => return Err(ProxyError::LineTransport),
            };
            let address = |word: &str| {
                let address: Option<IpAddr> = word.parse().ok();
                address.filter(is_wanted).ok_or(ProxyError::Address)
            };
            let port = |word: &str| word.parse::<u16>().map_err(|_| ProxyError::Port);
            let source = SocketAddr::new(address(source)?.to_canonical(), port(source_port)?);
            // Of no use here; yet who gets it wrong may have got the other one wrong too.
            address(destination)?;
            port(destination_port)?;
            Some(source)
        }
        _ => return Err(ProxyError::LineFormat),
    };
    let size = feed + 1;
    Ok(ProxyHeader::Present { source, size })
}

/// What follows the signature of version 2.
fn decode_binary(bytes: &[u8]) -> Result<ProxyHeader, ProxyError> {
    const FIXED: usize = 4;
    let Some((&[version_command, family_transport, high, low], addresses)) =
        bytes.split_first_chunk::<FIXED>()
    else {
        return Ok(ProxyHeader::Incomplete);
    };
    let (version, command) = (version_command & 0xF0, version_command & 0x0F);
    let (family, transport) = (family_transport & 0xF0, family_transport & 0x0F);
    let follow = u16::from_be_bytes([high, low]);
    let present = |source| ProxyHeader::Present {
        source,
        size: SIGNATURE.len() + FIXED + usize::from(follow),
    };
    match (version, command) {
        (0x20, 0) => return Ok(present(None)),
        (0x20, 1) => {}
        (0x20, _) => return Err(ProxyError::Command(command)),
        _ => return Err(ProxyError::Version(version)),
    }
    if transport != 1 {
        return Err(ProxyError::Transport);
    }
    let source = match family {
        0x00 => return Ok(present(None)),
        0x10 => source::<4, 12>(addresses, follow)?,
        0x20 => source::<16, 36>(addresses, follow)?,
        _ => return Err(ProxyError::Family(family)),
    };
    Ok(match source {
        Some((octets, port)) => present(Some(SocketAddr::new(octets, port))),
        None => ProxyHeader::Incomplete,
    })
}

/// The source in a block of addresses of `OCTETS` bytes each, `BLOCK` bytes in all; `None` while bytes are missing.
fn source<const OCTETS: usize, const BLOCK: usize>(
    addresses: &[u8],
    follow: u16,
) -> Result<Option<(IpAddr, u16)>, ProxyError>
where
    [u8; OCTETS]: Octets,
{
    if usize::from(follow) < BLOCK {
        return Err(ProxyError::AddressSize(follow));
    }
    let Some(block) = addresses.first_chunk::<BLOCK>() else {
        return Ok(None);
    };
    let octets = block.first_chunk::<OCTETS>();
    let port = block
        .get(2 * OCTETS..)
        .and_then(<[u8]>::first_chunk::<2>)
        .map(|port| u16::from_be_bytes(*port));
    Ok(octets
        .zip(port)
        .map(|(octets, port)| (octets.address(), port)))
}

/// The bytes of an address.
trait Octets {
    fn address(self) -> IpAddr;
}

impl Octets for [u8; 4] {
    fn address(self) -> IpAddr {
        Ipv4Addr::from(self).into()
    }
}

impl Octets for [u8; 16] {
    fn address(self) -> IpAddr {
        IpAddr::from(Ipv6Addr::from(self)).to_canonical()
    }
}

#[cfg(test)]
mod tests;
