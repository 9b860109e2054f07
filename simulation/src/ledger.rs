//! What clients know: what they sent, and what was acknowledged.

use std::collections::{BTreeMap, BTreeSet};

use everjet_stream::Stream;
use everjet_values::StreamSequence;

/// What clients know about one stream.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// Whether its creation was acknowledged.
    pub created: bool,
    /// Whether its deletion was asked for and not answered.
    pub deleting: bool,
    /// Payload of every message that was ever sent and given a sequence, acknowledged or not.
    pub sent: BTreeMap<u64, Vec<u8>>,
    /// Sequences whose PubAck arrived.
    pub acknowledged: BTreeSet<u64>,
    /// Sequences that a request or a limit may have removed: asked for, answered or not.
    pub maybe_removed: BTreeSet<u64>,
    /// Sequences whose removal was answered.
    pub removed: BTreeSet<u64>,
    /// Whether the consumer's creation was answered.
    pub consumer: bool,
    /// Stream sequences whose acknowledgement was answered.
    pub consumed: BTreeSet<u64>,
    /// Stream sequences that were ever delivered.
    pub delivered: BTreeSet<u64>,
}

impl Ledger {
    /// Compares what clients know with what a recovered stream says.
    ///
    /// # Errors
    /// What does not agree.
    pub fn check(&self, stream: &Stream) -> Result<(), String> {
        let store = stream.store();
        let last = store.last_sequence();
        if let Some(highest) = self.acknowledged.last()
            && last.0 < *highest
        {
            return Err(format!(
                "sequence {highest} was acknowledged, the stream ends at {last}"
            ));
        }
        for (sequence, payload) in &self.sent {
            let found = store.get(StreamSequence(*sequence)).ok();
            let gone_is_fine = self.maybe_removed.contains(sequence);
            match &found {
                None if self.acknowledged.contains(sequence) && !gone_is_fine => {
                    return Err(format!("acknowledged message {sequence} is lost"));
                }
                Some(_) if self.removed.contains(sequence) => {
                    return Err(format!(
                        "message {sequence} is back after its removal was acknowledged"
                    ));
                }
                Some(message) if message.payload() != payload => {
                    return Err(format!(
                        "message {sequence} has another payload than was sent"
                    ));
                }
                _ => {}
            }
        }
        for sequence in store.first_sequence().0..=last.0 {
            if !self.sent.contains_key(&sequence) && store.contains(StreamSequence(sequence)) {
                return Err(format!("message {sequence} was never sent"));
            }
        }
        Ok(())
    }
}
