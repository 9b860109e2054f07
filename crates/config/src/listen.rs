//! Where clients connect to.

use crate::reader::Reader;
use crate::{Advertise, Entry, Kind};

const PORT_DEFAULT: u16 = 4222;
const HOST_DEFAULT: &str = "0.0.0.0";

/// Where clients connect to: `listen`, or `host` and `port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenOptions {
    /// Name or address of the interface. Default `0.0.0.0`: all of them.
    pub host: String,
    /// Port. Default 4222; zero lets the operating system choose one (written as -1).
    pub port: u16,
    /// The address that clients are told. Default none: the one above.
    pub client_advertise: Option<Advertise>,
    /// Whether connections may begin with the header of a proxy that says where they come from. Default off.
    pub proxy_protocol: bool,
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self {
            host: HOST_DEFAULT.to_owned(),
            port: PORT_DEFAULT,
            client_advertise: None,
            proxy_protocol: false,
        }
    }
}

impl ListenOptions {
    /// Takes the entry if it is one of this block.
    pub(crate) fn take(&mut self, key: &str, entry: &Entry, reader: &mut Reader) -> bool {
        match key {
            "listen" => self.take_listen(entry, reader),
            "port" => {
                if let Some(number) = reader.integer(entry) {
                    self.take_port(number, entry, reader);
                }
            }
            "host" | "net" => {
                if let Some(host) = reader.text(entry) {
                    self.set_host(&host);
                }
            }
            "client_advertise" => {
                self.client_advertise = reader.optional_text(entry).and_then(|text| {
                    Advertise::parse(&text)
                        .map_err(|refusal| reader.refuse(entry, refusal))
                        .ok()
                });
            }
            "proxy_protocol" => {
                if let Some(value) = reader.boolean(entry) {
                    self.proxy_protocol = value;
                }
            }
            _ => return false,
        }
        true
    }

    /// An empty host stands for all interfaces.
    pub(crate) fn set_host(&mut self, host: &str) {
        self.host = if host.is_empty() { HOST_DEFAULT } else { host }.to_owned();
    }

    fn take_listen(&mut self, entry: &Entry, reader: &mut Reader) {
        match &entry.value.kind {
            Kind::Integer(number) => self.take_port(*number, entry, reader),
            Kind::Text(address) => {
                let Some((host, port)) = address.rsplit_once(':') else {
                    reader.refuse(entry, format!("could not parse address string {address:?}"));
                    return;
                };
                let bare = host
                    .strip_prefix('[')
                    .and_then(|host| host.strip_suffix(']'));
                if bare.is_none() && host.contains(':') {
                    reader.refuse(entry, format!("could not parse address string {address:?}"));
                    return;
                }
                match port.parse() {
                    Ok(number) => {
                        self.set_host(bare.unwrap_or(host));
                        self.take_port(number, entry, reader);
                    }
                    Err(_) => reader.refuse(entry, format!("could not parse port {port:?}")),
                }
            }
            _ => reader.mismatch(entry, "a port or \"host:port\""),
        }
    }

    fn take_port(&mut self, number: i64, entry: &Entry, reader: &mut Reader) {
        match port_of(number) {
            Some(port) => self.port = port,
            None => reader.refuse(entry, port_refusal(number)),
        }
    }
}

/// The port a number stands for: -1 is any free one, 0 the default.
pub(crate) fn port_of(number: i64) -> Option<u16> {
    match number {
        -1 => Some(0),
        0 => Some(PORT_DEFAULT),
        _ => u16::try_from(number).ok(),
    }
}

pub(crate) fn port_refusal(number: i64) -> String {
    format!("port {number} is not from 1 to 65535, or -1 for any free port")
}
