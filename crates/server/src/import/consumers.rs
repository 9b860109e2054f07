//! The consumers of one stream of the source.

use std::path::Path;

use everjet_api::StreamConfig;
use everjet_consumer::{
    Consumer, ConsumerId, ConsumerRules, ConsumerState, Position, WaitingDelivery, normalise_config,
};
use everjet_foreign::{Checksum, ConsumerMeta, ForeignConsumerState, StoreKey, consumer_context};
use everjet_store::{Disk, Fault, StreamStore};
use everjet_values::{ConsumerSequence, StreamSequence, Timestamp};

use super::definition::{Opened, open};
use super::report::Findings;
use super::source::{SourceStream, content, folders};

/// A consumer that can be taken in.
pub(crate) struct SourceConsumer {
    meta: ConsumerMeta,
    /// `None`: it begins as its configuration says.
    state: Option<ConsumerState>,
}

/// Reads all consumers of a stream whose configuration is `config`. Those that cannot be taken are among the findings.
pub(crate) fn read(
    disk: &dyn Disk,
    stream: &SourceStream,
    config: &StreamConfig,
    keys: &[StoreKey],
    without: &[String],
    findings: &mut Findings,
) -> Result<Vec<SourceConsumer>, Fault> {
    let root = stream.folder.join("obs");
    let mut consumers = Vec::new();
    for name in folders(disk, &root)? {
        let folder = root.join(&name);
        match consumer(
            disk, stream, &folder, &name, config, keys, without, findings,
        )? {
            Ok(consumer) => consumers.push(consumer),
            Err(why) => findings.lost_consumers.push(format!("{name}: {why}")),
        }
    }
    Ok(consumers)
}

#[expect(
    clippy::too_many_arguments,
    reason = "what is read, what it is held against, and where findings go"
)]
fn consumer(
    disk: &dyn Disk,
    stream: &SourceStream,
    folder: &Path,
    name: &str,
    config: &StreamConfig,
    keys: &[StoreKey],
    without: &[String],
    findings: &mut Findings,
) -> Result<Result<SourceConsumer, String>, Fault> {
    let context = consumer_context(&stream.name, name);
    let checksum = Checksum::of_consumer(&stream.name, name);
    let context = (stream.account.as_str(), context.as_str());
    let (text, key) = match open(disk, folder, checksum, context, keys, findings)? {
        Opened::Text(text, key) => (text, key),
        Opened::No(why) => return Ok(Err(why)),
    };
    let mut meta = match ConsumerMeta::read(&text) {
        Ok(meta) => meta,
        Err(error) => return Ok(Err(format!("its configuration cannot be taken: {error}"))),
    };
    if meta.name != name {
        return Ok(Err(format!(
            "its folder belongs to a consumer named {:?}",
            meta.name
        )));
    }
    if without.iter().any(|setting| setting == "num_replicas") {
        meta.config.num_replicas = 0;
    }
    let rules = ConsumerRules {
        stream: config,
        pedantic: false,
    };
    meta.config = match normalise_config(meta.config, &rules) {
        Ok(config) => config,
        Err(error) => {
            return Ok(Err(format!(
                "its configuration cannot be taken: {}",
                error.description
            )));
        }
    };
    let path = folder.join("o.dat");
    let Some(raw) = content(disk, &path)? else {
        findings.notes.push(format!(
            "consumer {name} has no o.dat: it begins as its configuration says"
        ));
        return Ok(Ok(SourceConsumer { meta, state: None }));
    };
    let raw = match &key {
        None => Some(raw),
        Some(key) => key.open(&raw),
    };
    let unusable = || Ok(Err(format!("{} is damaged", path.display())));
    let Some(foreign) = raw.and_then(|raw| ForeignConsumerState::read(&raw)) else {
        return unusable();
    };
    let Some(state) = restore(&meta, &foreign) else {
        return unusable();
    };
    Ok(Ok(SourceConsumer {
        meta,
        state: Some(state),
    }))
}

fn restore(meta: &ConsumerMeta, foreign: &ForeignConsumerState) -> Option<ConsumerState> {
    let position = |(consumer, stream)| Position {
        consumer: ConsumerSequence(consumer),
        stream: StreamSequence(stream),
    };
    let mut waiting = Vec::with_capacity(foreign.pending.len());
    // The first version of the file leaves the deliveries out: they are counted from the floor.
    let counted = foreign.ack_floor.0 + 1..;
    for (counted, delivery) in counted.zip(&foreign.pending) {
        let consumer = if delivery.consumer == 0 {
            counted
        } else {
            delivery.consumer
        };
        waiting.push(WaitingDelivery {
            stream: StreamSequence(delivery.stream),
            consumer: ConsumerSequence(consumer),
            count: u32::try_from(delivery.count).ok()?,
            delivered_at: Timestamp::from_nanos(delivery.delivered_at.checked_mul(1_000_000_000)?),
        });
    }
    ConsumerState::restored(
        &meta.config,
        position(foreign.delivered),
        position(foreign.ack_floor),
        &waiting,
    )
}

impl SourceConsumer {
    /// The last message that was delivered.
    pub(crate) fn delivered(&self) -> StreamSequence {
        self.state
            .as_ref()
            .map_or(StreamSequence(0), |state| state.delivered().stream)
    }

    pub(crate) fn name(&self) -> &str {
        &self.meta.name
    }

    /// The consumer of the stream whose messages are in `store`.
    pub(crate) fn finish(self, store: &StreamStore) -> Consumer {
        let ConsumerMeta {
            created,
            name,
            config,
        } = self.meta;
        // The number is given by the import.
        let mut consumer = Consumer::create(ConsumerId(0), name, created, config, store);
        if let Some(state) = self.state {
            consumer.state = state;
        }
        consumer
    }
}
