//! Limits of client connections.

use std::time::Duration;

use crate::reader::Reader;
use crate::{Entry, Kind};

/// Largest size in bytes that an option can have: 2 GiB less one.
const BYTES_MAX: u32 = i32::MAX as u32;

/// Limits of client connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitOptions {
    /// Most client connections; zero allows none. Default 65,536.
    pub max_connections: u32,
    /// Most subscriptions of one connection. Default unlimited, written as 0.
    pub max_subscriptions: Option<u32>,
    /// Most tokens in the subject of a subscription, up to 255. Default unlimited, written as 0.
    pub max_subscription_tokens: Option<u8>,
    /// Longest protocol line in bytes. Default 4 KiB.
    pub max_control_line: u32,
    /// Largest message, headers included, in bytes. Default 1 MiB; not above `max_pending`.
    pub max_payload: u32,
    /// Most bytes waiting to be sent to one connection. Default 64 MiB.
    pub max_pending: u32,
    /// Time without traffic after which the server sends PING. Default 2 minutes.
    pub ping_interval: Duration,
    /// Unanswered PINGs after which the connection is closed. Default 2.
    pub ping_max: u32,
    /// Longest time a write may make no progress. Default 10 s.
    pub write_deadline: Duration,
    /// Who is closed after that time. Default: who took nothing at all.
    pub write_timeout: WriteTimeout,
    /// Whether messages may have headers. Default yes (`no_header_support` turns it off).
    pub headers: bool,
}

/// Who is closed when writing did not end within `write_deadline`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WriteTimeout {
    /// Who took nothing in that time (`default`, `retry`).
    #[default]
    Retry,
    /// Who did not take everything that waited at its beginning, too (`close`).
    Close,
}

impl Default for LimitOptions {
    fn default() -> Self {
        Self {
            max_connections: 65_536,
            max_subscriptions: None,
            max_subscription_tokens: None,
            max_control_line: 4 << 10,
            max_payload: 1 << 20,
            max_pending: 64 << 20,
            ping_interval: Duration::from_secs(120),
            ping_max: 2,
            write_deadline: Duration::from_secs(10),
            write_timeout: WriteTimeout::default(),
            headers: true,
        }
    }
}

impl LimitOptions {
    /// Takes the entry if it is one of this block. Zero stands for the default where zero makes no sense.
    pub(crate) fn take(&mut self, key: &str, entry: &Entry, reader: &mut Reader) -> bool {
        let default = Self::default();
        match key {
            "max_connections" | "max_conn" => {
                if let Some(value) = reader.integer(entry) {
                    match u32::try_from(value.max(0)) {
                        Ok(value) => self.max_connections = value,
                        Err(_) => reader.refuse(entry, too_big(entry)),
                    }
                }
            }
            "max_subscriptions" | "max_subs" => {
                if let Some(value) = reader.integer(entry) {
                    match u32::try_from(value.max(0)) {
                        Ok(value) => self.max_subscriptions = (value > 0).then_some(value),
                        Err(_) => reader.refuse(entry, too_big(entry)),
                    }
                }
            }
            "max_subscription_tokens" | "max_sub_tokens" => {
                if let Some(value) = reader.integer(entry) {
                    match u8::try_from(value) {
                        Ok(value) => self.max_subscription_tokens = (value > 0).then_some(value),
                        Err(_) if value < 0 => {
                            reader
                                .refuse(entry, format!("{} value can not be negative", entry.key));
                        }
                        Err(_) => reader.refuse(entry, too_big(entry)),
                    }
                }
            }
            "max_control_line" => {
                set_bytes(
                    &mut self.max_control_line,
                    default.max_control_line,
                    entry,
                    reader,
                );
            }
            "max_payload" => set_bytes(&mut self.max_payload, default.max_payload, entry, reader),
            "max_pending" => set_bytes(&mut self.max_pending, default.max_pending, entry, reader),
            "ping_interval" => {
                set_duration(
                    &mut self.ping_interval,
                    default.ping_interval,
                    entry,
                    reader,
                );
            }
            "ping_max" => {
                if let Some(value) = reader.count(entry, u32::MAX) {
                    self.ping_max = if value == 0 { default.ping_max } else { value };
                }
            }
            "write_deadline" => {
                set_duration(
                    &mut self.write_deadline,
                    default.write_deadline,
                    entry,
                    reader,
                );
            }
            "write_timeout" => {
                let choice = match &entry.value.kind {
                    Kind::Text(text) => match text.to_ascii_lowercase().as_str() {
                        "default" | "retry" => Some(WriteTimeout::Retry),
                        "close" => Some(WriteTimeout::Close),
                        _ => None,
                    },
                    _ => None,
                };
                match choice {
                    Some(choice) => self.write_timeout = choice,
                    None => {
                        reader.refuse(entry, "write_timeout must be 'default', 'close' or 'retry'")
                    }
                }
            }
            "no_header_support" => {
                if let Some(value) = reader.boolean(entry) {
                    self.headers = !value;
                }
            }
            "no_fast_producer_stall" => {
                // What `true` asks for is always so; `false` would ask for something that does not exist.
                if reader.boolean(entry) == Some(false) {
                    reader.refuse(
                        entry,
                        "producers never wait for slow receivers here: leave no_fast_producer_stall out, or set it to true",
                    );
                }
            }
            _ => return false,
        }
        true
    }
}

fn too_big(entry: &Entry) -> String {
    format!("{} value is too big", entry.key)
}

fn set_bytes(option: &mut u32, default: u32, entry: &Entry, reader: &mut Reader) {
    if let Some(value) = reader.bytes(entry, BYTES_MAX) {
        *option = if value == 0 { default } else { value };
    }
}

fn set_duration(option: &mut Duration, default: Duration, entry: &Entry, reader: &mut Reader) {
    if let Some(value) = reader.duration(entry) {
        *option = if value.is_zero() { default } else { value };
    }
}
