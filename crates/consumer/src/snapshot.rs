//! A consumer as bytes: what a checkpoint writes.
//!
//! ```text
//! version            1 byte: 2 with the last field, 1 without
//! id                 number
//! name               bytes
//! created            time
//! configuration      bytes, JSON
//! delivered          consumer number, stream number, time
//! ack floor          consumer number, stream number, time
//! resume             number
//! backlog            count, then steps between sequences
//! pending            count, then for each: steps of stream and consumer sequence, count, deadline
//! exhausted          count, then steps between sequences; only when there are any
//! ```
//! Numbers, bytes and times as in [`codec`](crate::codec). The file around it has a checksum.

use everjet_values::{ConsumerSequence, StreamSequence};

use crate::codec::{Malformed, Reader, put_bytes, put_number, put_time};
use crate::consumer::{Consumer, ConsumerId};
use crate::pending::{Delivery, Pending};
use crate::state::{ConsumerState, Position};

const VERSION: u8 = 1;
/// With what was delivered as often as allowed: most consumers have none of it, and stay readable for earlier versions.
const VERSION_EXHAUSTED: u8 = 2;

impl Consumer {
    /// The consumer as bytes. The same consumer always gives the same bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let config = serde_json::to_vec(&self.config).expect("a configuration has string keys");
        let mut out = Vec::with_capacity(128 + config.len() + 16 * self.state.pending.len());
        out.push(if self.state.exhausted.is_empty() {
            VERSION
        } else {
            VERSION_EXHAUSTED
        });
        put_number(&mut out, self.id.0);
        put_bytes(&mut out, self.name.as_bytes());
        put_time(&mut out, self.created);
        put_bytes(&mut out, &config);
        self.state.encode(&mut out);
        out
    }

    /// Reads a consumer that [`encode`](Self::encode) wrote.
    ///
    /// # Errors
    /// [`Malformed`] when the bytes are something else or of a later version.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let version = reader.byte()?;
        if version != VERSION && version != VERSION_EXHAUSTED {
            return Err(Malformed);
        }
        let id = ConsumerId(reader.number()?);
        let name = reader.text()?.to_owned();
        let created = reader.time()?;
        let config = serde_json::from_slice(reader.bytes()?).map_err(|_| Malformed)?;
        let mut state = ConsumerState::decode(&mut reader)?;
        if version == VERSION_EXHAUSTED {
            state.read_exhausted(&mut reader)?;
        }
        reader.finish()?;
        Ok(Self {
            id,
            name,
            created,
            config,
            state,
        })
    }
}

impl ConsumerState {
    fn encode(&self, out: &mut Vec<u8>) {
        for (position, time) in [
            (self.delivered, self.delivered_at),
            (self.ack_floor, self.acked_at),
        ] {
            put_number(out, position.consumer.0);
            put_number(out, position.stream.0);
            put_time(out, time);
        }
        put_number(out, self.resume.0);
        put_number(out, self.backlog.len() as u64);
        let mut previous = 0;
        for sequence in &self.backlog {
            put_number(out, sequence.0 - previous);
            previous = sequence.0;
        }
        put_number(out, self.pending.len() as u64);
        let mut previous = Position::default();
        for delivery in self.pending.iter() {
            put_number(out, delivery.stream.0 - previous.stream.0);
            put_number(out, delivery.consumer.0 - previous.consumer.0);
            put_number(out, u64::from(delivery.count));
            put_time(out, delivery.deadline);
            previous = Position {
                consumer: delivery.consumer,
                stream: delivery.stream,
            };
        }
        if self.exhausted.is_empty() {
            return;
        }
        put_number(out, self.exhausted.len() as u64);
        let mut previous = 0;
        for sequence in &self.exhausted {
            put_number(out, sequence.0 - previous);
            previous = sequence.0;
        }
    }

    /// Ascending, delivered, and none of it pending.
    fn read_exhausted(&mut self, reader: &mut Reader<'_>) -> Result<(), Malformed> {
        let mut previous = 0u64;
        for _ in 0..reader.count(1)? {
            previous = step(previous, reader.number()?)?;
            let sequence = StreamSequence(previous);
            if sequence > self.delivered.stream || self.pending.get(sequence).is_some() {
                return Err(Malformed);
            }
            self.exhausted.insert(sequence);
        }
        if self.exhausted.is_empty() {
            return Err(Malformed);
        }
        Ok(())
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut state = Self::default();
        (state.delivered, state.delivered_at) = (read_position(reader)?, reader.time()?);
        (state.ack_floor, state.acked_at) = (read_position(reader)?, reader.time()?);
        state.resume = StreamSequence(reader.number()?);
        let mut previous = 0u64;
        for _ in 0..reader.count(1)? {
            previous = step(previous, reader.number()?)?;
            state.backlog.push_back(StreamSequence(previous));
        }
        state.pending = read_pending(reader)?;
        let last = state.pending.iter().last();
        let in_order = state.ack_floor.stream <= state.delivered.stream
            && state.ack_floor.consumer <= state.delivered.consumer
            && last.is_none_or(|last| {
                last.stream <= state.delivered.stream && last.consumer <= state.delivered.consumer
            });
        // Sequences that end before 2^64 leave room to count on.
        let in_range = state.delivered.stream.0 < u64::MAX
            && state.delivered.consumer.0 < u64::MAX
            && previous < u64::MAX;
        if in_order && in_range {
            Ok(state)
        } else {
            Err(Malformed)
        }
    }
}

fn read_position(reader: &mut Reader<'_>) -> Result<Position, Malformed> {
    Ok(Position {
        consumer: ConsumerSequence(reader.number()?),
        stream: StreamSequence(reader.number()?),
    })
}

fn read_pending(reader: &mut Reader<'_>) -> Result<Pending, Malformed> {
    let mut pending = Pending::default();
    let (mut stream, mut consumer) = (0, 0);
    for _ in 0..reader.count(11)? {
        stream = step(stream, reader.number()?)?;
        consumer = step(consumer, reader.number()?)?;
        let count = u32::try_from(reader.number()?).map_err(|_| Malformed)?;
        let deadline = reader.time()?;
        if count == 0 {
            return Err(Malformed);
        }
        pending.push(Delivery {
            stream: StreamSequence(stream),
            consumer: ConsumerSequence(consumer),
            count,
            deadline,
        });
    }
    Ok(pending)
}

/// The next of ascending numbers.
fn step(previous: u64, by: u64) -> Result<u64, Malformed> {
    if by == 0 {
        return Err(Malformed);
    }
    previous.checked_add(by).ok_or(Malformed)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use everjet_api::{AckPolicy, ConsumerConfig, Nanos};
    use everjet_values::{Entropy, SeededEntropy, Timestamp};

    use super::*;
    use crate::change::Change;

    fn consumer() -> Consumer {
        let config = ConsumerConfig {
            durable_name: "d".to_owned(),
            ack_policy: AckPolicy::Explicit,
            ack_wait: Nanos(30),
            filter_subjects: vec!["a.>".to_owned(), "b".to_owned()],
            ..ConsumerConfig::default()
        };
        let backlog = [4, 6, 9].map(StreamSequence).to_vec();
        let mut state = ConsumerState::new(StreamSequence(12), backlog);
        for (time, change) in [
            (10, Change::Delivered(StreamSequence(4))),
            (11, Change::Delivered(StreamSequence(6))),
            (50, Change::Delivered(StreamSequence(4))),
            (51, Change::Acked(StreamSequence(6))),
            (
                52,
                Change::Delayed(StreamSequence(4), Duration::from_secs(9)),
            ),
        ] {
            state.apply(Timestamp::from_nanos(time), &config, change);
        }
        Consumer {
            id: ConsumerId(77),
            name: "d".to_owned(),
            created: Timestamp::from_nanos(5),
            config,
            state,
        }
    }

    #[test]
    fn a_consumer_comes_back_as_it_was_written() {
        check_written(&consumer());
        let mut exhausted = consumer();
        for change in [
            Change::Exhausted(StreamSequence(4)),
            Change::Delivered(StreamSequence(9)),
            Change::Exhausted(StreamSequence(9)),
        ] {
            let Consumer { state, config, .. } = &mut exhausted;
            state.apply(Timestamp::from_nanos(60), config, change);
        }
        assert_eq!(exhausted.state.exhausted.len(), 2);
        check_written(&exhausted);
    }

    fn check_written(consumer: &Consumer) {
        let bytes = consumer.encode();
        let read = Consumer::decode(&bytes).expect("just written");
        assert_eq!(read.encode(), bytes);
        assert_eq!(read.config, consumer.config);
        assert_eq!(read.state.backlog, consumer.state.backlog);
        let pending =
            |consumer: &Consumer| consumer.state.pending.iter().copied().collect::<Vec<_>>();
        assert_eq!(pending(&read), pending(consumer));
        assert_eq!(read.state.exhausted, consumer.state.exhausted);
        assert_eq!(read.state.ack_floor, consumer.state.ack_floor);
        assert_eq!(read.state.delivered, consumer.state.delivered);
        assert_eq!(read.state.delivered_at, consumer.state.delivered_at);
    }

    #[test]
    fn damaged_bytes_never_panic_and_short_ones_are_refused() {
        check_damaged(&consumer());
        let mut exhausted = consumer();
        exhausted.state.pending.remove(StreamSequence(4));
        exhausted.state.exhausted.insert(StreamSequence(4));
        check_damaged(&exhausted);
    }

    fn check_damaged(consumer: &Consumer) {
        let bytes = consumer.encode();
        for length in 0..bytes.len() {
            assert!(Consumer::decode(&bytes[..length]).is_err(), "{length}");
        }
        let entropy = SeededEntropy::new(1);
        for _ in 0..50_000 {
            let mut damaged = bytes.clone();
            for _ in 0..=entropy.next_u64() % 3 {
                let at = usize::try_from(entropy.next_u64() % bytes.len() as u64).expect("small");
                damaged[at] = entropy.next_u64().to_le_bytes()[0];
            }
            if let Ok(consumer) = Consumer::decode(&damaged) {
                assert!(!consumer.encode().is_empty());
            }
        }
    }
}
