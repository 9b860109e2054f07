//! One server's storage, driven by seed in one thread.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use everjet_api::{
    AckPolicy, AckSubject, ConsumerAction, ConsumerConfig, PurgeRequest, StreamConfig,
};
use everjet_jetstream::{
    Captured, Checkpointer, OpenStore, Paths, StorageOptions, record_stream_created,
    record_stream_deleted,
};
use everjet_store::{
    Disk, Fault, Journal, JournalBatch, JournalOptions, StoreOptions, StreamId, StreamStore,
};
use everjet_stream::{
    CreateConsumer, Effect, Effects, Outgoing, Output, Publish, Reads, ServerLimits, Stream,
    normalise_config,
};
use everjet_testkit::SimDisk;
use everjet_values::{Entropy, SeededEntropy, StreamSequence, Timestamp};

use crate::Ledger;

const ACCOUNT: &str = "$G";
const CONSUMER: &str = "worker";
const STORE_DIR: &str = "/data";
const SUBJECTS: [&str; 4] = ["order.new", "order.paid", "order.sent", "order.back"];

/// What a world is like.
#[derive(Clone, Copy, Debug)]
pub struct WorldOptions {
    /// Streams, named S0, S1, …
    pub streams: u64,
    /// `max_msgs` of the streams; -1 for none.
    pub max_msgs: i64,
    /// `max_msgs_per_subject` of the streams; -1 for none.
    pub max_msgs_per_subject: i64,
}

/// The disk was cut while the world was at work.
#[derive(Debug)]
pub struct Crashed;

impl From<Fault> for Crashed {
    fn from(_: Fault) -> Self {
        Self
    }
}

/// An answer that waits for its records.
struct Waiting {
    stream: StreamId,
    effects: Effects,
    durable: StreamSequence,
}

/// One stream with what is known of it.
struct Actor {
    stream: Stream,
    /// Sequences that should be there by the limits, with their subject: a naive model.
    alive: Vec<(u64, usize)>,
    /// Acknowledgement subjects of what the consumer was given.
    deliveries: Vec<Vec<u8>>,
}

/// One server's storage.
pub struct World {
    disk: SimDisk,
    journal: Journal,
    checkpointer: Checkpointer,
    next_id: u64,
    actors: BTreeMap<StreamId, Actor>,
    batch: JournalBatch,
    waiting: Vec<Waiting>,
    random: SeededEntropy,
    now: Timestamp,
    options: WorldOptions,
    /// What clients know, by stream name.
    pub ledgers: BTreeMap<String, Ledger>,
}

/// Small files, so that rolling, recycling and dropping happen all the time.
fn storage_options() -> StorageOptions {
    StorageOptions {
        store: StoreOptions {
            segment_bytes_max: 4096,
            tail_bytes_max: 2048,
            chunk_bytes: 1024,
        },
        journal: JournalOptions {
            file_bytes: 8192,
            hurried_file_bytes: 4096,
            spares_max: 1,
            salt: 7,
        },
        ..StorageOptions::default()
    }
}

impl World {
    /// Opens the store on `disk` (an empty disk is a new store) and compares it with `ledgers`.
    ///
    /// # Errors
    /// [`Crashed`] when the disk is cut meanwhile; the text of a broken promise otherwise.
    pub fn open(
        disk: SimDisk,
        options: WorldOptions,
        seed: u64,
        ledgers: BTreeMap<String, Ledger>,
    ) -> Result<Result<Self, Crashed>, String> {
        let shared: Arc<dyn Disk> = disk.shared();
        let paths = Paths::new(Path::new(STORE_DIR));
        let opened = match OpenStore::open(&shared, &paths, &storage_options()) {
            Ok(opened) => opened,
            Err(_) if disk.is_cut() => return Ok(Err(Crashed)),
            Err(error) => return Err(format!("the store does not open: {error}")),
        };
        let errors: Vec<_> = opened
            .notes
            .iter()
            .filter(|(level, _)| *level == everjet_jetstream::Level::Error)
            .map(|(_, text)| text.clone())
            .collect();
        if !errors.is_empty() {
            return Err(format!(
                "a power cut is no damage, but was reported as such: {errors:?}"
            ));
        }
        let now = Timestamp::from_nanos(1_800_000_000_000_000_000)
            .plus(Duration::from_secs(seed % 1_000_000));
        let mut world = Self {
            journal: opened.journal,
            next_id: opened.manifest.next_stream_id.0,
            checkpointer: Checkpointer::new(shared, paths, opened.manifest_store, opened.manifest),
            disk,
            actors: BTreeMap::new(),
            batch: JournalBatch::default(),
            waiting: Vec::new(),
            random: SeededEntropy::new(seed),
            now,
            options,
            ledgers,
        };
        for opened in opened.streams {
            let mut stream = opened.stream;
            stream.lead(now);
            world.actors.insert(
                opened.id,
                Actor {
                    stream,
                    alive: Vec::new(),
                    deliveries: Vec::new(),
                },
            );
        }
        world.check()?;
        world.forget_what_was_never_acknowledged();
        Ok(Ok(world))
    }

    /// Does `steps` things by seed.
    ///
    /// # Errors
    /// [`Crashed`] as soon as the disk is cut.
    pub fn work(&mut self, steps: u64) -> Result<(), Crashed> {
        for _ in 0..steps {
            while self.actors.len() < usize::try_from(self.options.streams).unwrap_or(usize::MAX) {
                self.create_stream()?;
            }
            let ids: Vec<StreamId> = self.actors.keys().copied().collect();
            let Some(id) = ids.get(self.below(ids.len() as u64)).copied() else {
                return Ok(());
            };
            self.now = self
                .now
                .plus(Duration::from_millis(self.random.next_u64() % 50));
            match self.below(100) {
                0..=44 => self.publish(id),
                45..=59 => self.pull(id),
                60..=74 => self.acknowledge(id),
                75..=76 => self.purge(id),
                77..=79 => self.delete_message(id),
                80 => self.create_consumer(id),
                81 => self.delete_stream(id)?,
                82..=83 => self.now = self.now.plus(Duration::from_secs(31)),
                84..=87 => self.checkpoint()?,
                _ => self.commit()?,
            }
            self.settle(id);
        }
        Ok(())
    }

    /// A number for each stream that is equal exactly if its replicated state is.
    #[must_use]
    pub fn digests(&self) -> BTreeMap<StreamId, u64> {
        self.actors
            .iter()
            .map(|(id, actor)| (*id, actor.stream.digest()))
            .collect()
    }

    fn below(&self, limit: u64) -> usize {
        usize::try_from(self.random.next_u64() % limit.max(1)).expect("small")
    }

    fn create_stream(&mut self) -> Result<(), Crashed> {
        let name = (0..).map(|number| format!("S{number}")).find(|name| {
            !self
                .actors
                .values()
                .any(|actor| actor.stream.config().name == *name)
        });
        let name = name.expect("there are more numbers than streams");
        let wanted = StreamConfig {
            name: name.clone(),
            subjects: vec!["order.>".to_owned()],
            max_msgs: self.options.max_msgs,
            max_msgs_per_subject: self.options.max_msgs_per_subject,
            ..StreamConfig::default()
        };
        let config = normalise_config(wanted, false, &ServerLimits::default())
            .expect("a plain configuration");
        let id = StreamId(self.next_id);
        self.next_id += 1;
        let mut record = JournalBatch::default();
        record_stream_created(&mut record, id, ACCOUNT, self.now, &config);
        // The ledger knows the stream from now on: whether it exists after a cut is open until the record is durable.
        self.ledgers.entry(name.clone()).or_default();
        self.batch.append(&mut record);
        let folder = Paths::new(Path::new(STORE_DIR)).stream(ACCOUNT, &name);
        self.disk
            .shared()
            .create_dir_all(&folder)
            .map_err(|_| Crashed)?;
        self.commit()?;
        let store = StreamStore::on_disk(
            self.disk.shared(),
            folder,
            id,
            &name,
            storage_options().store,
        );
        let mut stream = Stream::create(id, config, self.now, store);
        stream.lead(self.now);
        self.actors.insert(
            id,
            Actor {
                stream,
                alive: Vec::new(),
                deliveries: Vec::new(),
            },
        );
        self.ledgers.entry(name).or_default().created = true;
        Ok(())
    }

    /// Deletes a stream as the server does: the record, then the folder. Whether it exists after a cut in between is open.
    fn delete_stream(&mut self, id: StreamId) -> Result<(), Crashed> {
        let Some(actor) = self.actors.remove(&id) else {
            return Ok(());
        };
        let name = actor.stream.config().name.clone();
        self.ledgers.entry(name.clone()).or_default().deleting = true;
        let mut record = JournalBatch::default();
        record_stream_deleted(&mut record, id);
        self.batch.append(&mut record);
        self.commit()?;
        // Acknowledged: a stream of this name is another one from now on.
        self.ledgers.remove(&name);
        self.checkpointer.forget(id);
        let folder = Paths::new(Path::new(STORE_DIR)).stream(ACCOUNT, &name);
        let disk = self.disk.shared();
        if let Err(error) = disk.remove_dir_all(&folder)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            return Err(Crashed);
        }
        let streams = folder.parent().expect("a stream's folder has one above it");
        disk.sync_dir(streams).map_err(|_| Crashed)
    }

    fn publish(&mut self, id: StreamId) {
        let subject = self.below(SUBJECTS.len() as u64);
        let mut payload = self
            .random
            .next_u64()
            .to_le_bytes()
            .repeat(self.below(30) + 1);
        payload.push(0);
        let headers: Vec<u8> = match self.below(4) {
            0 => format!(
                "NATS/1.0\r\nNats-Msg-Id: m{}\r\n\r\n",
                self.random.next_u64() % 40
            )
            .into_bytes(),
            _ => Vec::new(),
        };
        let Some(actor) = self.actors.get_mut(&id) else {
            return;
        };
        let before = actor.stream.store().last_sequence();
        let mut output = Output::new();
        let publish = Publish {
            subject: SUBJECTS[subject].as_bytes(),
            reply: b"published",
            headers: &headers,
            payload: &payload,
        };
        actor.stream.on_publish(self.now, &publish, &mut output);
        let after = actor.stream.store().last_sequence();
        let name = actor.stream.config().name.clone();
        if after > before {
            let ledger = self.ledgers.entry(name).or_default();
            ledger.sent.insert(after.0, payload);
            actor.alive.push((after.0, subject));
            let limited = enforce(&mut actor.alive, self.options);
            ledger.maybe_removed.extend(limited);
        }
        self.take(id, &mut output);
    }

    fn create_consumer(&mut self, id: StreamId) {
        let config = ConsumerConfig {
            durable_name: CONSUMER.to_owned(),
            name: CONSUMER.to_owned(),
            ack_policy: AckPolicy::Explicit,
            ..ConsumerConfig::default()
        };
        let request = CreateConsumer {
            config,
            action: ConsumerAction::CreateOrUpdate,
            pedantic: false,
        };
        let (now, mut output) = (self.now, Output::new());
        if let Some(actor) = self.actors.get_mut(&id) {
            let created = actor.stream.create_consumer(
                now,
                request,
                String::new(),
                &mut |_| true,
                &mut output,
            );
            created.expect("the same consumer again and again");
            output.effects.respond(b"consumer", Vec::new());
        }
        self.take(id, &mut output);
    }

    fn pull(&mut self, id: StreamId) {
        let (now, mut output) = (self.now, Output::new());
        let body = format!("{{\"batch\":{},\"no_wait\":true}}", self.below(5) + 1);
        if let Some(actor) = self.actors.get_mut(&id) {
            actor
                .stream
                .on_pull(now, CONSUMER, b"inbox", body.as_bytes(), &mut output);
        }
        self.take(id, &mut output);
    }

    fn acknowledge(&mut self, id: StreamId) {
        let pick = self.random.next_u64();
        let (now, mut output) = (self.now, Output::new());
        if let Some(actor) = self.actors.get_mut(&id) {
            if actor.deliveries.is_empty() {
                return;
            }
            let index = usize::try_from(pick % actor.deliveries.len() as u64).expect("small");
            let subject = actor.deliveries.swap_remove(index);
            let ack = AckSubject::parse(&subject).expect("an acknowledgement subject");
            let reply = format!("acked.{}", ack.stream_seq);
            let body: &[u8] = if pick.is_multiple_of(7) { b"-NAK" } else { b"" };
            let reply = if body.is_empty() {
                reply.as_bytes()
            } else {
                b""
            };
            actor.stream.on_ack(now, &ack, reply, body, &mut output);
        }
        self.take(id, &mut output);
    }

    fn purge(&mut self, id: StreamId) {
        let (now, mut output) = (self.now, Output::new());
        let pick = self.random.next_u64();
        if let Some(actor) = self.actors.get_mut(&id) {
            let last = actor.stream.store().last_sequence().0;
            let seq = if pick.is_multiple_of(3) {
                0
            } else {
                last.saturating_sub(pick % 10)
            };
            let through = if seq == 0 {
                last
            } else {
                seq.saturating_sub(1)
            };
            let request = PurgeRequest {
                seq,
                ..PurgeRequest::default()
            };
            actor
                .stream
                .purge(now, &request, &mut output)
                .expect("a purge is allowed");
            actor.alive.retain(|(sequence, _)| *sequence > through);
            let name = actor.stream.config().name.clone();
            self.ledgers
                .entry(name)
                .or_default()
                .maybe_removed
                .extend(1..=through);
            output
                .effects
                .respond(format!("purged.{through}").as_bytes(), Vec::new());
        }
        self.take(id, &mut output);
    }

    fn delete_message(&mut self, id: StreamId) {
        let (now, mut output) = (self.now, Output::new());
        let pick = self.random.next_u64();
        if let Some(actor) = self.actors.get_mut(&id) {
            let last = actor.stream.store().last_sequence().0;
            let sequence = pick % last.max(1) + 1;
            if actor
                .stream
                .delete_message(now, StreamSequence(sequence), true, &mut output)
                .is_err()
            {
                return;
            }
            actor.alive.retain(|(alive, _)| *alive != sequence);
            let name = actor.stream.config().name.clone();
            self.ledgers
                .entry(name)
                .or_default()
                .maybe_removed
                .insert(sequence);
            output
                .effects
                .respond(format!("deleted.{sequence}").as_bytes(), Vec::new());
        }
        self.take(id, &mut output);
    }

    /// Deliveries and timers of a stream.
    fn settle(&mut self, id: StreamId) {
        let (now, mut output) = (self.now, Output::new());
        if let Some(actor) = self.actors.get_mut(&id) {
            actor.stream.on_timer(now, &mut |_| true, &mut output);
            actor
                .stream
                .poll(now, &mut |_| true, &mut output, 100, Reads::Blocking);
        }
        self.take(id, &mut output);
    }

    /// Does with an output what the server's actor does.
    fn take(&mut self, id: StreamId, output: &mut Output) {
        let Some(actor) = self.actors.get_mut(&id) else {
            return;
        };
        let ledger = self
            .ledgers
            .entry(actor.stream.config().name.clone())
            .or_default();
        for outgoing in output.sends.iter() {
            if let Outgoing::Delivery { ack_reply, .. } = outgoing {
                let ack = AckSubject::parse(ack_reply).expect("an acknowledgement subject");
                assert!(
                    !ledger.consumed.contains(&ack.stream_seq.0),
                    "message {} was delivered again after its acknowledgement was answered",
                    ack.stream_seq
                );
                ledger.delivered.insert(ack.stream_seq.0);
                actor.deliveries.push(ack_reply.to_vec());
            }
        }
        self.batch.append(&mut output.journal);
        let durable = actor.stream.store().last_sequence();
        self.waiting.push(Waiting {
            stream: id,
            effects: std::mem::take(&mut output.effects),
            durable,
        });
    }

    /// One write, one sync, then the answers.
    fn commit(&mut self) -> Result<(), Crashed> {
        self.journal.write(&mut self.batch)?;
        let _durable = self.journal.sync()?;
        if let Some(job) = self.journal.spare_job() {
            self.journal.install_spare(job.run()?)?;
        }
        for waiting in std::mem::take(&mut self.waiting) {
            let Some(actor) = self.actors.get_mut(&waiting.stream) else {
                continue;
            };
            actor.stream.on_durable(waiting.durable);
            let ledger = self
                .ledgers
                .entry(actor.stream.config().name.clone())
                .or_default();
            for effect in waiting.effects.iter() {
                note(ledger, &effect);
            }
        }
        Ok(())
    }

    fn checkpoint(&mut self) -> Result<(), Crashed> {
        let written = self.journal.last_written();
        let mut finished = Vec::new();
        for (id, actor) in &mut self.actors {
            let captured = Captured::take(&mut actor.stream, ACCOUNT);
            let written = self.checkpointer.persist(&captured)?;
            finished.push((*id, captured, written));
        }
        let _durable = self.journal.sync()?;
        self.checkpointer
            .publish(written.next(), StreamId(self.next_id))?;
        for (id, captured, written) in finished {
            let Some(actor) = self.actors.get_mut(&id) else {
                continue;
            };
            let store = actor.stream.store_mut();
            if let Some(written) = &written {
                store.finish_writes(written);
            }
            let obsolete = store.obsolete_files(captured.segments());
            obsolete.delete(&*self.disk.shared())?;
            store.finish_obsolete(&obsolete);
        }
        self.journal.release(written)?;
        Ok(())
    }

    fn check(&self) -> Result<(), String> {
        for actor in self.actors.values() {
            let name = &actor.stream.config().name;
            if !self.ledgers.contains_key(name) {
                return Err(format!(
                    "stream {name} is back after its deletion was acknowledged"
                ));
            }
        }
        for (name, ledger) in &self.ledgers {
            let actor = self
                .actors
                .values()
                .find(|actor| actor.stream.config().name == *name);
            match actor {
                Some(actor) => {
                    ledger
                        .check(&actor.stream)
                        .map_err(|why| format!("stream {name}: {why}"))?;
                    if ledger.consumer && !actor.stream.consumer_names().contains(&CONSUMER) {
                        return Err(format!("stream {name}: the consumer is lost"));
                    }
                }
                None if ledger.created && !ledger.deleting => {
                    return Err(format!("stream {name} is lost"));
                }
                None => {}
            }
        }
        Ok(())
    }

    /// What was sent and not acknowledged, and did not survive, never happened: its sequence may be given again.
    fn forget_what_was_never_acknowledged(&mut self) {
        for actor in self.actors.values_mut() {
            let ledger = self
                .ledgers
                .entry(actor.stream.config().name.clone())
                .or_default();
            let store = actor.stream.store();
            let last = store.last_sequence().0;
            ledger.sent.retain(|sequence, _| *sequence <= last);
            ledger.maybe_removed.retain(|sequence| *sequence <= last);
            for sequence in store.first_sequence().0..=last {
                if let Ok(message) = store.get(StreamSequence(sequence)) {
                    let subject = SUBJECTS
                        .iter()
                        .position(|subject| subject.as_bytes() == message.subject());
                    actor
                        .alive
                        .push((sequence, subject.expect("one of the subjects")));
                }
            }
        }
        for ledger in self.ledgers.values_mut() {
            ledger.created &= !ledger.deleting;
            ledger.deleting = false;
        }
        self.ledgers.retain(|name, ledger| {
            ledger.created
                || self
                    .actors
                    .values()
                    .any(|actor| actor.stream.config().name == *name)
        });
        for actor in self.actors.values() {
            self.ledgers
                .entry(actor.stream.config().name.clone())
                .or_default()
                .created = true;
        }
    }
}

/// What the limits remove, by a naive model.
fn enforce(alive: &mut Vec<(u64, usize)>, options: WorldOptions) -> Vec<u64> {
    let mut removed = Vec::new();
    if let Ok(limit) = usize::try_from(options.max_msgs_per_subject) {
        for subject in 0..SUBJECTS.len() {
            while alive.iter().filter(|(_, of)| *of == subject).count() > limit {
                let oldest = alive
                    .iter()
                    .position(|(_, of)| *of == subject)
                    .expect("counted");
                removed.push(alive.remove(oldest).0);
            }
        }
    }
    if let Ok(limit) = usize::try_from(options.max_msgs) {
        while alive.len() > limit {
            removed.push(alive.remove(0).0);
        }
    }
    removed
}

/// Writes down what an answer told its client.
fn note(ledger: &mut Ledger, effect: &Effect<'_>) {
    match effect {
        Effect::Stored { sequence, .. } => {
            ledger.acknowledged.insert(sequence.0);
        }
        Effect::AckReply { reply } => {
            ledger.consumed.extend(number_after(reply, "acked."));
        }
        Effect::Respond { reply, .. } => {
            ledger.consumer |= *reply == b"consumer";
            ledger.removed.extend(number_after(reply, "deleted."));
            if let Some(through) = number_after(reply, "purged.") {
                ledger.removed.extend(1..=through);
            }
        }
        Effect::Refused { .. } => {}
    }
}

fn number_after(reply: &[u8], prefix: &str) -> Option<u64> {
    std::str::from_utf8(reply)
        .ok()?
        .strip_prefix(prefix)?
        .parse()
        .ok()
}
