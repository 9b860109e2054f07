//! A whole JetStream with an account, an inbox, a log and a disk that can fail.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use everjet_jetstream::{
    Health, JetStream, JetStreamConfig, ScrubOptions, ScrubProgress, Seams, StorageOptions,
    SyncPolicy, UsageLimits,
};
use everjet_routing::{Account, Message, Origin, Sink, Subscription, Turn};
use everjet_store::{Encryption, MemoryOptions, MemoryUse};
use everjet_values::SeededEntropy;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::disk::{Faults, FaultyDisk};
use crate::seams::{Inbox, Log, Wall, error_of, sequence_of};

/// How long anything may take that must happen.
pub(crate) const SOON: Duration = Duration::from_secs(10);
/// How often the tests look.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// Small, so that tests fill many of them.
pub(crate) const JOURNAL_FILE_BYTES: u64 = 1 << 16;

/// Looks until there is something, and returns it.
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < SOON, "{what} did not happen");
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Looks until it is so.
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    eventually(what, || is_so().then_some(()));
}

pub(crate) struct Rig {
    pub(crate) account: Arc<Account>,
    pub(crate) faults: Arc<Faults>,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) log: Arc<Log>,
    pub(crate) clock: Arc<Wall>,
    jetstream: Option<JetStream>,
    folder: Arc<TempDir>,
    pub(crate) turn: Turn,
    asked: u32,
}

impl Rig {
    /// A JetStream on an empty disk that syncs before it acknowledges.
    pub(crate) fn new() -> Self {
        Self::with_policy(SyncPolicy::Always)
    }

    pub(crate) fn with_policy(sync: SyncPolicy) -> Self {
        Self::start(Arc::new(tempfile::tempdir().unwrap()), sync)
    }

    /// As [`Rig::new`], with segments of 64 KiB.
    pub(crate) fn with_small_segments() -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        Self::start_with(folder, SyncPolicy::Always, |config| {
            config.storage.store.segment_bytes_max = 64 << 10;
        })
    }

    /// As [`Rig::new`], with the stream `S` for `s.>`.
    pub(crate) fn with_stream() -> Self {
        let mut rig = Self::new();
        rig.create_stream();
        rig
    }

    /// As [`Rig::with_policy`], with a checkpoint of everything after so many bytes.
    pub(crate) fn with_checkpoints(sync: SyncPolicy, checkpoint_bytes: u64) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        Self::start_with(folder, sync, |config| {
            config.storage.checkpoint_bytes = checkpoint_bytes;
        })
    }

    /// As [`Rig::new`], with so much memory for what is on disk, taken and given in pieces of 4 KiB.
    pub(crate) fn with_memory(memory: MemoryOptions) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        Self::start_with(folder, SyncPolicy::Always, |config| {
            config.storage.store.chunk_bytes = 4 << 10;
            config.storage.memory = memory;
        })
    }

    /// What is in memory of what is on disk.
    pub(crate) fn memory_use(&self) -> MemoryUse {
        self.jetstream.as_ref().expect("running").memory_use()
    }

    /// As [`Rig::with_stream`], with segments of 4 KiB that are verified all the time.
    pub(crate) fn scrubbing() -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let mut rig = Self::start_with(folder, SyncPolicy::Always, |config| {
            config.storage.store.segment_bytes_max = 4096;
            config.scrub = ScrubOptions {
                bytes_per_second: 1 << 30,
                period: Duration::from_millis(1),
            };
        });
        rig.create_stream();
        rig
    }

    /// How far the scrub is.
    pub(crate) fn scrub(&self) -> ScrubProgress {
        self.jetstream.as_ref().expect("running").scrub()
    }

    /// What is served from a store directory.
    pub(crate) fn on(folder: TempDir) -> Self {
        Self::start(Arc::new(folder), SyncPolicy::Always)
    }

    /// As [`Rig::with_stream`], with segments of 4 KiB.
    pub(crate) fn with_tiny_segments() -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let mut rig = Self::start_with(folder, SyncPolicy::Always, |config| {
            config.storage.store.segment_bytes_max = 4096;
        });
        rig.create_stream();
        rig
    }

    /// With tiny segments, and a checkpoint file however few messages there are.
    pub(crate) fn with_checkpoint_file() -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let mut rig = Self::start_with(folder, SyncPolicy::Always, |config| {
            config.storage.store.segment_bytes_max = 4096;
            config.storage.store.checkpoint_messages_min = 1;
        });
        rig.create_stream();
        rig
    }

    fn start(folder: Arc<TempDir>, sync: SyncPolicy) -> Self {
        Self::start_with(folder, sync, |_| {})
    }

    /// A JetStream on this folder whose store has this key, or why there is none.
    pub(crate) fn with_key(
        folder: &Arc<TempDir>,
        encryption: Option<Encryption>,
    ) -> Result<Self, String> {
        let change = |config: &mut JetStreamConfig| {
            config.storage.store.segment_bytes_max = 64 << 10;
            config.storage.store.checkpoint_messages_min = 1;
            config.storage.encryption = encryption;
        };
        let world = (Faults::none(), Arc::<Wall>::default());
        Self::try_start(Arc::clone(folder), SyncPolicy::Always, change, world)
    }

    fn start_with(
        folder: Arc<TempDir>,
        sync: SyncPolicy,
        change: impl FnOnce(&mut JetStreamConfig),
    ) -> Self {
        let world = (Faults::none(), Arc::<Wall>::default());
        Self::try_start(folder, sync, change, world).unwrap()
    }

    /// Starts with a disk and a clock that may have faults from the beginning.
    fn try_start(
        folder: Arc<TempDir>,
        sync: SyncPolicy,
        change: impl FnOnce(&mut JetStreamConfig),
        (faults, clock): (Arc<Faults>, Arc<Wall>),
    ) -> Result<Self, String> {
        static STARTS: AtomicU64 = AtomicU64::new(1);
        let seed = STARTS.fetch_add(1, Ordering::Relaxed);
        let account = Account::new("$G");
        let (inbox, log) = (Arc::<Inbox>::default(), Arc::<Log>::default());
        let sink = Sink::Local(Arc::clone(&inbox) as _);
        account.subscribe(Arc::new(Subscription::new(b"_INBOX.>", None, b"", sink)));
        let sink = Sink::Local(Arc::clone(&inbox) as _);
        account.subscribe(Arc::new(Subscription::new(b"$JS.EVENT.>", None, b"", sink)));
        let mut config = JetStreamConfig {
            store_dir: folder.path().to_owned(),
            sync,
            server_name: "rig".to_owned(),
            strict: true,
            domain: None,
            limits: UsageLimits::default(),
            storage: small(),
            scrub: ScrubOptions::default(),
            answer_bytes_max: 64 << 20,
        };
        change(&mut config);
        let seams = Seams {
            clock: Arc::clone(&clock) as _,
            entropy: Arc::new(SeededEntropy::new(seed)),
            disk: Arc::new(FaultyDisk(Arc::clone(&faults))),
            report: Arc::clone(&log) as _,
        };
        let jetstream =
            JetStream::start(config, seams, &account).map_err(|error| error.to_string())?;
        Ok(Self {
            account,
            faults,
            inbox,
            log,
            clock,
            jetstream: Some(jetstream),
            folder,
            turn: Turn::new(seed),
            asked: 0,
        })
    }

    /// The store directory.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What is served after a kill at this moment.
    pub(crate) fn killed(&self) -> Self {
        self.killed_with(|_| {})
    }

    /// What is served after a kill at this moment and damage to the files.
    pub(crate) fn killed_with(&self, damage: impl FnOnce(&Path)) -> Self {
        let copy = tempfile::tempdir().unwrap();
        self.faults.copy_as_killed(self.folder.path(), copy.path());
        damage(copy.path());
        Self::start(Arc::new(copy), SyncPolicy::Always)
    }

    /// What is served after [`Rig::stop`] and a start on the same disk, without faults.
    pub(crate) fn started_again(self) -> Self {
        assert!(self.jetstream.is_none(), "stopped before");
        Self::start(Arc::clone(&self.folder), SyncPolicy::Always)
    }

    /// As [`Rig::started_again`], with a clock that is so many seconds ahead of what it was, or behind.
    pub(crate) fn started_later(self, seconds: i64) -> Self {
        assert!(self.jetstream.is_none(), "stopped before");
        let world = (Faults::none(), Arc::new(Wall::ahead(seconds)));
        Self::try_start(Arc::clone(&self.folder), SyncPolicy::Always, |_| {}, world).unwrap()
    }

    /// As [`Rig::started_again`], with faults from the beginning; why it does not start, if it does not.
    pub(crate) fn started_with(&self, faults: Arc<Faults>) -> Result<Self, String> {
        assert!(self.jetstream.is_none(), "stopped before");
        let world = (faults, Arc::<Wall>::default());
        let folder = Arc::clone(&self.folder);
        Self::try_start(folder, SyncPolicy::Always, |_| {}, world)
    }

    /// Stops; fails when that takes long.
    pub(crate) fn stop(&mut self) {
        let jetstream = self.jetstream.take().expect("running");
        let stopping = std::thread::spawn(move || jetstream.stop());
        wait_until("the end of stop()", || stopping.is_finished());
        stopping.join().unwrap();
    }

    /// Publishes without a reply.
    pub(crate) fn publish(&mut self, subject: &str, payload: &[u8]) {
        self.publish_for(subject, "", payload);
    }

    /// Publishes with a reply subject of its own, and returns that.
    pub(crate) fn send(&mut self, subject: &str, payload: impl AsRef<[u8]>) -> String {
        self.asked += 1;
        let reply = format!("_INBOX.{}", self.asked);
        self.publish_for(subject, &reply, payload.as_ref());
        reply
    }

    /// Sends an empty request whose answer goes to `reply`.
    pub(crate) fn request_for(&mut self, subject: &str, reply: &str) {
        self.publish_for(subject, reply, b"");
    }

    /// The answer to what was sent.
    pub(crate) fn answer(&self, reply: &str) -> Value {
        eventually("an answer", || self.inbox.first(reply))
    }

    /// Sends and waits for the answer.
    pub(crate) fn ask(&mut self, subject: &str, payload: impl AsRef<[u8]>) -> Value {
        let reply = self.send(subject, payload);
        let what = format!("an answer to {subject:.40}");
        eventually(&what, || self.inbox.first(&reply))
    }

    /// As [`Rig::ask`], with the message id that finds duplicates.
    pub(crate) fn ask_once(&mut self, subject: &str, id: &str, payload: &str) -> Value {
        self.asked += 1;
        let reply = format!("_INBOX.{}", self.asked);
        let headers = format!("NATS/1.0\r\nNats-Msg-Id: {id}\r\n\r\n");
        let message = Message {
            subject: subject.as_bytes(),
            reply: reply.as_bytes(),
            headers: headers.as_bytes(),
            payload: payload.as_bytes(),
        };
        self.turn.publish(&self.account, Origin::SERVER, &message);
        self.turn.flush();
        self.answer(&reply)
    }

    /// Publishes a message that must be acknowledged, and returns its sequence.
    pub(crate) fn store(&mut self, subject: &str, payload: impl AsRef<[u8]>) -> u64 {
        let answer = self.ask(subject, payload);
        sequence_of(&answer).unwrap_or_else(|| panic!("not stored: {answer}"))
    }

    /// Publishes until one is acknowledged.
    pub(crate) fn store_eventually(&mut self, subject: &str) -> u64 {
        eventually("an acknowledged publish", || {
            sequence_of(&self.ask(subject, "m"))
        })
    }

    pub(crate) fn create_stream(&mut self) {
        let answer = self.ask("$JS.API.STREAM.CREATE.S", stream_config("S", "s.>", "file"));
        assert_eq!(error_of(&answer), None, "{answer}");
    }

    /// The state of `S` as STREAM.INFO tells it.
    pub(crate) fn state(&mut self) -> Value {
        let mut answer = self.ask("$JS.API.STREAM.INFO.S", "");
        assert_eq!(error_of(&answer), None, "{answer}");
        answer["state"].take()
    }

    /// Message `sequence` of `S`; its subject, or the code of the error.
    pub(crate) fn subject_of(&mut self, sequence: u64) -> Result<String, u64> {
        let request = json!({ "seq": sequence }).to_string();
        let answer = self.ask("$JS.API.STREAM.MSG.GET.S", request);
        let subject = answer["message"]["subject"].as_str().map(str::to_owned);
        subject.ok_or_else(|| error_of(&answer).unwrap_or_default())
    }

    pub(crate) fn stream_names(&mut self) -> Value {
        self.ask("$JS.API.STREAM.NAMES", "")["streams"].take()
    }

    pub(crate) fn stream_count(&self) -> usize {
        self.jetstream.as_ref().expect("running").stream_count()
    }

    /// How JetStream says it is.
    pub(crate) fn health(&self) -> Health {
        self.jetstream.as_ref().expect("running").health()
    }

    fn publish_for(&mut self, subject: &str, reply: &str, payload: &[u8]) {
        publish(&mut self.turn, &self.account, subject, reply, payload);
        self.turn.flush();
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.faults.clear();
        if self.jetstream.is_some() && !std::thread::panicking() {
            self.stop();
        }
    }
}

/// Small files.
fn small() -> StorageOptions {
    let mut storage = StorageOptions::default();
    storage.journal.file_bytes = JOURNAL_FILE_BYTES;
    storage.journal.hurried_file_bytes = JOURNAL_FILE_BYTES;
    storage
}

/// Stages one message.
pub(crate) fn publish(
    turn: &mut Turn,
    account: &Arc<Account>,
    subject: &str,
    reply: &str,
    payload: &[u8],
) {
    let message = Message {
        subject: subject.as_bytes(),
        reply: reply.as_bytes(),
        headers: b"",
        payload,
    };
    turn.publish(account, Origin::SERVER, &message);
}

/// The body of STREAM.CREATE.
pub(crate) fn stream_config(name: &str, subject: &str, storage: &str) -> String {
    json!({ "name": name, "subjects": [subject], "storage": storage, "max_msgs": -1 }).to_string()
}

/// The body of CONSUMER.CREATE on `S`.
pub(crate) fn consumer_config(name: &str, ack_policy: &str) -> String {
    let config = json!({ "name": name, "durable_name": name, "ack_policy": ack_policy });
    json!({ "stream_name": "S", "config": config }).to_string()
}

/// The name of a file.
pub(crate) fn name_of(path: &Path) -> &str {
    path.file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default()
}
