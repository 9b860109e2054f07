//! JetStream of one server: opens the store, serves its streams, and closes it again.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use everjet_api::{ApiError, ErrorCode, Storage, StreamConfig};
use everjet_routing::{Account, LocalReceiver, Sink, Subscription, Turn};
use everjet_store::{
    Disk, Fault, JournalBatch, Lsn, MemoryUse, StoreMemory, StreamId, StreamStore,
};
use everjet_stream::Stream;
use everjet_values::{Clock, Entropy, Timestamp};
use parking_lot::Mutex;

use crate::actor::{StreamActor, Surroundings};
use crate::advisories::Advisories;
use crate::api::{ApiInlet, ApiWorker};
use crate::backup::{BackupInlet, Backups, remove_remains};
use crate::checkpoint::{Captured, Checkpointer};
use crate::chores::Chores;
use crate::commit::{Commit, SyncPolicy};
use crate::compactor::Compactor;
use crate::findings::Findings;
use crate::folders::{StreamMeta, make_folder, new_store, remove_folder};
use crate::helpers::Helpers;
use crate::housekeeper::Housekeeper;
use crate::inlets::{AckInlet, FlowControlInlet};
use crate::open::{OfflineStream, OpenError, OpenStore, StorageOptions};
use crate::paths::Paths;
use crate::records::{record_stream_created, record_stream_deleted};
use crate::registry::Registry;
use crate::report::{Level, Report};
use crate::scrub::{ScrubOptions, ScrubProgress, Scrubber};
use crate::timers::Timers;
use crate::usage::{Usage, UsageLimits};

/// Threads for long runs and journal files.
const HELPERS: usize = 2;
/// Threads that wait for the disk to give old messages: so many reads are under way at once.
pub(crate) const READERS: usize = 4;
/// Commit threads: one writes while the other lets effects leave.
const COMMITTERS: usize = 2;

/// How JetStream runs.
#[derive(Clone, Debug)]
pub struct JetStreamConfig {
    /// Where the store is; see [`Paths::new`].
    pub store_dir: PathBuf,
    /// When an acknowledgement may leave.
    pub sync: SyncPolicy,
    /// Name of the server, shown as the leader of every stream.
    pub server_name: String,
    /// Whether unknown fields in API requests are errors. Default true.
    pub strict: bool,
    /// The domain, if the server has one: told in acknowledgements, account information and advisories.
    pub domain: Option<String>,
    /// Bytes that all streams together may hold.
    pub limits: UsageLimits,
    /// Sizes of the store.
    pub storage: StorageOptions,
    /// How stored messages are verified in the background.
    pub scrub: ScrubOptions,
    /// Bytes after which the answer to a request for many messages ends: what may be pending for a client.
    pub answer_bytes_max: u64,
}

/// What JetStream uses of its surroundings.
#[derive(Clone)]
pub struct Seams {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness, for the names of consumers without one.
    pub entropy: Arc<dyn Entropy>,
    /// Files.
    pub disk: Arc<dyn Disk>,
    /// The log.
    pub report: Arc<dyn Report>,
}

/// Everything the parts of JetStream share.
pub(crate) struct Host {
    pub(crate) config: JetStreamConfig,
    pub(crate) seams: Seams,
    pub(crate) paths: Paths,
    pub(crate) registry: Arc<Registry>,
    pub(crate) commit: Arc<Commit>,
    pub(crate) checkpointer: Mutex<Checkpointer>,
    /// What the housekeeper is asked to do.
    pub(crate) chores: Chores,
    /// Held while a segment is rewritten: a folder is not removed meanwhile.
    pub(crate) compacting: Mutex<()>,
    pub(crate) usage: Arc<Usage>,
    pub(crate) findings: Arc<Findings>,
    pub(crate) advisories: Arc<Advisories>,
    /// Backups that are sent and received.
    pub(crate) backups: Arc<Backups>,
    /// What the stores of all streams share.
    pub(crate) memory: Arc<StoreMemory>,
    /// Gets of many messages that go on in turns.
    pub(crate) gets_in_turns: AtomicUsize,
    surroundings: Arc<Surroundings>,
    next_stream_id: AtomicU64,
    /// The folder of a deleted stream could not be removed: the journal is not given back before the next start.
    holds_journal: AtomicBool,
    /// Keeps other servers away; given back by a stop, whoever still remembers parts of this.
    lock: Mutex<Option<Box<dyn std::any::Any + Send + Sync>>>,
}

/// JetStream of one server. Stop it with [`JetStream::stop`]; dropped without, it is as after a crash.
pub struct JetStream {
    host: Arc<Host>,
    worker: Arc<ApiWorker>,
    housekeeper: Arc<Housekeeper>,
    compactor: Arc<Compactor>,
    scrubber: Arc<Scrubber>,
    helpers: Arc<Helpers>,
    readers: Arc<Helpers>,
    timers: Arc<Timers>,
    committers: Vec<JoinHandle<()>>,
    subscriptions: Vec<Arc<Subscription>>,
}

/// Why JetStream cannot start.
#[derive(Debug)]
pub enum StartError {
    /// The store cannot be opened.
    Open(OpenError),
    /// The operating system gives no thread.
    Thread(io::Error),
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Open(error) => error.fmt(f),
            Self::Thread(error) => write!(f, "cannot start a thread: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

impl From<OpenError> for StartError {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

impl From<io::Error> for StartError {
    fn from(error: io::Error) -> Self {
        Self::Thread(error)
    }
}

impl JetStream {
    /// Opens the store and serves its streams in `account`.
    ///
    /// # Errors
    /// See [`StartError`]; nothing in the store was changed then.
    pub fn start(
        config: JetStreamConfig,
        seams: Seams,
        account: &Arc<Account>,
    ) -> Result<Self, StartError> {
        let paths = Paths::new(&config.store_dir);
        let mut options = config.storage.clone();
        options.journal.salt = seams.entropy.next_u64();
        let storage = OpenStore::open_to_serve(&seams.disk, &paths, &options, config.sync)?;
        let seams = Seams {
            disk: Arc::clone(&storage.disk),
            ..seams
        };
        for (level, text) in &storage.notes {
            seams.report.report(*level, text);
        }
        let seed = seams.entropy.next_u64();
        let helpers = Helpers::start("helper", HELPERS, seed)?;
        let readers = Helpers::start("reader", READERS, seed.wrapping_add(50))?;
        let timers = Timers::start(Arc::clone(&seams.clock), seed.wrapping_add(100))?;
        let (disk, root) = (Arc::clone(&seams.disk), paths.root().to_owned());
        // A disk that cannot be asked is not taken for a full one: the write itself will tell.
        let free_bytes = Box::new(move || disk.free_bytes(&root).unwrap_or(u64::MAX));
        let report = Arc::clone(&seams.report);
        let commit = Commit::new(
            storage.journal,
            storage.journal_bytes,
            config.sync,
            2 * config.storage.checkpoint_bytes,
            free_bytes,
            Arc::clone(&helpers),
            report,
        );
        let committers = (0..COMMITTERS)
            .map(|number| {
                let commit = Arc::clone(&commit);
                std::thread::Builder::new()
                    .name(format!("commit-{number}"))
                    .spawn(move || {
                        commit.run(&mut Turn::handing_over(
                            seed.wrapping_add(200 + number as u64),
                        ))
                    })
            })
            .collect::<io::Result<Vec<_>>>()?;
        let usage = Arc::new(Usage::new(config.limits));
        let advisories = Arc::new(Advisories::new(
            Arc::clone(account),
            Arc::clone(&seams.clock),
            Arc::clone(&seams.entropy),
            (&config.server_name, config.domain.as_deref()),
        ));
        let findings = Findings::new(Arc::clone(&seams.report), Arc::clone(&advisories));
        let findings = Arc::new(findings);
        findings.know(storage.findings);
        let surroundings = Arc::new(Surroundings {
            domain: config.domain.as_deref().map(Box::from),
            clock: Arc::clone(&seams.clock),
            advisories: Arc::clone(&advisories),
            commit: Some(Arc::clone(&commit)),
            helpers: Arc::clone(&helpers),
            readers: Arc::clone(&readers),
            timers: Arc::clone(&timers),
            stopping: AtomicBool::new(false),
            usage: Arc::clone(&usage),
            inflight: Arc::default(),
            findings: Arc::clone(&findings),
        });
        let next_stream_id = storage.manifest.next_stream_id;
        let checkpointer = Checkpointer::new(
            Arc::clone(&seams.disk),
            paths.clone(),
            storage.manifest_store,
            storage.manifest,
        );
        let host = Arc::new(Host {
            memory: StoreMemory::new(options.memory),
            registry: Arc::new(Registry::new(Arc::clone(account))),
            config: JetStreamConfig {
                storage: options,
                ..config
            },
            paths,
            commit,
            checkpointer: Mutex::new(checkpointer),
            chores: Chores::default(),
            compacting: Mutex::new(()),
            usage,
            findings,
            advisories,
            backups: Arc::default(),
            gets_in_turns: AtomicUsize::new(0),
            surroundings,
            next_stream_id: AtomicU64::new(next_stream_id.0),
            holds_journal: AtomicBool::new(false),
            lock: Mutex::new(Some(storage.lock)),
            seams,
        });
        let mut turn = Turn::new(seed.wrapping_add(300));
        for opened in storage.streams {
            host.serve(opened.stream, &mut turn);
        }
        for stream in storage.offline {
            host.registry.add_offline(stream);
        }
        remove_remains(&host);
        turn.flush();
        let worker = ApiWorker::start(Arc::clone(&host), seed.wrapping_add(400))?;
        let housekeeper = Housekeeper::start(Arc::clone(&host), seed.wrapping_add(500))?;
        let compactor = Compactor::start(Arc::clone(&host), seed.wrapping_add(600))?;
        let scrubber = Scrubber::start(Arc::clone(&host), seed.wrapping_add(600))?;
        let subscriptions = subscribe(account, &host, &worker);
        Ok(Self {
            host,
            worker,
            housekeeper,
            compactor,
            scrubber,
            helpers,
            readers,
            timers,
            committers,
            subscriptions,
        })
    }

    pub(crate) fn host(&self) -> &Arc<Host> {
        &self.host
    }

    /// Number of streams.
    #[must_use]
    pub fn stream_count(&self) -> usize {
        self.host.registry.all().len()
    }

    /// How far the verification of stored messages is.
    #[must_use]
    pub fn scrub(&self) -> ScrubProgress {
        self.scrubber.progress()
    }

    /// What the streams keep in memory of what is on disk.
    #[must_use]
    pub fn memory_use(&self) -> MemoryUse {
        self.host.memory.usage()
    }

    /// Stops taking messages, makes everything durable, writes a last checkpoint and ends the threads.
    pub fn stop(self) {
        let registry = &self.host.registry;
        registry.account().unsubscribe_all(&self.subscriptions);
        registry.close_inlets();
        // What a remembered match still brings is dropped from here on, unacknowledged.
        self.host
            .surroundings
            .stopping
            .store(true, Ordering::Release);
        self.scrubber.stop();
        self.worker.stop();
        self.host.backups.stop();
        self.compactor.stop();
        let mut turn = Turn::new(0);
        for actor in registry.all() {
            actor.with(&mut turn, |stream, now, output| {
                stream.shutdown(now, output);
            });
        }
        turn.flush();
        self.timers.stop();
        self.readers.stop();
        self.helpers.stop();
        self.host.commit.stop();
        for thread in self.committers {
            // A commit thread that panicked has said so on stderr; the checkpoint below still keeps what it can.
            drop(thread.join());
        }
        self.housekeeper.stop();
        registry.close();
        drop(self.host.lock.lock().take());
    }
}

/// The subjects that JetStream itself listens to.
fn subscribe(
    account: &Arc<Account>,
    host: &Arc<Host>,
    worker: &Arc<ApiWorker>,
) -> Vec<Arc<Subscription>> {
    let registry = &host.registry;
    let backups = BackupInlet::new(Arc::clone(registry), Arc::clone(&host.backups));
    let backups: Arc<dyn LocalReceiver> = Arc::new(backups);
    let inlets: [(&str, Sink); 5] = [
        (
            "$JS.API.>",
            Sink::Local(Arc::new(ApiInlet::new(
                Arc::clone(registry),
                Arc::clone(worker),
            ))),
        ),
        (
            "$JS.ACK.>",
            Sink::Local(Arc::new(AckInlet::new(Arc::clone(registry)))),
        ),
        (
            "$JS.FC.>",
            Sink::Local(Arc::new(FlowControlInlet::new(Arc::clone(registry)))),
        ),
        ("$JS.SNAPSHOT.ACK.>", Sink::Local(Arc::clone(&backups))),
        ("$JS.SNAPSHOT.RESTORE.>", Sink::Local(backups)),
    ];
    inlets
        .into_iter()
        .map(|(filter, sink)| {
            let subscription = Arc::new(Subscription::new(filter.as_bytes(), None, b"", sink));
            account.subscribe(Arc::clone(&subscription));
            subscription
        })
        .collect()
}

impl Host {
    /// Creates a stream; it exists, durably, when this returns.
    ///
    /// # Errors
    /// Why it could not be made durable; it does not exist then.
    pub(crate) fn create(
        &self,
        config: StreamConfig,
        turn: &mut Turn,
    ) -> Result<Arc<StreamActor>, String> {
        // Held to the end: a checkpoint in between would let go of the journal record and not know the stream yet.
        let _checkpoints_wait = self.checkpointer.lock();
        let id = self.draw_stream_id();
        let created = self.seams.clock.now();
        let store = match config.storage {
            Storage::Memory => StreamStore::in_memory(self.config.storage.store),
            Storage::File => self.create_on_disk(id, created, &config)?,
        };
        Ok(self.serve(Stream::create(id, config, created, store), turn))
    }

    /// The number of a stream that is to come.
    pub(crate) fn draw_stream_id(&self) -> StreamId {
        StreamId(self.next_stream_id.fetch_add(1, Ordering::Relaxed))
    }

    /// Serves a stream that came from elsewhere and whose messages are in its files already; it exists, durably, when this returns.
    ///
    /// # Errors
    /// Why it cannot be; it does not exist then.
    pub(crate) fn adopt(
        &self,
        mut stream: Stream,
        turn: &mut Turn,
    ) -> Result<Arc<StreamActor>, String> {
        let mut checkpointer = self.checkpointer.lock();
        let (id, config) = (stream.id(), stream.config().clone());
        let registry = &self.registry;
        if registry.find(&config.name).is_some() || registry.offline(&config.name).is_some() {
            return Err(describe(&ErrorCode::StreamNameExists.error()));
        }
        if registry.overlaps(&config.subjects, &config.name) {
            let error = describe(&ErrorCode::StreamSubjectOverlap.error());
            return Err(format!("error adding stream: {error}"));
        }
        if config.storage == Storage::File {
            if let Some(why) = self.commit.failure() {
                return Err(why);
            }
            let captured = Captured::take(&mut stream, registry.account().name());
            let written = checkpointer.persist(&captured).and_then(|written| {
                // What was persisted of other streams must not be ahead of the journal.
                self.commit.sync_now()?;
                checkpointer.publish(Lsn::FIRST.into(), self.next_stream_id())?;
                Ok(written)
            });
            match written {
                Ok(Some(written)) => stream.store_mut().finish_writes(&written),
                Ok(None) => {}
                Err(fault) => {
                    checkpointer.forget(id);
                    return Err(fault.to_string());
                }
            }
        }
        Ok(self.serve(stream, turn))
    }

    /// Folder first: without the record it means nothing. Whatever follows the record must not fail.
    fn create_on_disk(
        &self,
        id: StreamId,
        created: Timestamp,
        config: &StreamConfig,
    ) -> Result<StreamStore, String> {
        let account = self.registry.account().name();
        let meta = StreamMeta {
            id,
            account: account.to_owned(),
            name: config.name.clone(),
            created,
            config: config.clone(),
        };
        make_folder(&*self.seams.disk, &self.paths, &meta).map_err(|fault| fault.to_string())?;
        let store = new_store(
            &self.seams.disk,
            &self.paths,
            &self.config.storage,
            id,
            account,
            &config.name,
        )
        .map_err(|fault| fault.to_string())?;
        let mut batch = JournalBatch::default();
        record_stream_created(&mut batch, id, account, created, config);
        if let Err(why) = self.commit.commit_and_wait(&mut batch) {
            // The record may still become durable, so the next one takes it back.
            record_stream_deleted(&mut batch, id);
            self.commit.commit_some_time(&mut batch);
            return Err(why);
        }
        Ok(store)
    }

    /// Deletes a stream; it is gone, durably, when this returns.
    ///
    /// # Errors
    /// Why the deletion could not be made durable. The stream is not served any more all the same: its deletion may still become
    /// durable, so it must not acknowledge anything. It is offline until that is known, which is after the next start.
    pub(crate) fn delete(&self, actor: &Arc<StreamActor>, turn: &mut Turn) -> Result<(), String> {
        let mut checkpointer = self.checkpointer.lock();
        if actor.is_on_disk() && self.commit.is_stuck() {
            return Err("the disk is full; free disk space and try again".to_owned());
        }
        self.registry.remove(&actor.name);
        actor.retire(turn);
        if !actor.is_on_disk() {
            return Ok(());
        }
        let mut batch = JournalBatch::default();
        record_stream_deleted(&mut batch, actor.id);
        if let Err(why) = self.commit.commit_and_wait(&mut batch) {
            // No checkpoint takes this stream any more: offline, it makes the journal keep what it has of it. Nor is it gone, which
            // is what a client would read from "not found".
            self.registry.add_offline(OfflineStream {
                id: actor.id,
                account: self.registry.account().name().to_owned(),
                name: actor.name.to_string(),
                why: format!("its deletion is not certain before a restart: {why}"),
            });
            return Err(why);
        }
        checkpointer.forget(actor.id);
        let _nothing_is_rewritten = self.compacting.lock();
        let account = self.registry.account().name();
        self.findings.forget_stream(account, &actor.name);
        if let Err(fault) = remove_folder(&*self.seams.disk, &self.paths, account, &actor.name) {
            self.keep_deletion(&actor.name, &fault);
        }
        Ok(())
    }

    /// Deletes a stream that cannot be served; it is gone, durably, when this returns.
    ///
    /// # Errors
    /// Why the deletion could not be made durable.
    pub(crate) fn delete_offline(&self, stream: &OfflineStream) -> Result<(), String> {
        let mut checkpointer = self.checkpointer.lock();
        let mut batch = JournalBatch::default();
        record_stream_deleted(&mut batch, stream.id);
        self.commit.commit_and_wait(&mut batch)?;
        checkpointer.forget(stream.id);
        self.registry.remove_offline(&stream.name);
        self.findings.forget_stream(&stream.account, &stream.name);
        if let Err(fault) = remove_folder(
            &*self.seams.disk,
            &self.paths,
            &stream.account,
            &stream.name,
        ) {
            self.keep_deletion(&stream.name, &fault);
        }
        Ok(())
    }

    /// A deleted stream's folder is still there. The journal keeps the record of the deletion, which makes the next start
    /// remove it.
    fn keep_deletion(&self, name: &str, fault: &Fault) {
        self.holds_journal.store(true, Ordering::Release);
        let text = format!(
            "stream {name} is deleted, its folder is not: {fault}; it goes with the next start, and the journal is kept until then"
        );
        self.seams.report.report(Level::Error, &text);
    }

    /// Whether checkpoints may give journal files back.
    pub(crate) fn may_release_journal(&self) -> bool {
        !self.holds_journal.load(Ordering::Acquire) && !self.registry.has_offline()
    }

    pub(crate) fn next_stream_id(&self) -> StreamId {
        StreamId(self.next_stream_id.load(Ordering::Relaxed))
    }

    /// The threads that may wait for the disk to give old messages.
    pub(crate) fn readers(&self) -> &Arc<Helpers> {
        &self.surroundings.readers
    }

    fn serve(&self, mut stream: Stream, turn: &mut Turn) -> Arc<StreamActor> {
        stream.store_mut().share(&self.memory);
        stream.lead(self.seams.clock.now());
        let config = stream.config().clone();
        let on_disk = config.storage == Storage::File;
        let account = Arc::clone(self.registry.account());
        let actor = StreamActor::new(
            stream,
            &config.name,
            on_disk,
            account,
            Arc::clone(&self.surroundings),
        );
        self.registry.insert(&actor, config);
        let targets = actor.with(turn, |stream, now, _| {
            let names: Vec<String> = stream
                .consumer_names()
                .into_iter()
                .map(str::to_owned)
                .collect();
            let info = |name: &String| stream.consumer_info(now, name).ok();
            names
                .iter()
                .filter_map(info)
                .map(|info| (info.name, info.config.deliver_subject))
                .collect::<Vec<_>>()
        });
        for (consumer, deliver_subject) in targets.unwrap_or_default() {
            if !deliver_subject.is_empty() {
                self.registry.watch(&actor, &consumer, &deliver_subject);
            }
        }
        actor
    }
}

/// An error inside another one, as nats-server writes it.
pub(crate) fn describe(error: &ApiError) -> String {
    format!("{} ({})", error.description, error.err_code)
}
