//! One server's storage, driven by seed in one thread.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use everjet_api::AckSubject;
use everjet_jetstream::{Checkpointer, Level, OfflineStream, OpenStore, Paths};
use everjet_store::{Compaction, Disk, Fault, Journal, JournalBatch, StreamId};
use everjet_stream::{Effect, Effects, Outgoing, Output, Reads, Stream};
use everjet_testkit::SimDisk;
use everjet_values::{Entropy, SeededEntropy, StreamSequence, Timestamp};

use crate::checkpoints::Checkpoint;
use crate::model::Model;
use crate::questions::ask;
use crate::{Ledger, Ledgers, WorldOptions};

pub(crate) const ACCOUNT: &str = "$G";
pub(crate) const CONSUMER: &str = "worker";
pub(crate) const STORE_DIR: &str = "/data";
/// Where the clock of a world begins.
pub(crate) const START: Timestamp = Timestamp::from_nanos(1_800_000_000_000_000_000);

/// Why a world has come to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The disk was cut, or failed in a way that only a restart ends.
    Crashed,
    /// A promise was broken.
    Broken(String),
}

/// An answer that waits for its records.
struct Waiting {
    stream: StreamId,
    effects: Effects,
    durable: StreamSequence,
    /// The records up to this entry are among those that were queued.
    entry: Option<u64>,
}

/// One stream with what is known of it.
pub(crate) struct Actor {
    pub(crate) stream: Stream,
    /// The messages that should be there.
    pub(crate) model: Model,
    /// Acknowledgement subjects of what the consumer was given.
    pub(crate) deliveries: Vec<Vec<u8>>,
}

/// One server's storage.
pub struct World {
    pub(crate) disk: SimDisk,
    /// The disk as the store knows it, with keys if it has any.
    pub(crate) store_disk: Arc<dyn Disk>,
    pub(crate) journal: Journal,
    pub(crate) checkpointer: Checkpointer,
    pub(crate) checkpoint: Option<Checkpoint>,
    pub(crate) compaction: Option<(StreamId, Compaction)>,
    /// Streams whose files are in a state that nobody knows: the journal keeps what comes, until a restart.
    pub(crate) stuck: BTreeSet<StreamId>,
    /// Steps of checkpoints that did not come through.
    pub(crate) failed_steps: u64,
    pub(crate) next_id: u64,
    pub(crate) actors: BTreeMap<StreamId, Actor>,
    pub(crate) batch: JournalBatch,
    waiting: Vec<Waiting>,
    /// Sequences that an answer on its way says are removed, by number of the answer.
    pub(crate) removals: BTreeMap<u64, Vec<u64>>,
    pub(crate) random: SeededEntropy,
    pub(crate) now: Timestamp,
    pub(crate) options: WorldOptions,
    /// Streams that are not served, for damage.
    pub offline: Vec<OfflineStream>,
    /// What was reported when the store was opened, as warning or error.
    pub reported: Vec<String>,
    /// What clients know, by stream name.
    pub ledgers: Ledgers,
}

impl World {
    /// Opens the store on `disk` (an empty disk is a new store) and compares it with `ledgers`.
    ///
    /// # Errors
    /// [`Stop::Crashed`] when the disk is cut meanwhile or fails; [`Stop::Broken`] with the text of a broken promise.
    pub fn open(
        disk: SimDisk,
        options: WorldOptions,
        seed: u64,
        now: Timestamp,
        ledgers: Ledgers,
    ) -> Result<Self, Stop> {
        let mut world = Self::open_unchecked(disk, options, seed, now, ledgers)?;
        if options.got_key_later() {
            // A segment that was begun before there was a key and holds no message yet is begun anew under the same name: a crash
            // meanwhile leaves something else than the manifest knows, which is said and costs nothing.
            let costs = |text: &String| !text.contains("no message is known to be concerned");
            world.reported.retain(costs);
        }
        if !world.reported.is_empty() {
            if world.disk.has_failed() {
                return Err(Stop::Crashed);
            }
            return Err(Stop::Broken(format!(
                "a power cut is no damage, but was reported as such: {:?}",
                world.reported
            )));
        }
        world.check().map_err(Stop::Broken)?;
        world.ask_all().map_err(Stop::Broken)?;
        world.rewind();
        Ok(world)
    }

    /// Opens the store and compares nothing: it may be damaged.
    ///
    /// # Errors
    /// [`Stop::Crashed`] when the disk is cut meanwhile or fails; [`Stop::Broken`] when the store does not open.
    pub fn open_unchecked(
        disk: SimDisk,
        options: WorldOptions,
        seed: u64,
        now: Timestamp,
        ledgers: Ledgers,
    ) -> Result<Self, Stop> {
        let shared: Arc<dyn Disk> = disk.shared();
        let paths = Paths::new(Path::new(STORE_DIR));
        let opened = match OpenStore::open(&shared, &paths, &options.storage()) {
            Ok(opened) => opened,
            Err(_) if disk.has_failed() => return Err(Stop::Crashed),
            Err(error) => return Err(Stop::Broken(format!("the store does not open: {error}"))),
        };
        let is_report = |(level, _): &&(Level, String)| matches!(level, Level::Warn | Level::Error);
        let reported = opened.notes.iter().filter(is_report);
        let mut world = Self {
            reported: reported.map(|(_, text)| text.clone()).collect(),
            journal: opened.journal,
            next_id: opened.manifest.next_stream_id.0,
            checkpointer: Checkpointer::new(
                Arc::clone(&opened.disk),
                paths,
                opened.manifest_store,
                opened.manifest,
            ),
            store_disk: opened.disk,
            stuck: BTreeSet::new(),
            failed_steps: 0,
            checkpoint: None,
            compaction: None,
            disk,
            actors: BTreeMap::new(),
            batch: JournalBatch::default(),
            waiting: Vec::new(),
            removals: BTreeMap::new(),
            random: SeededEntropy::new(seed),
            now,
            options,
            offline: opened.offline,
            ledgers,
        };
        world.ledgers.retain(|_, ledger| !ledger.volatile);
        for ledger in world.ledgers.values_mut() {
            ledger.in_blocks |= options.is_sealed();
        }
        for opened in opened.streams {
            let mut stream = opened.stream;
            stream.lead(now);
            let model = Model::of(stream.config(), stream.store());
            let actor = Actor {
                stream,
                model,
                deliveries: Vec::new(),
            };
            world.actors.insert(opened.id, actor);
        }
        Ok(world)
    }

    /// Does `steps` things by seed.
    ///
    /// # Errors
    /// See [`Stop`].
    pub fn work(&mut self, steps: u64) -> Result<(), Stop> {
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
            if self.options.wide.is_some() && self.below(6) == 0 {
                self.do_more(id)?;
                self.settle(id)?;
                continue;
            }
            match self.below(100) {
                0..=41 => self.publish(id)?,
                42..=49 => self.pull(id)?,
                50..=52 => self.compact(id)?,
                53..=65 => self.acknowledge(id)?,
                66..=67 => self.purge(id)?,
                68..=69 => self.delete_message(id)?,
                70..=71 => self.delete_run(id)?,
                72..=73 => self.create_consumer(id)?,
                74 => self.delete_consumer(id)?,
                75 => self.delete_stream(id)?,
                76 => self.update_stream(id)?,
                77..=78 => self.now = self.now.plus(Duration::from_secs(31)),
                79..=86 => self.advance_checkpoint()?,
                87..=90 => self.write()?,
                _ => self.commit()?,
            }
            self.settle(id)?;
        }
        for (id, actor) in self.actors.iter().filter(|_| self.options.is_exact) {
            let wrong = |why| Stop::Broken(format!("stream {id}: {why}"));
            actor.model.check(actor.stream.store()).map_err(wrong)?;
        }
        Ok(())
    }

    /// Makes everything durable and writes a checkpoint, as a server that is stopped does.
    ///
    /// # Errors
    /// See [`Stop`].
    pub fn stop(&mut self) -> Result<(), Stop> {
        self.disk.set_capacity(None);
        self.commit_now()?;
        self.finish_checkpoint()?;
        self.begin_checkpoint(true);
        self.finish_checkpoint()?;
        for actor in self.actors.values_mut() {
            if let Some(last) = actor.stream.store_mut().take_last_checkpoint() {
                // Nothing depends on it.
                let _ = last.write(&*self.store_disk);
            }
        }
        let _durable = self.journal.seal().map_err(|_| Stop::Crashed)?;
        for ledger in self.ledgers.values_mut() {
            ledger.proven_entry = ledger.durable_entry;
            ledger.created_proven = ledger.created;
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

    /// The streams that are served.
    pub fn streams(&self) -> impl Iterator<Item = &Stream> {
        self.actors.values().map(|actor| &actor.stream)
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Everything is as it is now: forgets what was known before, for a world that was opened on damage.
    pub fn know_anew(&mut self) {
        self.options.is_exact = false;
        let known = |actor: &Actor| {
            let stream = &actor.stream;
            let name = stream.config().name.clone();
            let before = self.ledgers.get(&name);
            let mut ledger = Ledger::of(stream);
            ledger.in_blocks = before.is_none_or(|before| before.in_blocks);
            (name, ledger)
        };
        self.ledgers = self.actors.values().map(known).collect();
    }

    /// What is gone now was removed by somebody: for a world on damage, where the model of the limits does not hold.
    pub fn believe_removals(&mut self) {
        for actor in self.actors.values() {
            let store = actor.stream.store();
            let name = &actor.stream.config().name;
            let ledger = self.ledgers.entry(name.clone()).or_default();
            let gone = |sequence: &&u64| !store.contains(StreamSequence(**sequence));
            ledger
                .maybe_removed
                .extend(ledger.sent.keys().filter(gone).copied());
        }
    }

    /// Asks every stream about its messages.
    ///
    /// # Errors
    /// The first answer that is wrong.
    pub fn ask_all(&mut self) -> Result<(), String> {
        for actor in self.actors.values_mut() {
            let name = actor.stream.config().name.clone();
            let ledger = self.ledgers.entry(name.clone()).or_default();
            ask(&mut actor.stream, ledger, self.now)
                .map_err(|why| format!("stream {name}: {why}"))?;
        }
        Ok(())
    }

    pub(crate) fn below(&self, limit: u64) -> usize {
        usize::try_from(self.random.next_u64() % limit.max(1)).expect("small")
    }

    pub(crate) fn ledger(&mut self, id: StreamId) -> &mut Ledger {
        let name = self
            .actors
            .get(&id)
            .map(|actor| actor.stream.config().name.clone());
        self.ledgers.entry(name.unwrap_or_default()).or_default()
    }

    /// A subject that carries, when the answer on it is released, that these sequences are removed.
    pub(crate) fn promise_removal(&mut self, sequences: Vec<u64>) -> Vec<u8> {
        let number = self
            .removals
            .last_key_value()
            .map_or(0, |(last, _)| last + 1);
        self.removals.insert(number, sequences);
        format!("gone.{number}").into_bytes()
    }

    /// Deliveries and timers of a stream.
    pub(crate) fn settle(&mut self, id: StreamId) -> Result<(), Stop> {
        if self.disk.is_cut() {
            // Where a failure does no harm nobody said so.
            return Err(Stop::Crashed);
        }
        let (now, mut output) = (self.now, Output::new());
        if let Some(actor) = self.actors.get_mut(&id) {
            let last = actor.stream.store().last_sequence();
            let expired = actor.model.expire(now);
            actor.stream.on_timer(now, &mut |_| true, &mut output);
            actor
                .stream
                .poll(now, &mut |_| true, &mut output, 100, Reads::Blocking);
            self.ledger(id).maybe_removed.extend(expired);
            self.note_markers(id, last)?;
        }
        self.take(id, &mut output)?;
        self.remember_state(id)
    }

    /// Notes the state at this entry, to compare it with what comes back.
    pub(crate) fn remember_state(&mut self, id: StreamId) -> Result<(), Stop> {
        let Some(actor) = self
            .actors
            .get(&id)
            .filter(|_| self.options.compares_states())
        else {
            return Ok(());
        };
        let (entry, digest) = (actor.stream.entry().0, actor.stream.digest());
        let before = self.ledger(id).digests.insert(entry, digest);
        if before.is_some_and(|before| before != digest) {
            let why = format!("stream {id}: the state changed without an entry after {entry}");
            return Err(Stop::Broken(why));
        }
        Ok(())
    }

    /// Does with an output what the server's actor does.
    pub(crate) fn take(&mut self, id: StreamId, output: &mut Output) -> Result<(), Stop> {
        let Some(actor) = self.actors.get_mut(&id) else {
            return Ok(());
        };
        let name = &actor.stream.config().name;
        let ledger = self.ledgers.entry(name.clone()).or_default();
        for outgoing in output.sends.iter() {
            if let Outgoing::Delivery { ack_reply, .. } = outgoing {
                let ack = AckSubject::parse(ack_reply).expect("an acknowledgement subject");
                let sequence = ack.stream_seq.0;
                if ack.consumer == CONSUMER && ledger.consumed.contains(&sequence) {
                    let why = format!(
                        "stream {name}: message {sequence} was delivered again after its acknowledgement was answered"
                    );
                    return Err(Stop::Broken(why));
                }
                ledger.delivered = ledger.delivered.max(sequence);
                actor.deliveries.push(ack_reply.to_vec());
            }
        }
        self.waiting.push(Waiting {
            stream: id,
            effects: std::mem::take(&mut output.effects),
            durable: actor.stream.store().last_sequence(),
            entry: (!output.journal.is_empty()).then_some(actor.stream.entry().0),
        });
        self.batch.append(&mut output.journal);
        Ok(())
    }

    /// Writes what waits, as a thread does that wants no sync.
    fn write(&mut self) -> Result<(), Stop> {
        if !self.batch.is_empty() {
            // Whatever is written now says how far the journal was durable, once it is durable itself.
            for ledger in self.ledgers.values_mut() {
                ledger.claimed = (ledger.created, ledger.durable_entry);
            }
        }
        let written = self.journal.write(&mut self.batch);
        self.go_on(&written)
    }

    /// One write, one sync, then the answers.
    fn commit(&mut self) -> Result<(), Stop> {
        self.write()?;
        if !self.batch.is_empty() {
            return Ok(());
        }
        let synced = self.journal.sync();
        if synced.is_err() {
            return self.go_on(&synced);
        }
        for ledger in self.ledgers.values_mut() {
            let (created, entry) = ledger.claimed;
            ledger.proven_entry = ledger.proven_entry.max(entry);
            ledger.created_proven |= created;
        }
        if let Some(job) = self.journal.spare_job() {
            let made = job
                .run()
                .and_then(|spare| self.journal.install_spare(spare));
            self.go_on(&made)?;
        }
        for waiting in std::mem::take(&mut self.waiting) {
            let Some(actor) = self.actors.get_mut(&waiting.stream) else {
                continue;
            };
            actor.stream.on_durable(waiting.durable);
            let name = actor.stream.config().name.clone();
            let ledger = self.ledgers.entry(name).or_default();
            ledger.durable_entry = ledger.durable_entry.max(waiting.entry.unwrap_or(0));
            for effect in waiting.effects.iter() {
                note(ledger, &effect, &self.removals);
            }
        }
        self.removals.clear();
        Ok(())
    }

    /// As [`World::commit`], for what cannot wait: a disk that is full for the moment ends the run.
    pub(crate) fn commit_now(&mut self) -> Result<(), Stop> {
        self.commit()?;
        if self.batch.is_empty() && self.waiting.is_empty() {
            Ok(())
        } else {
            Err(Stop::Crashed)
        }
    }

    /// As [`World::go_on`]; `None` for what passes.
    pub(crate) fn or_later<T>(&self, outcome: Result<T, Fault>) -> Result<Option<T>, Stop> {
        self.go_on(&outcome)?;
        Ok(outcome.ok())
    }

    /// A fault that latches the journal is the end, as is a power cut; any other passes.
    fn go_on<T>(&self, outcome: &Result<T, Fault>) -> Result<(), Stop> {
        match outcome {
            Err(_) if self.disk.is_cut() || self.journal.latched().is_some() => Err(Stop::Crashed),
            _ => Ok(()),
        }
    }

    fn check(&self) -> Result<(), String> {
        self.check_erased()?;
        for stream in self.streams() {
            let name = &stream.config().name;
            if !self.ledgers.contains_key(name) {
                return Err(format!(
                    "stream {name} is back after its deletion was acknowledged"
                ));
            }
        }
        for (name, ledger) in &self.ledgers {
            let found = self.streams().find(|stream| stream.config().name == *name);
            match found {
                Some(stream) => {
                    ledger
                        .check(stream)
                        .map_err(|why| format!("stream {name}: {why}"))?;
                    if ledger.consumer && !stream.consumer_names().contains(&CONSUMER) {
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

    /// What was asked for and not acknowledged, and did not survive, never happened.
    fn rewind(&mut self) {
        let actors = &self.actors;
        let lives = |name: &str| {
            let mut streams = actors.values().map(|actor| &actor.stream);
            streams.any(|stream| stream.config().name == name)
        };
        self.ledgers.retain(|name, _| lives(name));
        for actor in self.actors.values() {
            let name = actor.stream.config().name.clone();
            self.ledgers.entry(name).or_default().rewind(&actor.stream);
        }
    }
}

/// Writes down what an answer told its client.
fn note(ledger: &mut Ledger, effect: &Effect<'_>, removals: &BTreeMap<u64, Vec<u64>>) {
    match effect {
        Effect::Stored { sequence, .. } | Effect::Counted { sequence, .. } => {
            ledger.acknowledged.insert(sequence.0);
        }
        Effect::StoredBatch {
            sequence, count, ..
        } => {
            let first = sequence.0 + 1 - count;
            ledger.acknowledged.extend(first..=sequence.0);
        }
        Effect::AckReply { reply } => {
            if let Some(of_consumer) = numbers_after(reply, "acked.")
                && let [generation, sequence] = *of_consumer
            {
                if ledger.acks_remove {
                    ledger.removed.insert(sequence);
                }
                if generation == ledger.consumer_generation {
                    ledger.consumed.insert(sequence);
                }
            }
        }
        Effect::Respond { reply, .. } => {
            if let Some(created) = numbers_after(reply, "consumer.") {
                ledger.consumer |= created == [ledger.consumer_generation];
            }
            let number = numbers_after(reply, "gone.").and_then(|numbers| numbers.first().copied());
            if let Some(gone) = number.and_then(|number| removals.get(&number)) {
                ledger.removed.extend(gone);
            }
        }
        Effect::BatchFlow { .. } | Effect::Refused { .. } | Effect::Republish { .. } => {}
    }
}

/// The numbers of a subject such as `acked.1.7`.
fn numbers_after(reply: &[u8], prefix: &str) -> Option<Vec<u64>> {
    let numbers = std::str::from_utf8(reply).ok()?.strip_prefix(prefix)?;
    numbers
        .split('.')
        .map(|number| number.parse().ok())
        .collect()
}
