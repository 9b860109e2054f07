//! A consumer: its identity, its configuration and its state.

use everjet_api::{ConsumerConfig, DeliverPolicy};
use everjet_store::StreamStore;
use everjet_values::{StreamSequence, Timestamp};

use crate::codec::Malformed;
use crate::pending::Delivery;
use crate::state::{ConsumerState, wait_after};

/// Number of a consumer in its stream: the index of the entry that created it. Never reused, so that records of a
/// deleted consumer cannot reach a later one of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConsumerId(pub u64);

/// Largest sequence a client may name as a start; far beyond what can be stored, and small enough for
/// [`ChangeLog`](crate::ChangeLog).
pub const SEQUENCE_MAX: StreamSequence = StreamSequence(1 << 56);

/// A consumer: what it is, and how far it got. It survives as the records of the stream's journal and as snapshots,
/// unless it is [volatile](Consumer::is_volatile).
#[derive(Clone, Debug)]
pub struct Consumer {
    /// Its number.
    pub id: ConsumerId,
    /// Its name.
    pub name: String,
    /// When it was created.
    pub created: Timestamp,
    /// Its configuration, defaults filled in, without the metadata keys that are not stored.
    pub config: ConsumerConfig,
    /// How far it got.
    pub state: ConsumerState,
}

impl Consumer {
    /// A new consumer of the stream as it is in `store`.
    #[must_use]
    pub fn create(
        id: ConsumerId,
        name: String,
        created: Timestamp,
        config: ConsumerConfig,
        store: &StreamStore,
    ) -> Self {
        let state = start(&config, store);
        Self {
            id,
            name,
            created,
            config,
            state,
        }
    }

    /// Whether it lives in memory only (`mem_storage`). Such a consumer leaves nothing in the journal and is gone when
    /// the server stops, as on a single nats-server; clients create it again.
    #[must_use]
    pub fn is_volatile(&self) -> bool {
        self.config.mem_storage
    }

    /// Begins anew at a message: what was delivered and what was acknowledged is forgotten.
    ///
    /// # Errors
    /// [`Malformed`] when no message can have that sequence.
    pub fn reset(&mut self, sequence: StreamSequence) -> Result<(), Malformed> {
        if sequence == StreamSequence::ZERO || sequence > SEQUENCE_MAX {
            return Err(Malformed);
        }
        let keeps_backlog = self.config.deliver_policy == DeliverPolicy::LastPerSubject;
        self.state.reset(sequence, keeps_backlog);
        Ok(())
    }

    /// When a delivery that waits began to wait: when it was made, or when the client last asked for time.
    #[must_use]
    pub fn waits_since(&self, delivery: &Delivery) -> Timestamp {
        let wait = wait_after(&self.config, delivery.count);
        delivery.deadline.minus(wait)
    }

    /// The filters as the store takes them.
    #[must_use]
    pub fn filters(&self) -> Vec<&[u8]> {
        self.config
            .filters()
            .into_iter()
            .map(str::as_bytes)
            .collect()
    }
}

/// Where a new consumer starts. It depends on the stream's content at this entry and on nothing else.
fn start(config: &ConsumerConfig, store: &StreamStore) -> ConsumerState {
    let end = store.last_sequence().next();
    let filters: Vec<&[u8]> = config.filters().into_iter().map(str::as_bytes).collect();
    let resume = match config.deliver_policy {
        DeliverPolicy::All => store.first_sequence(),
        DeliverPolicy::New => end,
        DeliverPolicy::Last => {
            let last = store.last_per_subject(&store.select(&filters)).pop();
            last.unwrap_or(end)
        }
        DeliverPolicy::LastPerSubject => {
            let backlog = store.last_per_subject(&store.select(&filters));
            return ConsumerState::new(end, backlog);
        }
        DeliverPolicy::ByStartSequence => {
            StreamSequence(config.opt_start_seq).max(store.first_sequence())
        }
        DeliverPolicy::ByStartTime => config
            .opt_start_time
            .map_or(end, |time| store.first_at_or_after(time)),
    };
    ConsumerState::new(resume.clamp(StreamSequence(1), SEQUENCE_MAX), Vec::new())
}
