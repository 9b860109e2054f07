//! Reading messages: from streams in order, from durable consumers, and as they are published.

mod durable;
mod ordered;
mod pull;

pub(crate) use durable::{Choice, Durable};
pub(crate) use ordered::{Order, Ordered, Start};
pub(crate) use pull::{Pulled, Puller};

use async_nats::Message;
use everjet_values::Timestamp;

/// A message and, when a stream delivered it, where it is stored.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    /// The message.
    pub(crate) message: Message,
    /// Its place in a stream; `None` for a message that came straight from its publisher.
    pub(crate) stored: Option<Stored>,
}

/// What the acknowledgement subject of a delivery says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    /// The stream.
    pub(crate) stream: String,
    /// The consumer that delivered it.
    pub(crate) consumer: String,
    /// How often this message was delivered, from 1.
    pub(crate) delivered: u64,
    /// The sequence in the stream.
    pub(crate) sequence: u64,
    /// The sequence of deliveries of the consumer.
    pub(crate) consumer_sequence: u64,
    /// When the stream stored it.
    pub(crate) time: Timestamp,
    /// How many messages the consumer had still to deliver.
    pub(crate) pending: u64,
}

impl Stored {
    /// Reads an acknowledgement subject; `None` when `subject` is none.
    ///
    /// The form is `$JS.ACK.<stream>.<consumer>.<delivered>.<sequence>.<consumer sequence>.<time>.<pending>`, or with
    /// `<domain>.<account hash>` before the stream and further tokens at the end.
    pub(crate) fn parse(subject: &str) -> Option<Self> {
        let tokens: Vec<&str> = subject.strip_prefix("$JS.ACK.")?.split('.').collect();
        let skipped = match tokens.len() {
            7 => 0,
            8 => return None,
            _ => 2,
        };
        let token = |position: usize| tokens.get(skipped + position).copied();
        let number = |position: usize| token(position)?.parse::<u64>().ok();
        Some(Self {
            stream: token(0)?.to_owned(),
            consumer: token(1)?.to_owned(),
            delivered: number(2)?,
            sequence: number(3)?,
            consumer_sequence: number(4)?,
            time: Timestamp::from_nanos(token(5)?.parse().ok()?),
            pending: number(6)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledgement_subjects_say_where_a_message_is_stored() {
        let expected = Stored {
            stream: "ORDERS".to_owned(),
            consumer: "c".to_owned(),
            delivered: 1,
            sequence: 22,
            consumer_sequence: 3,
            time: Timestamp::from_nanos(1_790_230_470_084_404_000),
            pending: 5,
        };
        for subject in [
            "$JS.ACK.ORDERS.c.1.22.3.1790230470084404000.5",
            "$JS.ACK._.hash.ORDERS.c.1.22.3.1790230470084404000.5",
            "$JS.ACK.hub.hash.ORDERS.c.1.22.3.1790230470084404000.5.random",
        ] {
            assert_eq!(Stored::parse(subject), Some(expected.clone()), "{subject}");
        }
        for subject in [
            "",
            "_INBOX.x",
            "$JS.ACK.ORDERS.c.1.22.3",
            "$JS.ACK.ORDERS.c.1.x.3.4.5",
            "$JS.ACK.a.ORDERS.c.1.22.3.4.5",
        ] {
            assert_eq!(Stored::parse(subject), None, "{subject}");
        }
    }
}
