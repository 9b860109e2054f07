//! How long a message lives by its own word (`Nats-TTL`).

use std::time::Duration;

use everjet_api::{ApiError, ErrorCode, StreamConfig};
use everjet_values::{Timestamp, parse_duration};
use everjet_wire::{HeaderBuilder, Headers, strip};

/// The header that says it.
pub(crate) const HEADER: &str = "Nats-TTL";

/// What the header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ttl {
    /// Nothing: the message lives as long as the stream lets it.
    Unsaid,
    /// The message does not grow too old, whatever `max_age` is.
    Never,
    /// It goes so many seconds after it was stored.
    Seconds(u64),
}

/// The header says something that it cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InvalidTtl;

impl Ttl {
    /// Reads a header's value: `never`, a duration of a second or more, of which whole seconds count, or a number of seconds.
    /// As in nats-server `0` is refused, being a duration, and `00` is no lifetime at all.
    pub(crate) fn parse(value: &[u8]) -> Result<Self, InvalidTtl> {
        if value.is_empty() {
            return Ok(Self::Unsaid);
        }
        let text = std::str::from_utf8(value).map_err(|_| InvalidTtl)?;
        if text.eq_ignore_ascii_case("never") {
            return Ok(Self::Never);
        }
        if let Ok(duration) = parse_duration(text) {
            return match duration.as_secs() {
                0 => Err(InvalidTtl),
                seconds => Ok(Self::Seconds(seconds)),
            };
        }
        let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
        // Durations are 63 bits of nanoseconds; so is this in nats-server, after it was read.
        match text.parse::<u64>().ok().filter(|_| is_number) {
            Some(0) => Ok(Self::Unsaid),
            Some(seconds) if i64::try_from(seconds).is_ok() => Ok(Self::Seconds(seconds)),
            _ => Err(InvalidTtl),
        }
    }

    /// What the headers of a stored message say. What could not be stored counts as unsaid.
    pub(crate) fn of(headers: &[u8]) -> Self {
        let value = Headers(headers).get(HEADER).unwrap_or_default();
        Self::parse(value).unwrap_or(Self::Unsaid)
    }

    /// When a message that was stored at `time` goes; `None` when that is not up to its header.
    pub(crate) fn expiry(self, time: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Seconds(seconds) => Some(time.plus(Duration::from_secs(seconds))),
            Self::Unsaid | Self::Never => None,
        }
    }
}

/// Refuses a header, empty when there is none, that the stream does not honour. What it says is looked at later.
///
/// # Errors
/// [`ErrorCode::MessageTtlDisabled`].
pub(crate) fn check_allowed(config: &StreamConfig, value: &[u8]) -> Result<(), ApiError> {
    match Ttl::parse(value) {
        Ok(Ttl::Never | Ttl::Seconds(_)) if !config.allow_msg_ttl => {
            Err(ErrorCode::MessageTtlDisabled.error())
        }
        _ => Ok(()),
    }
}

/// Refuses a header that says nothing that it can.
///
/// # Errors
/// [`ErrorCode::MessageTtlInvalid`].
pub(crate) fn check_valid(value: &[u8]) -> Result<(), ApiError> {
    match Ttl::parse(value) {
        Ok(_) => Ok(()),
        Err(InvalidTtl) => Err(ErrorCode::MessageTtlInvalid.error()),
    }
}

/// The headers to store instead, where the message would go before the marker of an earlier one of its subject: it lives as long
/// as that, then. Where a subject has one message at most that cannot be.
#[inline]
pub(crate) fn raised(config: &StreamConfig, headers: &[u8]) -> Option<Vec<u8>> {
    if headers.is_empty()
        || config.subject_delete_marker_ttl.is_zero()
        || config.max_msgs_per_subject == 1
    {
        return None;
    }
    let least = config.subject_delete_marker_ttl.as_duration()?.as_secs();
    raise(headers, least)
}

fn raise(headers: &[u8], least: u64) -> Option<Vec<u8>> {
    match Ttl::of(headers) {
        Ttl::Seconds(seconds) if seconds < least => {
            let mut block = strip(headers, &[HEADER]);
            block.truncate(block.len().saturating_sub(b"\r\n".len()));
            let block = match block.is_empty() {
                true => HeaderBuilder::new(),
                false => HeaderBuilder::going_on(block),
            };
            Some(block.add(HEADER, least.to_string()).finish())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_are_read_as_nats_server_reads_them() {
        for (value, expected) in [
            ("", Ok(Ttl::Unsaid)),
            ("never", Ok(Ttl::Never)),
            ("Never", Ok(Ttl::Never)),
            ("5", Ok(Ttl::Seconds(5))),
            ("1h30m", Ok(Ttl::Seconds(5400))),
            ("1999ms", Ok(Ttl::Seconds(1))),
            ("00", Ok(Ttl::Unsaid)),
            ("9223372036854775807", Ok(Ttl::Seconds(i64::MAX as u64))),
            ("0", Err(InvalidTtl)),
            ("999ms", Err(InvalidTtl)),
            ("-5s", Err(InvalidTtl)),
            ("-5", Err(InvalidTtl)),
            ("+5", Err(InvalidTtl)),
            ("9223372036854775808", Err(InvalidTtl)),
            ("soon", Err(InvalidTtl)),
        ] {
            assert_eq!(Ttl::parse(value.as_bytes()), expected, "{value:?}");
        }
    }

    #[test]
    fn a_lifetime_is_raised_to_that_of_markers() {
        let check = |config: &str, headers: &str, expected: Option<&str>| {
            let config = serde_json::from_str(config).expect("a configuration");
            let raised = raised(&config, headers.as_bytes());
            let raised = raised.map(|block| String::from_utf8(block).expect("text"));
            assert_eq!(raised.as_deref(), expected);
        };
        let marks = r#"{"subject_delete_marker_ttl":60000000000}"#;
        let short = "NATS/1.0\r\nNats-TTL: 5s\r\nA: b\r\n\r\n";
        check(
            marks,
            short,
            Some("NATS/1.0\r\nA: b\r\nNats-TTL: 60\r\n\r\n"),
        );
        check(
            marks,
            "NATS/1.0\r\nNats-TTL: 5s\r\n\r\n",
            Some("NATS/1.0\r\nNats-TTL: 60\r\n\r\n"),
        );
        check(marks, "NATS/1.0\r\nNats-TTL: 60\r\n\r\n", None);
        check(marks, "NATS/1.0\r\nNats-TTL: never\r\n\r\n", None);
        check(marks, "NATS/1.0\r\nA: b\r\n\r\n", None);
        check("{}", short, None);
        check(
            r#"{"subject_delete_marker_ttl":60000000000,"max_msgs_per_subject":1}"#,
            short,
            None,
        );
    }
}
