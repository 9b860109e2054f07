//! Acknowledgement subjects: the reply subject of every delivered message, and where the client publishes its
//! acknowledgement.

use everjet_values::{ConsumerSequence, StreamSequence, Timestamp};

/// Prefix of every acknowledgement subject.
pub const ACK_PREFIX: &str = "$JS.ACK.";

/// What an acknowledgement subject says about the delivery.
///
/// ```text
/// $JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>
/// $JS.ACK.<domain or _>.<account hash>.<stream>.<consumer>.<delivered>. … .<pending>[.<more>…]
/// ```
///
/// The first form is written; both are read. Clients take a subject of 10 tokens for neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AckSubject<'a> {
    /// The stream.
    pub stream: &'a str,
    /// The consumer.
    pub consumer: &'a str,
    /// How often the message was delivered, this time included; 1 for the first time.
    pub delivered: u64,
    /// Sequence of the message.
    pub stream_seq: StreamSequence,
    /// Sequence of the delivery.
    pub consumer_seq: ConsumerSequence,
    /// When the message was stored.
    pub timestamp: Timestamp,
    /// Messages that wait behind this one; zero tells the client that it has seen everything there was.
    pub pending: u64,
}

impl<'a> AckSubject<'a> {
    /// Reads an acknowledgement subject; `None` when it is none.
    #[must_use]
    pub fn parse(subject: &'a [u8]) -> Option<Self> {
        let mut tokens = tokens(subject)?;
        let stream = std::str::from_utf8(tokens.next()?).ok()?;
        let consumer = std::str::from_utf8(tokens.next()?).ok()?;
        let parsed = Self {
            stream,
            consumer,
            delivered: number(tokens.next()?)?,
            stream_seq: StreamSequence(number(tokens.next()?)?),
            consumer_seq: ConsumerSequence(number(tokens.next()?)?),
            timestamp: Timestamp::from_nanos(i64::try_from(number(tokens.next()?)?).ok()?),
            pending: number(tokens.next()?)?,
        };
        (!stream.is_empty() && !consumer.is_empty()).then_some(parsed)
    }

    /// The stream of what may be an acknowledgement subject, for whoever only hands it on: numbers are not looked at.
    #[must_use]
    pub fn stream_of(subject: &'a [u8]) -> Option<&'a str> {
        std::str::from_utf8(tokens(subject)?.next()?).ok()
    }

    /// Appends the subject of nine tokens.
    pub fn render(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(ACK_PREFIX.as_bytes());
        out.extend_from_slice(self.stream.as_bytes());
        out.push(b'.');
        out.extend_from_slice(self.consumer.as_bytes());
        let mut digits = itoa::Buffer::new();
        for value in [self.delivered, self.stream_seq.0, self.consumer_seq.0] {
            out.push(b'.');
            out.extend_from_slice(digits.format(value).as_bytes());
        }
        out.push(b'.');
        out.extend_from_slice(digits.format(self.timestamp.as_nanos()).as_bytes());
        out.push(b'.');
        out.extend_from_slice(digits.format(self.pending).as_bytes());
    }
}

/// Appends the acknowledgement subject of a delivery; see [`AckSubject::render`].
pub fn render_ack_subject(out: &mut Vec<u8>, ack: &AckSubject<'_>) {
    ack.render(out);
}

/// The tokens of an acknowledgement subject from the stream's name on. Goes through the bytes, for every message of a consumer comes
/// back as such a subject.
fn tokens(subject: &[u8]) -> Option<impl Iterator<Item = &[u8]>> {
    let tail = subject.strip_prefix(ACK_PREFIX.as_bytes())?;
    let dots = tail.iter().filter(|byte| **byte == b'.').count();
    let before = match dots + 1 {
        7 => 0,
        // Domain and account hash come first.
        9.. => 2,
        _ => return None,
    };
    Some(tail.split(|byte| *byte == b'.').skip(before))
}

/// A number of decimal digits only.
fn number(token: &[u8]) -> Option<u64> {
    if token.is_empty() {
        return None;
    }
    token.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACK: AckSubject<'static> = AckSubject {
        stream: "ORDERS",
        consumer: "C1",
        delivered: 2,
        stream_seq: StreamSequence(30),
        consumer_seq: ConsumerSequence(40),
        timestamp: Timestamp::from_nanos(1_700_000_000_000_000_005),
        pending: 6,
    };

    #[test]
    fn both_forms_are_read() {
        for (subject, expected) in [
            ("$JS.ACK.ORDERS.C1.2.30.40.1700000000000000005.6", Some(ACK)),
            (
                "$JS.ACK._.AbCdEf12.ORDERS.C1.2.30.40.1700000000000000005.6",
                Some(ACK),
            ),
            (
                "$JS.ACK.hub.AbCdEf12.ORDERS.C1.2.30.40.1700000000000000005.6.random.more",
                Some(ACK),
            ),
            // Ten tokens are neither form.
            ("$JS.ACK._.ORDERS.C1.2.30.40.1700000000000000005.6", None),
            ("$JS.ACK.ORDERS.C1.2.30.40.1700000000000000005", None),
            ("$JS.ACK.ORDERS.C1.x.30.40.1700000000000000005.6", None),
            ("$JS.ACK.ORDERS.C1.2.-1.40.1700000000000000005.6", None),
            ("$JS.ACK.ORDERS.C1.2.+1.40.1700000000000000005.6", None),
            ("$JS.ACK.ORDERS.C1.2..40.1700000000000000005.6", None),
            ("$JS.ACK.ORDERS.C1.2.30.40.99999999999999999999.6", None),
            ("$JS.ACK.ORDERS.C1.2.30.18446744073709551616.5.6", None),
            ("$JS.ACK..C1.2.30.40.1700000000000000005.6", None),
            ("$JS.ACK.", None),
            ("$JS.FC.ORDERS.C1.2.30.40.1700000000000000005.6", None),
            ("", None),
        ] {
            assert_eq!(AckSubject::parse(subject.as_bytes()), expected, "{subject}");
            if let Some(ack) = expected {
                let stream = AckSubject::stream_of(subject.as_bytes());
                assert_eq!(stream, Some(ack.stream), "{subject}");
            }
        }
        assert_eq!(
            AckSubject::parse(b"$JS.ACK.\xff.C1.2.30.40.1700000000000000005.6"),
            None
        );
    }

    #[test]
    fn what_is_written_has_nine_tokens_and_reads_back() {
        let mut out = Vec::new();
        render_ack_subject(&mut out, &ACK);
        assert_eq!(out, b"$JS.ACK.ORDERS.C1.2.30.40.1700000000000000005.6");
        assert_eq!(AckSubject::parse(&out), Some(ACK));
    }
}
