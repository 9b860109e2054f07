//! `o.dat`: how far a consumer got.
//!
//! ```text
//! 22:u8 version:u8 (1 or 2)
//! ack floor: consumer, stream; delivered: consumer, stream
//! pending count; when there are any: base in seconds, then { stream - floor, consumer - floor (version 2), base - seconds }
//! redelivered count { stream - floor, redeliveries }
//! ```
//! Sequences and counts are unsigned varints, times signed ones. There is no checksum of its own; sealed when the store is
//! encrypted.

use std::collections::BTreeMap;

use crate::input::Input;

const MAGIC: u8 = 22;

/// A delivery that waits for its acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PendingDelivery {
    /// The message.
    pub stream: u64,
    /// Its first delivery; zero when the file does not say (version 1).
    pub consumer: u64,
    /// How often it was delivered; at least 1.
    pub count: u64,
    /// When it was delivered last, in seconds since 1970.
    pub delivered_at: i64,
}

/// How far a consumer got.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ForeignConsumerState {
    /// Everything up to here is done: consumer and stream sequence.
    pub ack_floor: (u64, u64),
    /// The last delivery and the last message delivered: consumer and stream sequence.
    pub delivered: (u64, u64),
    /// What waits for acknowledgement, by stream sequence.
    pub pending: Vec<PendingDelivery>,
    /// Redeliveries of messages that nothing waits for any more.
    pub spent_redeliveries: usize,
}

impl ForeignConsumerState {
    /// Reads the content of an `o.dat`, decrypted; `None` when it makes no sense.
    #[must_use]
    pub fn read(content: &[u8]) -> Option<Self> {
        let mut input = Input(content);
        if input.byte()? != MAGIC {
            return None;
        }
        let version = input.byte().filter(|version| matches!(version, 1 | 2))?;
        let ack_floor = (input.uvarint()?, input.uvarint()?);
        let mut delivered = (input.uvarint()?, input.uvarint()?);
        if version == 1 {
            delivered.0 = moved(delivered.0, ack_floor.0)?;
            delivered.1 = moved(delivered.1, ack_floor.1)?;
        }
        let waiting = read_pending(&mut input, version, ack_floor)?;
        let mut redelivered = BTreeMap::new();
        for _ in 0..input.count(2)? {
            let (stream, count) = (input.uvarint()?, input.uvarint()?);
            if stream > 0 && count > 0 {
                redelivered.insert(ack_floor.1.checked_add(stream)?, count);
            }
        }
        if !input.0.is_empty() {
            return None;
        }
        let mut pending = Vec::with_capacity(waiting.len());
        for (stream, (consumer, delivered_at)) in waiting {
            pending.push(PendingDelivery {
                stream,
                consumer,
                count: redelivered.remove(&stream).unwrap_or(0).checked_add(1)?,
                delivered_at,
            });
        }
        let state = Self {
            ack_floor,
            delivered,
            pending,
            spent_redeliveries: redelivered.len(),
        };
        state.is_sound().then_some(state)
    }

    /// Whether the numbers are in an order that deliveries can have.
    fn is_sound(&self) -> bool {
        const SEQUENCE_MAX: u64 = 1 << 56;
        let in_order = |(consumer, stream): (u64, u64)| {
            consumer <= self.delivered.0 && stream <= self.delivered.1
        };
        self.delivered.0 < SEQUENCE_MAX
            && self.delivered.1 < SEQUENCE_MAX
            && in_order(self.ack_floor)
            && self
                .pending
                .iter()
                .all(|delivery| in_order((delivery.consumer, delivery.stream)))
    }
}

/// In version 1 deliveries are relative to the floor, and one ahead.
fn moved(delivered: u64, floor: u64) -> Option<u64> {
    if floor > 1 {
        delivered.checked_add(floor - 1)
    } else {
        Some(delivered)
    }
}

/// Consumer sequence and time of what waits, by stream sequence.
fn read_pending(
    input: &mut Input<'_>,
    version: u8,
    ack_floor: (u64, u64),
) -> Option<BTreeMap<u64, (u64, i64)>> {
    let mut pending = BTreeMap::new();
    let count = input.count(2)?;
    if count == 0 {
        return Some(pending);
    }
    let base = input.varint()?;
    for _ in 0..count {
        let stream = ack_floor.1.checked_add(input.uvarint()?)?;
        let consumer = match version {
            1 => 0,
            _ => ack_floor.0.checked_add(input.uvarint()?)?,
        };
        let time = input.varint()?;
        let time = match version {
            1 => base.checked_add(time)?,
            _ => base.checked_sub(time)?,
        };
        if stream == 0 {
            return None;
        }
        pending.insert(stream, (consumer, time));
    }
    Some(pending)
}
